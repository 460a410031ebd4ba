"""Hosts and sites that eat tasks get none for a while.

A place is quarantined when it failed so often in the last hour that the same tasks would hardly ever do so
elsewhere. For each dataset the rate of failure at all other places is what one expects here; by Hoeffding
(Ann. Math. Stat. 27 (1956) 713) the binomial distribution with the mean of these rates bounds the chance of
as many failures or more. So a dataset that fails everywhere blames nobody, and a place without others to
compare it with is never quarantined.

It ends by itself. The counts begin anew then, and fewer failures suffice to come back, for twice as long.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

from pymongo import DeleteOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from iceprod.ids import now, timestamp
from server.common.errors import BadRequest, NotFound
from server.common.fresh import Fresh
from server.production.common.documents import Document
from server.production.failures import refunds, tallies, trusted
from server.production.failures.places import Place
from server.production.tasks.task_store import soon
from server.rest.context import Context

__all__ = ["chance", "judge", "judge_suspects", "lift", "listed", "put", "reason_against"]

KINDS = ("host", "site")
CHANCE = 1e-5  # of so many failures by accident
LEAST_FAILURES = {"host": 5, "site": 20}
LEAST_ON_PROBATION = {"host": 3, "site": 10}
LEAST_ELSEWHERE = 10  # ends of the same datasets at other places
LEAST_RATE = 0.5
FIRST_MINUTES, LONGEST_MINUTES = 30.0, 24 * 60.0
REMEMBERED = timedelta(days=1)  # after its end, for the next to last longer
KEPT_SECONDS = 5.0
CHANGED = "quarantine"
JUDGE_SECONDS = 0.2
_HIDDEN = ("_id", "forget", "unlogged")


# -- statistics


@dataclass
class Record:
    """Ends of one dataset at a place and everywhere."""

    good: int = 0
    bad: int = 0
    all_good: int = 0
    all_bad: int = 0

    @property
    def here(self) -> int:
        return self.good + self.bad

    @property
    def elsewhere(self) -> int:
        return max(0, self.all_good + self.all_bad - self.here)

    @property
    def rate_elsewhere(self) -> float:
        """With Laplace's rule, so that a few ends prove little."""
        return (max(0, self.all_bad - self.bad) + 1) / (self.elsewhere + 2)


def chance(records: Iterable[Record]) -> float:
    """How likely as many failures or more are at a place that is like all others."""
    rows = [record for record in records if record.here and record.elsewhere]
    ends, bad = sum(row.here for row in rows), sum(row.bad for row in rows)
    if not ends:
        return 1.0
    rate = sum(row.here * row.rate_elsewhere for row in rows) / ends
    return _binomial_tail(bad, ends, rate) if bad > ends * rate + 1 else 1.0


def _binomial_tail(least: int, tries: int, rate: float) -> float:
    """The probability of `least` or more successes."""
    def log_term(k: int) -> float:
        return (math.lgamma(tries + 1) - math.lgamma(k + 1) - math.lgamma(tries - k + 1)
                + k * math.log(rate) + (tries - k) * math.log1p(-rate))

    return min(1.0, math.fsum(math.exp(log_term(k)) for k in range(least, tries + 1)))


# -- judging


async def judge_suspects(ctx: Context) -> None:
    """Look at the places that failed since the last time; to be called now and then."""
    counted = tallies.of(ctx)
    state = _state(ctx)
    if not counted.suspects or time.monotonic() - state.judged_at < JUDGE_SECONDS:
        return
    state.judged_at = time.monotonic()
    suspects, counted.suspects = counted.suspects, set()
    await counted.flush(ctx)
    for kind, name in sorted(suspects):
        if not (kind == "host" and await judge_speed(ctx, name)):
            await judge(ctx, kind, name)


async def judge_speed(ctx: Context, host: str) -> bool:
    """Quarantine a host at which tasks fail at once that run elsewhere; whether it was.

    Long tasks need not have ended elsewhere for that: it is enough that they still run there. What the host
    spent of the tasks' budgets is given back.
    """
    reason = trusted.of(ctx).black_hole(host, time.monotonic())
    if not reason:
        return False
    before = await ctx.db.quarantine.find_one({"_id": _id("host", host)})
    if before and before["until"] > timestamp():
        return True  # by another server
    times = (before["times"] if before else 0) + 1
    await _write(ctx, "host", host, reason, min(LONGEST_MINUTES, FIRST_MINUTES * 2 ** (times - 1)), times)
    await _forget_counts(ctx, "host", host)
    await refunds.give_back(ctx, host, {one.task_id for one in trusted.of(ctx).blamed(host)})
    trusted.forget(ctx, host)
    return True


async def judge(ctx: Context, kind: str, name: str) -> bool:
    """Quarantine a place if its record says so; whether it was."""
    before = await ctx.db.quarantine.find_one({"_id": _id(kind, name)})
    if before and before["until"] > timestamp():
        return False
    records = await _records(ctx, kind, name)
    known = [record for record in records.values() if record.elsewhere]
    bad, ends = sum(record.bad for record in known), sum(record.here for record in known)
    elsewhere = sum(record.elsewhere for record in known)
    least = (LEAST_ON_PROBATION if before else LEAST_FAILURES)[kind]
    if bad < least or bad < LEAST_RATE * ends or elsewhere < LEAST_ELSEWHERE or chance(known) > CHANCE:
        return False
    failed = sum(record.all_bad - record.bad for record in known)
    reason = (f"{bad} of {ends} tasks failed here within an hour; of the same datasets {failed} of "
              f"{elsewhere} failed elsewhere")
    times = (before["times"] if before else 0) + 1
    minutes = min(LONGEST_MINUTES, FIRST_MINUTES * 2 ** (times - 1))
    await _write(ctx, kind, name, reason, minutes, times)
    await _forget_counts(ctx, kind, name)
    if kind == "host":
        await refunds.give_back(ctx, name, {one.task_id for one in trusted.of(ctx).blamed(name)})
        trusted.forget(ctx, name)
    return True


