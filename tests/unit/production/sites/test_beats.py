"""Heartbeats of many pilots are written together, and each pilot hears what concerns itself."""

from __future__ import annotations

import asyncio

import pytest

from server.common.errors import NotFound
from server.production.leases import leases, load
from server.production.leases.leases import Claim
from server.production.sites import beats, pilots
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker

RESOURCES = {"queue_host": "h", "queue_version": "1", "resources": {}}


async def _working(ctx: Context, make: Maker, number: int) -> dict[str, dict[str, str]]:
    """Pilots with a task each: id → {task_id: instance_id}."""
    dataset, found = await make.dataset(jobs=number), {}
    await make.tasks(dataset, *(NewTask(index, "gen") for index in range(number)))
    for _ in range(number):
        pilot = await pilots.create(ctx, RESOURCES)
        [task] = await leases.claim(ctx, Claim({}, pilot_id=pilot))
        found[pilot] = {task["task_id"]: task["instance_id"]}
    return found


async def test_many_are_heard_at_once(ctx: Context, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    held = await _working(ctx, make, 12)
    lost, drained, *_ = held
    await leases.release_pilot(ctx, lost)
    await leases.claim(ctx, Claim({}, pilot_id="other"))
    await pilots.drain(ctx, drained)
    batches, real = [], leases.extend_many

    async def counted(ctx: Context, of: list[object]) -> object:
        batches.append(len(of))
        return await real(ctx, of)

    monkeypatch.setattr(leases, "extend_many", counted)
    answers = dict(zip(held, await asyncio.gather(
        *(beats.beat(ctx, pilot, tasks, {}) for pilot, tasks in held.items())), strict=True))
    assert batches == [12]
    assert {pilot for pilot, answer in answers.items() if answer["stop"]} == {lost}
    assert answers[lost]["stop"] == list(held[lost])
    assert {pilot for pilot, answer in answers.items() if answer["drain"]} == {drained}


async def test_what_a_pilot_says_is_kept_when_it_is_new(ctx: Context) -> None:
    pilot = await pilots.create(ctx, RESOURCES)
    for free in ({"cpu": 1}, {"cpu": 1}, {"cpu": 2}):
        await beats.beat(ctx, pilot, {}, {"resources_available": free})
    assert (await pilots.get(ctx, pilot))["resources_available"] == {"cpu": 2}
    await pilots.patch(ctx, pilot, {"resources_available": {"cpu": 9}})  # by another way
    await beats.beat(ctx, pilot, {}, {"resources_available": {"cpu": 2}})
    assert (await pilots.get(ctx, pilot))["resources_available"] == {"cpu": 2}


async def test_an_unknown_pilot_is_told_so_and_others_are_heard(ctx: Context) -> None:
    pilot = await pilots.create(ctx, RESOURCES)
    found = await asyncio.gather(beats.beat(ctx, "unknown", {}, {}), beats.beat(ctx, pilot, {}, {}),
                                 return_exceptions=True)
    assert isinstance(found[0], NotFound)
    assert found[1]["drain"] is False
    assert beats.is_known(ctx, pilot)
    assert not beats.is_known(ctx, "unknown")


async def test_leases_outlast_rare_heartbeats(ctx: Context, make: Maker) -> None:
    """Three thousand pilots speak once a minute; what they hold is theirs for three."""
    load._counted[ctx.db] = load._Counted(3000, float("inf"))
    [(pilot, tasks)] = (await _working(ctx, make, 1)).items()
    answer = await beats.beat(ctx, pilot, tasks, {})
    assert (answer["heartbeat_seconds"], answer["lease_seconds"]) == (60.0, 180.0)


async def test_a_server_that_has_just_started_writes_no_more_than_others(
        ctx: Context, make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    held = await _working(ctx, make, 5)
    for pilot, tasks in held.items():
        await beats.beat(ctx, pilot, tasks, {"resources_available": {"cpu": 0}})
    beats._all.clear()  # another process
    written: list[object] = []
    real = type(ctx.db.pilots).bulk_write

    async def counted(collection: object, writes: list[object], **how: object) -> object:
        written.extend(writes)
        return await real(collection, writes, **how)

    monkeypatch.setattr(type(ctx.db.pilots), "bulk_write", counted)
    await asyncio.gather(*(beats.beat(ctx, pilot, tasks, {"resources_available": {"cpu": 0}})
                           for pilot, tasks in held.items()))
    assert [type(one).__name__ for one in written] == ["UpdateMany"]


async def test_who_speaks_twice_at_once_stands_there_as_it_spoke_last(ctx: Context) -> None:
    """As a pilot's heartbeat, and what rides on its next claim."""
    pilot = await pilots.create(ctx, RESOURCES)
    await asyncio.gather(beats.beat(ctx, pilot, {"t": "i"}, {"resources_available": {"cpu": 3}}),
                         beats.beat(ctx, pilot, {}, {}))
    row = await pilots.get(ctx, pilot)
    assert (row["tasks"], row["resources_available"]) == ([], {"cpu": 3})
