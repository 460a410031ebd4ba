"""Back-off, breakers of resources outside, and hopeless failures, in the database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from config.settings import Failures
from server.common.errors import BadRequest, NotFound
from server.production import repair
from server.production.common.documents import Document
from server.production.failures import explain, parking
from server.production.leases import demand, ends, leases
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.sites import pilots
from server.production.tasks.classes import PARKED
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker
from tests.unit.production.leases.test_clock import Clock, clock

__all__ = ["clock"]

AWAY = "transfer failure: https://storage.example.org/sim/a.i3: [Errno 111] Connection refused"
HOST = "https://storage.example.org"


@pytest.fixture
def waits(ctx: Context) -> Context:
    """With back-off as shipped."""
    return replace(ctx, settings=msgspec.structs.replace(ctx.settings, failures=Failures()))


async def _pilot(ctx: Context, host: str) -> str:
    return await pilots.create(ctx, {"queue_host": host, "queue_version": "1", "resources": {}, "host": host})


async def _jobs(make: Maker, count: int) -> str:
    dataset = await make.dataset(jobs=count)
    await make.tasks(dataset, *(NewTask(job, "gen", {"cpu": 1}) for job in range(count)))
    return dataset


async def _fail(ctx: Context, pilot: str, reason: str = AWAY) -> Document:
    [got] = await leases.claim(ctx, Claim({"cpu": 1}, pilot_id=pilot))
    await ends.reset(ctx, got["task_id"], Report(got["instance_id"], 1.0, reason=reason))
    return got


async def _parked(ctx: Context) -> int:
    return int(await ctx.db.tasks.count_documents({"status": "waiting", "class_key": PARKED}))


async def test_a_retry_waits(waits: Context, make: Maker, clock: type[Clock]) -> None:
    ctx, pauses = waits, []
    made = await make.task(requirements={"cpu": 1})
    for _ in range(5):
        await _fail(ctx, "", "exit code 1")
        assert await leases.claim(ctx, Claim({"cpu": 1})) == []
        waited = 0
        while await _parked(ctx):
            clock.step += timedelta(seconds=1)
            waited += 1
            await parking.sweep(ctx)
        pauses.append(waited)
        assert "parked" not in await make.read(made["task_id"])
    assert all(0.5 * 2**n <= waited <= 1.5 * 2**n + 1 for n, waited in enumerate(pauses))


async def test_a_parked_task_says_why_and_makes_no_demand(waits: Context, make: Maker) -> None:
    made = await make.task(requirements={"cpu": 1})
    await _fail(waits, "", "exit code 1")
    told = await explain.explain(waits, made["dataset_id"], made["task_id"])
    assert told["reason"].startswith("back-off after failure 1 of the kind 'other'; next attempt after 2")
    assert told["next_attempt"]
    assert told["attempts"][0]["rule"] == "other"
    assert await demand.demand(waits) == []


async def test_an_outage_parks_all_that_need_it_and_spends_nothing(waits: Context, make: Maker,
                                                                   clock: type[Clock]) -> None:
    ctx = waits
    dataset = await _jobs(make, 30)
    a, b = await _pilot(ctx, "a"), await _pilot(ctx, "b")
    for pilot in (a, b, a):
        await _fail(ctx, pilot)
    assert await _parked(ctx) == 30
    [row] = await parking.listed(ctx)
    assert (row["resource"], row["state"], row["parked_tasks"]) == (HOST, "open", 30)
    assert row["hosts"] == ["a", "b"]
    task = await ctx.db.tasks.find_one({"parked.resource": HOST})
    assert task
    told = await explain.explain(ctx, dataset, task["task_id"])
    assert told["reason"].startswith(f"waiting for {HOST}, down since 20")
    assert ", next probe 20" in told["reason"]
    assert told["waits_for"] == HOST
    starts = 3
    for _ in range(24 * 60):  # a day, with a pilot that takes whatever it gets
        clock.step += timedelta(minutes=1)
        await parking.sweep(ctx)
        if await leases.claim(ctx, Claim({"cpu": 1}, pilot_id=a)) == []:
            continue
        starts += 1
        [held] = await ctx.db.tasks.find({"status": "queued"}).to_list()
        await ends.reset(ctx, held["task_id"], Report(held["instance_id"], 1.0, reason=AWAY))
    assert starts < 160
    assert await ctx.db.tasks.count_documents({"failures": 0, "status": "waiting"}) == 30


async def test_all_are_released_when_it_answers(waits: Context, make: Maker, clock: type[Clock]) -> None:
    ctx = waits
    await _jobs(make, 20)
    a = await _pilot(ctx, "a")
    for _ in range(3):
        await _fail(ctx, a)
    assert await _parked(ctx) == 20
    clock.step += timedelta(seconds=61)
    await parking.sweep(ctx)
    assert await _parked(ctx) == 19
    await parking.sweep(ctx)
    assert await _parked(ctx) == 19, "one probe at a time"
    [probe] = await leases.claim(ctx, Claim({"cpu": 1}, pilot_id=a))
    clock.step += timedelta(seconds=30)
    await ends.complete(ctx, probe["task_id"], probe["instance_id"], time_used=20.0)
    assert await _parked(ctx) == 0
    assert await parking.listed(ctx) == []
    assert len(await leases.claim(ctx, Claim({"cpu": 1}, num=50))) == 19


async def test_probes_that_compute_for_long_let_others_follow(waits: Context, make: Maker,
                                                              clock: type[Clock]) -> None:
    ctx = waits
    await _jobs(make, 300)
    a = await _pilot(ctx, "a")
    for _ in range(3):
        await _fail(ctx, a)
    minutes = 0
    while await _parked(ctx):
        minutes += 1
        assert minutes < 60
        clock.step += timedelta(minutes=1)
        await repair.sweep_tasks(ctx)
        await leases.claim(ctx, Claim({"cpu": 1}, num=1000, pilot_id=a, target="processing"))
    assert 10 < minutes < 40


async def test_what_is_made_while_it_is_away_is_parked_too(waits: Context, make: Maker) -> None:
    dataset = await _jobs(make, 5)
    a = await _pilot(waits, "a")
    for _ in range(3):
        await _fail(waits, a)
    await make.tasks(dataset, NewTask(5, "gen", {"cpu": 1}))
    await make.tasks(dataset, NewTask(6, "other", {"cpu": 1}))
    await parking.sweep(waits)
    assert [task["name"] for task in await leases.claim(waits, Claim({"cpu": 1}, num=9))] == ["other"]


async def test_one_task_on_one_host_is_no_outage(ctx: Context, make: Maker) -> None:
    await make.task(requirements={"cpu": 1})
    a = await _pilot(ctx, "a")
    for _ in range(20):
        await _fail(ctx, a)
    assert {row["state"] for row in await parking.listed(ctx)} == {"closed"}


async def test_what_never_comes_back_is_given_up(waits: Context, make: Maker, clock: type[Clock]) -> None:
    made = await make.task(requirements={"cpu": 1})
    for hours in (0, 47, 3):
        clock.step += timedelta(hours=hours)
        await parking.sweep(waits)
        await _fail(waits, "")
    task = await make.read(made["task_id"])
    assert (task["status"], task["failures"], task["outside_failures"]) == ("failed", 0, 3)
    assert "more than 48 hours" in task["verdict"]["given_up"]


@pytest.mark.parametrize("reason", [
    "transfer failure: https://x.org/a/b: HTTP 404", "transfer failure: /data/x: No such file or directory",
    "transfer failure: file:///x: /bin/sh ended with status 1: not there, or not shown to tasks",
    "transfer failure: https://x.org/a/b: HTTP 403", "prog could not be started: not found",
    "sh ended with status 127: sh: 1: nonsense: not found", "sh ended with status 1: x: Permission denied"])
async def test_hopeless_failures_end_on_the_second_host(ctx: Context, make: Maker, reason: str) -> None:
    made = await make.task(requirements={"cpu": 1})
    await _fail(ctx, await _pilot(ctx, "a"), reason)
    assert (await make.read(made["task_id"]))["status"] == "waiting"
    await ctx.db.tasks.update_many({}, {"$unset": {"avoid": ""}})
    await _fail(ctx, await _pilot(ctx, "b"), reason)
    task = await make.read(made["task_id"])
    assert task["status"] == "failed"
    assert "seen on b and on a" in task["verdict"]["given_up"]


async def test_hopeless_failures_end_after_three_starts_where_there_is_one_host(ctx: Context,
                                                                                make: Maker) -> None:
    made = await make.task(requirements={"cpu": 1})
    a = await _pilot(ctx, "a")
    starts = 0
    while (await make.read(made["task_id"]))["status"] == "waiting":
        await _fail(ctx, a, "prog could not be started: not found")
        starts += 1
    assert starts == 3


async def test_hopeless_failures_end_at_once_where_others_succeed(ctx: Context, make: Maker) -> None:
    await make.task(requirements={"cpu": 1})
    a = await _pilot(ctx, "a")
    [good] = await leases.claim(ctx, Claim({"cpu": 1}, pilot_id=a))
    await ends.complete(ctx, good["task_id"], good["instance_id"])
    made = await make.task(requirements={"cpu": 1})
    await _fail(ctx, a, "prog could not be started: not found")
    task = await make.read(made["task_id"])
    assert (task["status"], task["verdict"]["given_up"]) == (
        "failed", "'missing program' was seen on a, where others succeed")


async def test_evictions_end(ctx: Context, make: Maker) -> None:
    made = await make.task(requirements={"cpu": 1})
    for _ in range(ctx.settings.failures.max_evictions + 1):
        [got] = await leases.claim(ctx, Claim({"cpu": 1}))
        for _ in range(2):  # a repeated report answers the same
            await ends.evict(ctx, got["task_id"], Report(got["instance_id"], reason="no room"))
    task = await make.read(made["task_id"])
    assert (task["status"], task["evictions"]) == ("failed", ctx.settings.failures.max_evictions)
    assert task["reason"] == "no pilot could keep it: handed back 51 times, the last: no room"


async def test_by_hand(waits: Context, make: Maker) -> None:
    dataset = await _jobs(make, 4)
    await parking.open_by_hand(waits, HOST, {"reason": "moved to tape", "datasets": [dataset]}, "root")
    await parking.sweep(waits)
    assert await _parked(waits) == 4
    task = await waits.db.tasks.find_one({"parked.resource": HOST})
    assert task
    assert "closed down by root" in task["parked"]["reason"]
    assert await parking.close(waits, HOST) == 4
    with pytest.raises(NotFound):
        await parking.close(waits, "https://nowhere.example.org")
    for body in ({}, {"reason": "x", "datasets": "d"}, {"reason": "x", "datasets": [3]}):
        with pytest.raises(BadRequest):
            await parking.open_by_hand(waits, HOST, body, "root")


async def test_whatever_becomes_of_a_parked_task_it_is_not_forgotten(waits: Context, make: Maker) -> None:
    made = await make.task(requirements={"cpu": 1})
    await _fail(waits, "", "exit code 1")
    await waits.db.tasks.update_many({}, {"$unset": {"due": ""}})  # suspended and resumed, by whatever way
    await parking.sweep(waits)
    assert (await leases.claim(waits, Claim({"cpu": 1})))[0]["task_id"] == made["task_id"]


async def test_to_be_handed_back_where_slots_are_taken_back_counts_for_nothing(ctx: Context,
                                                                               make: Maker) -> None:
    made = await make.task(requirements={"cpu": 1, "restartable": True})
    for _ in range(ctx.settings.failures.max_evictions + 5):
        [got] = await leases.claim(ctx, Claim({"cpu": 1, "preemptible": 1.0}))
        await ends.evict(ctx, got["task_id"], Report(got["instance_id"], reason="wanted back"))
    task = await make.read(made["task_id"])
    assert (task["status"], task["evictions"]) == ("waiting", ctx.settings.failures.max_evictions + 5)
