"""Keys of a dataset configuration that nothing reads: most likely spelled wrong, and dropped in silence."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["UnknownKey", "nearest", "unknown_keys"]

_OLD = {
    "": ("parent_id", "dataset", "difplus", "dif", "plus"),
    "steering": ("resources", "system"),
    "task": ("classes", "projects", "resources"),
    "tray": ("classes", "projects", "resources"),
    "module": ("classes", "projects", "resources"),
    "data": ("compression",),
}
"""Keys that IceProd wrote before version 3.1, and its converter leaves in, by part of a configuration."""


@dataclass(frozen=True)
class UnknownKey:
    """A key that is not known, in the words of a problem; `forbidden` when the schema refuses it."""

    path: str
    key: str
    known: tuple[str, ...]
    forbidden: bool
    is_old: bool  # IceProd once knew it

    @property
    def nearest(self) -> str:
        """The known key that was meant, maybe."""
        return nearest(self.key, self.known)

    @property
    def problem(self) -> str:
        """What is wrong."""
        hint = f"did you mean {self.nearest!r}?" if self.nearest else f"known are {', '.join(self.known)}"
        return f"unknown key {self.key!r}; {hint}"


def nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    """The known word most like `word`, if any is like it."""
    lower = {name.lower(): name for name in known}
    if starts := [name for name in known if len(word) > 1 and name.startswith(word.lower())]:
        return starts[0]
    found = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else ""


def unknown_keys(config: Mapping[str, Any], form: Mapping[str, Any], *,
                 old: bool = False) -> Iterator[UnknownKey]:
    """The keys at every depth that the JSON Schema `form` does not know, nor an older version of IceProd.

    A configuration that is `old` itself may have keys that the schema forbids by now.
    """
    for key in _of(config, form, form, "", ""):
        if not (old and key.is_old):
            yield replace(key, forbidden=False) if old else key


def _of(value: Any, part: Mapping[str, Any], form: Mapping[str, Any], name: str,
        path: str) -> Iterator[UnknownKey]:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        part = form["$defs"][name]
    if isinstance(value, list) and "items" in part:
        for index, item in enumerate(value):
            yield from _of(item, part["items"], form, name, f"{path}[{index}]")
    if not isinstance(value, dict) or "properties" not in part:
        return
    forbidden = part.get("additionalProperties") is False
    known = tuple(part["properties"])
    for key, item in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key in known:
            yield from _of(item, part["properties"][key], form, name, where)
        elif forbidden or key not in _OLD.get(name, ()):
            yield UnknownKey(where, str(key), known, forbidden, key in _OLD.get(name, ()))
