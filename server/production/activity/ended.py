"""Ends of tasks as they come, counted in memory and written together with the tallies of failures."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from server.production.activity import host_hours, series, slots
from server.production.activity.host_hours import Groups, Key
from server.production.activity.slots import COMPLETE, EVICTED, Slot
from server.rest.context import Context

__all__ = ["Ended"]

UNKNOWN = "unknown"
MOST_NAME = 100  # characters of a site's name


@dataclass
class Ended:
    """What one server process has not written yet."""

    sites: dict[str, Slot] = field(default_factory=dict)
    hosts: defaultdict[Key, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    groups: Groups = field(default_factory=Groups)
    known: set[str] = field(default_factory=set)  # sites that have rows of their own
    written: set[str] = field(default_factory=set)  # of these, by any process

    def count(self, why: str, site: str, host: str, group: str, moment: float) -> None:
        """An attempt ended: complete, evicted or judged by a rule of that name; in a group of its like."""
        for name in (series.WHOLE, self.named(site)):
            self.sites.setdefault(name, Slot(0)).ends[why] += 1
        if host and why != EVICTED:
            group = self.groups.named(host, group, slots.begin_of(moment, host_hours.HOUR))
            self.hosts[Key(host, site, group)][why != COMPLETE] += 1

    def named(self, site: str) -> str:
        """The name that a site's rows have: its own, unless there are too many names."""
        site = site[:MOST_NAME] or UNKNOWN
        if site in self.known or len(self.known) < series.MOST_SITES:
            self.known.add(site)
            return site
        return series.OTHERS

    async def _agree_on_names(self, ctx: Context) -> None:
        """Give no more sites rows of their own than there may be, whichever process writes these."""
        if self.sites.keys() <= self.written:
            return
        self.written = await series.sites_lately(ctx) | {series.WHOLE, series.OTHERS}
        for name in sorted(self.sites.keys() - self.written):
            if len(self.written) < series.MOST_SITES + 2:
                self.written.add(name)
            else:
                self.sites.setdefault(series.OTHERS, Slot(0)).ends.update(self.sites.pop(name).ends)
        self.known = self.written - {series.WHOLE}

    async def flush(self, ctx: Context) -> None:
        """Write everything: into the present minute and hour, so that nothing comes after its sum."""
        await self._agree_on_names(ctx)
        sites, hosts = self.sites, self.hosts
        self.sites, self.hosts = {}, defaultdict(lambda: [0, 0])
        await series.add(ctx, sites)
        await host_hours.add(ctx, {key: (good, bad) for key, (good, bad) in hosts.items()})
