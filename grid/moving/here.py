"""Where a task's files are moved to and from, and with what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from grid.moving.cache import Cache
from grid.moving.items import Means
from grid.moving.lent import Lent
from grid.moving.web import Line

__all__ = ["Here", "Tally"]

Run = Callable[["list[str]"], str]


@dataclass
class Tally:
    """What one step took."""

    files: int = 0
    moved: int = 0  # bytes that went over the network, or from and to other disks
    seconds: float = 0.0
    retries: int = 0
    cached: int = 0  # files that came from the cache

    def document(self) -> dict[str, float]:
        """As it is reported."""
        return {"files": self.files, "bytes": self.moved, "seconds": round(self.seconds, 3),
                "retries": self.retries, "cached": self.cached}


@dataclass
class Here:
    """The task's directory, and how to run a command in it: the answer is what went wrong."""

    directory: Path
    means: Means
    run: Run
    run_inside: Run | None = None  # in the sandbox of the task's programs
    lent: Lent = field(default_factory=Lent)
    line: Line = field(default_factory=Line)
    most: float = float("inf")  # bytes of one file
    cache: Cache = field(default_factory=Cache)
    fetched: Tally = field(default_factory=Tally)
    stored: Tally = field(default_factory=Tally)
