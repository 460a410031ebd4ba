"""Long lists of tasks and jobs are read a page at a time, on from a key."""

from __future__ import annotations

from typing import Any

import pytest

from server.common.errors import BadRequest
from server.production.datasets import jobs
from server.production.tasks import task_store
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker

TASKS = [NewTask(job, f"n{index}", {"cpu": 1}, index, status="failed" if job == 2 else "complete")
         for job in range(5) for index in range(3)]


async def pages(ctx: Context, query: dict[str, Any], limit: int, keys: set[str] | None) -> list[list[Any]]:
    """All pages, each read on from the last task of the one before."""
    found: list[list[Any]] = []
    while True:
        after = found[-1][-1]["task_id"] if found else ""
        rows = [row async for row in task_store.page(ctx, query, keys, after, limit)]
        if not rows:
            return found
        found.append(rows)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 15, 16])
async def test_pages_have_every_task_once_and_in_order(ctx: Context, make: Maker, limit: int) -> None:
    dataset_id = await make.dataset()
    made = await make.tasks(dataset_id, *reversed(TASKS))
    await make.task(name="another")
    found = await pages(ctx, {"dataset_id": dataset_id}, limit, {"task_id"})
    ids = [row["task_id"] for rows in found for row in rows]
    assert ids == [task["task_id"] for task in reversed(made)]
    assert {len(rows) for rows in found[:-1]} <= {limit}


async def test_filters_hold_on_every_page(ctx: Context, make: Maker) -> None:
    dataset_id = await make.dataset()
    await make.tasks(dataset_id, *TASKS)
    found = await pages(ctx, {"dataset_id": dataset_id, "status": "failed"}, 2, None)
    assert [[(row["job_index"], row["task_index"]) for row in rows] for rows in found] == [
        [(2, 0), (2, 1)], [(2, 2)]]
    one_job = await pages(ctx, {"dataset_id": dataset_id, "job_index": 3}, 2, {"task_id", "job_index"})
    assert [row["job_index"] for rows in one_job for row in rows] == [3, 3, 3]


async def test_jobs_too(ctx: Context, make: Maker) -> None:
    dataset_id = await make.dataset()
    await make.tasks(dataset_id, *TASKS)
    of_it = {"dataset_id": dataset_id}
    first = [row async for row in jobs.page(ctx, of_it, None, "", 3)]
    rest = [row async for row in jobs.page(ctx, of_it, None, first[-1]["job_id"], 0)]
    assert [row["job_index"] for row in [*first, *rest]] == [0, 1, 2, 3, 4]


async def test_an_unknown_key_is_refused(ctx: Context, make: Maker) -> None:
    dataset_id = await make.dataset()
    for page in (task_store.page, jobs.page):
        with pytest.raises(BadRequest, match="after: the dataset has no such"):
            _ = [row async for row in page(ctx, {"dataset_id": dataset_id}, None, "nobody", 5)]
