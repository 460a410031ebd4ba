"""Directories in which tasks work.

One that a task left as it was is the next one's of the same dataset, with the guard that knows it: making and
removing it would cost more than an empty task. Whatever a task left beside what it printed has its directory
removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import threading
from pathlib import Path

from grid.guarding.contents import Contents
from grid.guarding.launcher import Launcher
from iceprod.walls.sandbox import ROOT, TMP, Sandbox

__all__ = ["Directories", "remove"]

_IDLE = 4  # directories that are kept, and as many as there were at once


class Directories:
    """Those of one pilot. Safe to use from many threads."""

    def __init__(self, root: Path, launcher: Launcher, sandbox: Sandbox) -> None:
        self._root, self._launcher, self._sandbox = root, launcher, sandbox
        self._lock = threading.Lock()
        self._idle: list[tuple[str, Path]] = []  # whose it is, and the directory; the last one was used last
        self._contents: dict[Path, Contents] = {}
        self._taken = self._most = 0

    def take(self, whose: str) -> Path:
        """A directory for a task of a dataset; it is there already, or may be made."""
        with self._lock:
            self._taken += 1
            self._most = max(self._most, self._taken)
            for one in reversed(self._idle):
                if one[0] == whose:
                    self._idle.remove(one)
                    return one[1]
        return self._root / f"task-{secrets.token_hex(6)}"

    def contents(self, directory: Path) -> Contents:
        """What is known to be in a directory."""
        return self._contents.setdefault(directory, Contents(directory))

    def give(self, whose: str, directory: Path) -> None:
        """A task is done with its directory: keep it, or remove it with all that is in it."""
        keep = bool(whose) and self._emptied(directory)
        with self._lock:
            self._taken -= 1
            if keep:
                self._idle.append((whose, directory))
            over = self._idle[:-(_IDLE + self._most)]
            del self._idle[:len(over)]
        for path in [one for _, one in over] if keep else [directory]:
            self._launcher.forget(path)
            self._contents.pop(path, None)
            remove(path)

    def _emptied(self, directory: Path) -> bool:
        """Remove what programs printed; whether all is then as it was before the first task."""
        try:
            return self.contents(directory).restored(self._sandbox.makes(str(directory)))
        except OSError:
            return False

    def close(self) -> None:
        """Remove all that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, directory in idle:
            remove(directory)


def remove(directory: Path) -> None:
    """Remove a task's directory, however programs left it."""
    try:
        for path in (directory / ROOT, directory / TMP):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(path)
        os.rmdir(directory)
    except OSError:  # there is something in it
        with contextlib.suppress(RecursionError):
            shutil.rmtree(directory, ignore_errors=True)
    if directory.exists():  # too deep for us, or its owner may not enter a part of it
        for argv in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*argv, "--", str(directory)], check=False, capture_output=True)
