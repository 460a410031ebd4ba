"""Which pilots have to go: those over the limit, those nobody needs, those in others' way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from grid.condor.coverage import BUSY, DRAINING, IDLE, QUEUED, STARTING, Pilot
from grid.condor.pace import History
from grid.condor.site import Site
from grid.condor.starving import Starving, is_being_cleared, make_room
from grid.condor.wants import Want

__all__ = ["Shed"]

_SLACK_HOURS = 0.2
_IDLE_SHARE = 1 / 3  # of the seconds after which a class starves
_RANK = {QUEUED: 0, IDLE: 1, STARTING: 2, BUSY: 3}  # whom it costs least to lose


@dataclass
class Shed:
    """Collects who goes. Queued pilots are removed, running ones drained: they finish what they do."""

    pilots: Sequence[Pilot]
    site: Site
    going: dict[str, Pilot] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    @property
    def remove(self) -> tuple[str, ...]:
        return tuple(id for id, pilot in self.going.items() if pilot.state == QUEUED)

    @property
    def drain(self) -> tuple[str, ...]:
        return tuple(id for id, pilot in self.going.items() if pilot.state != QUEUED)

    def staying(self) -> list[Pilot]:
        """Pilots that neither leave nor are told to."""
        return [pilot for pilot in self.pilots if pilot.state != DRAINING and pilot.id not in self.going]

    def everything(self) -> None:
        """The site is being emptied."""
        self._send(self.staying(), "the site drains")

    def over(self, limit: int) -> None:
        """More pilots than allowed: the cheapest go."""
        staying = sorted(self.staying(), key=_cost)
        self._send(staying[:max(0, len(staying) - limit)], f"more than the limit of {limit} pilots")

    def beyond(self, hours: float, moment: str) -> None:
        """Pilots that would live longer than so many hours: others take their place that end in time."""
        late = [pilot for pilot in self.staying()
                if pilot.offer.lifetime_hours - pilot.age / 3600 > hours + _SLACK_HOURS]
        self._send(late, f"they would live into the maintenance at {moment[:16]} UTC")

    def unneeded(self, unused: Iterable[Pilot]) -> None:
        """Pilots that no class needs and that were idle or queued for long enough, down to the warm ones."""
        patience = {QUEUED: self.site.pace.surplus_seconds, IDLE: self.site.pilot.idle_minutes * 60}
        spare = [pilot for pilot in unused if pilot.id not in self.going
                 and pilot.seconds >= patience.get(pilot.state, float("inf"))]
        spare.sort(key=_cost)
        most = len(self.staying()) - self.site.limits.warm
        self._send(spare[:max(0, most)], "no task needs them")

    def make_way(self, classes: int, unused: Iterable[Pilot], queue_is_full: bool) -> None:
        """So many classes have no pilot and no place for one: others give places up."""
        coming = sum(pilot.state == DRAINING for pilot in self.pilots) + len(self.going)
        spare = {pilot.id for pilot in unused}
        for _ in range(max(0, classes - coming)):
            victim = self._victim(spare, queue_is_full)
            if victim is None:
                return
            self._send([victim], "another class of tasks has no pilot at all")

    def idle(self, unused: Iterable[Pilot]) -> None:
        """A class finds no slot: who has one and nothing to do in it goes at once."""
        patience = self.site.pace.starve_seconds * _IDLE_SHARE
        spare = [pilot for pilot in unused if pilot.state == IDLE and pilot.id not in self.going
                 and pilot.seconds >= patience]
        self._send(spare, "they have nothing to do, and other tasks find no slot")

    def clear(self, hungry: Sequence[Starving], unused: Iterable[Pilot], history: History,
              now: float) -> set[str]:
        """Make room for classes that none of ours that runs can take; the classes that get it."""
        spare, cleared = {pilot.id for pilot in unused}, set[str]()
        for one in hungry:
            key = one.work.class_key
            waits = is_being_cleared(key, history.cleared, now)
            chosen = make_room(one.shape, self._as_decided(), spare, self.site.pace.turn_hours * 3600)
            if chosen is not None and (not waits or not chosen):
                cleared.add(key)
                self._send(chosen, f"tasks {one.work.text} find no slot")
        return cleared

    def queued_for_others(self, held_back: set[str], serves: Mapping[str, Sequence[str]]) -> None:
        """Queued pilots that would take a slot which is cleared for others go: those of held back classes."""
        rivals = [pilot for pilot in self.staying() if pilot.state == QUEUED
                  and held_back.issuperset(serves.get(pilot.id, ()))] if held_back else []
        self._send(rivals, "a slot is cleared for other tasks")

    def outranked(self, wants: Sequence[Want], queued: Sequence[tuple[int, Pilot]]) -> None:
        """The queue is full: pilots of lower classes, worst first, give their places in it to better ones."""
        rivals = sorted(((rank, _cost(pilot), pilot) for rank, pilot in queued if pilot.id not in self.going),
                        key=lambda row: row[:2])
        for want in sorted(wants, key=lambda want: -want.rank):
            worse = [pilot for rank, _, pilot in rivals if rank < want.rank and pilot.id not in self.going]
            self._send(worse[:want.pilots - want.given], "better tasks wait for a place in the queue")

    def _as_decided(self) -> list[Pilot]:
        """The pilots, those that go now as leaving."""
        return [replace(pilot, state=DRAINING) if pilot.id in self.going and pilot.state != QUEUED else pilot
                for pilot in self.pilots]

    def _victim(self, spare: set[str], queue_is_full: bool) -> Pilot | None:
        """The cheapest pilot that is of no use, or of a shape that keeps others, or that had its turn."""
        groups: dict[object, list[Pilot]] = defaultdict(list)
        for pilot in self.staying():
            groups[pilot.offer].append(pilot)
        turn = self.site.pace.turn_hours * 3600
        free = [(pilot.id not in spare, -len(group) if len(group) > 1 else 0, _cost(pilot), pilot)
                for group in groups.values() for pilot in group
                if (pilot.state == QUEUED or not queue_is_full)
                and (pilot.id in spare or len(group) > 1 or pilot.age >= turn)]
        return min(free, key=lambda row: row[:3], default=(None,))[-1]

    def _send(self, pilots: Sequence[Pilot], why: str) -> None:
        self.going.update({pilot.id: pilot for pilot in pilots})
        queued = sum(pilot.state == QUEUED for pilot in pilots)
        if queued:
            self.reasons.append(f"remove {queued} queued: {why}")
        if len(pilots) > queued:
            self.reasons.append(f"drain {len(pilots) - queued} running: {why}")


def _cost(pilot: Pilot) -> tuple[int, float, str]:
    """Queued ones before running ones; of the queued the newest, of the running the oldest first."""
    return _RANK[pilot.state], (pilot.seconds if pilot.state == QUEUED else -pilot.age), pilot.id
