"""Files of a task: fetched before its programs run, stored after them."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["CannotTransfer", "Item", "TransferFailed", "fetch", "items_of", "store"]

_PATIENCE = 60.0  # seconds without a byte


class CannotTransfer(Exception):
    """We have no way to move such a file; the text names it."""


class TransferFailed(Exception):
    """Moving a file failed this time; the text names it."""


@dataclass(frozen=True)
class Item:
    """A file to move: where it is, its name in the task's directory, and whether it may be missing."""

    remote: str
    local: str
    is_input: bool
    is_output: bool
    maybe: bool = False


def items_of(config: dict[str, Any]) -> list[Item]:
    """All files that a task's configuration names, on whichever level."""
    levels = [config]
    for tray in config.get("trays") or []:
        levels += [tray, *(tray.get("modules") or [])]
    return [_item(data) for level in levels for data in level.get("data") or []
            if data.get("transfer", True) not in (False, "false", "no")]


def fetch(items: list[Item], directory: Path) -> None:
    """Bring the inputs into the directory. Raises TransferFailed and CannotTransfer."""
    for item in items:
        if item.is_input:
            _guarded(item, _download, directory)


def store(items: list[Item], directory: Path) -> None:
    """Take the outputs from the directory to where they belong. Raises as `fetch`."""
    for item in items:
        if item.is_output:
            _guarded(item, _upload, directory)


def _item(data: dict[str, Any]) -> Item:
    remote = str(data.get("remote") or "")
    local = str(data.get("local") or "") or os.path.basename(urlsplit(remote).path)
    if not remote or not local:
        raise CannotTransfer(f"data: needs a remote address and a local name, got {remote!r}, {local!r}")
    movement = data.get("movement", "input")
    return Item(remote, local, movement in ("input", "both"), movement in ("output", "both"),
                data.get("transfer") == "maybe")


def _guarded(item: Item, move: Any, directory: Path) -> None:
    path = (directory / item.local).resolve()
    if directory.resolve() not in path.parents:
        raise CannotTransfer(f"data: {item.local!r} is outside of the task's directory")
    try:
        move(item, path)
    except FileNotFoundError as error:
        if not item.maybe:
            raise TransferFailed(f"transfer failure: {item.remote}: {error.strerror}") from None
    except urllib.error.HTTPError as error:
        if not (item.maybe and error.code == 404):
            raise TransferFailed(f"transfer failure: {item.remote}: HTTP {error.code}") from None
    except (urllib.error.URLError, OSError) as error:
        raise TransferFailed(f"transfer failure: {item.remote}: {error}") from None


def _local_path(remote: str) -> str | None:
    parts = urlsplit(remote)
    if parts.scheme == "file":
        return unquote(parts.path)
    if not parts.scheme and remote.startswith("/"):
        return remote
    if parts.scheme not in ("http", "https"):
        raise CannotTransfer(f"data: no way to transfer {remote!r}; known: file, http, https")
    return None


def _download(item: Item, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = _local_path(item.remote)
    if source is not None:
        shutil.copyfile(source, path)
        return
    with urllib.request.urlopen(item.remote, timeout=_PATIENCE) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file)


def _upload(item: Item, path: Path) -> None:
    target = _local_path(item.remote)
    if target is not None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, f"{target}.part")
        os.replace(f"{target}.part", target)
        return
    with path.open("rb") as file:
        request = urllib.request.Request(item.remote, data=file, method="PUT",
                                         headers={"Content-Length": str(path.stat().st_size)})
        urllib.request.urlopen(request, timeout=_PATIENCE).close()
