"""A crash at any write, before or after it, loses nothing and tells nothing under two keys."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.notifications import gathering, messages
from server.rest.context import Context
from server.rules import engine
from tests.support.notifications import dataset, rule, run, visit, with_notify
from tests.support.notifications.receivers import Poster, poster
from tests.support.rules import Crash, crashing


@pytest.fixture(autouse=True)
def no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sending.outbox.LEASE", 0.0)  # the next server need not wait for the dead one


def told(receiver: Poster) -> Counter[str]:
    """How many keys told each title, whatever came twice under one key."""
    bodies = {post.headers["idempotency-key"]: json.loads(post.body) for post in receiver.got}
    assert all(json.loads(post.body)["items"] == bodies[post.headers["idempotency-key"]]["items"]
               for post in receiver.got), "one key, two messages"
    return Counter(item["title"] for body in bodies.values() for item in body["items"])


@pytest.mark.parametrize("is_before", [False, True])
async def test_a_crash_at_any_write(ctx: Context, is_before: bool) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,))
        await rule(ctx, await visit(ctx), receiver.url)
        for number in range(1, 40):
            await dataset(ctx)
            with contextlib.suppress(Crash, BaseExceptionGroup):
                await run(crashing(ctx, number, is_before=is_before))
                break
            await run(ctx)
            await run(ctx)
        else:
            pytest.fail("it never ran to its end")
        assert number > 6
        await run(ctx)
        assert told(receiver) == Counter(f"dataset {one} ended in errors" for one in range(1, number + 1))
        assert await ctx.db.notification_notes.count_documents({"parcel": ""}) == 0


async def test_a_crash_between_the_end_and_its_event(ctx: Context) -> None:
    """The write that ends a dataset marks it; whoever comes next finds the mark."""
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,))
        await rule(ctx, await visit(ctx), receiver.url)
        for number in range(1, 5):
            with contextlib.suppress(Crash):
                await dataset(crashing(ctx, number))
        ended = await ctx.db.datasets.count_documents({"status": "errors"})
        await run(ctx)
        assert sum(told(receiver).values()) == ended > 0


async def test_two_servers_at_once_make_one_message(ctx: Context) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,))
        await rule(ctx, await visit(ctx), receiver.url)
        for _ in range(3):
            await dataset(ctx)
        await engine.run(ctx)
        slow: Any = crashing(ctx, 1)  # it dies after the message is written, before its notes are marked
        with pytest.raises(Crash):
            await gathering.gather(slow)
        await dataset(ctx)
        await engine.run(ctx)
        for _ in range(3):
            await gathering.gather(ctx)
            await messages.deliver(ctx)
        assert set(told(receiver).values()) == {1}
        assert sorted(json.loads(post.body)["count"] for post in receiver.got) == [1, 3]


steps = st.lists(st.one_of(
    st.tuples(st.just("happen"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["match", "gather", "send"]), st.integers(0, 6)),  # dies after so many writes
    st.tuples(st.just("refuse"), st.sampled_from([200, 500]))), max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(story=steps)
async def test_any_history_tells_everything_once(ctx: Context, story: list[tuple[str, int]]) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,), tries=1000, messages_per_hour=1000)
        await ctx.db.notification_rules.delete_many({})
        await ctx.db.notification_notes.delete_many({})
        await ctx.db.datasets.delete_many({})
        await rule(ctx, await visit(ctx), receiver.url)
        doing = {"match": engine.run, "gather": gathering.gather, "send": messages.deliver}
        for what, number in story:
            if what == "happen":
                for _ in range(number):
                    await dataset(ctx)
            elif what == "refuse":
                receiver.status = number
            else:
                with contextlib.suppress(Crash, BaseExceptionGroup):
                    await doing[what](crashing(ctx, number) if number else ctx)
        receiver.status = 200
        for _ in range(4):
            await run(ctx)
        happened = await ctx.db.datasets.count_documents({})
        titles = told(receiver)
        assert sum(titles.values()) == len(titles) == happened
