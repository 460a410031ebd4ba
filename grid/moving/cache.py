"""Inputs that several tasks have in common: kept once for a pilot, or for all pilots of an account on a host.

An entry is a file and what is known of it. Whoever wants one holds its lock meanwhile, so that of many that
start together one fetches and the others wait for it. The oldest in use go when there is no room. What comes
out of the cache is a copy, checked against the checksum that was taken when it came in: no task can change
what another gets.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grid.moving.checksums import digest

__all__ = ["Cache", "Entry", "Known", "key_of"]

_LARGEST_PART = 0.5  # of the room; a larger file would push out everything else
_LOOK_SECONDS = 0.1
_FORGET_SECONDS = 7 * 86400.0  # after so long the lock of what is not here goes, too
_DATA, _ABOUT, _LOCK = ".data", ".json", ".lock"


def key_of(text: str) -> str:
    """The name of an entry."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Known:
    """What is known of a file in the cache."""

    sha256: str
    size: int
    etag: str = ""
    modified: str = ""  # as the server writes it


@dataclass
class Cache:
    """A directory of `most` bytes; without one, nothing is kept."""

    directory: Path | None = None
    most: int = 0

    def _is_ready(self) -> bool:
        """Whether there is a place that nobody else can put something into."""
        if self.directory is None or self.most <= 0:
            return False
        try:
            self.directory.mkdir(parents=True, mode=0o700, exist_ok=True)
            about = self.directory.stat()
        except OSError:
            return False
        return about.st_uid == os.getuid() and not stat.S_IMODE(about.st_mode) & 0o022

    def takes(self, size: int) -> bool:
        """Whether a file of that size may come in."""
        return self.directory is not None and size <= _LARGEST_PART * self.most

    @contextlib.contextmanager
    def entry(self, key: str, check: Callable[[], None]) -> Iterator[Entry]:
        """The entry of that name, for us alone; `check` may end the waiting by raising."""
        if self.directory is None or not self._is_ready():
            yield Entry(self, "")
            return
        with _locked(self.directory / f"{key}{_LOCK}", check):
            yield Entry(self, key)

    def make_room(self, size: int) -> None:
        """Remove what was not used for longest until so many bytes fit."""
        rows = []
        assert self.directory is not None
        for path in self.directory.glob(f"*{_LOCK}"):
            with contextlib.suppress(OSError):
                is_old = path.stat().st_mtime < time.time() - _FORGET_SECONDS
                if is_old and not path.with_suffix(_DATA).exists():
                    path.unlink()
        for path in self.directory.glob(f"*{_DATA}"):
            with contextlib.suppress(OSError):
                about = path.stat()
                rows.append((about.st_mtime, about.st_size, path))
        total = sum(row[1] for row in rows)
        for _, taken, path in sorted(rows):
            if total + size <= self.most:
                return
            for name in (path, path.with_suffix(_ABOUT)):
                with contextlib.suppress(OSError):
                    name.unlink()
            total -= taken


@dataclass
class Entry:
    """One file of the cache, or the place for it; without a key, there is no cache."""

    cache: Cache
    key: str

    def known(self) -> Known | None:
        """What is known of it; None when it is not here."""
        if not self.key or not self._path(_DATA).is_file():
            return None
        try:
            told: dict[str, Any] = json.loads(self._path(_ABOUT).read_text(encoding="utf8"))
            return Known(**told)
        except (OSError, ValueError, TypeError):
            return None

    def copy_to(self, path: Path, known: Known) -> bool:
        """Copy it; False, and it is forgotten, when it is not what it was."""
        try:
            shutil.copyfile(self._path(_DATA), path)
            os.utime(self._path(_DATA))
        except FileNotFoundError:
            return False
        if digest(path, ["sha256"])["sha256"] == known.sha256:
            return True
        for suffix in (_ABOUT, _DATA):
            with contextlib.suppress(OSError):
                self._path(suffix).unlink()
        path.unlink()
        return False

    def keep(self, path: Path, etag: str, modified: str) -> None:
        """Take a file that was fetched whole. A disk that is full is no failure of the task's."""
        size = path.stat().st_size
        if not self.key or not self.cache.takes(size):
            return
        assert self.cache.directory is not None
        part = self._path(".part")
        try:
            with _locked(self.cache.directory / "room", lambda: None):
                self.cache.make_room(size)
                shutil.copyfile(path, part)
                sha256 = digest(part, ["sha256"])["sha256"]
                known = {"sha256": sha256, "size": size, "etag": etag, "modified": modified}
                self._path(_ABOUT).write_text(json.dumps(known), encoding="utf8")
                part.replace(self._path(_DATA))
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()

    def _path(self, suffix: str) -> Path:
        assert self.cache.directory is not None
        return self.cache.directory / f"{self.key}{suffix}"


@contextlib.contextmanager
def _locked(path: Path, check: Callable[[], None]) -> Iterator[None]:
    """Hold the lock that a file stands for; it is free again when its holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.utime(descriptor)
        while True:
            check()
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)
