"""What a task printed: its beginning and its end, however much there was; and its end while it runs.

That is sent to the server while somebody there looks at the task.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grid.pilot.running import Running

__all__ = ["HEAD", "SECONDS", "TAIL", "Tails", "end_of", "head_and_tail", "last_line"]

HEAD, TAIL = 64 << 10, 192 << 10  # bytes
SECONDS = 2.0  # between two heartbeats while somebody looks
BYTES = 16 << 10  # of one file, and of the server's limit
MOST_TASKS = 4  # at once, as the server takes them
_NAMES = ("stdout", "stderr")


def head_and_tail(path: Path, head: int = HEAD, tail: int = TAIL) -> str:
    """The file's text; of a long one the first `head` and the last `tail` bytes and how much is left out."""
    size, *parts = _read(path, head, tail)
    first, last = (part.decode("utf8", "replace") for part in parts)
    return f"{first}\n[... {size - head - tail} bytes left out ...]\n{last}" if size > head + tail else first


def end_of(path: Path, most: int) -> tuple[int, str]:
    """How long a file is, and the text of its last `most` bytes; nothing of what is no plain file."""
    size, first, last = _read(path, 0, most)
    return size, (first or last).decode("utf8", "replace")


def _read(path: Path, head: int, tail: int) -> tuple[int, bytes, bytes]:
    """How long a file is, its first and its last bytes, or all of it if that is no more; of an empty one, of
    none, and of what programs put in its place, nothing.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0, b"", b""
    try:
        status = os.fstat(descriptor)
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        if size > head + tail:
            return size, os.pread(descriptor, head, 0), os.pread(descriptor, tail, size - tail)
        return size, os.pread(descriptor, size, 0) if size else b"", b""
    except OSError:
        return 0, b"", b""
    finally:
        os.close(descriptor)


def last_line(path: Path, limit: int = 200) -> str:
    """The last line that says something, as a hint at what went wrong."""
    lines = [line.strip() for line in head_and_tail(path, 0, 4096).splitlines() if line.strip()]
    return lines[-1][:limit] if lines else ""


class Tails:
    """Which tasks are looked at, and what was sent of them."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], tuple[int, ...]] = {}
        self.watched: frozenset[str] = frozenset()

    def hear(self, answer: dict[str, Any]) -> None:
        """Take over from an answer to a heartbeat what is looked at."""
        self.watched = frozenset(map(str, answer.get("watch") or ()))
        if not self.watched:
            self._sent.clear()

    def news(self, running: Iterable[Running]) -> dict[str, dict[str, Any]]:
        """What is new since it was sent last, by task and name."""
        looked_at = [(one, one.directory) for one in running if one.task_id in self.watched and one.directory]
        found = {}
        for one, directory in looked_at[:MOST_TASKS]:
            ends = {name: end_of(directory / name, BYTES) for name in _NAMES}
            sizes, key = tuple(size for size, _ in ends.values()), (one.task_id, one.instance_id)
            if self._sent.get(key) != sizes:
                self._sent[key] = sizes
                found[one.task_id] = {name: {"size": size, "text": text}
                                      for name, (size, text) in ends.items()}
        return found
