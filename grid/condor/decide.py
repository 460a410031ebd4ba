"""How many pilots of which shape are due: a pure function of demand, pilots, limits and history.

Never more than the limits allow, never a class forgotten:

1. Tasks are laid into the pilots there are; what finds no place is missing.
2. Missing slots are turned into pilots, one class after the other in turns, those without any pilot first and
   of these the one that waited longest, within the limits and the pace.
3. When the limits leave a class without any pilot, another class that has several gives one up. When the
   queue is full, queued pilots of low classes make way for better ones.
4. When queued pilots find no slot, idle ones leave at once; for a class that no running pilot could take, so
   do those of one host, and nothing that would take their place is submitted meanwhile.
5. Queued pilots that nobody needs any more are removed, idle ones are asked to leave.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

import msgspec

from grid.base import PilotClass
from grid.condor.coverage import DRAINING, QUEUED, STARTING, Coverage, Pilot, cover
from grid.condor.demand import Work
from grid.condor.pace import Ceiling, History
from grid.condor.shapes import Unserved, enlarged, fitted, needs, shape_for
from grid.condor.shedding import Shed
from grid.condor.site import Site, Size
from grid.condor.starving import Starving, is_being_cleared, starving
from grid.condor.wants import FIRST, Want, could_run, in_turns, rank_of, wants_of

__all__ = ["Control", "Decision", "Order", "decide"]


_LEAVING_HOURS = 0.2  # that pilots take to start and to leave


@dataclass(frozen=True)
class Control:
    """What an administrator asked of the site."""

    state: Literal["active", "paused", "draining"] = "active"
    limit: int | None = None  # pilots at most, if less than the site file says
    reason: str = ""
    starts: str = ""  # of maintenance, UTC as the server writes it; empty: none is announced
    ends: str = ""


@dataclass(frozen=True)
class Order:
    """Pilots to submit."""

    shape: PilotClass
    count: int
    rank: int = 0  # HTCondor's priority of the jobs


@dataclass(frozen=True)
class Decision:
    """What to do now, and why."""

    submit: tuple[Order, ...] = ()
    remove: tuple[str, ...] = ()  # ids of queued pilots
    drain: tuple[str, ...] = ()  # ids of running pilots that shall take no more tasks
    reasons: tuple[str, ...] = ()
    unserved: tuple[Unserved, ...] = ()
    history: History = field(default_factory=History)
    ranks: tuple[tuple[int, tuple[str, ...]], ...] = ()  # new priorities of queued pilots
    covered: Mapping[str, int] = field(default_factory=dict)  # tasks that have a pilot or soon will, by class
    free: int = 0  # more pilots that could be submitted now


@dataclass(frozen=True)
class _Room:
    """How many pilots may be submitted now, and what keeps it from being more."""

    count: int
    why: str
    is_queue_full: bool = False
    is_full: bool = False  # places have to become free first


def decide(demand: Sequence[Work], pilots: Sequence[Pilot], site: Site, history: History, now: float,
           control: Control | None = None, node: Size | None = None,
           ceiling: Ceiling | None = None) -> Decision:
    """What to do now. `now` is a time of the history's clock, `node` a pilot's share of a usual machine.

    `ceiling` is what the schedd's own limits leave.
    """
    control, site = at_maintenance(control or Control(), site, now)
    demand = [fitted(work, site) for work in demand]
    shapes = {work.class_key: shape_for(work, site) for work in demand if work.slots > 0 or work.all_waiting}
    unserved = tuple(shape for shape in shapes.values() if isinstance(shape, Unserved))
    shed = Shed(pilots, site)
    if control.state == "draining":
        shed.everything()
        return Decision((), shed.remove, shed.drain, (_said(control), *shed.reasons), unserved, history)
    served = {key: shape for key, shape in shapes.items() if isinstance(shape, PilotClass)}
    works = [work for work in demand if work.class_key in served]
    covered = cover(works, pilots, one_each=site.mode == "direct")
    room = _room(pilots, site, history, now, control, ceiling)
    if node is not None:
        served = {work.class_key: enlarged(served[work.class_key], work, covered.missing[work.class_key],
                                           site, node) for work in works}
    wants = wants_of(works, served, covered.missing, pilots, history.served, site.mode == "direct")
    shed.over(_limit(site, control))
    if control.starts:
        shed.beyond(site.largest.hours, control.starts)
    shed.unneeded(covered.unused)
    hungry = starving(works, served, pilots, covered.serves, site.pace.starve_seconds)
    history, alone = _clear(shed, hungry, covered, history, now)
    held_back = _held_back(works, pilots, alone) if alone else set()
    shed.queued_for_others(held_back, covered.serves)
    wants = in_turns([want for want in wants if want.work.class_key not in held_back], room.count)
    starved = sum(not want.has_any and not want.given for want in wants)
    if starved and room.is_full:
        shed.make_way(starved, covered.unused, room.is_queue_full)
    if room.is_queue_full:
        shed.outranked(wants, _rivals(works, pilots, covered))
    orders, warm = _orders(wants, pilots, site, room.count)
    given = [want.work.class_key for want in wants if want.given]
    paused = [_said(control)] if control.state == "paused" and not wants else []  # who pauses gets no share
    reasons = [*paused, *_explained(wants, room), *warm, *shed.reasons]
    return Decision(orders, shed.remove, shed.drain, tuple(reasons), unserved, history.serve(given, now),
                    _ranks(works, shed.staying(), covered, alone), dict(covered.soon), room.count)


def _clear(shed: Shed, hungry: Sequence[Starving], covered: Coverage, history: History,
           now: float) -> tuple[History, set[str]]:
    """Take slots back for classes that starve; the classes that somebody's slot is being cleared for."""
    if hungry:
        shed.idle(covered.unused)
    alone = [one for one in hungry if one.is_alone]
    history = history.clear(shed.clear(alone, covered.unused, history, now), now)
    keys = {one.work.class_key for one in alone}
    return history, {key for key in keys if is_being_cleared(key, history.cleared, now)}


