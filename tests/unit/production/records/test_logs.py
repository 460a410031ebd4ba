"""Logs: packed, shortened, and searched."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest, NotFound
from server.production.records import log_search, log_text, logs
from server.rest.context import Context


@given(st.text())
def test_what_was_packed_comes_back(text: str) -> None:
    assert log_text.unpack(log_text.pack(text)) == text


def test_head_and_tail_of_a_very_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_text, "HEAD", 10)
    monkeypatch.setattr(log_text, "TAIL", 20)
    text = "".join(chr(97 + n % 26) for n in range(100))
    short, left_out = log_text.shortened(text)
    assert (short[:10], short[-20:], left_out) == (text[:10], text[-20:], 70)
    assert "70 characters" in short
    assert log_text.shortened(text[:30]) == (text[:30], 0)


async def test_text_is_stored_compressed(ctx: Context) -> None:
    text = "0123456789é\n" * 200_000
    log_id = await logs.create(ctx, {"data": text, "task_id": "t", "dataset_id": "d", "name": "stdout"})
    stored = await ctx.db.logs.find_one({"log_id": log_id})
    assert stored
    assert len(stored["packed"]) < len(text) / 50
    assert "data" not in stored
    log = await logs.get(ctx, log_id)
    assert (log["data"], set(log)) == (text, {"log_id", "name", "data", "dataset_id", "task_id", "timestamp"})
    assert await logs.get(ctx, log_id, keys={"log_id", "name"}) == {"log_id": log_id, "name": "stdout"}
    assert (await logs.newest_by_name(ctx, {"task_id": "t"}, {"log_id", "data"}))[0]["data"] == text


async def test_what_does_not_fit_one_document_is_joined_again(ctx: Context,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PART", 10_000)
    text = random.Random(1).randbytes(30_000).hex() + " error"
    log_id = await logs.create(ctx, {"data": text, "task_id": "t", "dataset_id": "d"})
    assert await ctx.db.log_parts.count_documents({}) >= 2
    assert (await logs.get(ctx, log_id))["data"] == text
    assert (await logs.find(ctx, {"task_id": "t"}, {"data"}))[0]["data"] == text
    assert await logs.remove_of_task(ctx, "d", "t") == 1
    for collection in (ctx.db.logs, ctx.db.log_parts, ctx.db.log_errors):
        assert await collection.count_documents({}) == 0
    with pytest.raises(NotFound):
        await logs.get(ctx, log_id)


@pytest.mark.parametrize("fields", [{}, {"data": 5}, {"data": "x", "name": []}])
async def test_what_is_no_log(ctx: Context, fields: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        await logs.create(ctx, fields)


def test_lines_that_tell_of_errors() -> None:
    text = "all good\nRuntimeError: frame 17 of /data/x.i3 is bad\nno errors in 5 frames\n" \
           "RuntimeError: frame 99 of /data/y.i3 is bad\ncp: cannot stat '/a/b'\n"
    assert list(log_text.error_lines(text).values()) == [
        "RuntimeError: frame 17 of /data/x.i3 is bad", "cp: cannot stat '/a/b'"]
    many = log_text.error_lines("\n".join(f"error {chr(97 + n % 26) * (n + 1)}" for n in range(100)))
    assert len(many) == log_text.MOST_ERRORS
    assert "error a" in many
    assert "error " + "v" * 100 in many


async def test_the_same_error_in_many_tasks(ctx: Context) -> None:
    for number in range(12):
        for _ in range(2):  # tried twice
            await logs.create(ctx, {
                "data": f"step {number}\nIOError: event {number} of /data/{number}.i3 is broken\n",
                "dataset_id": "d", "task_id": f"t{number:02d}", "name": "stderr"})
    await logs.create(ctx, {"data": "Segmentation fault", "dataset_id": "d", "task_id": "t00",
                            "name": "stdout"})
    await logs.create(ctx, {"data": "IOError: event 1", "dataset_id": "other", "task_id": "x"})
    found = await log_search.errors(ctx, "d")
    assert [(row["count"], row["logs"]) for row in found["errors"]] == [(12, 24), (1, 1)]
    assert found["errors"][0]["error"] == "IOError: event … of … is broken"
    assert len(found["errors"][0]["tasks"]) == 5
    assert found["all"]
    assert [row["example"] for row in (await log_search.errors(ctx, "d", "stdout"))["errors"]] == [
        "Segmentation fault"]


async def test_searching_for_a_text(ctx: Context) -> None:
    for number in range(60):
        await logs.create(ctx, {"data": f"begin\nused {number} GB of Memory\nend", "dataset_id": "d",
                                "task_id": f"t{number}", "name": "stdout"})
    found = await log_search.search(ctx, "d", "gb of memory")
    assert [(row["error"], row["count"]) for row in found["matches"]] == [("used … GB of Memory", 60)]
    assert (found["searched"], found["all"]) == (60, True)
    assert (await log_search.search(ctx, "d", "gb of memory", "stderr"))["searched"] == 0
    assert (await log_search.search(ctx, "d", "nowhere"))["matches"] == []


async def test_a_search_ends_when_it_has_read_enough(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "MOST_TEXT", 5_000)
    for _ in range(30):
        await logs.create(ctx, {"dataset_id": "d", "task_id": "t", "name": "stdout", "data": "x" * 400})
    found = await log_search.search(ctx, "d", "x")
    assert (found["searched"], found["all"]) == (20, False)
