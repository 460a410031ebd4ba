"""The memory of the whole slot: a batch system looks at the pilot and all its tasks together.

Before it holds the pilot, and every task with it, we end the one task that is most above what it asked for.
What counts is the control group when it is ours (cgroup v2, memory.current without the cache of files that
the kernel gives back by itself; kernel documentation, admin-guide/cgroup-v2), else the resident memory of our
processes (proc(5)).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grid.pilot.processes import tree_usage
from grid.pilot.running import Running

__all__ = ["SlotMemory", "group_memory", "heaviest"]

_LOOK_SECONDS = 1.0
_SHARE = 0.97  # of the limit, at which we act: what a second may add has to fit above it
_CGROUPS = Path("/sys/fs/cgroup")


def group_memory(limit: float, root: Path = _CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> float:
    """GB that our control group uses; 0 when it is not one for this slot alone (it has no such limit)."""
    try:
        lines = membership.read_text().splitlines()
        folder = root / next(line[3:].strip().lstrip("/") for line in lines if line.startswith("0::"))
        most = (folder / "memory.max").read_text().strip()
        if most == "max" or int(most) > 1.25e9 * limit:
            return 0.0
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return (int((folder / "memory.current").read_text()) - int(fields.get("inactive_file", 0))) / 1e9
    except (OSError, ValueError, StopIteration):
        return 0.0


def heaviest(running: Iterable[Running]) -> Running | None:
    """The task that is most above what it asked for, as far as that was measured."""
    measured = [one for one in running if one.memory > 0 and not one.over]
    return max(measured, key=_above, default=None)


def _above(running: Running) -> float:
    asked: Any = running.requirements.get("memory")
    return running.memory - (float(asked) if isinstance(asked, (int, float)) else 0.0)


class SlotMemory:
    """Looks now and then whether the slot's memory is nearly used up."""

    def __init__(self, limit: float) -> None:
        self._limit = limit  # GB; 0: nobody ends us
        self._looked = 0.0

    def look(self, running: list[Running]) -> None:
        """Have the heaviest task end when the slot is nearly full; one after the other."""
        now = time.monotonic()
        if not self._limit or not running or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        used = group_memory(self._limit) or tree_usage(os.getpid()).memory
        if used < _SHARE * self._limit or any(one.over for one in running):
            return
        heavy = heaviest(running)
        if heavy is not None:
            heavy.over = (f"memory limit: the slot's {self._limit:g} GB were used up to {used:.2f} GB, "
                          f"{heavy.memory:.2f} GB of it by this task, which asked for "
                          f"{heavy.requirements.get('memory')} GB")
