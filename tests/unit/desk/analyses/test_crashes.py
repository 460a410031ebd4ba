"""Whoever begins with an analysis may die after any write: it is begun again, and runs once."""

from __future__ import annotations

from typing import Any

import pytest

from iceprod.ids import now
from server.desk.analyses import analyses, grid_runs, running, services
from server.desk.analyses.analyses import Wanted
from server.desk.common.access import Visitor
from server.desk.common.acls import SYSTEM_ADMIN
from server.production.datasets import configs, datasets
from server.production.people import credentials
from server.rest.context import Context
from server.store.database import ensure_indexes

WHO = Visitor(1, "ada", frozenset({SYSTEM_ADMIN}))


class Killed(BaseException):
    """The server is gone."""


@pytest.fixture
async def number(ctx: Context) -> int:
    """An analysis that waits for its beginning."""
    await ensure_indexes(ctx.db, [*credentials.INDEXES, *datasets.INDEXES])
    await services.ensure_templates(ctx)
    await ctx.db.desk_objs.insert_one({"_id": "o", "ra": None, "dec": None, "hpix29": None})
    [service] = [row for row in await services.listed(ctx, WHO) if row["name"] == "lightcurve-fit"]
    return await analyses.start(ctx, WHO, Wanted(service["_id"], "o"))


@pytest.mark.parametrize(("module", "name"), [
    (grid_runs, "_lend"), (credentials, "create"), (datasets, "create_dataset"), (configs, "put"),
    (analyses, "move")])
@pytest.mark.parametrize("is_done", [False, True])
async def test_begun_again_it_is_one_dataset(ctx: Context, number: int, monkeypatch: pytest.MonkeyPatch,
                                             module: Any, name: str, is_done: bool) -> None:
    real = getattr(module, name)

    async def dies(*arguments: Any, **more: Any) -> Any:
        if is_done:
            await real(*arguments, **more)
        raise Killed

    monkeypatch.setattr(module, name, dies)
    with pytest.raises(Killed):
        await running.one_round(ctx)
    monkeypatch.undo()
    await ctx.db.desk_analyses.update_one({"_id": number}, {"$set": {"begun": now()}})  # its lease ran out
    await running.one_round(ctx)
    row = await analyses.find(ctx, WHO, number)
    assert row["grid"]["dataset_id"] == grid_runs.dataset_of(row)
    assert await ctx.db.datasets.count_documents({}) == 1
    assert await ctx.db.credentials.count_documents({"kind": "dataset"}) == 1
    assert await ctx.db.desk_analysis_tasks.count_documents({}) == 1


async def test_one_that_was_removed_leaves_nothing_at_work(ctx: Context, number: int) -> None:
    await running.one_round(ctx)
    await analyses.remove(ctx, WHO, await analyses.find(ctx, WHO, number))
    await running.one_round(ctx)
    assert (await ctx.db.datasets.find_one({}))["status"] == "suspended"
    assert await ctx.db.credentials.count_documents({}) == 0
    assert await ctx.db.desk_analysis_tasks.count_documents({}) == 0


@pytest.mark.parametrize("said", [b"no json", b'{"status": "failure", "message": "too few points"}'])
async def test_a_task_that_has_said_why_may_still_report(ctx: Context, number: int, said: bytes) -> None:
    await running.one_round(ctx)
    row = await analyses.find(ctx, WHO, number)
    await ctx.db.tasks.insert_one({"dataset_id": grid_runs.dataset_of(row), "task_id": "t", "job_id": "j",
                                   "status": "processing"})
    await grid_runs.take(ctx, row, said)
    await grid_runs.take(ctx, await analyses.find(ctx, WHO, number), said)  # the pilot did not hear of it
    await running.one_round(ctx)
    assert (await analyses.find(ctx, WHO, number))["status"] == "failure"
    assert (await ctx.db.datasets.find_one({}))["status"] == "processing"
    await ctx.db.datasets.update_one({}, {"$set": {"status": "complete"}})
    await running.one_round(ctx)
    assert await ctx.db.desk_analysis_tasks.count_documents({}) == 0
