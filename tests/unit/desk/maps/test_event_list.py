"""The list of events: every event once, in order, however the pages are cut."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.maps import event_list
from server.desk.maps.event_list import Found, Wanted
from server.rest.context import Context

FIRST = datetime(2020, 1, 1)
COUNT = 53


@pytest.fixture
async def filled(ctx: Context) -> Context:
    """Events of 53 days, every third without a map, every fifth with two; areas repeat."""
    events: list[dict[str, Any]] = []
    maps: list[dict[str, Any]] = []
    for number in range(COUNT):
        moment = FIRST + timedelta(days=number)
        events.append({"_id": number + 1, "dateobs": moment, "aliases": [f"IceCube-{number}A"],
                       "tags": ["scan"] if number % 2 else ["gold"]})
        for turn in range(0 if number % 3 == 0 else 2 if number % 5 == 0 else 1):
            maps.append({"_id": len(maps) + 1, "dateobs": moment, "name": f"map {number} {turn}",
                         "area_90": float(number % 7 + 10 * turn),
                         "created_at": now() + timedelta(seconds=turn)})
    await ctx.db.desk_gcn_events.insert_many(events)
    await ctx.db.desk_localizations.insert_many(maps)
    return ctx


async def pages(ctx: Context, most: int, **wanted: Any) -> list[Found]:
    found, after = [], ""
    while True:
        found.append(await event_list.listed(ctx, Wanted(**wanted, after=after), most))
        after = found[-1].next
        if not after:
            return found


async def numbers(ctx: Context, most: int = 7, **wanted: Any) -> list[int]:
    return [row.event["_id"] for page in await pages(ctx, most, **wanted) for row in page.rows]


@pytest.mark.parametrize("most", [1, 7, 53, 100])
async def test_every_event_is_there_once(filled: Context, most: int) -> None:
    assert await numbers(filled, most) == list(range(COUNT, 0, -1))
    assert await numbers(filled, most, sort="oldest") == list(range(1, COUNT + 1))
    assert await numbers(filled, most, sort="added") == list(range(COUNT, 0, -1))


@pytest.mark.parametrize("most", [1, 4, 100])
async def test_the_smallest_areas_first(filled: Context, most: int) -> None:
    rows = [row for page in await pages(filled, most, sort="area") for row in page.rows]
    areas = [row.best["area_90"] for row in rows if row.best]
    assert areas == sorted(areas)
    assert sorted(row.event["_id"] for row in rows) == [
        number + 1 for number in range(COUNT) if number % 3], "those with a map, each once"


async def test_an_event_comes_with_its_newest_map_first(filled: Context) -> None:
    rows = [row for page in await pages(filled, 50) for row in page.rows]
    assert [one["name"] for row in rows if len(row.maps) == 2 for one in row.maps[:1]] == [
        f"map {number} 1" for number in range(COUNT - 1, -1, -1) if number % 5 == 0 and number % 3]


async def test_what_is_wanted(filled: Context) -> None:
    assert await numbers(filled, text="icecube-7a") == [8]
    assert await numbers(filled, text="IceCube-7A") == [8], "a whole name"
    assert await numbers(filled, aliases=("IceCube-9A",), text="what notices call it") == [10]
    assert await numbers(filled, text="GOLD", sort="oldest") == list(range(1, COUNT + 1, 2))
    assert await numbers(filled, origin="scans", sort="oldest") == list(range(2, COUNT + 1, 2))
    small = await numbers(filled, most_area=2.0, sort="oldest")
    assert small == sorted(await numbers(filled, most_area=2.0, sort="area"))
    assert all((number - 1) % 7 <= 2 and (number - 1) % 3 for number in small)
    since, until = FIRST + timedelta(days=3), FIRST + timedelta(days=6)
    for sort in ("newest", "oldest", "added"):
        assert set(await numbers(filled, 2, since=since, until=until, sort=sort)) == {4, 5, 6, 7}
    assert await numbers(filled, text="none of them") == []


async def test_a_page_looks_at_so_many_and_goes_on(filled: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_list, "MOST_EFFORT", 10)
    monkeypatch.setattr(event_list, "AT_ONCE", 10)
    found = await pages(filled, 7, text="ceCube-1a")
    assert len(found) == 6
    assert [row.event["_id"] for page in found for row in page.rows] == [2]
    few = await event_list.listed(filled, Wanted(most_area=0.5), 7)
    assert few.next, "reading maps takes its share"


@pytest.mark.parametrize(("sort", "after"), [
    ("newest", "soon"), ("oldest", "1e9"), ("added", "-1"), ("added", "9" * 30), ("area", "1.0"),
    ("area", "nan:1"), ("area", "x:1"), ("area", "1:x"), ("area", "-1:1")])
async def test_keys_that_are_none(ctx: Context, sort: str, after: str) -> None:
    with pytest.raises(BadRequest, match="after"):
        await event_list.listed(ctx, Wanted(sort=sort, after=after), 5)
