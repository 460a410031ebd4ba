"""How many pilots of which shape are due: a pure function of demand, pilots, limits and history.

Never more than the limits allow, never a class forgotten:

1. Tasks are laid into the pilots there are; what finds no place is missing.
2. Missing slots are turned into pilots, one class after the other in turns, those without any pilot first and
   of these the one that waited longest, within the limits and the pace.
3. When the limits leave a class without any pilot, another class that has several gives one up.
4. Queued pilots that nobody needs any more are removed, idle ones are asked to leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from grid.base import PilotClass
from grid.condor.coverage import DRAINING, QUEUED, STARTING, Pilot, cover
from grid.condor.demand import Work
from grid.condor.pace import History
from grid.condor.shapes import Unserved, shape_for
from grid.condor.shedding import Shed
from grid.condor.site import Site
from grid.condor.wants import Want, in_turns, wants_of

__all__ = ["Control", "Decision", "Order", "decide"]


@dataclass(frozen=True)
class Control:
    """What an administrator asked of the site."""

    state: Literal["active", "paused", "draining"] = "active"
    limit: int | None = None  # pilots at most, if less than the site file says
    reason: str = ""


@dataclass(frozen=True)
class Order:
    """Pilots to submit."""

    shape: PilotClass
    count: int


@dataclass(frozen=True)
class Decision:
    """What to do now, and why."""

    submit: tuple[Order, ...] = ()
    remove: tuple[str, ...] = ()  # ids of queued pilots
    drain: tuple[str, ...] = ()  # ids of running pilots that shall take no more tasks
    reasons: tuple[str, ...] = ()
    unserved: tuple[Unserved, ...] = ()
    history: History = field(default_factory=History)


@dataclass(frozen=True)
class _Room:
    """How many pilots may be submitted now, and what keeps it from being more."""

    count: int
    why: str
    is_queue_full: bool = False
    is_full: bool = False  # places have to become free first


def decide(demand: Sequence[Work], pilots: Sequence[Pilot], site: Site, history: History, now: float,
           control: Control | None = None) -> Decision:
    """What to do now. `now` is a time of the history's clock."""
    control = control or Control()
    shapes = {work.class_key: shape_for(work, site) for work in demand if work.slots > 0}
    unserved = tuple(shape for shape in shapes.values() if isinstance(shape, Unserved))
    shed = Shed(pilots, site)
    if control.state == "draining":
        shed.everything()
        return Decision((), shed.remove, shed.drain, (_said(control), *shed.reasons), unserved, history)
    served = {key: shape for key, shape in shapes.items() if isinstance(shape, PilotClass)}
    works = [work for work in demand if work.class_key in served]
    covered = cover(works, pilots)
    room = _room(pilots, site, history, now, control)
    wants = in_turns(wants_of(works, served, covered.missing, pilots, history.served), room.count)
    shed.over(_limit(site, control))
    shed.unneeded(covered.unused)
    starved = sum(not want.has_any and not want.given for want in wants)
    if starved and room.is_full:
        shed.make_way(starved, covered.unused, room.is_queue_full)
    orders, warm = _orders(wants, pilots, site, room.count)
    given = [want.work.class_key for want in wants if want.given]
    reasons = [*_explained(wants, room), *warm, *shed.reasons]
    return Decision(orders, shed.remove, shed.drain, tuple(reasons), unserved, history.serve(given, now))


def _limit(site: Site, control: Control) -> int:
    most = site.limits.pilots
    return most if control.limit is None else min(most, control.limit)


def _room(pilots: Sequence[Pilot], site: Site, history: History, now: float, control: Control) -> _Room:
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
    return min(rooms, key=lambda room: room.count)


def _orders(wants: Sequence[Want], pilots: Sequence[Pilot], site: Site,
            room: int) -> tuple[tuple[Order, ...], list[str]]:
    """Orders by shape, those of the pilots that are kept warm included, and what to say about the latter."""
    counts: Counter[PilotClass] = Counter()
    for want in wants:
        counts[want.shape] += want.given
    staying = sum(pilot.state != DRAINING for pilot in pilots)
    warm = min(site.limits.warm - staying - counts.total(), room - counts.total())
    usual = shape_for(Work(class_key="{}", waiting=1), site)
    if warm > 0 and isinstance(usual, PilotClass):
        counts[usual] += warm
    reasons = [f"submit {warm}: {site.limits.warm} are kept warm"] if warm > 0 else []
    return tuple(Order(shape, count) for shape, count in counts.items() if count > 0), reasons


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
