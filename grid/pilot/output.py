"""What a task printed: its beginning and its end, however much there was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["HEAD", "TAIL", "head_and_tail", "last_line"]

HEAD, TAIL = 64 << 10, 192 << 10  # bytes


def head_and_tail(path: Path, head: int = HEAD, tail: int = TAIL) -> str:
    """The file's text; of a long one the first `head` and the last `tail` bytes and how much is left out."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            size = file.seek(0, 2)
            file.seek(0)
            if size <= head + tail:
                return file.read().decode("utf8", "replace")
            first = file.read(head).decode("utf8", "replace")
            file.seek(size - tail)
            last = file.read().decode("utf8", "replace")
    except OSError:  # it is not there, or programs put something else in its place
        return ""
    return f"{first}\n[... {size - head - tail} bytes left out ...]\n{last}"


def last_line(path: Path, limit: int = 200) -> str:
    """The last line that says something, as a hint at what went wrong."""
    lines = [line.strip() for line in head_and_tail(path, 0, 4096).splitlines() if line.strip()]
    return lines[-1][:limit] if lines else ""
