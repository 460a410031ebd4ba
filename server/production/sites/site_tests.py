"""What tests of sites came to: one row for each test of a site, and how available that makes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from statistics import median

from pymongo import UpdateOne

from iceprod.ids import now, timestamp
from server.production.common.documents import Document
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "SiteTest", "availability", "record"]

INDEXES = [Index("site_tests", "site", [("site", 1), ("time", -1)]),
           Index("site_tests", "time", [("time", -1)]),
           Index("site_tests", "old", [("kept_until", 1)], options={"expireAfterSeconds": 0})]

DAYS = 7
KEPT_DAYS = 90
MOST = 10_000


@dataclass(frozen=True)
class SiteTest:
    """One test of one site: whether its task was done in time, after how many seconds, and why not."""

    site: str
    time: str
    passed: bool
    seconds: float
    reason: str = ""


async def record(ctx: Context, run: str, tests: Iterable[SiteTest]) -> None:
    """Keep what a run of tests came to. The same run twice is kept once."""
    until = now() + timedelta(days=KEPT_DAYS)
    writes = [UpdateOne({"_id": f"{run} {test.site}"},
                        {"$setOnInsert": {**asdict(test), "kept_until": until}}, upsert=True)
              for test in tests]
    if writes:
        await ctx.db.site_tests.bulk_write(writes, ordered=False)


async def availability(ctx: Context, days: float = DAYS) -> dict[str, Document]:
    """By site: how many tests there were of late, how many passed after how long, and the last one."""
    recent = {"time": {"$gt": timestamp(now() - timedelta(days=days))}}
    rows = await ctx.db.site_tests.find(recent, {"_id": 0, "kept_until": 0}, sort=[("time", -1)],
                                        limit=MOST).to_list()
    by_site: dict[str, list[Document]] = {}
    for row in rows:
        by_site.setdefault(row["site"], []).append(row)
    return {site: _summary(tests) for site, tests in sorted(by_site.items())}


def _summary(tests: list[Document]) -> Document:
    """Of one site's tests, the newest first."""
    passed = [test["seconds"] for test in tests if test["passed"]]
    return {"tests": len(tests), "passed": len(passed), "availability": round(len(passed) / len(tests), 4),
            "seconds": round(median(passed), 1) if passed else None, "last": tests[0]}
