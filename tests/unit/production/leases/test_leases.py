"""Claims, leases, their extension and their end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from server.production import repair
from server.production.failures import trusted
from server.production.failures.trust import FIRST_TASKS
from server.production.leases import leases, waits
from server.production.leases.leases import Claim
from server.production.sites import beats, pilots
from server.production.tasks import task_changes
from server.production.tasks.task_store import NewTask, soon
from server.rest.context import Context
from tests.unit.production.conftest import Maker

OFFER = {"cpu": 1, "gpu": 0, "memory": 4.0, "disk": 10, "time": 8}
CLAIM = Claim(OFFER, pilot_id="p1")


async def test_highest_priority_first_and_one_instance(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.tasks(dataset, *(NewTask(n, "gen", {"memory": 1 + n}, priority=p)
                                for n, p in enumerate((0.2, 0.9, 0.5))))
    got = await leases.claim(ctx, replace(CLAIM, num=2))
    assert [task["priority"] for task in got] == [0.9, 0.5]
    assert len({task["instance_id"] for task in got}) == 1
    assert all(task["status"] == "queued" and task["pilot_id"] == "p1" for task in got)


async def test_what_does_not_fit_stays(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.tasks(dataset, NewTask(0, "a", {"memory": 4.1}), NewTask(1, "b", {"gpu": 1}), NewTask(2, "c"))
    got = await leases.claim(ctx, replace(CLAIM, num=5))
    assert [task["name"] for task in got] == ["c"]
    got = await leases.claim(ctx, Claim({"gpu": 1, "memory": 8}, num=5))
    assert [task["name"] for task in got] == ["b"]


async def test_an_offer_inside_a_bin_takes_the_tasks_that_fit(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.tasks(
        dataset, NewTask(0, "big", {"memory": 3.4}, priority=0.9), NewTask(1, "small", {"memory": 3.1})
    )
    got = await leases.claim(ctx, Claim({"memory": 3.2}, num=5))
    assert [task["name"] for task in got] == ["small"]


async def test_no_task_is_given_twice(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset(jobs=60)
    await make.tasks(dataset, *(NewTask(n, "gen", {"memory": 1 + n % 3}) for n in range(60)))
    claims = [leases.claim(ctx, replace(CLAIM, num=4, pilot_id=f"p{n}")) for n in range(20)]
    got = [task for tasks in await asyncio.gather(*claims) for task in tasks]
    assert len(got) == 60
    assert len({task["task_id"] for task in got}) == 60


async def test_two_servers_do_not_give_a_task_twice(ctx: Context, make: Maker) -> None:
    from config.settings import Database
    from server.store.database import connect

    dataset = await make.dataset(jobs=40)
    await make.tasks(dataset, *(NewTask(n, "gen") for n in range(40)))
    url = "mongodb://" + str(ctx.db.client._topology_settings.seeds.pop()[0]).replace("/", "%2F")
    other = replace(ctx, db=connect(Database(url=url, name=ctx.db.name)))
    claims = [leases.claim(server, replace(CLAIM, num=3)) for server in (ctx, other) for _ in range(8)]
    got = [task["task_id"] for tasks in await asyncio.gather(*claims) for task in tasks]
    await other.db.client.close()
    assert len(got) == len(set(got)) == 40


async def test_deprioritised_datasets_come_last(ctx: Context, make: Maker) -> None:
    one, two, three = [await make.dataset() for _ in range(3)]
    for dataset, priority in ((one, 0.1), (two, 0.5), (three, 0.9)):
        await make.tasks(dataset, NewTask(0, dataset, priority=priority))
    request = replace(CLAIM, num=1, deprioritised=(two, three))
    got = [(await leases.claim(ctx, request))[0]["dataset_id"] for _ in range(3)]
    assert got == [one, three, two]


async def test_several_at_once_take_deprioritised_ones_only_to_fill(ctx: Context, make: Maker) -> None:
    one, two = [await make.dataset() for _ in range(2)]
    await make.tasks(one, NewTask(0, "a", priority=0.1))
    await make.tasks(two, NewTask(0, "b", priority=0.9), NewTask(1, "b", priority=0.8))
    got = await leases.claim(ctx, replace(CLAIM, num=2, deprioritised=(two,)))
    assert sorted(task["name"] for task in got) == ["a", "b"]


async def test_filters(ctx: Context, make: Maker) -> None:
    one, two = [await make.dataset() for _ in range(2)]
    await make.task(one, requirements={"site": "S"})
    await make.task(two)
    assert await leases.claim(ctx, replace(CLAIM, filters={"dataset_id": "unknown"})) == []
    got = await leases.claim(ctx, replace(CLAIM, num=5, filters={"requirements.site": "S"}))
    assert [task["dataset_id"] for task in got] == [one]
    got = await leases.claim(ctx, replace(CLAIM, num=5, filters={"dataset_id": two}))
    assert [task["dataset_id"] for task in got] == [two]


async def test_waiting_ends_when_a_task_comes(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    waiting = asyncio.create_task(waits.claim_or_wait(ctx, CLAIM, 30, asyncio.Event()))
    await asyncio.sleep(0.05)
    task = await make.task(dataset)
    assert [got["task_id"] for got in await waiting] == [task["task_id"]]


async def test_nobody_is_served_who_is_gone(ctx: Context, make: Maker) -> None:
    dataset, gone = await make.dataset(), asyncio.Event()
    waiting = asyncio.create_task(waits.claim_or_wait(ctx, CLAIM, 30, gone))
    await asyncio.sleep(0.05)
    gone.set()
    task = await make.task(dataset)
    assert await waiting == []
    assert (await make.read(task["task_id"]))["status"] == "waiting"


async def expired(ctx: Context) -> int:
    """Let all leases have ended, and sweep."""
    await ctx.db.tasks.update_many({"status": {"$in": ["queued", "processing"]}}, {"$set": {"due": soon(-1)}})
    return await repair.sweep_leases(ctx)


async def test_who_goes_while_being_served_loses_nothing(ctx: Context, make: Maker,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """The pilot said goodbye after the claim began and before its tasks were marked."""
    task, gone, claim = await make.task(), asyncio.Event(), leases.attempt

    async def slow(*arguments: Any, **options: Any) -> Any:
        got = await claim(*arguments, **options)
        gone.set()
        return got

    monkeypatch.setattr(leases, "attempt", slow)
    assert await waits.claim_or_wait(ctx, replace(CLAIM, host="h"), 30, gone) == []
    trusted.leave(ctx, "other")
    assert trusted.leave(ctx, "h").most == FIRST_TASKS, "what it never heard of is not held against the host"
    after = await make.read(task["task_id"])
    assert (after["status"], after["instance_id"], after["evictions"]) == ("waiting", "", 0)
    assert "pilot_id" not in after


async def test_a_lease_that_ends_is_an_eviction_and_no_failure(ctx: Context, make: Maker) -> None:
    await make.task()
    got = (await leases.claim(ctx, CLAIM))[0]
    assert await repair.sweep_leases(ctx) == 0
    assert await expired(ctx) == 1
    task = await make.read(got["task_id"])
    assert (task["status"], task["evictions"], task["failures"], task["instance_id"]) == ("waiting", 1, 0, "")
    assert "due" not in task
    assert "pilot_id" not in task


async def test_heartbeats_keep_leases_and_tell_what_to_stop(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.tasks(dataset, NewTask(0, "a"), NewTask(1, "b"), NewTask(2, "c"))
    pilot = await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {}})
    a, b, c = await leases.claim(ctx, replace(CLAIM, num=3, pilot_id=pilot))
    await ctx.db.tasks.update_many({}, {"$set": {"due": soon(1)}})
    await task_changes.set_status(ctx, b["task_id"], "suspended")
    held = {a["task_id"]: a["instance_id"], b["task_id"]: b["instance_id"], c["task_id"]: "another"}
    answer = await beats.beat(ctx, pilot, held, {})
    assert sorted(answer["stop"]) == sorted([b["task_id"], c["task_id"]])
    assert (await make.read(a["task_id"]))["due"] > soon(30)
    assert (await make.read(c["task_id"]))["due"] < soon(30)


async def test_a_lease_that_lasts_as_promised_is_not_written(ctx: Context, make: Maker) -> None:
    await make.task()
    pilot = await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {}})
    [task] = await leases.claim(ctx, replace(CLAIM, pilot_id=pilot))
    held, first = {task["task_id"]: task["instance_id"]}, (await make.read(task["task_id"]))["due"]
    assert (await beats.beat(ctx, pilot, held, {}))["stop"] == []
    assert (await make.read(task["task_id"]))["due"] == first > soon(60)
    await ctx.db.tasks.update_one({}, {"$set": {"due": soon(59)}})
    await beats.beat(ctx, pilot, held, {})
    assert (await make.read(task["task_id"]))["due"] > first


async def test_a_pilot_that_ends_gives_back_what_it_held(ctx: Context, make: Maker) -> None:
    await make.task()
    pilot = await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {}})
    got = (await leases.claim(ctx, replace(CLAIM, pilot_id=pilot)))[0]
    await pilots.remove(ctx, pilot)
    assert (await make.read(got["task_id"]))["status"] == "waiting"


async def test_a_claim_looks_at_no_more_tasks_when_more_wait(ctx: Context, make: Maker) -> None:
    """The plan of the store says how many index keys and documents the query of a claim touches."""
    dataset = await make.dataset(jobs=500)
    await make.tasks(
        dataset, *(NewTask(n, "gen", {"memory": 1.0 + n % 4}, priority=n / 500) for n in range(500))
    )
    table_keys = [task["class_key"] for task in await ctx.db.tasks.find({"job_index": {"$lt": 4}}).to_list()]
    find = {"find": "tasks", "filter": {"status": "waiting", "class_key": {"$in": table_keys}},
            "sort": {"priority": -1}, "limit": 5}
    plan = await ctx.db.command({"explain": find, "verbosity": "executionStats"})
    assert plan["executionStats"]["totalDocsExamined"] <= 20
    assert plan["executionStats"]["totalKeysExamined"] <= 40


@pytest.mark.parametrize("num", [1, 3])
async def test_started_at_once(ctx: Context, make: Maker, num: int) -> None:
    dataset = await make.dataset()
    await make.tasks(dataset, *(NewTask(n, "gen") for n in range(num)))
    got = await leases.claim(ctx, replace(CLAIM, num=num, target="processing"))
    assert [task["status"] for task in got] == ["processing"] * num


async def test_of_many_that_wait_for_the_same_one_looks(ctx: Context, make: Maker,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = await make.dataset()
    looks = 0
    real = leases._looks

    async def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return await real(*arguments)

    monkeypatch.setattr(leases, "_looks", counted)
    waiting = [asyncio.create_task(waits.claim_or_wait(ctx, CLAIM, 60, asyncio.Event())) for _ in range(30)]
    await asyncio.sleep(0.1)
    first, looks = looks, 0
    task = await make.task(dataset)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.1)
    waits.end_waits(ctx, "p1")
    got = [task["task_id"] for tasks in await asyncio.gather(*waiting) for task in tasks]
    assert got == [task["task_id"]]
    assert first <= 2
    assert looks <= 4


async def test_who_waits_does_not_look(ctx: Context, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty idle pilots cost one look a second, and one that comes to them none."""
    looks, real = [], leases._looks

    async def counted(ctx: Context, request: Claim) -> Any:
        looks.append(request.pilot_id)
        return await real(ctx, request)

    monkeypatch.setattr(leases, "_looks", counted)
    await waits.claim_or_wait(ctx, CLAIM, 0, asyncio.Event())
    waiting, began = [], time.monotonic()
    for number in range(40):
        offer = {**OFFER, "time": 8 - number / 100}
        request = replace(CLAIM, offer=offer, pilot_id=f"p{number}", host=f"h{number}")
        waiting.append(asyncio.create_task(waits.claim_or_wait(ctx, request, 2.2, asyncio.Event())))
        await asyncio.sleep(0.001 if number else 0.1)
    assert await asyncio.gather(*waiting) == [[]] * 40
    assert len(looks) <= 4 + (time.monotonic() - began) / waits.LOOK_SECONDS
    assert waits.number_waiting(ctx) == 0


