"""Processes by their parents, and signals to them.

The process that forks for each guard imports this, and no more than it has to.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

__all__ = ["adopt", "below", "family", "send"]

_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def adopt() -> None:
    """Become the parent of what processes below leave behind (prctl(2); Linux alone)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family() -> dict[int, list[int]]:
    """All processes by their parent (proc(5); empty where there is no /proc)."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    return children


def below(root: int, children: dict[int, list[int]]) -> list[int]:
    """All descendants of a process."""
    found, unseen = [], [root]
    while unseen:
        own = children.get(unseen.pop(), [])
        found += own
        unseen += own
    return found


def send(pids: list[int], number: int) -> None:
    """Send a signal to processes, but for those that are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
