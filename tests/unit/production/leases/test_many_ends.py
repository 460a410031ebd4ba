"""Batches of ends: each is answered as it would be alone, and none counts twice."""

from __future__ import annotations

import pytest

from iceprod.ids import timestamp
from server.common.errors import BadRequest
from server.production import repair
from server.production.common.documents import Document
from server.production.leases import claim_routes, leases, many_ends
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.leases.many_ends import Ended, report_many
from server.production.tasks import completion, follow_ups
from server.production.tasks.task_store import NewTask, soon
from server.rest.context import Context
from tests.unit.production.conftest import Maker


async def leased(ctx: Context, make: Maker, jobs: int = 6) -> list[Document]:
    """Leased tasks, each the first of two of its job."""
    dataset = await make.dataset(jobs=jobs, per_job=2)
    for job in range(jobs):
        [first] = await make.tasks(dataset, NewTask(job, "a"))
        await make.tasks(dataset, NewTask(job, "b", task_index=1, depends=(first["task_id"],)))
    return await leases.claim(ctx, Claim({}, num=jobs, pilot_id="p"))


def ended(task: Document, outcome: str = "complete", instance: str | None = None, **more: object) -> Ended:
    reason = "exit code 1" if outcome != "complete" else ""
    report = Report(instance or task["instance_id"], 3600.0, "S", reason)
    return Ended(task["task_id"], outcome, report, **more)


async def test_each_is_answered_as_if_alone(ctx: Context, make: Maker) -> None:
    got = await leased(ctx, make)
    batch = [ended(got[0]), ended(got[1], "reset"), ended(got[2], "failed"), ended(got[3], "evict"),
             ended(got[4], instance="stale"), ended({"task_id": "none", "instance_id": "x"}), ended(got[0])]
    answers = await report_many(ctx, batch)
    assert [answer["status"] for answer in answers] == [200, 200, 200, 200, 404, 404, 200]
    assert [(await make.read(task["task_id"]))["status"] for task in got] == [
        "complete", "waiting", "failed", "waiting", "queued", "queued"]
    before = await ctx.db.tasks.find({}, sort=[("task_id", 1)]).to_list()
    again = await report_many(ctx, batch)
    assert [answer["status"] for answer in again] == [200, 200, 200, 200, 404, 404, 200]
    assert await ctx.db.tasks.find({}, sort=[("task_id", 1)]).to_list() == before


async def test_dependents_jobs_and_dataset_follow(ctx: Context, make: Maker) -> None:
    first = await leased(ctx, make)
    await report_many(ctx, [ended(task) for task in first])
    second = await leases.claim(ctx, Claim({}, num=10, pilot_id="p"))
    assert {task["name"] for task in second} == {"b"}
    assert len(second) == len(first)
    await report_many(ctx, [ended(task) for task in second])
    assert await ctx.db.jobs.count_documents({"status": "complete"}) == len(first)
    assert (await ctx.db.datasets.find_one({}))["status"] == "complete"
    assert await ctx.db.tasks.count_documents({"due": {"$exists": True}}) == 0
    assert await repair.sweep_tasks(ctx) == 0


async def past(ctx: Context) -> None:
    """Let all notes be old."""
    await ctx.db.follow_ups.update_many({}, {"$set": {"due": soon(-1)}})


async def test_a_server_that_dies_before_what_follows(ctx: Context, make: Maker,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    first = await leased(ctx, make, 3)
    with monkeypatch.context() as broken:
        broken.setattr(completion, "follow_completed", _die)
        with pytest.raises(ConnectionAbortedError):
            await report_many(ctx, [ended(task) for task in first])
    assert await leases.claim(ctx, Claim({}, num=10, pilot_id="p")) == []
    await repair.sweep_tasks(ctx)  # the note is young: its server may be alive
    assert await leases.claim(ctx, Claim({}, num=10, pilot_id="p")) == []
    await past(ctx)
    await repair.sweep_tasks(ctx)
    assert len(await leases.claim(ctx, Claim({}, num=10, pilot_id="p"))) == 3
    assert await ctx.db.follow_ups.count_documents({}) == 0


async def test_a_server_that_dies_before_the_ends_or_is_slow(ctx: Context, make: Maker) -> None:
    """The note stays while the ends may still come, and goes when nobody holds the tasks."""
    got = await leased(ctx, make, 2)
    await follow_ups.note(ctx, [task["task_id"] for task in got])
    await past(ctx)
    assert await repair.sweep_tasks(ctx) == 1
    [kept] = await ctx.db.follow_ups.find().to_list()
    assert kept["due"] > timestamp()
    await leases.release_pilot(ctx, "p")
    await past(ctx)
    await repair.sweep_tasks(ctx)
    assert await ctx.db.follow_ups.count_documents({}) == 0
    assert {(await make.read(task["task_id"]))["status"] for task in got} == {"waiting"}


async def _die(*arguments: object) -> None:
    raise ConnectionAbortedError


async def test_one_that_is_taken_back_meanwhile(ctx: Context, make: Maker,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    got = await leased(ctx, make, 3)
    read = many_ends._read

    async def read_and_lose(ctx: Context, ids: list[str]) -> dict[str, Document]:
        tasks = await read(ctx, ids)
        await ctx.db.tasks.update_one({"task_id": got[1]["task_id"]}, leases.returned("lost"))
        return tasks

    monkeypatch.setattr(many_ends, "_read", read_and_lose)
    answers = await report_many(ctx, [ended(task) for task in got])
    assert [answer["status"] for answer in answers] == [200, 404, 200]
    assert (await make.read(got[1]["task_id"]))["status"] == "waiting"


async def test_logs_and_stats_come_once(ctx: Context, make: Maker) -> None:
    got = await leased(ctx, make, 2)
    batch = [ended(got[0], logs={"stdout": "hello"}, stats={"host": "h"}),
             ended(got[1], instance="stale", logs={"stdout": "lies"})]
    for _ in range(2):
        await report_many(ctx, batch)
    assert [log["data"] async for log in ctx.db.logs.find()] == ["hello"]
    assert [row["stats"] async for row in ctx.db.task_stats.find()] == [{"host": "h"}]


async def test_tasks_of_another_site_are_not_found(ctx: Context, make: Maker) -> None:
    got = await leased(ctx, make, 1)
    [answer] = await report_many(ctx, [ended(got[0])], only_site="other")
    assert answer["status"] == 404


@pytest.mark.parametrize("change", [
    {"task_id": 1}, {"instance_id": None}, {"outcome": "won"}, {"logs": {"core": "x"}},
    {"logs": {"stdout": 1}}, {"stats": [1]}, {"logs": [1]}])
def test_a_bad_row_is_named(change: Document) -> None:
    row = {"task_id": "t", "instance_id": "i", "outcome": "complete", **change}
    with pytest.raises(BadRequest, match=r"reports\[3\]") as caught:
        many_ends.read_ended(row, 3, claim_routes.read_report(row))
    assert caught.value.code == 400
