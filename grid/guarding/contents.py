"""What is in a task's directory.

Directories that were looked into are not opened again while the kernel says that nobody changed them: the
time of the last change moves with each entry, right and attribute, and no program can set it (inode(7),
ctime). As clocks of file systems may be coarse, that is believed only once a look found it old.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

__all__ = ["PRINTED", "Contents"]

PRINTED = ("stdout", "stderr")
"""Files that programs print to."""

_COARSE = 2.0  # seconds; no file system's clock is coarser


class _Look(NamedTuple):
    """A look into a directory that has nothing but directories, whose names these are."""

    state: tuple[int, ...]
    names: list[str]
    first: float  # when it was seen in this state first
    latest: float


class Contents:
    """Those of one directory, to be looked at by one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._looks: dict[str, _Look] = {}

    def size(self) -> float:
        """GB of all files."""
        total, unseen = 0, [self._directory]
        while unseen:
            path = unseen.pop()
            try:
                names = self._folders(path) if path != self._directory else None
                if names is not None:
                    unseen += [os.path.join(path, name) for name in names]
                    continue
                for entry in os.scandir(path):
                    if entry.is_dir(follow_symlinks=False):
                        unseen.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
            except OSError:
                continue  # removed meanwhile
        return total / 1e9

    def restored(self, made: Collection[str]) -> bool:
        """Remove what programs printed. Whether there is nothing then but directories that we made, each with
        the rights that we gave it and no others beside them. Raises OSError.
        """
        for name in PRINTED:
            _clear(os.path.join(self._directory, name))
        unseen = [""]
        while unseen:
            own = unseen.pop()
            names = self._folders(os.path.join(self._directory, own), PRINTED if not own else ())
            if names is None:
                return False
            inside = [os.path.join(own, name) for name in names]
            if any(name not in made for name in inside):
                return False
            unseen += inside
        return True

    def _folders(self, path: str, apart: Collection[str] = ()) -> list[str] | None:
        """What is in a directory that has our rights and, some files apart, nothing but directories; None of
        any other.
        """
        status, now = os.lstat(path), time.monotonic()
        state = _state(status)
        known = self._looks.get(path)
        if known is None or known.state != state:
            known = _Look(state, [], now, now)
        elif known.latest - known.first >= _COARSE:
            return known.names
        names = _folders(path, apart) if _has_our_rights(path, status) else None
        if names is not None:
            self._looks[path] = known._replace(names=names, latest=now)
        return names


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_mode, status.st_nlink, status.st_mtime_ns, status.st_ctime_ns


def _clear(path: str) -> None:
    """Remove what programs printed, or put in its place, unless it is as if it had just been made."""
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        times = {status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns}
        is_new = status.st_mode == stat.S_IFREG | 0o600 and status.st_nlink == 1 and len(times) == 1
        if not is_new or status.st_size or status.st_blocks or _has_attributes(path):
            os.unlink(path)


def _folders(path: str, apart: Collection[str]) -> list[str] | None:
    entries = [entry for entry in os.scandir(path) if entry.name not in apart]
    only_folders = all(entry.is_dir(follow_symlinks=False) for entry in entries)
    return [entry.name for entry in entries] if only_folders else None


def _has_our_rights(path: str, status: os.stat_result) -> bool:
    """Whether a directory has the rights that we gave it, and no others beside them."""
    return (status.st_mode in (stat.S_IFDIR | 0o700, stat.S_IFDIR | 0o755)
            and not _has_attributes(path))


def _has_attributes(path: str) -> bool:
    return hasattr(os, "listxattr") and bool(os.listxattr(path, follow_symlinks=False))
