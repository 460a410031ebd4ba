"""The files that a task moves, out of what it is to run. All is pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from iceprod.addresses import scheme_of

__all__ = ["Need", "needs_of", "scope_of"]

TEMPORARY = ("job_temp", "dataset_temp", "site_temp")


@dataclass(frozen=True)
class Need:
    """A file that a task moves."""

    remote: str
    local: str
    reads: bool
    writes: bool
    is_temporary: bool = False  # it lies where the pilot says

    @property
    def scheme(self) -> str:
        return "" if self.is_temporary else scheme_of(self.remote)

    @property
    def movement(self) -> str:
        return "both" if self.reads and self.writes else "output" if self.writes else "input"


def needs_of(payload: Mapping[str, Any]) -> list[Need]:
    """All files that are moved, each once."""
    task = payload.get("task") or {}
    levels = [payload.get("steering") or {}, task]
    for tray in task.get("trays") or []:
        levels += [tray, *(tray.get("modules") or [])]
    found: dict[Need, None] = {}
    for level in levels:
        for item in level.get("data") or []:
            if item.get("transfer", True) is not False:
                found.update(dict.fromkeys(_needs(item)))
    return [*found]


def _needs(item: Mapping[str, Any]) -> Iterator[Need]:
    remote, movement = str(item.get("remote") or ""), item.get("movement") or "input"
    temporary = item.get("type") in TEMPORARY and "://" not in remote
    yield Need(remote, str(item.get("local") or ""), movement in ("input", "both"),
               movement in ("output", "both"), temporary)
    if manifest := str(item.get("manifest") or ""):
        yield Need(manifest, "", True, False)


def scope_of(need: Need, prefix: str, style: str = "") -> str:
    """The scope of a token for one file: its folder below the `prefix` that the token's service begins at.

    Words are those of WLCG's profile (storage.read, storage.modify) unless the `style` of the credential's
    own scope shows that it has the older ones of SciTokens (read, write).
    """
    path = urlsplit(need.remote[len(prefix.rstrip("/")):]).path
    folder = "/" + path.strip("/").rpartition("/")[0]
    old = "storage." not in style and ("read:" in style or "write:" in style)
    words = [*(["read:" if old else "storage.read:"] if need.reads else []),
             *(["write:" if old else "storage.modify:"] if need.writes else [])]
    return " ".join(word + folder for word in words)
