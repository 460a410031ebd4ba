"""A past for the pages of activity, written by the functions of the recorder: nobody waits a week for it."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections import Counter
from datetime import timedelta

from config.settings import Database, Settings
from iceprod.ids import now as iceprod_now
from server.production.activity import host_hours, series
from server.production.activity.host_hours import Key
from server.production.activity.slots import COMPLETE, EVICTED, Slot
from server.rest.context import Context
from server.store.database import connect
from tests.support.api import Api

__all__ = ["build_past"]


def build_past(api: Api) -> None:
    """A week of activity at two sites, with a night without pilots, and a host that eats tasks."""
    past = threading.Thread(target=lambda: asyncio.run(_build_past(api)))  # a browser has its loop in ours
    past.start()
    past.join()


async def _build_past(api: Api) -> None:
    db = connect(Database(url=api.database_url, name=api.database_name))
    ctx, chance, now = Context(Settings(), db, "s" * 48), random.Random(5), time.time()
    lease = {"_id": "service:record activity"}  # meanwhile the server sums nothing up
    held = {"$set": {"holder": "the past", "until": iceprod_now() + timedelta(minutes=10)}}
    await db.leases.update_one(lease, held, upsert=True)
    await db.activity.delete_many({})  # so that all is summed up anew
    for back in range(7 * 144, -1, -1):
        for minute in range(10) if back < 13 else (5,):
            moment = now - 600 * back + 60 * minute
            if moment < now - 60 and not 250 < back < 280:
                await series.add(ctx, _minute(moment, chance, 1 if back < 13 else 10), moment)
    for hour in range(24):
        await host_hours.add(ctx, _hour(hour, chance), now - 3600 * hour)
    await series.tend(ctx)
    await db.leases.delete_one(lease)
    await db.client.close()


def _minute(moment: float, chance: random.Random, minutes: int) -> dict[str, Slot]:
    offered = 3000 + 1200 * math.sin(moment / 14000) + chance.uniform(-60, 60)
    whole, found = Slot(0), dict[str, Slot]()
    for name, share in (("north", 0.7), ("south", 0.3)):
        busy = share * offered * chance.uniform(0.8, 0.96)
        ends = Counter({COMPLETE: int(minutes * busy / 12), "memory": minutes * chance.randrange(4),
                        "storage": minutes * chance.randrange(2), EVICTED: chance.randrange(3)})
        sums = Counter({"offered": round(3 * share * offered), "busy": round(3 * busy),
                        "running": round(3 * busy)})
        found[name] = Slot(0, ends, 3, sums)
        whole.ends.update(ends)
        whole.sums.update(sums)
    whole.samples, whole.sums["waiting"] = 3, round(3 * (90_000 + 40_000 * math.cos(moment / 30000)))
    return {**found, series.WHOLE: whole}


def _hour(hour: int, chance: random.Random) -> dict[Key, tuple[int, int]]:
    """Hosts that fail as all do, one that ran much and so failed most; one eats tasks since six hours."""
    found = {}
    for number in range(14):
        good, bad = chance.randrange(30, 60), chance.randrange(4)
        found[Key(f"node{number:02}.north.example.org", "north", "numu")] = good, bad
    found[Key("big.south.example.org", "south", "numu")] = 700, chance.randrange(20, 32)
    if hour < 6:
        bad = chance.randrange(20, 40)
        found[Key("node07.north.example.org", "north", "numu")] = chance.randrange(2), bad
    return found
