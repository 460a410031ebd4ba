"""Localizations on a real store: finished scans, maps from outside, regions."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from scanner.maps import healpix
from scanner.maps.level_sets import default_levels
from scanner.maps.result import ScanMetadata, ScanResult
from scanner.maps.skymap import SkyMap
from server.common.errors import BadRequest, NotFound
from server.desk.common import blobs, positions
from server.desk.judgement import scan_maps, selection
from server.desk.maps import localizations, regions
from server.desk.maps.localizations import NewLocalization
from server.desk.maps.skymaps import of_cone
from server.desk.maps.tiles import Tiles, inside
from server.desk.objects import galaxies
from server.desk.objects.galaxy_text import Galaxy
from server.rest.context import Context
from server.scans.results import maps, results
from tests.support.scans import made_up_map

DATEOBS = datetime(2023, 3, 14, 5, 6, 7)
EVENT = ScanMetadata(run_id=7, event_id=11, event_type="neutrino", mjd=60017.25)
MOMENT = "2023-03-14T06:00:00"


async def finished(ctx: Context, scan_id: str, nsides: str = "4:0,16:12",
                   event: ScanMetadata = EVENT) -> ScanResult:
    result = ScanResult(made_up_map(nsides), event, complete=True)
    await results.put(ctx, scan_id, maps.result_text(result), True)
    return result


async def cone(ctx: Context, name: str = "cone", ra: float = 150.0, dec: float = 2.2) -> dict[str, Any]:
    return await localizations.put(ctx, NewLocalization(DATEOBS, name, of_cone(ra, dec, 0.5), 0.0))


async def test_a_finished_scan_becomes_a_localization(ctx: Context) -> None:
    result = await finished(ctx, "scan1")
    await scan_maps.take_in_all(ctx)
    row = await localizations.of_scan(ctx, "scan1")
    assert row is not None
    assert (row["dateobs"], row["name"]) == (datetime.fromisoformat(MOMENT), "scan1")
    skymap = SkyMap.from_results(result.pixels)
    tiles = await localizations.tiles_of(ctx, row)
    assert np.array_equal(tiles.uniq, Tiles.of_scan(skymap, default_levels("")).uniq)
    assert row["levels"] == "ic160427a"
    told, = (c["area_deg2"] for c in row["contours"] if (c["levels"], c["level"]) == ("ic160427a", 0.9))
    assert row["area_90"] == pytest.approx(told, rel=0.01)
    assert {(c["levels"], c["level"]) for c in row["contours"]} >= {("wilks", 0.9), ("ic160427a", 0.9)}
    event = await ctx.db.desk_gcn_events.find_one({"dateobs": row["dateobs"]})
    assert event is not None
    assert "run7.evt11" in event["aliases"]


async def test_a_map_that_cannot_be_taken_in_stops_no_other(
        ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    await finished(ctx, "broken")
    await finished(ctx, "scan1")
    usual = scan_maps.moment_of

    def moment_of(result: ScanResult, moment: float) -> datetime:
        if asked.append(moment) or len(asked) == 1:
            raise OverflowError("a number of others")
        return usual(result, moment)

    asked: list[float] = []
    monkeypatch.setattr(scan_maps, "moment_of", moment_of)
    await scan_maps.take_in_all(ctx)
    assert await localizations.of_scan(ctx, "scan1") is not None
    assert await ctx.db.results.count_documents({"localized": None}) == 0, "and it is not tried for ever"


async def test_taking_in_again_changes_nothing(ctx: Context) -> None:
    await finished(ctx, "scan1")
    await asyncio.gather(*(scan_maps.take_in_all(ctx) for _ in range(4)))
    before = await localizations.of_scan(ctx, "scan1")
    await ctx.db.results.update_many({}, {"$set": {"localized": None}})
    await scan_maps.take_in_all(ctx)
    after = await localizations.of_scan(ctx, "scan1")
    assert before is not None
    assert after == before
    assert await ctx.db.desk_localizations.count_documents({}) == 1
    assert await ctx.db.desk_blobs.count_documents({}) == 1


async def test_a_later_result_replaces_the_map(ctx: Context) -> None:
    await finished(ctx, "scan1", "4:0")
    await scan_maps.take_in_all(ctx)
    first = await localizations.of_scan(ctx, "scan1")
    await finished(ctx, "scan1", "4:0,16:12")
    await scan_maps.take_in_all(ctx)
    second = await localizations.of_scan(ctx, "scan1")
    assert first is not None
    assert second is not None
    assert (first["_id"], first["created_at"]) == (second["_id"], second["created_at"])
    assert second["tiles"] > first["tiles"]
    with pytest.raises(NotFound):
        await blobs.get(ctx, first["blob"])


async def test_a_result_without_a_map_is_looked_at_once(ctx: Context) -> None:
    await results.put(ctx, "strange", b"{}", True)
    await scan_maps.take_in_all(ctx)
    assert await localizations.of_scan(ctx, "strange") is None
    document = await ctx.db.results.find_one({"scan_id": "strange"})
    assert document is not None
    assert document["localized"] is not None


async def test_an_event_without_a_time_counts_from_the_scans_end(ctx: Context) -> None:
    await finished(ctx, "scan1", event=ScanMetadata(run_id=7))
    await scan_maps.take_in_all(ctx)
    row = await localizations.of_scan(ctx, "scan1")
    assert row is not None
    assert row["dateobs"] > datetime(2024, 1, 1)


@pytest.mark.parametrize("cumprob", [0.5, 0.9, 0.95])
async def test_region_of_a_scan_is_that_of_a_second_computation(ctx: Context, cumprob: float) -> None:
    result = await finished(ctx, "scan1")
    await scan_maps.take_in_all(ctx)
    found = await regions.find_region(ctx, MOMENT, "scan1", cumprob)
    tiles = Tiles.of_scan(SkyMap.from_results(result.pixels), default_levels(""))
    total, chosen = 0.0, np.zeros(len(tiles), dtype=bool)
    for row in np.argsort(-tiles.density, kind="stable"):
        chosen[row] = True
        total += tiles.probability[row]
        if total >= cumprob - 1e-9:
            break
    ra, dec = np.random.default_rng(3).uniform([0, -90], [360, 90], (3000, 2)).T
    expected = chosen[tiles.rows_at(positions.hpix29_many(ra, dec))]
    assert 0 < expected.sum() < 3000
    assert np.array_equal(inside(found, positions.hpix29_many(ra, dec)), expected)


async def test_calibrated_region(ctx: Context) -> None:
    result = await finished(ctx, "scan1")
    await scan_maps.take_in_all(ctx)
    skymap = SkyMap.from_results(result.pixels)
    found = await regions.find_region(ctx, MOMENT, "scan1:calibrated", 0.9)
    newest = await regions.find_region(ctx, MOMENT, ":calibrated", 0.9)
    tiles = Tiles.of_scan(skymap, default_levels(""))
    expected = tiles.ranges(tiles.distance["delta2llh"] <= 64.2)
    assert np.array_equal(found, expected)
    assert np.array_equal(newest, expected)


async def test_without_a_name_the_newest_map(ctx: Context) -> None:
    await cone(ctx, "old")
    await cone(ctx, "new", 20.0, 30.0)
    earlier = {"$set": {"created_at": datetime(2000, 1, 1)}}
    await ctx.db.desk_localizations.update_one({"name": "old"}, earlier)
    found = await regions.find_region(ctx, "2023-03-14T05:06:07", None, 0.9)
    assert inside(found, positions.hpix29(20.0, 30.0))
    assert not inside(found, positions.hpix29(150.0, 2.2))


@pytest.mark.parametrize(("dateobs", "name", "cumprob", "reason"), [
    ("2020-01-01", "cone", 0.9, "no localization"), ("2023-03-14T05:06:07", "other", 0.9, "other"),
    ("soon", "cone", 0.9, "localizationDateobs"), ("2023-03-14T05:06:07", "cone", 1.1, "localizationCumprob"),
    ("2023-03-14T05:06:07", "cone", float("nan"), "localizationCumprob"),
    ("2023-03-14T05:06:07", "cone:calibrated", 0.9, "calibrated"),
])  # fmt: skip
async def test_unknown_regions_are_refused(ctx: Context, dateobs: str, name: str, cumprob: float,
                                           reason: str) -> None:
    await cone(ctx)
    with pytest.raises(BadRequest, match=reason):
        await regions.find_region(ctx, dateobs, name, cumprob)


async def test_another_map_of_the_same_name_is_refused(ctx: Context) -> None:
    first = await cone(ctx)
    assert (await cone(ctx))["_id"] == first["_id"]
    with pytest.raises(BadRequest, match="another localization"):
        await cone(ctx, ra=10.0)


async def test_levels_at_a_position(ctx: Context) -> None:
    await cone(ctx, "here")
    await cone(ctx, "there", 300.0, -40.0)
    found = await localizations.levels_at(ctx, positions.hpix29(150.0, 2.2 + 0.5887))
    assert [level["name"] for level in found] == ["here"]
    assert found[0]["credible_level"] == pytest.approx(0.5, abs=0.03)
    assert await localizations.levels_at(ctx, positions.hpix29(40.0, 40.0)) == []


async def test_large_bytes_come_back(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "PART", 1000)
    data = np.random.default_rng(1).bytes(10_500)
    key = await blobs.put(ctx, data)
    assert await blobs.put(ctx, data) == key
    assert await ctx.db.desk_blobs.count_documents({}) == 11
    assert await blobs.get(ctx, key) == data
    await blobs.remove(ctx, key)
    with pytest.raises(NotFound):
        await blobs.get(ctx, key)


def test_cells_cover_the_region() -> None:
    tiles = of_cone(359.99, -89.0, 2.0)
    order, nested = healpix.from_uniq(tiles.uniq)
    cells = set(localizations._cells(order, nested))
    start, end = tiles.spans
    shift = 2 * (healpix.MAX_ORDER - localizations._CELL_ORDER)
    assert {int(pixel) for pixel in np.concatenate([start, end - 1]) >> shift} <= cells


# -- what a scan selects


async def galaxies_at(ctx: Context, places: list[tuple[float, float]], catalog: str = "mine") -> None:
    await galaxies.store(ctx, catalog, [
        Galaxy(name=f"{catalog}{number}", ra=ra, dec=dec, distmpc=float(number + 1))
        for number, (ra, dec) in enumerate(places)])


async def filter_with(ctx: Context, number: int, rule: Any, stream: str = "scans") -> None:
    stream_id = await selection._stream(ctx) if stream == "scans" else 99
    await ctx.db.desk_filters.insert_one({"_id": number, "name": f"f{number}", "group_id": 1,
                                          "stream_id": stream_id, "altdata": rule})


async def test_a_scan_selects_galaxies_inside(ctx: Context) -> None:
    result = await finished(ctx, "scan1")
    tiles = Tiles.of_scan(SkyMap.from_results(result.pixels), default_levels(""))
    ra, dec = np.random.default_rng(5).uniform([0, -90], [360, 90], (300, 2)).T
    await galaxies_at(ctx, list(zip(ra.tolist(), dec.tolist(), strict=True)))
    await filter_with(ctx, 1, {"cumprob": 0.9})
    await filter_with(ctx, 2, {"cumprob": 0.9, "max_distance": 100.0})
    await filter_with(ctx, 3, {"catalog": "other"})
    await filter_with(ctx, 4, {"cumprob": "wrong"})
    await filter_with(ctx, 5, {"cumprob": 0.9}, stream="elsewhere")
    for _ in range(2):  # a crash before the mark repeats all
        await ctx.db.results.update_many({}, {"$set": {"localized": None}})
        await scan_maps.take_in_all(ctx)
    chosen = tiles.chosen(0.9)[tiles.rows_at(positions.hpix29_many(ra, dec))]
    expected = {f"mine{number}" for number in np.flatnonzero(chosen)}
    near = {name for name in expected if int(name[4:]) < 100}
    found: dict[int, set[str]] = {}
    async for row in ctx.db.desk_candidates.find({}):
        found.setdefault(row["filter_id"], set()).add(row["obj_id"])
        assert row["passing_alert_id"] == 7_000_011
    assert near < expected
    assert len(expected) < 300
    assert found == {1: expected, 2: near}
    assert await ctx.db.desk_candidates.count_documents({}) == len(expected) + len(near)