async def _records(ctx: Context, kind: str, name: str) -> dict[str, Record]:
    since = timestamp(now() - tallies.WINDOW)
    records: defaultdict[str, Record] = defaultdict(Record)
    async for row in ctx.db.place_tallies.find({"kind": kind, "name": name, "slot": {"$gte": since}}):
        records[row["dataset_id"]].good += row["good"]
        records[row["dataset_id"]].bad += row["bad"]
    everywhere = {"kind": tallies.ALL, "name": "", "dataset_id": {"$in": sorted(records)}}
    async for row in ctx.db.place_tallies.find(everywhere):
        if row["slot"] >= since:
            records[row["dataset_id"]].all_good += row["good"]
            records[row["dataset_id"]].all_bad += row["bad"]
    return dict(records)


async def _forget_counts(ctx: Context, kind: str, name: str) -> None:
    """Take a place's counts out of its own and the common rows: what follows is judged by itself."""
    rows = await ctx.db.place_tallies.find({"kind": kind, "name": name}).to_list()
    writes: list[Any] = []
    for row in rows:
        common = {"_id": "|".join((tallies.ALL, "", row["dataset_id"], row["slot"]))}
        writes += [UpdateOne(common, {"$inc": {"good": -row["good"], "bad": -row["bad"]}}),
                   DeleteOne({"_id": row["_id"]})]
    if writes:
        await ctx.db.place_tallies.bulk_write(writes, ordered=False)


async def _write(ctx: Context, kind: str, name: str, reason: str, minutes: float, times: int,
                 username: str = "") -> Document:
    row: Document = {"kind": kind, "name": name, "reason": reason, "since": timestamp(),
                     "until": soon(60 * minutes), "times": times, "username": username,
                     "forget": timestamp(now() + timedelta(minutes=minutes) + REMEMBERED)}
    mark = {"unlogged": True} if kind == "site" else {}  # somebody may want to hear of it
    await ctx.db.quarantine.update_one({"_id": _id(kind, name)}, {"$set": {**row, **mark}}, upsert=True)
    ctx.signals.notify(CHANGED)
    return row


def _id(kind: str, name: str) -> str:
    return f"{kind}|{name}"


# -- by hand


async def put(ctx: Context, kind: str, name: str, body: dict[str, Any], username: str) -> Document:
    """Quarantine a place by hand, for `minutes`, with a `reason`. Raises BadRequest."""
    _check_kind(kind)
    reason, minutes = body.get("reason"), body.get("minutes", 60)
    if not isinstance(reason, str) or not reason.strip():
        raise BadRequest("key reason should be a text that says why")
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes <= 365 * 24 * 60:
        raise BadRequest("key minutes should be a number between 0 and 525600")
    return _shown(await _write(ctx, kind, name, reason[:500], minutes, 0, username))


async def lift(ctx: Context, kind: str, name: str) -> None:
    """End a quarantine now, and forget it. Raises NotFound."""
    _check_kind(kind)
    result = await ctx.db.quarantine.delete_one({"_id": _id(kind, name)})
    ctx.signals.notify(CHANGED)
    if not result.deleted_count:
        raise NotFound(f"the {kind} {name} is not quarantined")
    ctx.signals.notify("tasks")


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise BadRequest(f"kind must be one of {', '.join(KINDS)}")


# -- looking


async def listed(ctx: Context) -> list[Document]:
    """Places that are quarantined, and those on probation after it."""
    rows = await ctx.db.quarantine.find({"forget": {"$gt": timestamp()}}, sort=[("since", -1)]).to_list()
    return [_shown(row) for row in rows]


def _shown(row: Document) -> Document:
    state = "quarantined" if row["until"] > timestamp() else "probation"
    return {"state": state, **{name: value for name, value in row.items() if name not in _HIDDEN}}


@dataclass
class _State:
    """One process's copy of what is quarantined."""

    rows: dict[tuple[str, str], Document] = field(default_factory=dict)
    read: Fresh = field(default_factory=lambda: Fresh(CHANGED, KEPT_SECONDS))
    judged_at: float = -1e9


_states: WeakKeyDictionary[AsyncDatabase, _State] = WeakKeyDictionary()


def _state(ctx: Context) -> _State:
    return _states.setdefault(ctx.db, _State())


async def reason_against(ctx: Context, place: Place) -> str:
    """Why a place gets no tasks just now; empty when it does."""
    state = _state(ctx)
    if not state.read.holds(ctx.signals):
        with state.read.reading(ctx.signals):
            rows = await ctx.db.quarantine.find({"until": {"$gt": timestamp()}}).to_list()
        state.rows = {(row["kind"], row["name"]): row for row in rows}
    for kind, name in place.names() if state.rows else []:
        row = state.rows.get((kind, name))
        if row and row["until"] > timestamp():
            return f"the {kind} {name} is quarantined until {row['until']} UTC: {row['reason']}"
    return ""


async def clean(ctx: Context) -> int:
    """Forget quarantines that ended long ago; how many."""
    return (await ctx.db.quarantine.delete_many({"forget": {"$lt": timestamp()}})).deleted_count
