"""What pages tell of sites: how busy their pilots are, what is wanted of them, what troubles them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from iceprod.ids import now, timestamp
from server.production.common import heard
from server.production.common.documents import Document
from server.production.sites.pilots import NOT_ISOLATED
from server.rest.context import Context

__all__ = ["Site", "Use", "pilots_of", "sites"]

MOST_SHOWN = 500
FORGOTTEN = timedelta(days=3)  # a silent grid is not shown any more


@dataclass
class Use:
    """Pilots together: how many, what they offer, and what of it is in use; GB for memory."""

    pilots: int = 0
    tasks: int = 0
    draining: int = 0
    not_isolated: int = 0  # their tasks see the machine they run on
    offered: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    used: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, pilot: Document) -> None:
        """Count one more pilot."""
        self.pilots += 1
        self.tasks += len(pilot.get("tasks") or [])
        self.draining += bool(pilot.get("drain"))
        self.not_isolated += pilot.get("isolation") in NOT_ISOLATED
        offered, free = pilot.get("resources") or {}, pilot.get("resources_available") or {}
        for name in ("cpu", "gpu", "memory"):
            whole = _number(offered.get(name))
            self.offered[name] += whole
            self.used[name] += max(0.0, whole - _number(free[name])) if name in free else 0.0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


@dataclass(frozen=True)
class Site:
    """A grid of a site, or pilots that came without one (then `grid` is empty)."""

    name: str
    grid: Document
    use: Use

    @property
    def state(self) -> str:
        """Whether it is heard of, and what is wanted of it."""
        if self.grid and not self.grid.get("alive"):
            return "silent"
        return str(self.control.get("state", "active"))

    @property
    def control(self) -> Document:
        """What administrators want of it."""
        return self.grid.get("control") or {}

    @property
    def reasons(self) -> list[str]:
        """Why it submits what it submits, and whom it cannot serve."""
        decision = self.grid.get("decision") or {}
        unserved = [str(one.get("why", "")) for one in decision.get("unserved") or []]
        return [*map(str, decision.get("reasons") or []), *sorted(set(filter(None, unserved)))][:12]


async def sites(ctx: Context) -> list[Site]:
    """All sites with their grids, those that are alive first."""
    use: defaultdict[tuple[str, str], Use] = defaultdict(Use)
    async for pilot in heard.pilots(ctx, "site", "grid_id", "resources", "resources_available", "tasks",
                                    "drain", "isolation"):
        use[pilot.get("grid_id") or "", pilot.get("site") or ""].add(pilot)
    rows = []
    for grid in await ctx.db.grids.find({}, {"_id": 0}, limit=1000).to_list():
        if grid.get("alive") or grid["last_update"] > timestamp(now() - FORGOTTEN):
            keys = [key for key in use if key[0] == grid["grid_id"]]
            name = grid.get("site") or next((key[1] for key in keys), "") or grid.get("host", "")
            rows.append(Site(str(name), grid, _sum([use.pop(key) for key in keys])))
    rows += [Site(name or "without a site", {}, one) for (_, name), one in use.items()]
    return sorted(rows, key=lambda site: (site.state == "silent", site.name))


def _sum(uses: list[Use]) -> Use:
    whole = Use()
    for use in uses:
        whole.pilots, whole.tasks = whole.pilots + use.pilots, whole.tasks + use.tasks
        whole.draining += use.draining
        whole.not_isolated += use.not_isolated
        for name, value in use.offered.items():
            whole.offered[name] += value
        for name, value in use.used.items():
            whole.used[name] += value
    return whole


async def pilots_of(ctx: Context, grid_id: str) -> list[Document]:
    """The pilots of a grid that were heard of lately, the latest first."""
    query = {**heard.heard_of(), "grid_id": grid_id}
    return await ctx.db.pilots.find(query, {"_id": 0}, sort=[("last_update", -1)], limit=MOST_SHOWN).to_list()
