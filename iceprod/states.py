"""The states of datasets, jobs and tasks, and the moves between them.

The tables are IceProd 3's, with the older generation's task state ``reset`` kept beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DATASET", "JOB", "TASK", "Machine"]


@dataclass(frozen=True)
class Machine:
    """States in their order of display, where one starts, and the legal moves."""

    name: str
    start: str
    moves: Mapping[str, frozenset[str]]

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.moves)

    def knows(self, state: object) -> bool:
        return isinstance(state, str) and state in self.moves

    def allows(self, old: str, new: str) -> bool:
        """Whether the move is legal; staying is."""
        return old == new or new in self.moves[old]

    def sources(self, new: str) -> list[str]:
        """The states from which `new` can be reached, not counting itself."""
        return [old for old, targets in self.moves.items() if new in targets]


def _machine(name: str, start: str, moves: dict[str, str]) -> Machine:
    return Machine(name, start, {old: frozenset(new.split()) for old, new in moves.items()})


DATASET = _machine("dataset", "processing", {
    "processing": "suspended errors complete",
    "suspended": "processing",
    "errors": "processing suspended",
    "complete": "",
})
"""A dataset is processing until all its jobs ended; only a hard reset revives a complete one."""

JOB = _machine("job", "processing", {
    "processing": "suspended errors complete",
    "suspended": "processing",
    "errors": "processing",
    "complete": "",
})
"""A job is processing until all its tasks ended."""

TASK = _machine("task", "idle", {
    "idle": "waiting suspended reset",  # dependencies are not met yet
    "waiting": "queued idle suspended reset",  # ready to be claimed
    "queued": "processing idle waiting suspended failed complete reset",  # leased to a pilot
    "processing": "idle waiting queued suspended failed complete reset",  # runs
    "reset": "idle waiting suspended failed",  # an error landed; a service decides what follows
    "suspended": "idle waiting reset",
    "failed": "idle waiting reset",  # needs a person
    "complete": "",
})
"""A task goes from idle to complete; a lease that ends early takes it back to waiting."""
