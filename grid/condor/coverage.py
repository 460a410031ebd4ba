"""Which work the present pilots will do: waiting tasks are laid into the room that pilots have left."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from grid.base import PilotClass, Traits
from grid.condor.demand import Work
from grid.condor.shapes import needs, offer_of, tasks_within

__all__ = ["BUSY", "DRAINING", "IDLE", "QUEUED", "STARTING", "Coverage", "Pilot", "cover"]

QUEUED, STARTING, IDLE, BUSY, DRAINING = "queued", "starting", "idle", "busy", "draining"
_ORDER = {BUSY: 0, IDLE: 1, STARTING: 2, QUEUED: 3}  # who takes work first, so that late comers stay free

_LONG_SECONDS = 120.0  # a pilot that is queued so long leaves its tasks to other sites, too

_Room = tuple[int, int, float, float, float, Traits]
_PARTS = ("cpu", "gpu", "memory", "disk", "time", "traits")


@dataclass(frozen=True)
class Pilot:
    """A living pilot: in HTCondor's queue, started but not heard of, without or with tasks, or leaving."""

    id: str
    offer: PilotClass
    state: str
    seconds: float = 0.0  # in this state
    age: float = 0.0  # seconds since it began to run
    free: dict[str, Any] | None = None  # of a busy one
    host: str = ""
    rank: int = 0  # HTCondor's priority of the job

    def room(self) -> _Room:
        """What it can still take: cores, GPUs, memory, disk, hours; and of which traits."""
        whole = offer_of(self.offer)
        if self.state == BUSY:
            whole = {**dict.fromkeys(whole, 0), **(self.free or {})}
        hours = self.offer.lifetime_hours - self.age / 3600
        return (int(whole["cpu"]), int(whole["gpu"]), float(whole["memory"]), float(whole["disk"]), hours,
                self.offer.traits)


@dataclass
class Coverage:
    """Slots that each class still misses, and the pilots that no class needs."""

    missing: dict[str, int] = field(default_factory=dict)
    unused: list[Pilot] = field(default_factory=list)
    soon: dict[str, int] = field(default_factory=dict)  # tasks in pilots that are not queued for long already
    serves: dict[str, list[str]] = field(default_factory=dict)  # classes by the pilot that they lie in


def cover(works: Iterable[Work], pilots: Iterable[Pilot], one_each: bool = False) -> Coverage:
    """Lay the tasks of all classes into the pilots, the most demanding classes first.

    With `one_each`, a pilot takes one task in its life.
    """
    rooms = _Rooms(pilots, one_each)
    result = Coverage()
    for work in sorted(works, key=_demanding):
        result.missing[work.class_key] = rooms.take(work.class_key, needs(work), work.slots)
    result.unused, result.serves = rooms.untouched(), rooms.serves
    result.soon = {key: number for key, number in rooms.soon.items() if number}
    return result


def _demanding(work: Work) -> tuple[float, ...]:
    need = needs(work)
    return -need["gpu"], -need["cpu"], -need["memory"], -need["time"], -need["disk"], -work.priority


class _Rooms:
    """Equal rooms are counted together, so that thousands of pilots cost as much as a few."""

    def __init__(self, pilots: Iterable[Pilot], one_each: bool) -> None:
        self._one_each = one_each
        self._fresh: dict[tuple[int, _Room], list[Pilot]] = defaultdict(list)
        self._begun: dict[_Room, list[Pilot]] = defaultdict(list)
        self.soon: Counter[str] = Counter()
        self.serves: dict[str, list[str]] = defaultdict(list)
        for pilot in pilots:
            if pilot.state != DRAINING and not (one_each and pilot.state == BUSY):
                rank = _ORDER[pilot.state]
                self._fresh[rank, _coarse(pilot.room())].append(pilot)

    def take(self, name: str, need: dict[str, Any], count: int) -> int:
        """Lay in up to `count` tasks of a class; how many found no place."""
        for room in sorted(self._begun):
            count = self._fill(self._begun[room], room, name, need, count)
        for key in sorted(self._fresh):
            count = self._fill(self._fresh[key], key[1], name, need, count)
        return count

    def untouched(self) -> list[Pilot]:
        """The pilots that no task was laid into; busy ones are of use anyway."""
        return [pilot for pilots in self._fresh.values() for pilot in pilots if pilot.state != BUSY]

    def _fill(self, pilots: list[Pilot], room: _Room, name: str, need: dict[str, Any], count: int) -> int:
        while count > 0 and pilots:
            fitting = min(count, tasks_within(need, _named(room)), 1 if self._one_each else count)
            if not fitting:
                break
            pilot = pilots.pop()
            self.serves[pilot.id].append(name)
            if pilot.state != QUEUED or pilot.seconds < _LONG_SECONDS:
                self.soon[name] += fitting
            if not self._one_each:
                self._leave(pilot, room, need, fitting)
            count -= fitting
        return count

    def _leave(self, pilot: Pilot, room: _Room, need: dict[str, Any], tasks: int) -> None:
        cores, gpus, memory, disk, hours, traits = room
        rest = (cores - tasks * int(need["cpu"]), gpus - tasks * int(need["gpu"]),
                round(memory - tasks * need["memory"], 3), round(disk - tasks * need["disk"], 3), hours,
                traits)
        if rest[0] > 0 and (not gpus or rest[1] > 0):
            self._begun[rest].append(pilot)


def _coarse(room: _Room) -> _Room:
    """With the hours cut to tenths, so that pilots of about one age are equal."""
    return (*room[:4], int(room[4] * 10 + 1e-6) / 10, room[5])


def _named(room: _Room) -> dict[str, Any]:
    return dict(zip(_PARTS, room, strict=True))
