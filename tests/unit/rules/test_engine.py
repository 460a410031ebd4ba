"""The engine: once for each rule and row, within limits, whatever crashes where."""

from __future__ import annotations

import asyncio
from datetime import datetime, time, timedelta

import pytest

from iceprod.ids import now
from server.common.errors import BadRequest
from server.rest.context import Context
from server.rules import conditions, decisions, engine, events, firings, preview, rules
from server.rules.conditions import Clause
from tests.support.rules import COLLECTION, Crash, crashing, done, happen, rule

WORD_A = ((Clause("word", among=("a",)),),)


def noon(days: int = 1) -> datetime:
    """A time of tomorrow, or of another day, far from where a day ends: limits are of a day."""
    return datetime.combine(now().date(), time(12)) + timedelta(days=days)


async def soon(ctx: Context) -> None:
    """Leases of who is gone end now."""
    await ctx.db.rule_firings.update_many({"is_done": False}, {"$set": {"lease": now()}})


async def state(ctx: Context, key: str = "test:1") -> list[tuple[str, str]]:
    return sorted((row["row"], row["state"]) for row in await firings.listed(ctx, key, 100))


async def test_fires_once(ctx: Context) -> None:
    await rules.add(ctx, rule(condition=WORD_A))
    await happen(ctx, 1)
    await happen(ctx, 2, "b")
    await engine.run(ctx)
    await engine.run(ctx)
    assert await done(ctx) == ["test:1|test:1"]
    assert await state(ctx) == [("1", "done")]


async def test_rows_before_the_rule_are_left(ctx: Context) -> None:
    await happen(ctx, 1, at=now() - timedelta(minutes=1))
    await rules.add(ctx, rule())
    await engine.run(ctx)
    assert await done(ctx) == []


async def test_a_changed_row_is_judged_again_but_fires_once(ctx: Context) -> None:
    await rules.add(ctx, rule(condition=WORD_A))
    await happen(ctx, 1, "b")
    await engine.run(ctx)
    for word in ("a", "c", "a"):
        change = {"word": word, "modified": now(), "unlogged": True}
        await ctx.db[COLLECTION].update_one({"_id": 1}, {"$set": change})
        await engine.run(ctx)
    assert await done(ctx) == ["test:1|test:1"]


async def test_daily_limit(ctx: Context) -> None:
    await rules.add(ctx, rule(daily_limit=2))
    for number in range(4):
        await happen(ctx, number, at=noon() + timedelta(seconds=number))
    await engine.run(ctx)
    states = [one for _, one in await state(ctx)]
    assert sorted(states) == ["done", "done", "limited", "limited"]
    assert await firings.counted(ctx, "test:1") == 2
    [left] = {row["reason"] for row in await firings.listed(ctx, "test:1", 9) if row["state"] == "limited"}
    assert left == "its limit of 2 a day is reached"
    forgotten = await ctx.db.rule_firings.distinct("state", {"expires": {"$exists": True}})
    assert forgotten == ["limited"], "there may be any number of these; what was done is kept"


async def test_other_groups_are_left_alone(ctx: Context) -> None:
    await rules.add(ctx, rule(group_ids=(1, 2)))
    await happen(ctx, 1, group_ids=[2, 3])
    await happen(ctx, 2, group_ids=[4])
    await engine.run(ctx)
    assert await done(ctx) == ["test:1|test:1"]


async def test_failures_have_reasons(ctx: Context) -> None:
    await rules.add(ctx, rule(settings={"refused": "there is no such filter"}))
    await happen(ctx, 1)
    await engine.run(ctx)
    [row] = await firings.listed(ctx, "test:1", 9)
    assert (row["state"], row["reason"]) == ("failed", "there is no such filter")


async def test_what_is_away_is_tried_again_and_given_up(ctx: Context) -> None:
    await rules.add(ctx, rule(settings={"away": True}))
    await happen(ctx, 1)
    await engine.run(ctx)
    [row] = await firings.listed(ctx, "test:1", 9)
    assert (row["state"], row["reason"], row["is_done"]) == ("due", "nobody answers", False)
    assert row["lease"] > now()
    for _ in range(firings.MOST_TRIES):
        await soon(ctx)
        await engine.run(ctx)
    [row] = await firings.listed(ctx, "test:1", 9)
    assert row["state"] == "failed"
    assert "given up" in row["reason"]


async def test_a_rule_that_goes_does_nothing_more(ctx: Context) -> None:
    await rules.add(ctx, rule())
    await rules.add(ctx, rule(2))
    await happen(ctx, 1)
    await engine.match_all(ctx)
    await rules.remove(ctx, "test:1")
    found = await rules.find(ctx, "test:2")
    assert found is not None
    await rules.change(ctx, found, is_active=False)
    await engine.run(ctx)
    assert await done(ctx) == []
    assert await state(ctx) == await state(ctx, "test:2") == [("1", "skipped")]


