"""Files of a task: fetched before its programs run, stored after them.

Files, http and https we move ourselves; for any scheme of an address the pilot may be told a command, such as
``gsiftp=globus-url-copy {source} {target}``. Temporary data have no address of their own: they lie below one
that the pilot is told, apart by dataset and job.

Where programs run in a sandbox, files of this machine that a task names are copied in there: a task gets no
file that its programs may not see, and puts none where they may not write.
"""

from __future__ import annotations

import os
import shlex
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["CannotTransfer", "Here", "Item", "Means", "NoMeans", "TransferFailed", "fetch", "items_of",
           "store"]

_UNSEEN = "not there, or not shown to tasks (settings pilots.visible and pilots.writable)"
_FETCH = f'test -e "$1" || {{ echo "{_UNSEEN}" >&2; exit 1; }}; cp -- "$1" "$2"'
_STORE = (f'mkdir -p -- "$(dirname -- "$2")" && cp -- "$1" "$2.part" && mv -f -- "$2.part" "$2" '
          f'|| {{ echo "{_UNSEEN}" >&2; exit 1; }}')
_PATIENCE = 60.0  # seconds without a byte
_TEMPORARY = {"job_temp": ("dataset", "job_index"), "dataset_temp": ("dataset",), "site_temp": ()}
"""What the directory of temporary data is named after, by their type."""


class CannotTransfer(Exception):
    """Nobody can move such a file; the text names it."""


class NoMeans(Exception):
    """This pilot was not told how to move such a file, others may be; the text names it."""


class TransferFailed(Exception):
    """Moving a file failed this time; the text names it."""


@dataclass(frozen=True)
class Means:
    """What a pilot is told of moving files."""

    commands: dict[str, str] = field(default_factory=dict)  # by scheme, with {source} and {target}
    temp: str = ""  # the address below which temporary data lie


@dataclass(frozen=True)
class Item:
    """A file to move: where it is, its name in the task's directory, and whether it may be missing."""

    remote: str
    local: str
    is_input: bool
    is_output: bool
    maybe: bool = False
    is_ours: bool = False  # its place was not named by the task


@dataclass(frozen=True)
class Here:
    """The task's directory, and how to run a command in it: the answer is what went wrong."""

    directory: Path
    means: Means
    run: Callable[[list[str]], str]
    run_inside: Callable[[list[str]], str] | None = None  # in the sandbox of the task's programs


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


def fetch(items: list[Item], here: Here) -> None:
    """Bring the inputs into the directory. Raises TransferFailed, CannotTransfer and NoMeans."""
    for item in items:
        if item.is_input:
            _guarded(item, _download, here)


def store(items: list[Item], here: Here) -> None:
    """Take the outputs from the directory to where they belong. Raises as `fetch`."""
    for item in items:
        if item.is_output:
            _guarded(item, _upload, here)


def _item(data: dict[str, Any], payload: dict[str, Any], means: Means) -> Item:
    remote = str(data.get("remote") or "")
    local = str(data.get("local") or "") or os.path.basename(urlsplit(remote).path)
    is_ours = data.get("type") in _TEMPORARY and "://" not in remote
    if is_ours:
        remote = _temporary(data["type"], remote or local, payload, means)
    if not remote or not local:
        raise CannotTransfer(f"data: needs a remote address and a local name, got {remote!r}, {local!r}")
    movement = data.get("movement", "input")
    return Item(remote, local, movement in ("input", "both"), movement in ("output", "both"),
                data.get("transfer") in ("maybe", "exists"), is_ours)


def _temporary(kind: str, name: str, payload: dict[str, Any], means: Means) -> str:
    """The address of temporary data."""
    if not means.temp:
        raise NoMeans(f"data: this pilot has no place for {kind} data such as {name!r}")
    parts = [str(payload.get(part, "")) for part in _TEMPORARY[kind]] + name.strip("/").split("/")
    if not all(parts) or ".." in parts or "." in parts:
        raise CannotTransfer(f"data: {name!r} is outside of the task's directory for {kind} data")
    return "/".join([means.temp.rstrip("/"), *parts])


def _guarded(item: Item, move: Callable[[Item, Path, Here], None], here: Here) -> None:
    path = (here.directory / item.local).resolve()
    if here.directory.resolve() not in path.parents:
        raise CannotTransfer(f"data: {item.local!r} is outside of the task's directory")
    if path.exists() and not path.is_file():
        raise CannotTransfer(f"data: {item.local!r} is no file")
    try:
        move(item, path, here)
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
    return remote if not parts.scheme and remote.startswith("/") else None


def _command(remote: str, means: Means, source: str, target: str) -> list[str]:
    """The command line that moves a file. Raises NoMeans."""
    scheme = urlsplit(remote).scheme
    if scheme not in means.commands:
        known = ", ".join(["file", "http", "https", *sorted(means.commands)])
        raise NoMeans(f"data: this pilot has no command to transfer {remote!r}; it knows {known}")
    words = shlex.split(means.commands[scheme])
    return [word.replace("{source}", source).replace("{target}", target) for word in words]


def _is_web(remote: str, means: Means) -> bool:
    scheme = urlsplit(remote).scheme
    return scheme in ("http", "https") and scheme not in means.commands


def _download(item: Item, path: Path, here: Here) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = _local_path(item.remote)
    if source is not None and here.run_inside and not item.is_ours:
        error = here.run_inside(["/bin/sh", "-c", _FETCH, "fetch", source, str(path)])
        if error and not item.maybe:
            raise TransferFailed(f"transfer failure: {item.remote}: {error}")
    elif source is not None:
        shutil.copyfile(source, path)
    elif _is_web(item.remote, here.means):
        with urllib.request.urlopen(item.remote, timeout=_PATIENCE) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
    else:
        error = here.run(_command(item.remote, here.means, item.remote, str(path)))
        if not error and not path.exists():
            error = "the command brought no file"
        if error and item.maybe:
            path.unlink(missing_ok=True)  # a part of it, maybe
        elif error:
            raise TransferFailed(f"transfer failure: {item.remote}: {error}")


def _upload(item: Item, path: Path, here: Here) -> None:
    target = _local_path(item.remote)
    if target is not None and here.run_inside and not item.is_ours:
        os.stat(path)  # without it, there is nothing to store
        if error := here.run_inside(["/bin/sh", "-c", _STORE, "store", str(path), target]):
            raise TransferFailed(f"transfer failure: {item.remote}: {error}")
    elif target is not None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, f"{target}.part")
        os.replace(f"{target}.part", target)
    elif _is_web(item.remote, here.means):
        with path.open("rb") as file:
            request = urllib.request.Request(item.remote, data=file, method="PUT",
                                             headers={"Content-Length": str(path.stat().st_size)})
            urllib.request.urlopen(request, timeout=_PATIENCE).close()
    else:
        argv = _command(item.remote, here.means, str(path), item.remote)
        os.stat(path)  # without it, there is nothing to send
        if error := here.run(argv):
            raise TransferFailed(f"transfer failure: {item.remote}: {error}")
