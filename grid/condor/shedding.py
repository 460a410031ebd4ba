"""Which pilots have to go: those over the limit, those nobody needs, those in others' way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from grid.condor.coverage import BUSY, DRAINING, IDLE, QUEUED, STARTING, Pilot
from grid.condor.site import Site

__all__ = ["Shed"]

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
