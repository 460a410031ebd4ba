"""Classes whose pilots are queued and find no slot, while pilots of ours hold slots that others could use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from grid.base import PilotClass
from grid.condor.coverage import BUSY, DRAINING, IDLE, QUEUED, STARTING, Pilot
from grid.condor.demand import Work
from grid.condor.shapes import needs
from grid.condor.wants import could_run

__all__ = ["Starving", "is_being_cleared", "make_room", "starving"]

_RUNNING = (STARTING, IDLE, BUSY)
_MATCHED_SECONDS = 300.0  # HTCondor matches once a minute or so
_BUSY_COSTS = 1000.0  # a busy pilot is the last that is asked to leave


@dataclass(frozen=True)
class Starving:
    """A class with a pilot that was queued for long; `is_alone` when none that runs could take its tasks."""

    work: Work
    shape: PilotClass
    is_alone: bool


def starving(works: Iterable[Work], shapes: Mapping[str, PilotClass], pilots: Sequence[Pilot],
             serves: Mapping[str, Sequence[str]], seconds: float) -> list[Starving]:
    """The classes that starve; `serves` tells which classes a pilot was meant for."""
    late = {key for pilot in pilots if pilot.state == QUEUED and pilot.seconds >= seconds
            for key in serves.get(pilot.id, ())}
    running = [pilot for pilot in pilots if pilot.state in _RUNNING]
    found = []
    for work in works:
        if work.class_key in late:
            need = needs(work)
            is_alone = not any(could_run(pilot, need) for pilot in running)
            found.append(Starving(work, shapes[work.class_key], is_alone))
    return sorted(found, key=lambda one: (-one.work.priority, one.work.class_key))


def is_being_cleared(key: str, cleared: Mapping[str, float], now: float) -> bool:
    """Whether room was made for a class so lately that its pilot may yet be about to find it."""
    return now - cleared.get(key, float("-inf")) < _MATCHED_SECONDS


def make_room(shape: PilotClass, pilots: Sequence[Pilot], unused: set[str],
              turn_seconds: float) -> list[Pilot] | None:
    """The pilots of one host that have to go for a pilot of such a shape: where it costs least.

    None when no host has enough of our pilots that may go; the last of their shape go after their turn only.
    """
    hosts: dict[str, list[Pilot]] = defaultdict(list)
    for pilot in pilots:
        if pilot.state in _RUNNING or (pilot.state == DRAINING and pilot.host):
            hosts[pilot.host].append(pilot)
    groups: dict[PilotClass, int] = defaultdict(int)
    for pilot in pilots:
        groups[pilot.offer] += pilot.state in _RUNNING
    gpus = shape.gpus if any(offer.gpus and number for offer, number in groups.items()) else 0
    shape = replace(shape, gpus=gpus)  # where none of ours has GPUs, it is cores that keep it from a GPU
    choices = [chosen for there in hosts.values()
               if (chosen := _fewest(shape, there, groups, unused, turn_seconds)) is not None]
    return min(choices, key=lambda chosen: sum(_cost(pilot, unused) for pilot in chosen), default=None)


def _fewest(shape: PilotClass, there: Sequence[Pilot], groups: Mapping[PilotClass, int], unused: set[str],
            turn_seconds: float) -> list[Pilot] | None:
    """Who has to go at one host; those that leave anyway count and are not named."""
    left = dict(groups)
    chosen: list[Pilot] = []
    freed = [pilot.offer for pilot in there if pilot.state == DRAINING]
    for pilot in sorted(there, key=lambda pilot: (_cost(pilot, unused), -pilot.offer.cores, -pilot.age)):
        if _holds(freed, shape):
            break
        if pilot.state == DRAINING:
            continue
        if pilot.id in unused or left[pilot.offer] > 1 or pilot.age >= turn_seconds:
            left[pilot.offer] -= 1
            chosen.append(pilot)
            freed.append(pilot.offer)
    return chosen if _holds(freed, shape) else None


def _holds(freed: Sequence[PilotClass], shape: PilotClass) -> bool:
    """Whether what becomes free is enough in cores and GPUs, which are what a full machine lacks."""
    return (sum(offer.cores for offer in freed) >= shape.cores
            and sum(offer.gpus for offer in freed) >= shape.gpus)


def _cost(pilot: Pilot, unused: set[str]) -> float:
    if pilot.state == DRAINING:
        return 0.0
    return 1.0 if pilot.id in unused else _BUSY_COSTS
