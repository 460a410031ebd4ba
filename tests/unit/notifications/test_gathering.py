"""When notes become messages: as a rule of times, and for a thousand failing datasets."""

from __future__ import annotations

import asyncio
import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.notify import Notify
from server.notifications import gathering, messages, notes
from server.notifications.gathering import HOUR, Standing, due_at
from server.rest.context import Context
from server.rules import engine
from tests.support.notifications import dataset, rule, run, visit, with_notify
from tests.support.notifications.receivers import poster

times = st.floats(0, 1e6)


@given(times, st.just(0.0) | times, st.lists(times, max_size=40), st.integers(1, 30), st.floats(0, 100),
       st.floats(0, 1440))
def test_no_more_than_was_said(oldest: float, last: float, recent: list[float], most: int, gather: float,
                               pause: float) -> None:
    settings = Notify(messages_per_hour=most, gather_seconds=gather)
    recent = sorted(recent)
    due = due_at(Standing(oldest, last, recent), settings, pause)
    assert due is not None
    assert due >= oldest + gather
    assert not last or due >= last + 60 * pause
    within = [one for one in recent if one > due - HOUR]
    assert len(within) < most or within[-most] + HOUR <= due + 1e-6
    assert due_at(Standing(oldest, last, recent, is_on_way=True), settings, pause) is None


def test_the_first_goes_soon() -> None:
    assert due_at(Standing(100.0), Notify(), 60.0) == 105.0


async def test_a_thousand_failing_datasets_are_a_few_messages(ctx: Context) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,), pause_minutes=60.0)
        await rule(ctx, await visit(ctx), receiver.url, pause_minutes=60)
        await dataset(ctx)
        await run(ctx)
        await asyncio.gather(*(dataset(ctx) for _ in range(1000)))
        for _ in range(3):
            await run(ctx)
        assert [json.loads(one.body)["count"] for one in receiver.got] == [1]
        await ctx.db.notification_outbox.update_many({}, {"$inc": {"created": -3600.0}})
        for _ in range(3):
            await run(ctx)
        first, second = [json.loads(one.body) for one in receiver.got]
        assert first["subject"] == "dataset 1 ended in errors"
        assert (second["count"], len(second["items"])) == (1000, 100)
        assert second["subject"] == "1000 datasets ended in errors"


async def test_nobody_gets_more_messages_in_an_hour_than_the_settings_say(ctx: Context) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,), messages_per_hour=3)
        who = await visit(ctx)
        await rule(ctx, who, receiver.url)
        await rule(ctx, who, receiver.url)
        other = await visit(ctx, "bob")
        await rule(ctx, other, receiver.url)
        for _ in range(6):
            await dataset(ctx)
            await run(ctx)
        assert len(receiver.got) == 3
        await dataset(ctx, "bob")
        await run(ctx)
        assert len(receiver.got) == 4, "others have messages of their own"
        await ctx.db.notification_outbox.update_many({}, {"$inc": {"created": -HOUR}})
        await run(ctx)
        told = [json.loads(one.body) for one in receiver.got]
        assert sum(one["count"] for one in told) == 13, "what waited is told in the end"


async def test_while_a_message_is_on_its_way_the_rest_waits(ctx: Context) -> None:
    with poster() as receiver:
        receiver.status = 503
        ctx = with_notify(ctx, hosts=(receiver.host,), retry_seconds=3600.0)
        await rule(ctx, await visit(ctx), receiver.url)
        for _ in range(5):
            await dataset(ctx)
            await run(ctx)
        assert len(receiver.got) == 1
        receiver.status = 200
        await ctx.db.notification_outbox.update_many({}, {"$set": {"due": time.time()}})
        for _ in range(2):
            await run(ctx)
        assert [json.loads(one.body)["count"] for one in receiver.got] == [1, 1, 4]
        keys = [one.headers["idempotency-key"] for one in receiver.got]
        assert keys[0] == keys[1] != keys[2]


async def test_given_up_with_the_reason_and_tried_again_by_hand(ctx: Context) -> None:
    with poster() as receiver:
        receiver.status = 500
        ctx = with_notify(ctx, hosts=(receiver.host,), tries=3)
        await rule(ctx, await visit(ctx), receiver.url)
        await dataset(ctx)
        for _ in range(5):
            await run(ctx)
        one, = await messages.listed(ctx, "ada")
        assert (one["state"], one["tries"], one["outcome"]) == ("dead", 3, "answers HTTP 500")
        assert len(receiver.got) == 3
        receiver.status = 200
        await messages.again(ctx, one["key"], "ada")
        await run(ctx)
        one, = await messages.listed(ctx, "ada")
        assert one["state"] == "sent"
        assert len({post.headers["webhook-id"] for post in receiver.got}) == 1


async def test_pauses_grow(ctx: Context) -> None:
    patience = messages._patience(ctx)
    pauses = [patience.pause(tries) for tries in range(1, patience.tries)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 10.0
    assert pauses[-1] == 3600.0
    assert sum(pauses) > 8 * 3600, "a receiver may be away for a night"


async def test_a_removed_rule_tells_nothing_more(ctx: Context) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,))
        made = await rule(ctx, await visit(ctx), receiver.url)
        await dataset(ctx)
        await engine.run(ctx)
        await gathering.gather(ctx)
        await dataset(ctx)
        await engine.run(ctx)
        await ctx.db.notification_rules.delete_one({"_id": made.rule_id})  # its notes are left
        await run(ctx)
        assert not receiver.got
        one, = await messages.listed(ctx, "ada")
        assert (one["state"], one["outcome"]) == ("dead", "the rule was removed")
        assert await notes.waiting_rules(ctx) == []


@pytest.mark.parametrize("wrong", [
    {"messages_per_hour": 0}, {"tries": 0}, {"gather_seconds": -1}, {"rights_days": 0},
    {"retry_seconds": 1e9},
    {"allowed_recipients": ["x"]}, {"allowed_recipients": ["*@*"]},
    {"allowed_recipients": ["a*@example.org"]},
    {"smtp": {"address": "x"}}, {"smtp": {"sender": "x"}},
    {"smtp": {"address": "x", "sender": "y", "username": "u"}},
    {"smtp": {"address": "x", "sender": "y\r\nBcc: z"}},
    {"smtp": {"address": "x", "sender": "y", "tls": True, "starttls": True}},
])  # fmt: skip
def test_settings_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match="notify"):
        msgspec.convert(wrong, Notify)


@pytest.mark.parametrize("when", ["before it happens", "after"])
async def test_a_rule_that_cannot_be_read_stops_nobody_elses(ctx: Context, when: str) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,))
        broken = await rule(ctx, await visit(ctx), receiver.url, filters={"own": False})
        for name in ("bob", "eve"):
            await rule(ctx, await visit(ctx, name), receiver.url, filters={"own": False})
        if when == "after":
            await dataset(ctx)
            await engine.run(ctx)
        await ctx.db.notification_rules.update_one(
            {"_id": broken.rule_id}, {"$set": {"filters": {"of_a_later_version": 1}}})
        if when != "after":
            await dataset(ctx)
        await run(ctx)
        assert len(receiver.got) == 2
