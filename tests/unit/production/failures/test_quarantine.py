"""Places that eat tasks are found by comparison with others, and only those."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect

from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.failures import quarantine, tallies, usage
from server.production.failures.places import Place
from server.production.failures.quarantine import Record, chance
from server.production.tasks.task_store import soon
from server.rest.context import Context
from tests.unit.production.conftest import Maker

DATASET: Document = {"dataset_id": "d", "name": "gen"}


def note(ctx: Context, host: str, good: int, bad: int, dataset: str = "d", site: str = "S") -> None:
    for number in range(good + bad):
        tallies.of(ctx).end({**DATASET, "dataset_id": dataset}, Place(host, site), number < good)


async def judged(ctx: Context, host: str = "hole") -> bool:
    await tallies.of(ctx).flush(ctx)
    return await quarantine.judge(ctx, "host", host)


async def test_a_black_hole_is_found_and_says_why(ctx: Context) -> None:
    note(ctx, "hole", 0, 8)
    note(ctx, "fine", 40, 2)
    assert await judged(ctx)
    assert not await judged(ctx, "fine")
    [row] = await quarantine.listed(ctx)
    assert (row["kind"], row["name"], row["state"]) == ("host", "hole", "quarantined")
    assert row["reason"].startswith("8 of 8 tasks failed here within an hour")
    against = await quarantine.reason_against(ctx, Place("hole", "S"))
    assert "the host hole is quarantined until" in against
    assert await quarantine.reason_against(ctx, Place("fine", "S")) == ""


async def test_a_dataset_that_fails_everywhere_blames_nobody(ctx: Context) -> None:
    note(ctx, "hole", 0, 30)
    note(ctx, "fine", 1, 40)
    assert not await judged(ctx)


async def test_broken_work_of_one_dataset_does_not_hide_behind_another(ctx: Context) -> None:
    """At the suspect only the broken dataset ran; elsewhere it fails too, and others do well."""
    note(ctx, "hole", 0, 30, dataset="broken")
    note(ctx, "fine", 0, 20, dataset="broken")
    note(ctx, "fine", 500, 0, dataset="good")
    assert not await judged(ctx)


@pytest.mark.parametrize(("bad", "elsewhere"), [(4, 100), (20, 0), (20, 9)])
async def test_little_evidence_is_none(ctx: Context, bad: int, elsewhere: int) -> None:
    note(ctx, "hole", 0, bad)
    note(ctx, "fine", elsewhere, 0)
    assert not await judged(ctx)


async def test_it_ends_by_itself_and_comes_back_for_longer(ctx: Context) -> None:
    note(ctx, "fine", 60, 0)
    note(ctx, "hole", 0, 10)
    assert await judged(ctx)
    await ctx.db.quarantine.update_many({}, {"$set": {"until": soon(-1)}})
    quarantine._state(ctx).read.spoil()
    assert await quarantine.reason_against(ctx, Place("hole", "S")) == ""
    assert (await quarantine.listed(ctx))[0]["state"] == "probation"
    assert not await judged(ctx), "what counted once does not count again"
    note(ctx, "hole", 0, 4)
    assert await judged(ctx), "on probation fewer failures suffice"
    assert (await quarantine.listed(ctx))[0]["times"] == 2


async def test_failures_are_looked_at_by_themselves(ctx: Context) -> None:
    note(ctx, "fine", 60, 0)
    note(ctx, "hole", 0, 10)
    await quarantine.judge_suspects(ctx)
    assert [row["name"] for row in await quarantine.listed(ctx)] == ["hole"]


async def test_by_hand(ctx: Context) -> None:
    await quarantine.put(ctx, "site", "S", {"reason": "power cut", "minutes": 5}, "root")
    assert "power cut" in await quarantine.reason_against(ctx, Place("any", "S"))
    await quarantine.lift(ctx, "site", "S")
    assert await quarantine.reason_against(ctx, Place("any", "S")) == ""
    with pytest.raises(NotFound):
        await quarantine.lift(ctx, "site", "S")
    for body in ({}, {"reason": " "}, {"reason": "x", "minutes": 0}, {"reason": "x", "minutes": True}):
        with pytest.raises(BadRequest):
            await quarantine.put(ctx, "host", "h", body, "root")
    with pytest.raises(BadRequest):
        await quarantine.put(ctx, "planet", "h", {"reason": "x"}, "root")


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 500), st.integers(0, 500))
def test_more_failures_are_never_likelier(good: int, bad: int, others: int, failed: int) -> None:
    def at(bad: int) -> float:
        return chance([Record(good, bad, good + others, bad + failed)])

    assert 0 <= at(bad + 1) <= at(bad) + 1e-12 <= 1 + 1e-12


async def test_usage_is_bounded_and_shown_beside_what_was_asked(ctx: Context, make: Maker) -> None:
    task = await make.task(requirements={"memory": 4.0})
    for n in range(300):
        tallies.of(ctx).used(task, {"memory": n / 100, "time": True, "bogus": 1})
    [row] = await usage.of_dataset(ctx, task["dataset_id"])
    assert row["asked"] == {"memory": 4.0}
    assert row["used"] == {"memory": {"samples": 200, "median": 1.99, "p95": 2.89, "max": 2.99}}


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_percentile(samples: list[float], fraction: float) -> None:
    found = usage.percentile(samples, fraction)
    assert found in samples
    assert sum(value <= found for value in samples) >= fraction * len(samples) - 1e-9


async def test_a_database_that_did_not_answer_lifts_no_quarantine(ctx: Context,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    await quarantine.put(ctx, "host", "hole", {"reason": "bad disk"}, "ann")
    with monkeypatch.context() as away:
        away.setattr(AsyncCollection, "find", _away)
        with pytest.raises(AutoReconnect):
            await quarantine.reason_against(ctx, Place("hole", "S"))
    assert "bad disk" in await quarantine.reason_against(ctx, Place("hole", "S"))


def _away(*_: object, **__: object) -> None:
    raise AutoReconnect("away")
