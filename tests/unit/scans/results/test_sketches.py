"""Sketches of final maps: made once each, again when the map changes, from whatever the event tells."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from scanner.maps import thumbnail
from scanner.maps.result import ScanMetadata
from server.rest.context import Context
from server.scans.manifests import events
from server.scans.manifests.manifests import Manifest
from server.scans.pixels import runs
from server.scans.pixels.runs import Phase, Run
from server.scans.results import files, maps, results, sketches
from tests.support.alerts import Crash, Dying, finish, finished_map
from tests.support.scans import simulated_event

SCAN = "a" * 32


async def scanned(ctx: Context, **changes: Any) -> None:
    event = simulated_event(online=(121.0, 20.0)) | {"truth": {"ra_deg": 119.0, "dec_deg": 20.0}}
    stored = await events.store_event(ctx, event)
    manifest = Manifest(scan_id=SCAN, timestamp=5.0, i3_event_id=stored.i3_event_id)
    await ctx.db.manifests.insert_one(msgspec.to_builtins(manifest))
    await finish(ctx, SCAN, finished_map(**changes))


async def test_a_final_map_is_sketched_once(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    await scanned(ctx)
    assert await sketches.find(ctx, SCAN) is None
    await sketches.sketch_all(ctx)
    made = await sketches.find(ctx, SCAN)
    assert made is not None
    assert made.picture.startswith(b"\x89PNG")
    assert len(made.picture) < 40_000
    assert made.area == made.summary["area_90_deg2"] > 0
    assert made.summary["level_set"] == "calibrated_track_mpe"
    errors = made.summary["errors_90"]
    assert errors["dec_plus"] == pytest.approx(errors["dec_minus"], rel=0.1)
    assert errors["ra_plus"] > errors["dec_plus"], "differences of RA, at a declination of 20°"
    told = {one["kind"]: one for one in made.summary["compared"]}
    assert told["online"]["distance_deg"] == pytest.approx(0.94, abs=0.6)
    assert told["truth"]["within"] == 0.5
    monkeypatch.setattr(sketches, "sketch", None)  # nothing is left to do
    await sketches.sketch_all(ctx)


async def test_another_final_map_is_sketched_again(ctx: Context) -> None:
    await scanned(ctx)
    await sketches.sketch_all(ctx)
    await finish(ctx, SCAN, finished_map(ra=200.0))
    await sketches.sketch_all(ctx)
    made = await sketches.find(ctx, SCAN)
    assert made is not None
    assert abs(made.summary["best_fit"]["ra_deg"] - 200.0) < 2
    assert made.finished == await results.is_final(ctx, SCAN)


@pytest.mark.parametrize("left", [1, 2])
async def test_a_crash_in_between_does_no_harm(ctx: Context, left: int) -> None:
    await scanned(ctx)
    dying: Any = Dying(ctx.db, left)
    with pytest.raises(Crash):
        await sketches.sketch_all(replace(ctx, db=dying))
    await sketches.sketch_all(ctx)
    assert await sketches.find(ctx, SCAN) is not None
    assert await ctx.db.scan_sketches.count_documents({}) == 1


async def test_what_is_no_map_is_passed_over_once(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    await results.put(ctx, SCAN, b'{"nside-1": 5}', True)
    await sketches.sketch_all(ctx)
    assert await sketches.find(ctx, SCAN) is None
    monkeypatch.setattr(sketches, "sketch", None)
    await sketches.sketch_all(ctx)


async def test_an_event_that_cannot_be_read_tells_nothing(ctx: Context) -> None:
    stored = await events.store_event(ctx, {"no": "event"})
    manifest = Manifest(scan_id=SCAN, timestamp=5.0, i3_event_id=stored.i3_event_id)
    await ctx.db.manifests.insert_one(msgspec.to_builtins(manifest))
    await finish(ctx, SCAN, finished_map())
    await sketches.sketch_all(ctx)
    made = await sketches.find(ctx, SCAN)
    assert made is not None
    assert (made.told, made.summary["compared"]) == (None, [])


async def test_pictures_have_what_the_event_tells_in_their_legend(ctx: Context) -> None:
    await scanned(ctx)
    await sketches.sketch_all(ctx)
    for style in ("", "publication"):
        drawn = (await files.make(ctx, SCAN, files.product("zoom.wilks.svg"), style)).content.decode()
        assert "truth" in drawn
        assert "online, OnlineL2_SplineMPE" in drawn
    moc = await files.make(ctx, SCAN, files.product("moc_90.wilks.json"))
    assert json.loads(moc.content)


async def test_a_page_with_a_sketch_reads_no_result(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    from server.scans.api import progress_view

    await scanned(ctx)
    await sketches.sketch_all(ctx)
    monkeypatch.setattr(maps, "latest", None)
    monkeypatch.setattr(results, "read", None)
    view = await progress_view.view(ctx, SCAN)
    assert view["is_final"]
    assert view["errors_90"]["dec_plus"] > 0
    assert view["best_fit"] == (await sketches.find(ctx, SCAN)).summary["best_fit"]  # type: ignore[union-attr]


async def test_a_scan_is_final_when_all_is_told_of_it(ctx: Context) -> None:
    """Between the final map and the run's summary nobody takes the one for the other."""
    from server.scans.api import progress_view

    await scanned(ctx)
    run = Run(scan_id=SCAN, dataset_id="d", i3_event_id="e", event=ScanMetadata(), reco="track_mpe",
              nsides="4:0", threshold=1.0, max_pixel_reco_time=1, memory_gb=1, disk_gb=1, priority=1)
    await ctx.db.scan_runs.insert_one(msgspec.to_builtins(run))
    before = await progress_view.view(ctx, SCAN)
    assert (before["is_final"], before["energy"]) == (False, None)
    summary = {"energy": {"kind": "muon"}}
    await runs.change(ctx, SCAN, {"phase": Phase.RUNNING.value}, phase=Phase.FINAL, summary=summary)
    after = await progress_view.view(ctx, SCAN)
    assert (after["is_final"], after["energy"]) == (True, {"kind": "muon"})
    assert after["version"] > before["version"]


def test_the_small_picture_has_the_size_it_says() -> None:
    import io

    from matplotlib.image import imread

    from scanner.maps.skymap import SkyMap

    drawn = imread(io.BytesIO(thumbnail.thumbnail(SkyMap.from_results(finished_map().pixels))), format="png")
    assert drawn.shape == (thumbnail.HEIGHT, thumbnail.WIDTH, 4)
    assert drawn[0, 0, 3] == 0, "outside of the sky there is nothing"
    assert drawn[60, 120, 3] == 1


async def test_a_map_that_cannot_be_drawn_stops_no_other(
        ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    await finish(ctx, "b" * 32, finished_map(ra=10.0))
    await scanned(ctx)
    usual = sketches.summary_of_map

    def broken(skymap: Any, posterior: Any, told: Any) -> Any:
        if told is None:
            raise OverflowError("a number of others")
        return usual(skymap, posterior, told)

    monkeypatch.setattr(sketches, "summary_of_map", broken)
    await sketches.sketch_all(ctx)
    assert await sketches.find(ctx, SCAN) is not None
    assert await ctx.db.results.count_documents({"sketched": None}) == 0, "and it is not tried for ever"