def _held_back(works: Sequence[Work], pilots: Sequence[Pilot], alone: set[str]) -> set[str]:
    """Classes that run already, and would take the slots that are being cleared for those that do not."""
    running = [pilot for pilot in pilots if pilot.state not in (QUEUED, DRAINING)]
    return {work.class_key for work in works if work.class_key not in alone
            and any(could_run(pilot, needs(work)) for pilot in running)}


def _rivals(works: Sequence[Work], pilots: Sequence[Pilot], covered: Coverage) -> list[tuple[int, Pilot]]:
    """Queued pilots and the ranks of their classes, without the only pilot that a class has."""
    ranks = {work.class_key: rank_of(work.priority) for work in works}
    runs = {key for pilot in pilots if pilot.state != QUEUED for key in covered.serves.get(pilot.id, ())}
    rivals = []
    for pilot in pilots:
        keys = covered.serves.get(pilot.id, ()) if pilot.state == QUEUED else ()
        if keys and runs.issuperset(keys):
            rivals.append((max(ranks[key] for key in keys), pilot))
        runs.update(keys)
    return rivals


def _ranks(works: Sequence[Work], pilots: Sequence[Pilot], covered: Coverage,
           alone: set[str]) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Which queued pilots get another priority: that of the best class they are for; first who starves."""
    ranks = {work.class_key: rank_of(work.priority) + FIRST * (work.class_key in alone) for work in works}
    changed: dict[int, list[str]] = defaultdict(list)
    for pilot in pilots:
        keys = covered.serves.get(pilot.id, ()) if pilot.state == QUEUED else ()
        if keys and (rank := max(ranks[key] for key in keys)) != pilot.rank:
            changed[rank].append(pilot.id)
    return tuple((rank, tuple(ids)) for rank, ids in changed.items())


def at_maintenance(control: Control, site: Site, now: float) -> tuple[Control, Site]:
    """What is wanted just now: before maintenance no pilot lives into it, then there are none."""
    if not control.starts or now >= read_time(control.ends):
        return replace(control, starts="", ends=""), site
    left = (read_time(control.starts) - now) / 3600
    if left <= 0:
        why = f"maintenance until {control.ends[:16]} UTC {control.reason}".rstrip()
        return replace(control, state="draining", reason=why), site
    if left >= site.largest.hours:
        return replace(control, starts="", ends=""), site
    hours = max(left - _LEAVING_HOURS, 0.0)
    smallest = msgspec.structs.replace(site.smallest, hours=min(site.smallest.hours, hours))
    largest = msgspec.structs.replace(site.largest, hours=hours)
    return control, msgspec.structs.replace(site, smallest=smallest, largest=largest)


def read_time(text: str) -> float:
    """Seconds since 1970 of a UTC time as the server writes it."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _limit(site: Site, control: Control) -> int:
    most = site.limits.pilots
    return most if control.limit is None else min(most, control.limit)


def _room(pilots: Sequence[Pilot], site: Site, history: History, now: float, control: Control,
          ceiling: Ceiling | None) -> _Room:
    if control.state == "paused":
        return _Room(0, _said(control))
    if now < history.until:
        return _Room(0, f"pause of {history.until - now:.0f} s after failures: {history.why}")
    limit, step = _limit(site, control), history.step or site.pace.step
    queued, starting = (sum(pilot.state == state for pilot in pilots) for state in (QUEUED, STARTING))
    rooms = [_Room(max(0, limit - len(pilots)), f"the limit is {limit} pilots", False, True),
             _Room(max(0, site.limits.queued - queued), f"at most {site.limits.queued} may be queued",
                   True, True),
             _Room(max(0, step - queued - starting), f"at most {step} may be on their way for now",
                   True, True)]
    if ceiling is not None:
        rooms.append(_Room(ceiling.room, ceiling.why, True, True))
    return min(rooms, key=lambda room: room.count)


def _orders(wants: Sequence[Want], pilots: Sequence[Pilot], site: Site,
            room: int) -> tuple[tuple[Order, ...], list[str]]:
    """Orders by shape, those of the pilots that are kept warm included, and what to say about the latter."""
    counts: Counter[tuple[PilotClass, int]] = Counter()
    for want in wants:
        counts[want.shape, want.rank] += want.given
    staying = sum(pilot.state != DRAINING for pilot in pilots)
    warm = min(site.limits.warm - staying - counts.total(), room - counts.total())
    usual = shape_for(Work(class_key="{}", waiting=1), site)
    if warm > 0 and isinstance(usual, PilotClass):
        counts[usual, -FIRST] += warm
    reasons = [f"submit {warm}: {site.limits.warm} are kept warm"] if warm > 0 else []
    return tuple(Order(shape, count, rank) for (shape, rank), count in counts.items() if count > 0), reasons


def _explained(wants: Sequence[Want], room: _Room) -> list[str]:
    lines = []
    for want in wants:
        said = f"{want.slots} tasks {want.work.text} have no slot"
        if want.given == want.pilots:
            lines.append(f"submit {want.given}: {said}")
        elif want.given:
            lines.append(f"submit {want.given} of {want.pilots}: {said}, but {room.why}")
        else:
            lines.append(f"submit none of {want.pilots}: {said}, but {room.why}")
    return lines


def _said(control: Control) -> str:
    why = f": {control.reason}" if control.reason else ""
    return f"the site is {control.state}{why}"
