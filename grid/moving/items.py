"""The files that a task moves, and what the pilot was told of moving files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from grid.moving.errors import CannotTransfer, NoMeans
from iceprod.addresses import BUILT_IN, DIGITS, parse_checksum

__all__ = ["Item", "Means", "items_of", "local_path", "place_in"]

_TEMPORARY = {"job_temp": ("dataset", "job_index"), "dataset_temp": ("dataset",), "site_temp": ()}
"""What the directory of temporary data is named after, by their type."""


@dataclass(frozen=True)
class Means:
    """What a pilot is told of moving files."""

    commands: dict[str, str] = field(default_factory=dict)  # by scheme, with {source}, {target} and {token}
    temp: str = ""  # the address below which temporary data lie
    directors: dict[str, str] = field(default_factory=dict)  # address of a federation's director, by its host
    patience: float = 60.0  # seconds without a byte

    def schemes(self) -> list[str]:
        """The schemes of addresses that this pilot can move."""
        return sorted({*BUILT_IN, *self.commands})


@dataclass(frozen=True)
class Item:
    """A file to move: where it is, its name in the task's directory, and whether it may be missing."""

    remote: str
    local: str
    is_input: bool
    is_output: bool
    maybe: bool = False
    is_ours: bool = False  # its place was not named by the task
    size: int = -1  # bytes, as declared; -1: nobody said
    checksum: str = ""  # as declared, such as "sha256=0123…"
    manifest: str = ""  # address of a file that has the checksums of many


def items_of(config: dict[str, Any], payload: dict[str, Any], means: Means) -> list[Item]:
    """All files that a task moves, each once, whichever level names them. Raises CannotTransfer, NoMeans.

    A file that the task itself makes for another of its parts is not fetched: it is there.
    """
    steering = payload.get("steering")
    levels = [steering if isinstance(steering, dict) else {}, config]
    for tray in config.get("trays") or []:
        levels += [tray, *(tray.get("modules") or [])]
    items = [_item(data, payload, means) for level in levels for data in level.get("data") or []
             if data.get("transfer", True) not in (False, "false", "no")]
    made: set[tuple[str, str]] = set()
    result: dict[Item, None] = {}
    for item in items:
        if item.is_input and (item.remote, item.local) in made:
            item = replace(item, is_input=False)
        if item.is_output:
            made.add((item.remote, item.local))
        result[item] = None
    return [item for item in result if item.is_input or item.is_output]


def _item(data: dict[str, Any], payload: dict[str, Any], means: Means) -> Item:
    remote = str(data.get("remote") or "")
    local = str(data.get("local") or "") or os.path.basename(urlsplit(remote).path)
    is_ours = data.get("type") in _TEMPORARY and "://" not in remote
    if is_ours:
        remote = _temporary(data["type"], remote or local, payload, means)
    if not remote or not local:
        raise CannotTransfer(f"data: needs a remote address and a local name, got {remote!r}, {local!r}")
    movement = data.get("movement", "input")
    is_program = bool(data.get("program"))  # its checksum is looked at where it becomes a program
    return Item(remote, local, movement in ("input", "both"), movement in ("output", "both"),
                data.get("transfer") in ("maybe", "exists"), is_ours, _size(data, remote),
                "" if is_program else _checksum(data, remote), str(data.get("manifest") or ""))


def _size(data: dict[str, Any], remote: str) -> int:
    value = data.get("size")
    if value is None or value == "":
        return -1
    try:
        size = int(value)
    except (TypeError, ValueError):
        size = -1
    if size < 0 or isinstance(value, bool):
        raise CannotTransfer(f"data: {remote}: no way to transfer a file of size {value!r}")
    return size


def _checksum(data: dict[str, Any], remote: str) -> str:
    text = str(data.get("checksum") or "")
    if text and parse_checksum(text) is None:
        raise CannotTransfer(f"data: {remote}: no way to transfer with the checksum {text!r}; "
                             f"expected kind=digits, of the kinds {', '.join(DIGITS)}")
    return text


def _temporary(kind: str, name: str, payload: dict[str, Any], means: Means) -> str:
    """The address of temporary data."""
    if not means.temp:
        raise NoMeans(f"data: this pilot has no place for {kind} data such as {name!r}")
    parts = [str(payload.get(part, "")) for part in _TEMPORARY[kind]] + name.strip("/").split("/")
    if not all(parts) or ".." in parts or "." in parts:
        raise CannotTransfer(f"data: {name!r} is outside of the task's directory for {kind} data")
    return "/".join([means.temp.rstrip("/"), *parts])


def place_in(directory: Path, item: Item) -> Path:
    """Where the file lies in the task's directory. Raises CannotTransfer."""
    path = (directory / item.local).resolve()
    if directory.resolve() not in path.parents:
        raise CannotTransfer(f"data: {item.local!r} is outside of the task's directory")
    if path.exists() and not path.is_file():
        raise CannotTransfer(f"data: {item.local!r} is no file")
    return path


def local_path(remote: str) -> str | None:
    """The path of a file of this machine; None for others."""
    parts = urlsplit(remote)
    if parts.scheme == "file":
        return unquote(parts.path)
    return remote if not parts.scheme and remote.startswith("/") else None
