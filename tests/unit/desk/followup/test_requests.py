"""Requests whose server ends in the middle, and wishes that come twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from iceprod.ids import now
from scanner.maps import healpix
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor
from server.desk.common.acls import SYSTEM_ADMIN
from server.desk.common.paging import Page
from server.desk.common.positions import hpix29
from server.desk.followup import facilities, following, prioritization, requests, rows, sending, spending
from server.desk.followup.adaptors import Adaptor, Order, Outcome
from server.desk.followup.prioritization import Ranking
from server.desk.followup.requests import Wanted
from server.desk.followup.rows import Asked
from server.desk.followup.states import Phase
from server.desk.maps import localizations
from server.desk.maps.localizations import NewLocalization
from server.desk.maps.tiles import Tiles
from server.rest.context import Context

MOMENT = datetime(2026, 11, 1)
WHO = Visitor(1, "eva", frozenset({SYSTEM_ADMIN}))
WANTED = Wanted("Alpha", 1, {"hours": 2.0})


class Crash(BaseException):
    """The end of a server."""


@dataclass
class Telescope(Adaptor):
    """A facility that keeps what it gets, and can end the server."""

    has: set[int] = field(default_factory=set)
    calls: int = 0
    is_called: asyncio.Event = field(default_factory=asyncio.Event)
    crash: str = ""
    seconds: float = 0.2  # of a call
    can_update = True

    async def check(self, ctx: Context, payload: Mapping[str, Any], instrument: Mapping[str, Any],
                    username: str) -> Document:
        return dict(payload)

    def hours(self, payload: Mapping[str, Any]) -> float:
        return float(payload["hours"])

    async def submit(self, ctx: Context, order: Order) -> Outcome:
        self.calls += 1
        self.is_called.set()
        if self.crash == "before":
            raise Crash
        self.has.add(order.number)
        if self.crash == "after":
            raise Crash
        await asyncio.sleep(self.seconds)
        return Outcome("submitted", Phase.OPEN)

    async def update(self, ctx: Context, order: Order) -> Outcome:
        return Outcome("submitted", Phase.OPEN)

    async def delete(self, ctx: Context, order: Order) -> Outcome:
        self.has.discard(order.number)
        return Outcome("deleted", Phase.DELETED)


@pytest.fixture
async def telescope(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> Telescope:
    facility = Telescope()
    monkeypatch.setitem(facilities.ADAPTORS, "TEST", facility)
    await ctx.db.desk_users.insert_one({"_id": 1, "username": "eva", "roles": [], "acls": []})
    await ctx.db.desk_objs.insert_one({"_id": "Alpha", "ra": 1.0, "dec": 2.0, "hpix29": 5})
    await ctx.db.desk_instruments.insert_one({"_id": 1, "name": "i", "api_classname": "TEST", "filters": []})
    await ctx.db.desk_allocations.insert_one(
        {"_id": 1, "group_id": 1, "instrument_id": 1, "hours_allocated": 10.0, "secret": ""})
    return facility


async def row_of(ctx: Context, number: int = 1) -> Document:
    found = await ctx.db.desk_followup_requests.find_one({"_id": number})
    assert found is not None
    return dict(found)


@pytest.mark.parametrize("crash", ["before", "after"])
async def test_another_server_goes_on(ctx: Context, telescope: Telescope, crash: str) -> None:
    telescope.crash = crash
    with pytest.raises(Crash):
        await requests.submit(ctx, WHO, WANTED)
    assert (await row_of(ctx))["phase"] == "pending"
    telescope.crash = ""
    await sending.take_over(ctx)
    assert telescope.calls == 1  # it is left to who has it, for a while
    lapsed = {"lease": now() - timedelta(seconds=1)}
    await ctx.db.desk_followup_requests.update_one({"_id": 1}, {"$set": lapsed})
    await sending.take_over(ctx)
    await sending.take_over(ctx)
    assert (telescope.calls, telescope.has) == (2, {1})
    assert (await row_of(ctx))["status"] == "submitted"


async def test_a_request_is_kept_while_its_facility_takes_long(ctx: Context, telescope: Telescope,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_EXTENDED", 0.01)
    telescope.seconds = 1.0
    sent = asyncio.create_task(requests.submit(ctx, WHO, WANTED))
    await asyncio.wait_for(telescope.is_called.wait(), 20)
    before = (await row_of(ctx))["lease"]
    await sent
    assert (await row_of(ctx))["lease"] > before
    assert telescope.calls == 1
    assert (await row_of(ctx))["status"] == "submitted"


async def test_a_rule_that_fires_twice_asks_once(ctx: Context, telescope: Telescope) -> None:
    wanted = replace(WANTED, key="rule 3, event 9")
    numbers = await asyncio.gather(*(requests.submit(ctx, WHO, wanted) for _ in range(5)))
    assert len(set(numbers)) == 1
    assert telescope.calls == 1
    assert await requests.submit(ctx, WHO, wanted) == numbers[0]
    assert await requests.submit(ctx, WHO, WANTED) != numbers[0]


async def test_what_is_taken_back_while_it_is_sent_does_not_stay(ctx: Context, telescope: Telescope) -> None:
    sent = asyncio.create_task(requests.submit(ctx, WHO, WANTED))
    await asyncio.wait_for(telescope.is_called.wait(), 20)
    await requests.take_back(ctx, WHO, await row_of(ctx))
    await sent
    assert (await row_of(ctx))["phase"] == "deleted"
    assert telescope.has == set()


async def test_hours_of_an_allocation(ctx: Context, telescope: Telescope) -> None:
    first, second = [await requests.submit(ctx, WHO, WANTED) for _ in range(2)]
    allocation = await ctx.db.desk_allocations.find_one({"_id": 1})
    assert allocation is not None
    await rows.move(ctx, first, Outcome("observed", Phase.DONE))
    assert await spending.usage(ctx, allocation) == spending.Usage(10.0, 2.0, 2.0)
    with pytest.raises(BadRequest, match="6 of its 10 hours left"):
        await requests.submit(ctx, WHO, replace(WANTED, payload={"hours": 6.5}))
    await requests.change(ctx, WHO, await row_of(ctx, second), {"hours": 7.0})
    with pytest.raises(BadRequest, match="hours left"):
        await requests.change(ctx, WHO, await row_of(ctx, second), {"hours": 9.0})
    await requests.take_back(ctx, WHO, await row_of(ctx, second))
    assert (await spending.usage(ctx, allocation)).left == 8.0


async def test_lists_find_texts_and_not_patterns(ctx: Context, telescope: Telescope) -> None:
    await requests.submit(ctx, WHO, WANTED)
    for part, count in (("lph", 1), ("ALPHA", 1), (".*", 0), ("(", 0), ("[", 0)):
        found, total = await rows.listed(ctx, WHO, Asked(obj_part=part), Page(1, 10))
        assert (len(found), total) == (count, count), part


async def test_hours_on_the_grid_are_those_of_the_tasks(ctx: Context, telescope: Telescope) -> None:
    await ctx.db.tasks.insert_many([
        {"task_id": "a", "dataset_id": "d", "walltime": 1.0, "walltime_err": 0.5, "requirements": {"cpu": 2}},
        {"task_id": "b", "dataset_id": "d", "walltime": 0.25, "walltime_err": 0.0},
        {"task_id": "c", "dataset_id": "other", "walltime": 9.0, "walltime_err": 0.0}])
    assert await spending.of_dataset(ctx, "d") == pytest.approx(3.25)


async def test_a_scan_that_is_not_there_ends_its_request(ctx: Context, telescope: Telescope) -> None:
    number = await requests.submit(ctx, WHO, WANTED)
    await ctx.db.desk_followup_requests.update_one(
        {"_id": number}, {"$set": {"grid": {"scan_id": "gone"}, "is_counted": False}})
    await following.follow(ctx)
    await following.follow(ctx)
    row = await row_of(ctx, number)
    assert (row["phase"], row["is_counted"]) == ("failed", True)


async def test_a_newer_map_ranks_again_what_a_map_ranked(ctx: Context, telescope: Telescope) -> None:
    names = ["near", "far"]
    for name, ra in zip(names, (150.0, 153.0), strict=True):
        await ctx.db.desk_objs.insert_one({"_id": name, "ra": ra, "dec": 2.0, "hpix29": hpix29(ra, 2.0)})
    numbers = [await requests.submit(ctx, WHO, replace(WANTED, obj_id=name)) for name in (*names, "Alpha")]
    first = await _map(ctx, "outside", None, 150.0)
    await prioritization.rank(ctx, WHO, numbers[:2], Ranking("localization", localization_id=first))
    await prioritization.follow_maps(ctx)
    assert await _priorities(ctx, numbers) == [5, 1, None]
    await _map(ctx, "scan", "scan", 153.0)
    await prioritization.follow_maps(ctx)
    await prioritization.follow_maps(ctx)
    assert await _priorities(ctx, numbers) == [1, 5, None]  # what nobody ranked stays as it is


async def _map(ctx: Context, name: str, scan_id: str | None, ra: float) -> int:
    order = 6
    uniq = 4 * 4**order + np.arange(12 * 4**order)
    ras, decs = healpix.centres(1 << order, healpix.nest_to_ring(1 << order, np.arange(12 * 4**order)))
    density = np.exp(-0.5 * (((ras - ra) / 1.5) ** 2 + ((decs - 2.0) / 1.5) ** 2))
    new = NewLocalization(MOMENT, name, Tiles.checked(uniq, density), 1.0, scan_id)
    return int((await localizations.put(ctx, new))["_id"])


async def _priorities(ctx: Context, numbers: list[int]) -> list[Any]:
    return [(await row_of(ctx, number))["payload"].get("priority") for number in numbers]
