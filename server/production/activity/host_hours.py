"""How tasks ended at each host, by the hour, for a day: where failures gather.

Rows of `host_hours` are {hour, host, site, group, good, bad}; those with the host "" sum over all hosts. The
group is what failures are compared within, for a dataset that fails everywhere blames no host: the dataset;
for all pixel batches, which are alike whatever the scan, their kind; and `REST` for what a host runs beyond
so many groups in an hour. So a host has at most `MOST_GROUPS` + 1 rows an hour.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pymongo import UpdateOne

from server.production.activity.slots import begin_of
from server.production.common.documents import Document
from server.rest.context import Context
from server.store.database import Index

__all__ = ["HOURS", "INDEXES", "REST", "Groups", "Host", "Key", "add", "clean", "worst"]

INDEXES = [
    Index("host_hours", "worst", [("every", 1), ("bad", -1)]),
    Index("host_hours", "host", [("every", 1), ("host", 1)]),
    Index("host_hours", "group", [("every", 1), ("group", 1)]),
    Index("host_hours", "hour", [("hour", 1)]),
]

HOUR = 3600
HOURS = 24
MOST_GROUPS = 8
REST = "rest"
MOST_ROWS = 1000  # of those with the most failures, to choose hosts from


class Key(NamedTuple):
    """What ends are counted by."""

    host: str
    site: str
    group: str


@dataclass
class Groups:
    """Which groups hosts have rows of in the present hour."""

    hour: int = 0
    known: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def named(self, host: str, group: str, hour: int) -> str:
        """The group that an end at a host is counted in."""
        if hour != self.hour:
            self.hour, self.known = hour, defaultdict(set)
        groups = self.known[host]
        if group in groups or len(groups) < MOST_GROUPS:
            groups.add(group)
            return group
        return REST


async def add(ctx: Context, counts: Mapping[Key, tuple[int, int]], moment: float | None = None) -> None:
    """Add good and bad ends to the hour of a moment (default: this one)."""
    hour = begin_of(time.time() if moment is None else moment, HOUR)
    total: defaultdict[Key, list[int]] = defaultdict(lambda: [0, 0])
    for key, (good, bad) in counts.items():
        for one in (key, Key("", "", key.group)):
            total[one][0] += good
            total[one][1] += bad
    if total:
        await ctx.db.host_hours.bulk_write([_added(hour, key, *ends) for key, ends in total.items()],
                                           ordered=False)


def _added(hour: int, key: Key, good: int, bad: int) -> UpdateOne:
    about = {"hour": hour, "every": not key.host, **key._asdict()}
    return UpdateOne({"_id": f"{hour}|{key.host}|{key.group}"},
                     {"$inc": {"good": good, "bad": bad}, "$setOnInsert": about}, upsert=True)


@dataclass
class Host:
    """A host in the last day: ends by hour, and for each group here and everywhere (good, bad)."""

    name: str
    site: str
    hours: dict[int, tuple[int, int]] = field(default_factory=dict)
    groups: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[int, int]:
        """Good and bad ones."""
        return _sum(self.hours.values())

    def add(self, row: Document) -> None:
        """Count a row."""
        ends = row["good"], row["bad"]
        self.hours[row["hour"]] = _sum([self.hours.get(row["hour"], (0, 0)), ends])
        self.groups[row["group"]] = _sum([self.groups.get(row["group"], (0, 0)), ends])


def _sum(ends: object) -> tuple[int, int]:
    pairs = list(ends)  # type: ignore[call-overload]
    return sum(good for good, _ in pairs), sum(bad for _, bad in pairs)


async def worst(ctx: Context, most: int) -> tuple[list[Host], dict[str, tuple[int, int]]]:
    """The hosts with the most failures of the last day, and the ends everywhere of each of their groups."""
    since = {"$gte": _since(time.time())}
    rows = ctx.db.host_hours.find({"every": False, "bad": {"$gt": 0}, "hour": since},
                                  {"_id": 0, "host": 1, "bad": 1}, sort=[("bad", -1)], limit=MOST_ROWS)
    failures: defaultdict[str, int] = defaultdict(int)
    async for row in rows:
        failures[row["host"]] += row["bad"]
    names = sorted(failures, key=lambda name: (-failures[name], name))[:most]
    hosts = await _read(ctx, names, since)
    groups = sorted({group for host in hosts for group in host.groups})
    return hosts, await _everywhere(ctx, groups, since)


async def _read(ctx: Context, names: Sequence[str], since: Document) -> list[Host]:
    found: dict[str, Host] = {}
    async for row in ctx.db.host_hours.find({"every": False, "host": {"$in": list(names)}, "hour": since}):
        found.setdefault(row["host"], Host(row["host"], row["site"])).add(row)
    return [found[name] for name in names if name in found]


async def _everywhere(ctx: Context, groups: Sequence[str], since: Document) -> dict[str, tuple[int, int]]:
    total: dict[str, tuple[int, int]] = {}
    async for row in ctx.db.host_hours.find({"every": True, "group": {"$in": list(groups)}, "hour": since}):
        total[row["group"]] = _sum([total.get(row["group"], (0, 0)), (row["good"], row["bad"])])
    return total


def _since(moment: float) -> int:
    return begin_of(moment, HOUR) - (HOURS - 1) * HOUR


async def clean(ctx: Context) -> int:
    """Delete what is older than a day; how many rows."""
    return (await ctx.db.host_hours.delete_many({"hour": {"$lt": _since(time.time())}})).deleted_count