async def test_who_has_more_time_is_served_behind_who_has_less(ctx: Context, make: Maker) -> None:
    short = asyncio.create_task(waits.claim_or_wait(ctx, CLAIM, 30, asyncio.Event()))
    long_one = replace(CLAIM, offer={**OFFER, "time": 100.0}, pilot_id="p2")
    waiting = asyncio.create_task(waits.claim_or_wait(ctx, long_one, 30, asyncio.Event()))
    await asyncio.sleep(0.05)
    task = await make.task(requirements={"time": 50.0})
    assert [got["task_id"] for got in await asyncio.wait_for(waiting, 20)] == [task["task_id"]]
    waits.end_waits(ctx, "p1")
    assert await short == []


async def test_a_task_that_the_first_may_not_have_goes_to_another_host(ctx: Context, make: Maker) -> None:
    task = await make.task()
    hour = {"host": "bad", "until": soon(3600)}
    await ctx.db.tasks.update_one({"task_id": task["task_id"]}, {"$set": {"avoid": hour, "status": "idle"}})
    one, other = (asyncio.create_task(waits.claim_or_wait(
        ctx, replace(CLAIM, pilot_id=host, host=host), 30, asyncio.Event())) for host in ("bad", "good"))
    await asyncio.sleep(0.05)
    await ctx.db.tasks.update_one({"task_id": task["task_id"]}, {"$set": {"status": "waiting"}})
    ctx.signals.notify("tasks")
    assert [got["task_id"] for got in await asyncio.wait_for(other, 20)] == [task["task_id"]]
    assert not one.done()
    waits.end_waits(ctx, "bad")
    assert await one == []


