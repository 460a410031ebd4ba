"""Tails of running tasks: sent while somebody looks, kept for a lease alone, bounded."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.production.leases import ends, leases
from server.production.leases.leases import Claim
from server.production.records import tails
from server.production.records.tails import Tail
from server.rest.context import Context
from tests.unit.production.conftest import Maker


async def leased(ctx: Context, make: Maker) -> tuple[str, str]:
    """A task that runs: its id and its lease."""
    await make.task(requirements={"cpu": 1})
    (task,) = await leases.claim(ctx, Claim(num=1, offer={"cpu": 1}))
    await ends.start(ctx, task["task_id"], ends.Report(task["instance_id"]))
    return task["task_id"], task["instance_id"]


def sent(task_id: str, text: str = "line\n") -> dict[str, dict[str, Tail]]:
    return tails.read_tails({task_id: {"stdout": {"size": len(text), "text": text}}})


async def test_nobody_is_asked_for_what_nobody_reads(ctx: Context, make: Maker) -> None:
    task_id, instance = await leased(ctx, make)
    assert await tails.watched(ctx, [task_id]) == []
    await tails.keep(ctx, {task_id: instance}, sent(task_id))
    assert await ctx.db.log_tails.count_documents({}) == 0


async def test_who_reads_gets_what_the_pilot_sends(ctx: Context, make: Maker,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "FRESH_SECONDS", -1.0)
    task_id, instance = await leased(ctx, make)
    assert await tails.read(ctx, await make.read(task_id)) == {}
    assert await tails.watched(ctx, ["another", task_id]) == [task_id]
    await tails.keep(ctx, {task_id: instance}, sent(task_id))
    await tails.keep(ctx, {task_id: instance}, sent(task_id, "line\nmore\n"))
    assert await tails.read(ctx, await make.read(task_id)) == {"stdout": Tail(10, "line\nmore\n")}


async def test_only_the_holder_of_the_lease_tells(ctx: Context, make: Maker,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "FRESH_SECONDS", -1.0)
    task_id, instance = await leased(ctx, make)
    await tails.watch(ctx, task_id)
    await tails.keep(ctx, {task_id: "stale"}, sent(task_id, "false\n"))
    await tails.keep(ctx, {}, sent(task_id, "not held\n"))
    assert await tails.read(ctx, await make.read(task_id)) == {}
    await tails.keep(ctx, {task_id: instance}, sent(task_id))
    again = {**await make.read(task_id), "instance_id": "the next lease"}
    assert await tails.read(ctx, again) == {}, "what an attempt printed is not the next one's"


async def test_a_pilot_is_asked_for_a_few_tasks_at_once(ctx: Context) -> None:
    ids = [f"task{number}" for number in range(10)]
    for task_id in ids:
        await tails.watch(ctx, task_id)
    assert len(await tails.watched(ctx, ids)) == tails.MOST_TASKS


async def test_reading_again_and_again_writes_now_and_then(ctx: Context) -> None:
    await tails.watch(ctx, "task")
    before = await ctx.db.watched.find_one({"_id": "task"})
    await tails.watch(ctx, "task")
    assert await ctx.db.watched.find_one({"_id": "task"}) == before


@pytest.mark.parametrize("body", [
    [], {"t": 1}, {"t": {"stdout": {}}}, {"t": {"other": {"size": 1, "text": ""}}},
    {"t": {"stdout": {"size": -1, "text": ""}}}, {"t": {"stdout": {"size": 1 << 70, "text": ""}}},
    {"t": {"stdout": {"size": 9, "text": "x" * (3 * tails.MOST_BYTES + 1)}}},
    {f"t{number}": {} for number in range(tails.MOST_TASKS + 1)}])
def test_bad_tails_are_refused(body: object) -> None:
    with pytest.raises(BadRequest, match="tails: "):
        tails.read_tails(body)


json_values = st.recursive(st.none() | st.booleans() | st.integers(-5, 1 << 80) | st.text(max_size=5),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                               st.sampled_from(["stdout", "stderr", "size", "text", "t"]), inner, max_size=3))


@given(json_values)
def test_whatever_is_sent_is_taken_or_refused(body: object) -> None:
    try:
        found = tails.read_tails(body)
    except BadRequest:
        return
    assert msgspec.to_builtins(found) == body
