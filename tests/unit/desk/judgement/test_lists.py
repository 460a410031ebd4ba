"""Lists that stay as they were: whatever the page size, the pages are the list."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Visitor
from server.desk.common.paging import Page, id_list, page, words
from server.desk.judgement import kept_lists
from server.rest.context import Context

ME, OTHER = Visitor(1, "me"), Visitor(2, "other")


@pytest.mark.parametrize("length", [0, 1, 6, 7, 8, 50])
async def test_pages_are_the_list(ctx: Context, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(kept_lists, "PART", 7)
    names = [f"n{number}" for number in range(length)]
    random.Random(length).shuffle(names)
    kept = await kept_lists.keep(ctx, ME, "question", names, 3)
    for size in (1, 3, 7, 10, 100):
        pages = [await kept_lists.names_of(ctx, kept, Page(number, size))
                 for number in range(1, max(-(-length // size), 1) + 1)]
        assert [name for found in pages for name in found] == names
    assert kept.total == length
    for found in (kept.list_id, None):
        again = await kept_lists.find(ctx, ME, "question", found)
        assert again is not None
        assert (again.list_id, again.total, again.version) == (kept.list_id, length, 3)
    assert await kept_lists.find(ctx, OTHER, "question", kept.list_id) is None
    assert await kept_lists.find(ctx, ME, "another", kept.list_id) is None


async def test_the_newest_list_counts(ctx: Context) -> None:
    await kept_lists.keep(ctx, ME, "q", ["a"], 1)
    newer = await kept_lists.keep(ctx, ME, "q", ["b"], 2)
    found = await kept_lists.find(ctx, ME, "q", None)
    assert found is not None
    assert found.list_id == newer.list_id


def test_when_a_list_is_current() -> None:
    short, long = (kept_lists.KeptList("x", total, 3, now()) for total in (10, kept_lists.LONG + 1))
    assert short.is_current(3)
    assert not short.is_current(4)
    assert long.is_current(4)
    old = replace(long, created_at=now() - timedelta(seconds=kept_lists.LONG_SECONDS + 1))
    assert old.is_current(3)
    assert not old.is_current(4)


def test_pages() -> None:
    assert page("3", "10", default=25, cap=500) == Page(3, 10)
    assert page(None, None, default=25, cap=500) == Page(1, 25)
    assert page("1", "9999", default=25, cap=500).size == 500
    with pytest.raises(BadRequest, match="no larger"):
        page("1", "501", default=25, cap=500, strict=True)
    Page(1, 10).check(0)
    Page(2, 10).check(11)
    with pytest.raises(BadRequest, match="Page number out of range"):
        Page(2, 10).check(10)


def test_lists_in_queries() -> None:
    assert id_list("1, 2,3", "x") == id_list("[1,2,3]", "x") == [1, 2, 3]
    assert id_list("", "x") is None
    assert words(" a, b ,,c ") == ["a", "b", "c"]
    for bad in ("1,", "a", "1;2", "-1", "1.0", "٣"):
        with pytest.raises(BadRequest, match="x"):
            id_list(bad, "x")
