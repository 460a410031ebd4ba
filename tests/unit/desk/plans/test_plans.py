"""Fields over a map, when they are up, and what they would find."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_sun
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.desk.maps import skymaps
from server.desk.maps.tiles import Tiles
from server.desk.observing.footprints import Field, Footprint, check
from server.desk.plans import payloads, plans, scheduling, simulation, tiling
from server.desk.plans.payloads import EfficiencyPayload, PlanPayload
from server.desk.plans.simulation import Exposure

PALOMAR = {"lat": 33.36, "lon": -116.86, "elevation": 1706.0}
NIGHT = (datetime(2026, 3, 1), datetime(2026, 3, 2))
ZTF = Footprint(7.32, 7.50)


def cone(ra: float = 150.0, dec: float = 2.2, error: float = 1.0) -> Tiles:
    return skymaps.of_ellipse(ra, dec, (error, error, 0.0), None)


def planned(tiles: Tiles, footprint: Footprint, **more: object) -> dict[str, object]:
    wanted: dict[str, Any] = {"filters": "ztfr", **more}
    plan = PlanPayload(start_date="2026-03-01", **wanted)
    return plans.made(tiles, footprint, [], PALOMAR, plan)


@settings(max_examples=12, deadline=None)
@given(st.floats(0, 359.9), st.floats(-89, 89), st.floats(0.2, 1.5), st.floats(1, 5), st.booleans())
def test_samples_are_in_fields(ra: float, dec: float, error: float, size: float, is_round: bool) -> None:
    tiles, footprint = cone(ra, dec, error), Footprint(size, size, is_round)
    samples = tiling.samples_of(tiles, 0.9, size)
    assert samples.probability.sum() == pytest.approx(tiles.probability[tiles.chosen(0.9)].sum(), rel=1e-9)
    found = tiling.tile(samples, tiles.best, footprint)
    if len(found) < tiling.MOST_TILES:
        assert sum(one.probability for one in found) == pytest.approx(samples.probability.sum(), rel=1e-9)
        inside = np.zeros(len(samples.ra), bool)
        larger = Footprint(1.05 * size, 1.05 * size, is_round)  # fields lie on a sphere, not on a plane
        for one in found:
            inside |= tiling.held(samples.ra, samples.dec, np.array(one.ra), np.array(one.dec), larger)
        assert samples.probability[inside].sum() > 0.98 * samples.probability.sum()


def test_the_fewest_fields_hold_the_probability() -> None:
    told = planned(cone(), Footprint(1, 1), integrated_probability=50)
    shares = [one["probability"] for one in told["tiles"]]  # type: ignore[attr-defined]
    assert 0.5 <= sum(shares) < 0.5 + shares[-1]
    assert len(shares) < 12  # the 50 % region of this map has 4.4 deg²


def test_one_large_field_is_enough() -> None:
    told = planned(cone(error=0.5), ZTF)
    assert len(told["tiles"]) == len(told["observations"]) == 1  # type: ignore[arg-type]


def test_fixed_fields_are_used() -> None:
    fields = [Field(7, 149.5, 2.2), Field(8, 150.5, 2.2), Field(9, 20.0, 2.2)]
    samples = tiling.samples_of(cone(error=0.3), 0.9, 1.0)
    found = tiling.tile(samples, (150.0, 2.2), Footprint(1, 1), fields)
    assert {one.number for one in found} == {7, 8}
    assert sum(one.probability for one in found) <= samples.probability.sum() + 1e-9


@pytest.mark.parametrize("kind", ["greedy", "greedy_slew", "airmass_weighted"])
@pytest.mark.parametrize("strategy", ["block", "integrated"])
def test_exposures_are_in_the_dark_and_high_enough(kind: str, strategy: str) -> None:
    told = planned(cone(error=2.0), Footprint(2, 2), filters="ztfg,ztfr", schedule_type=kind,
                   filter_strategy=strategy, maximum_airmass=1.8)
    place = EarthLocation.from_geodetic(PALOMAR["lon"], PALOMAR["lat"], PALOMAR["elevation"] * units.m)
    rows: list[dict[str, object]] = told["observations"]  # type: ignore[assignment]
    times = Time([row["obstime"] for row in rows])
    frame = AltAz(obstime=times, location=place)
    assert get_sun(times).transform_to(frame).alt.deg.max() < scheduling.DARK + 1.5  # a step is five minutes
    sky = SkyCoord([row["ra"] for row in rows], [row["dec"] for row in rows], unit="deg").transform_to(frame)
    assert (1 / np.sin(sky.alt.rad)).max() < 1.9
    starts = [row["obstime"] for row in rows]
    assert all(later - earlier >= timedelta(seconds=330)  # type: ignore[operator]
               for earlier, later in pairwise(starts))
    by_field: dict[object, list[dict[str, object]]] = {}
    for row in rows:
        by_field.setdefault(row["field_id"], []).append(row)
    for each in by_field.values():
        assert [row["filt"] for row in each] == ["ztfg", "ztfr"][:len(each)]
        assert all(b["obstime"] - a["obstime"] >= timedelta(minutes=30)  # type: ignore[operator]
                   for a, b in pairwise(each))


def test_what_is_never_up_is_not_observed() -> None:
    told = planned(cone(dec=-80.0), ZTF)
    assert told["observations"] == []
    assert told["statistics"]["probability"] == 0  # type: ignore[index]


def test_from_space_all_is_up() -> None:
    plan = PlanPayload(filters="ztfr", start_date="2026-03-01")
    told = plans.made(cone(dec=-80.0), Footprint(1, 1), [], {"fixed_location": False}, plan)
    assert told["observations"][0]["airmass"] is None
    assert told["statistics"]["unallocated_fields"] == 0


def test_a_map_of_the_whole_sky_is_tiled_within_limits() -> None:
    whole = Tiles.checked(np.arange(4, 16), np.ones(12), {})
    told = planned(whole, Footprint(0.5, 0.5))
    assert len(told["tiles"]) == tiling.MOST_TILES  # type: ignore[arg-type]


# -- efficiency


def exposures(footprint: Footprint, limit: float, ra: float = 150.0, hours: float = 12.0) -> list[Exposure]:
    return [Exposure(ra, 2.2, datetime(2026, 3, 1) + timedelta(hours=hours), "ztfr", limit)]


def test_deep_enough_finds_all_that_is_covered() -> None:
    found = simulation.simulate(cone(error=0.3), datetime(2026, 3, 1), exposures(ZTF, 25.0), ZTF,
                                EfficiencyPayload(), 1)
    assert (found.simulated, found.covered, found.detected) == (1000, 1000, 1000)
    assert found.interval == pytest.approx((0.999, 1.0), abs=1e-3)


def test_half_of_the_field_finds_half() -> None:
    beside = exposures(ZTF, 25.0, ra=150.0 + ZTF.width / 2)
    found = simulation.simulate(cone(error=0.3), datetime(2026, 3, 1), beside, ZTF,
                                EfficiencyPayload(numberInjections=5000), 1)
    assert found.efficiency == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("changes", "limit"), [
    ({}, 18.0), ({"optionalInjectionParameters": {"distance": 5000.0}}, 21.0),
    ({"numberDetections": 2}, 25.0),
    ({"minimumPhase": 1.0}, 25.0), ({"optionalInjectionParameters": {"mag0": -8.0}}, 21.0),
    ({"detectionThreshold": 50.0}, 19.5)])
def test_too_faint_too_early_or_too_seldom_finds_nothing(changes: dict[str, object], limit: float) -> None:
    wanted = payloads.read_efficiency(changes)
    found = simulation.simulate(cone(error=0.3), datetime(2026, 3, 1), exposures(ZTF, limit), ZTF, wanted, 1)
    assert (found.covered, found.detected) == (1000, 0)


def test_before_the_event_there_is_nothing() -> None:
    found = simulation.simulate(cone(error=0.3), datetime(2026, 3, 2), exposures(ZTF, 25.0), ZTF,
                                EfficiencyPayload(), 1)
    assert found.detected == 0


def test_the_same_seed_finds_the_same() -> None:
    first, second = (simulation.simulate(cone(), datetime(2026, 3, 1), exposures(Footprint(1, 1), 20.0), ZTF,
                                         EfficiencyPayload(), 7) for _ in range(2))
    assert first == second


def test_distances_follow_the_map() -> None:
    tiles = cone(error=0.3)
    with_distance = Tiles(tiles.uniq, tiles.density, {
        "distmu": np.full(len(tiles), 200.0), "distsigma": np.full(len(tiles), 20.0),
        "distnorm": np.full(len(tiles), 1.0)})
    found = simulation.simulate(with_distance, datetime(2026, 3, 1), exposures(ZTF, 25.0), ZTF,
                                EfficiencyPayload(), 1)
    distances = [one["distance_mpc"] for one in found.sources]
    assert np.mean(distances) == pytest.approx(204, abs=5)  # r² draws them outwards by 2σ²/µ
    assert np.std(distances) == pytest.approx(20, abs=3)


def test_limits_follow_the_exposure() -> None:
    instrument = {"sensitivity_data": {"ztfr": {"limiting_magnitude": 20.0, "exposure_time": 30}}}
    assert simulation.limiting_magnitude(instrument, "ztfr", 3000) == pytest.approx(22.5)
    assert simulation.limiting_magnitude({}, "ztfr", 30) == 20.5


# -- what is refused


@pytest.mark.parametrize("instrument", [
    {"field_fov_type": "circle", "field_fov_attributes": [1, 2]}, {"field_fov_type": "rectangle"},
    {"field_fov_type": "circle", "field_fov_attributes": 0},
    {"field_fov_type": "circle", "field_fov_attributes": 99},
    {"field_data": {"ID": [1], "RA": [1]}}, {"field_data": {"ID": [1], "RA": [1], "Dec": [99]}},
    {"field_data": {"ID": ["x"], "RA": [1], "Dec": [9]}}, {"field_data": {"ID": 1, "RA": 1, "Dec": 9}}])
def test_bad_fields(instrument: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match="field_"):
        check(instrument)


@pytest.mark.parametrize("payload", [
    None, [], {}, {"filters": ""}, {"filters": ","}, {"filters": "ztfr", "exposure_time": 0},
    {"filters": "ztfr", "maximum_airmass": float("nan")}, {"filters": "ztfr", "schedule_strategy": "galaxy"},
    {"filters": "sdssu"}, {"filters": "ztfr", "colour": 1}, {"filters": ",".join(["ztfr"] * 11)}])
def test_bad_payloads(payload: object) -> None:
    with pytest.raises(BadRequest, match="payload"):
        payloads.read_plan(payload, {"filters": ["ztfr"], "api_classname_obsplan": "ZTFMMAAPI"})


@pytest.mark.parametrize("payload", [
    [], {"modelName": "x"}, {"numberInjections": 0}, {"numberInjections": 10**6},
    {"optionalInjectionParameters": {"mass": 1}}, {"optionalInjectionParameters": {"distance": 0}}])
def test_bad_efficiencies(payload: object) -> None:
    with pytest.raises(BadRequest, match="payload"):
        payloads.read_efficiency(payload)
