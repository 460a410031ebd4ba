"""A scan that begins its next level ahead: the same map whatever comes of the guesses, and nothing stays."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from config.settings import Database, Scans, Settings
from scanner.maps.rows import rows_from_table
from server.app import INDEXES
from server.production.leases import ends, leases
from server.production.leases.leases import Claim
from server.production.tasks import kinds
from server.rest.context import Context
from server.scans.pixels.guessing import guess_id
from server.scans.results import results
from server.scans.run import launcher
from server.scans.run.collect import BatchResult, take_in
from server.scans.run.creation import create_scan
from server.store.database import connect, ensure_indexes
from tests.integration.scans.test_scans_crashes import (
    Countdown,
    Crash,
    MortalDatabase,
    after_the_crash,
    assert_complete,
    store,
)
from tests.support.scans import made_up_rows, scan_body, simulated_event

__all__ = ["store"]

pytestmark = pytest.mark.slow

NSIDES = {"1": 0, "4": 1}
EVENT = simulated_event()
OFFER = {"cpu": 1, "memory": 4.0, "disk": 9.0, "time": 9.0}


@pytest.fixture
async def db(store: str, tmp_path: Path) -> AsyncIterator[Any]:
    database = connect(Database(url=store, name=tmp_path.name.replace("[", "_").replace("]", "")[:40]))
    await ensure_indexes(database, INDEXES)
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()


def context(db: Any, countdown: Countdown | None = None, *, ahead: bool = True) -> Context:
    settings = msgspec.structs.replace(Settings(), scans=Scans(first_batch_pixels=5, ahead=ahead))
    return Context(settings, MortalDatabase(db, countdown or Countdown(-1)), "secret")


class Team:
    """Pilots that hold several batches at once; they end them in any order, and some of them badly."""

    def __init__(self, seed: int, troubles: bool = False) -> None:
        self.random, self.troubles, self.held = random.Random(seed), troubles, list[dict[str, Any]]()

    async def work(self, ctx: Context) -> None:
        """Fill up, then end one."""
        self.held += await leases.claim(ctx, Claim(OFFER, 4 - len(self.held), target="processing"))
        self.random.shuffle(self.held)
        if self.held:
            await self.end(ctx, self.held.pop())

    async def end(self, ctx: Context, task: dict[str, Any]) -> None:
        task_id, instance = task["task_id"], task["instance_id"]
        payload = (await kinds.payloads(ctx, [task])).get(task_id)
        trouble = self.random.random() if self.troubles else 1.0
        if payload is None:
            return
        if trouble < 0.1:
            await ends.evict(ctx, task_id, ends.Report(instance, reason="gone"))
        elif trouble < 0.2 and task["job_index"] >= 1 << 30:
            await ends.fail(ctx, task_id, ends.Report(instance, reason="it breaks"))
        elif trouble < 0.3 and task["job_index"] >= 1 << 30:
            slow = payload["pixels"][:1]
            rows = _rows(payload, payload["pixels"][1:])
            await take_in(ctx, task_id, BatchResult(instance, rows, slow=slow))
        else:
            await take_in(ctx, task_id, BatchResult(instance, _rows(payload, payload["pixels"]), 0.01, 0.01))


def _rows(payload: dict[str, Any], pixels: list[int]) -> list[Any]:
    return rows_from_table(made_up_rows(payload["nside"], np.array(pixels, dtype=np.int64)))


async def until_over(ctx: Context, scan_id: str, team: Team) -> None:
    for _ in range(100):
        await launcher.keep_going(ctx)
        if await results.is_final(ctx, scan_id) is not None:
            await launcher.keep_going(ctx)
            return
        await team.work(ctx)
    raise AssertionError("the scan does not end")


async def begin(db: Any) -> str:
    return (await create_scan(context(db), scan_body(nsides=NSIDES, event_i3live_json=EVENT))).scan_id


async def assert_nothing_stays(db: Any, scan_id: str, *, crashed: bool = False) -> None:
    """No guess is left; jobs that a crash left open the periodic repair ends, which is not run here."""
    await assert_complete(db, scan_id)
    assert await db.pixel_batches.count_documents({"scan_id": guess_id(scan_id)}) == 0
    run = await db.scan_runs.find_one({"scan_id": scan_id})
    dataset = await db.datasets.find_one({"dataset_id": run["dataset_id"]})
    batches = await db.pixel_batches.count_documents({"scan_id": scan_id})
    assert crashed or dataset["status"] == "complete"
    for name in ("tasks", "jobs"):
        of_it = {"dataset_id": run["dataset_id"]}
        assert await db[name].count_documents(of_it) == batches == dataset["tasks_submitted"]
        assert crashed or await db[name].count_documents({**of_it, "status": "complete"}) == batches


@pytest.mark.parametrize("seed", range(6))
async def test_guesses_are_adopted_or_thrown_away(db: Any, seed: int) -> None:
    scan_id = await begin(db)
    await until_over(context(db), scan_id, Team(seed, troubles=seed > 1))
    await assert_nothing_stays(db, scan_id)
    if seed == 0:
        assert await db.pixel_batches.count_documents({"scan_id": scan_id, "ahead": True})


async def test_without_guesses(db: Any) -> None:
    scan_id = await begin(db)
    await until_over(context(db, ahead=False), scan_id, Team(1))
    await assert_nothing_stays(db, scan_id)
    assert await db.pixel_batches.count_documents({"ahead": True}) == 0


async def test_a_crash_after_any_write(db: Any) -> None:
    for n in range(1, 300):
        scan_id, countdown = await begin(db), Countdown(n)
        try:
            await until_over(context(db, countdown), scan_id, Team(n))
        except Crash:
            await after_the_crash(db)
            await until_over(context(db), scan_id, Team(n))
        await assert_nothing_stays(db, scan_id, crashed=True)
        for collection in ("tasks", "scan_backlog", "i3_events", "pixel_batches"):
            await db[collection].delete_many({})
        if countdown.left > 0:
            assert n > 40
            return