async def test_names_are_unique_and_limits_bounded(ctx: Context) -> None:
    await rules.add(ctx, rule())
    with pytest.raises(BadRequest, match="named 'rule 1'"):
        await rules.add(ctx, rule(2, name="rule 1"))
    for limit in (0, 101):
        with pytest.raises(BadRequest, match="daily_limit"):
            await rules.add(ctx, rule(3, daily_limit=limit))
    with pytest.raises(BadRequest, match="none of the facts number, tags, word"):
        await rules.add(ctx, rule(4, condition=((Clause("colour", among=("red",)),),)))


async def work(ctx: Context) -> None:
    """What a server does: two rows come, the engine runs."""
    for number in (1, 2):
        if await ctx.db[COLLECTION].find_one({"_id": number}) is None:
            await happen(ctx, number, at=noon() + timedelta(seconds=number))
    await engine.run(ctx)


@pytest.mark.parametrize("is_before", [False, True])
async def test_a_crash_at_any_write_fires_once(ctx: Context, is_before: bool) -> None:
    steps = 0
    for writes in range(1, 200):
        for name in ("rules", "rule_events", "rule_firings", "test_done", COLLECTION):
            await ctx.db[name].delete_many({})
        await rules.add(ctx, rule(daily_limit=3))
        await rules.add(ctx, rule(2, condition=WORD_A, daily_limit=1))
        try:
            await work(crashing(ctx, writes, is_before=is_before))
        except Crash:
            steps += 1
        else:
            break
        await soon(ctx)
        await work(ctx)
        assert await done(ctx) == ["test:1|test:1", "test:1|test:2", "test:2|test:1"], writes
        assert await state(ctx) == [("1", "done"), ("2", "done")]
        assert await state(ctx, "test:2") == [("1", "done"), ("2", "limited")]
        assert await ctx.db.rule_events.count_documents({"is_matched": False}) == 0
        assert await ctx.db[COLLECTION].count_documents({"unlogged": True}) == 0
    assert steps > 15


async def test_dry_run_is_what_fires(ctx: Context) -> None:
    for number, word in enumerate("aabaab"):
        await happen(ctx, number, word, at=noon(-1) + timedelta(days=-(number % 2), seconds=number))
    one = rule(condition=WORD_A, daily_limit=1)
    seen = await preview.dry_run(ctx, one)
    assert await done(ctx) == []
    await ctx.db.rule_events.update_many({}, {"$set": {"is_matched": False}})
    await rules.add(ctx, one)
    await ctx.db.rules.update_one({"_id": one.key}, {"$set": {"since": now() - timedelta(days=9)}})
    await engine.run(ctx)
    assert await done(ctx) == sorted(decisions.firing_key(one, each.event) for each in seen.fires)
    assert len(seen.fires) == 2
    assert {each.reason for each in seen.decisions if not each.fires} == {
        "word is 'b', not 'a'", "its limit of 1 a day is reached"}


async def test_two_servers_share_a_limit(ctx: Context) -> None:
    """Places of the day are taken in one write each."""
    one = await rules.add(ctx, rule(daily_limit=2))
    told = [events.made("test", number, now(), {"word": "a"}) for number in range(6)]
    await asyncio.gather(*(firings.add(ctx, one, event) for event in told for _ in range(2)))
    states = [row["state"] for row in await firings.listed(ctx, one.key, 20)]
    assert sorted(states) == ["due"] * 2 + ["limited"] * 4


async def test_a_row_that_cannot_be_read_stops_nobody(ctx: Context) -> None:
    await rules.add(ctx, rule())
    await ctx.db[COLLECTION].insert_one({"_id": 0, "unlogged": True})
    await ctx.db[COLLECTION].insert_one({"_id": 1, "word": "a", "number": 1, "tags": [], "modified": now(),
                                         "unlogged": True})
    await engine.run(ctx)
    assert await done(ctx) == ["test:1|test:1"]


def test_patterns() -> None:
    condition = ((Clause("word", like=("a?", "*z")),),)
    assert conditions.why_not(condition, {"word": "AB"}) == ""
    assert conditions.why_not(condition, {"word": "abc"}) == "word is 'abc', not like a? or *z"
    assert conditions.why_not(((Clause("word", like=()),),), {"word": "a"}) == "word is 'a', not like any"
    assert conditions.read([[{"field": "word", "like": ["x*"]}]], ["word"])[0][0].like == ("x*",)


def test_the_first_that_holds() -> None:
    rules = {"b": ((Clause("word", among=("b",)),),), "all": conditions.always, "never": conditions.never}
    choice = decisions.first(rules, {"word": "a"})
    assert (choice.name, choice.passed_over) == ("all", {"b": "word is 'a', not 'b'"})
    assert decisions.first({"never": conditions.never}, {}).reason.startswith("never: it has no condition")


def test_never_and_always() -> None:
    assert conditions.why_not(conditions.never, {}) == "it has no condition, so it never fires"
    assert conditions.why_not(conditions.always, {}) == ""
