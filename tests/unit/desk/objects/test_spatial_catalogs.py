"""Places with an extent: tables of them, and what lies in one."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.desk.common.access import Visitor
from server.desk.common.errors import Unauthorized
from server.desk.objects import objs, spatial_catalogs
from server.desk.objects.spatial_text import MOST_ENTRIES, SpatialTextError, read_entries
from server.rest.context import Context

WHO = Visitor(7, "vera", frozenset({"Upload data"}), frozenset({1}))
OTHER = Visitor(8, "eva", frozenset({"Upload data"}), frozenset({1}))
TABLE = ("\ufeffname,ra,dec,amaj,amin,phi,flux\r\n4FGL J0001,10.0,5.0,2.0,0.5,90,1e-9\r\n\r\n"
         "small, 350, -80, 0.1, 0.1, 0, 1")


def test_a_table() -> None:
    found = read_entries(TABLE)
    assert {name: entry.data for name, entry in found.items()} == {
        "4FGL-J0001": {"ra": 10.0, "dec": 5.0, "amaj": 2.0, "amin": 0.5, "phi": 90.0},
        "small": {"ra": 350.0, "dec": -80.0, "amaj": 0.1, "amin": 0.1, "phi": 0.0}}
    assert [entry.about for entry in found.values()] == [{"name": "4FGL J0001"}, {}]
    one, = read_entries("name,ra,dec,radius,class,association\nx,1,2,3,bll, TXS 1 ").values()
    assert (one.data, one.about) == ({"ra": 1.0, "dec": 2.0, "radius": 3.0},
                                     {"class": "bll", "association": "TXS 1"})


@pytest.mark.parametrize(("text", "reason"), [
    ("", "'name' must be there"), ("name,ra,dec\nx,1,1", "'amaj'"),
    ("name,ra,dec,amaj,amin\nx,1,1,1,1", "'phi'"),
    ("name,ra,dec,radius,ra\nx,1,1,1,1", "'ra'"),
    ("name,ra,dec,radius,class,class\nx,1,1,1,1,1", "'class'"), ("name,ra,dec,radius\n", "1 to"),
    ("name,ra,dec,radius\nx,1,1", "line 2: 3 values"), ("name,ra,dec,radius\nx,1,1,0", "line 2: radius must"),
    ("name,ra,dec,radius\nx,1,1,nan", "radius must be a number"),
    ("name,ra,dec,radius\nx,360,1,1", "line 2: ra"),
    ("name,ra,dec,radius\nx,1,91,1", "line 2: ra"), ("name,ra,dec,radius\n,1,1,1", "name must have"),
    ("name,ra,dec,radius\nx y,1,1,1\nx-y,1,1,1", "line 3: the name 'x-y' is there twice"),
    ("name,ra,dec,radius\nx,1,1,61", "radius must"), ('name,ra,dec,radius\n"x,1,1,1', "line"),
])  # fmt: skip
def test_bad_tables(text: str, reason: str) -> None:
    with pytest.raises(SpatialTextError, match=reason):
        read_entries(text)


@given(text=st.text(alphabet='namerdcius,.0159-"\r\n\0 \ufeff', max_size=80))
def test_any_text_is_a_table_or_refused(text: str) -> None:
    for head in ("", "name,ra,dec,radius\n"):
        try:
            found = read_entries(head + text)
        except SpatialTextError:
            continue
        assert 0 < len(found) <= MOST_ENTRIES


async def put(ctx: Context, **places: tuple[float, float]) -> None:
    for name, (ra, dec) in places.items():
        await objs.ensure(ctx, WHO, name, {"ra": ra, "dec": dec})


async def test_what_lies_in_an_entry(ctx: Context) -> None:
    await spatial_catalogs.add(ctx, WHO, "gamma", TABLE)
    await put(ctx, middle=(10.0, 5.0), east=(11.95, 5.0), too_far=(12.05, 5.0), north=(10.0, 5.45),
              too_north=(10.0, 5.55), pole=(350.2, -80.05), nowhere=(200.0, 0.0))
    await objs.ensure(ctx, WHO, "placeless", {})
    found = await spatial_catalogs.objects_in(ctx, "gamma", "4FGL-J0001")
    assert sorted(found) == ["east", "middle", "north"]
    assert await spatial_catalogs.objects_in(ctx, "gamma", "small") == ["pole"]
    for catalog, entry, reason in (("none", "small", "spatialCatalogName"),
                                   ("gamma", "none", "spatialCatalogEntryName")):
        with pytest.raises(BadRequest, match=reason):
            await spatial_catalogs.objects_in(ctx, catalog, entry)


async def test_a_circle_round_the_pole_and_over_the_meridian(ctx: Context) -> None:
    await spatial_catalogs.add(ctx, WHO, "c", "name,ra,dec,radius\npole,0,90,2\nzero,0,0,1\nhuge,180,0,60")
    await put(ctx, a=(123.0, 88.5), b=(123.0, 87.5), left=(359.5, 0.0), right=(0.5, 0.5), far=(1.0, 1.0),
              large=(130.0, 10.0))
    assert await spatial_catalogs.objects_in(ctx, "c", "pole") == ["a"]
    assert sorted(await spatial_catalogs.objects_in(ctx, "c", "zero")) == ["left", "right"]
    assert await spatial_catalogs.objects_in(ctx, "c", "huge") == ["large"]


async def test_the_owner_adds_and_removes(ctx: Context) -> None:
    both = await asyncio.gather(*(spatial_catalogs.add(ctx, WHO, "mine", TABLE) for _ in range(2)))
    assert both[0] == both[1]
    await spatial_catalogs.add(ctx, WHO, "mine", "name,ra,dec,radius\nsmall,1,2,3\nnew,1,2,3")
    rows, total = await spatial_catalogs.entries(ctx, both[0], 1, 1)
    assert ([row["entry_name"] for row in rows], total) == (["new"], 3)
    for change in (spatial_catalogs.add(ctx, OTHER, "mine", TABLE),
                   spatial_catalogs.remove(ctx, OTHER, both[0])):
        with pytest.raises(Unauthorized, match="mine"):
            await change
    assert [row["entries_count"] for row in (await spatial_catalogs.listed(ctx, 0, 10))[0]] == [3]
    await spatial_catalogs.remove(ctx, WHO, both[0])
    assert await spatial_catalogs.listed(ctx, 0, 10) == ([], 0)
    assert await ctx.db.desk_spatial_entries.count_documents({}) == 0
    with pytest.raises(BadRequest, match="no spatial catalog"):
        await spatial_catalogs.remove(ctx, WHO, both[0])
