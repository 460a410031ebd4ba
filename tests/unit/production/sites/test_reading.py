"""Counts, summaries, statistics and logs as they are read."""

from __future__ import annotations

import pytest

from server.common import metrics
from server.production.common.documents import Document
from server.production.leases import ends, leases
from server.production.leases.leases import Claim
from server.production.records import task_stats
from server.production.sites import monitor, pilots
from server.production.tasks import bulk, counting, task_store
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker


async def test_counts_by_name_in_the_order_of_the_tasks(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset(per_job=2)
    await make.tasks(dataset, *(NewTask(job, name, task_index=index)
                                for job in range(3) for index, name in enumerate(["z first", "a second"])))
    await make.task()
    await leases.claim(ctx, Claim({}, num=1, filters={"dataset_id": dataset}))
    counts = await counting.by_name(ctx, dataset)
    assert list(counts) == ["z first", "a second"]
    assert sum(sum(states.values()) for states in counts.values()) == 6
    assert await counting.of_dataset(ctx, dataset) == {"waiting": 5, "queued": 1}
    states = [state async for state, _ in task_store.summaries(ctx, dataset)]
    assert states == ["waiting"] * 5 + ["queued"]


async def test_walltimes(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.tasks(dataset, *(NewTask(n, "gen", {"gpu": 1}) for n in range(3)))
    for hours, task in zip((1, 2, 6), await leases.claim(ctx, Claim({"gpu": 1}, num=3)), strict=True):
        await ends.complete(ctx, task["task_id"], task["instance_id"], time_used=hours * 3600)
    await ctx.db.tasks.update_one({"job_index": 0}, {"$set": {"walltime_err": 3.0}})
    (stats,) = (await task_stats.dataset_summary(ctx, dataset)).values()
    assert (stats["count"], stats["gpu"], stats["total_hrs"], stats["avg_hrs"]) == (3, 3, 9.0, 3.0)
    assert (stats["min_hrs"], stats["max_hrs"], stats["efficiency"]) == (1.0, 6.0, 0.75)
    assert stats["stddev_hrs"] == pytest.approx(7**0.5)


async def test_reports_of_all_tasks(ctx: Context) -> None:
    for n in range(3):
        await task_stats.create(ctx, f"t{n % 2}", "d", {"n": n})
    assert [row["stats"]["n"] async for row in task_stats.bulk(ctx, "d", None)] == [2, 0, 1]
    assert [row["stats"]["n"] async for row in task_stats.bulk(ctx, "d", None, last=True)] == [2, 1]
    assert len(await task_stats.find(ctx, "d", "t0", None)) == 2
    assert len(await task_stats.find(ctx, "d", "t0", None, last=True)) == 1


async def test_many_at_once(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset(jobs=3)
    made = await make.tasks(dataset, *(NewTask(n, "gen", {"memory": 2.0, "gpu": 1}) for n in range(3)))
    listed = bulk.Selection(dataset, tasks=(made[0]["task_id"], "unknown"))
    assert await bulk.suspend_tasks(ctx, listed) == 1
    assert await bulk.reset_tasks(ctx, bulk.Selection(dataset)) == 3
    assert await counting.of_dataset(ctx, dataset) == {"waiting": 3}
    await bulk.set_requirements(ctx, dataset, "gen", {"memory": 1.0})
    assert (await make.read(made[0]["task_id"]))["requirements"] == {"memory": 1.0, "gpu": 1}
    await bulk.set_requirements(ctx, dataset, "gen", {"memory": 0.5}, replace=True)
    task = await make.read(made[0]["task_id"])
    assert task["requirements"] == {"memory": 1.0}
    assert len(await leases.claim(ctx, Claim({"gpu": 0, "memory": 1.0}, num=5))) == 3


async def test_who_was_promoted_meanwhile_is_taken_back(ctx: Context, make: Maker,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody saw the first task complete, and tells the second to wait when both have just been reset."""
    dataset = await make.dataset(per_job=2)
    [gen] = await make.tasks(dataset, NewTask(0, "gen"))
    [hits] = await make.tasks(dataset, NewTask(0, "hits", task_index=1, depends=(gen["task_id"],)))
    await bulk.set_task_status(ctx, bulk.Selection(dataset), "complete")
    promote = bulk.completion.promote

    async def late(ctx: Context, tasks: list[Document]) -> int:
        one = {"task_id": hits["task_id"], "status": "idle"}
        await ctx.db.tasks.update_one(one, {"$set": {"status": "waiting"}})
        return await promote(ctx, tasks)

    monkeypatch.setattr(bulk.completion, "promote", late)
    await bulk.hard_reset_tasks(ctx, bulk.Selection(dataset))
    assert [(await make.read(task["task_id"]))["status"] for task in (gen, hits)] == ["waiting", "idle"]


async def test_gauges(ctx: Context, make: Maker) -> None:
    await make.task()
    resources = {"resources_available": {"cpu": 3, "memory": "much"}, "resources": {}}
    await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", **resources})
    assert await monitor.measure(ctx) == 1
    text = metrics.render().decode()
    assert 'iceprod_tasks{status="waiting"} 1.0' in text
    assert 'iceprod_pilot_resources{resource="cpu",state="available"} 3.0' in text