async def test_what_another_process_made_is_found_within_seconds(ctx: Context, make: Maker) -> None:
    waiting = asyncio.create_task(waits.claim_or_wait(ctx, CLAIM, 60, asyncio.Event()))
    await asyncio.sleep(0.05)
    other = Maker(replace(ctx, signals=type(ctx.signals)()))
    task = await other.task()
    assert [got["task_id"] for got in await asyncio.wait_for(waiting, 30)] == [task["task_id"]]


async def test_a_waiting_claim_is_answered_when_its_pilot_has_more_room(ctx: Context, make: Maker) -> None:
    await make.task(requirements={"memory": 3.0})
    small, gone = Claim({"memory": 1.0}, pilot_id="p1"), asyncio.Event()
    wait = asyncio.create_task(waits.claim_or_wait(ctx, small, 3600.0, gone))
    other = asyncio.create_task(waits.claim_or_wait(ctx, replace(small, pilot_id="p2"), 3600.0, gone))
    await asyncio.sleep(0.05)
    waits.end_waits(ctx, "p1")
    assert await asyncio.wait_for(wait, 30) == []
    assert not other.done()
    [got] = await leases.claim(ctx, Claim({"memory": 4.0}, pilot_id="p1"))
    assert got["requirements"] == {"memory": 3.0}
    waits.end_waits(ctx, "p2")
    assert await asyncio.wait_for(other, 30) == []
    waits.end_waits(ctx, "p2")  # nobody waits: nothing happens


async def test_who_runs_programs_alone_gets_nothing_else(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.tasks(dataset, NewTask(0, "pixels", {"kind": "pixels"}, kind="pixels"), NewTask(1, "program"))
    got = await leases.claim(ctx, Claim({**OFFER, "kind": "script"}, num=5))
    assert [task["name"] for task in got] == ["program"]
    assert [task["name"] for task in await leases.claim(ctx, Claim(OFFER, num=5))] == ["pixels"]
