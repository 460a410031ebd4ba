"""How many pilots there are, as far as this process knows, and what follows: how often they say that they
live, and how long their leases last."""

from __future__ import annotations

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from server.production.tasks.task_store import soon
from server.rest.context import Context

__all__ = ["attended_seconds", "count", "gather_beats", "gather_seconds", "heartbeat_period", "known",
           "lease_seconds", "longest_wait", "period"]

BEATS_PER_SECOND = 50.0  # of one installation
LONGEST_PERIOD = 60.0  # seconds between heartbeats: what is taken from a pilot goes on for so long
LONGEST_WAIT = 50.0  # seconds: proxies give up after 60
BEATS_IN_LEASE = 3  # at least, so one that is lost loses nothing
COUNT_SECONDS, HEARD_SECONDS = 30.0, 150.0
GATHER_PER_PILOT, MOST_GATHERED = 5e-5, 0.1  # seconds: half of the most with a thousand pilots
MOST_PATIENCE = 5.0  # of heartbeats


@dataclass
class _Counted:
    """How many pilots one process last counted."""

    number: int = 0
    read_at: float = -1e9


_counted: WeakKeyDictionary[AsyncDatabase, _Counted] = WeakKeyDictionary()


async def count(ctx: Context) -> int:
    """How many pilots were heard of lately; looked up now and then."""
    counted = _counted.setdefault(ctx.db, _Counted())
    if time.monotonic() - counted.read_at > COUNT_SECONDS:
        counted.read_at = time.monotonic()
        heard_of = {"last_update": {"$gt": soon(-HEARD_SECONDS)}}
        counted.number = await ctx.db.pilots.count_documents(heard_of)
    return counted.number


def known(ctx: Context) -> int:
    """How many there were when somebody last counted."""
    return _counted.setdefault(ctx.db, _Counted()).number


async def period(ctx: Context) -> float:
    """Seconds between heartbeats, at least, that are bearable with the pilots there are."""
    return heartbeat_period(await count(ctx))


def heartbeat_period(pilots: int) -> float:
    """So many seconds that all pilots together send no more than the beats a server easily takes."""
    return round(min(LONGEST_PERIOD, pilots / BEATS_PER_SECOND), 1)


def attended_seconds(pilots: int, least: float) -> float:
    """How long a lease lasts that heartbeats extend: as the settings say, longer when these come rarely."""
    return max(least, BEATS_IN_LEASE * heartbeat_period(pilots))


def lease_seconds(ctx: Context, pilot_id: str) -> float:
    """How long a lease lasts: short for a pilot that sends heartbeats, long for one that cannot."""
    leases = ctx.settings.leases
    return attended_seconds(known(ctx), leases.seconds) if pilot_id else leases.unattended_hours * 3600


def longest_wait(ctx: Context) -> float:
    """How long an idle pilot may wait for tasks in one request: as long as it need not say that it lives."""
    return max(ctx.settings.leases.max_wait_seconds, min(LONGEST_WAIT, heartbeat_period(known(ctx))))


def gather_seconds(ctx: Context) -> float:
    """How long a claim or a report waits for others: nothing that is felt, unless there are thousands."""
    return min(MOST_GATHERED, known(ctx) * GATHER_PER_PILOT)


def gather_beats(ctx: Context) -> float:
    """How long a heartbeat waits for others, which delays nobody's work."""
    return MOST_PATIENCE * gather_seconds(ctx)
