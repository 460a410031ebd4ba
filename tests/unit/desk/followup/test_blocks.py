"""A night's schedule: nothing overlaps, and constraints hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from server.desk.followup.blocks import Block, place
from server.desk.observing import nights
from server.desk.observing.nights import Sky, night_of, place_of, sky_of

PALOMAR = {"lat": 33.36, "lon": -116.86, "elevation": 1706.0}
FIRST = datetime(2031, 3, 15, 2)
UP = Block(1, "up", 150.0, 30.0, 3, "ztfr", 600.0)


@pytest.fixture(scope="module")
def sky() -> Sky:
    there = place_of(PALOMAR)
    assert there is not None
    return sky_of(there, FIRST, FIRST + timedelta(hours=12))


def test_the_highest_priority_has_the_best_time(sky: Sky) -> None:
    wanted = [replace(UP, request_id=number, priority=number) for number in (1, 5, 3)]
    placed = place(sky, wanted)
    assert len(placed) == 3
    assert min(placed, key=lambda one: one.airmass).block.request_id == 5
    assert all(one.end <= other.start for one, other in pairwise(placed))
    assert all(one.end - one.start == timedelta(minutes=10) for one in placed)


@pytest.mark.parametrize("change", [
    {"dec": -80.0}, {"ra": 330.0}, {"maximum_airmass": 1.0}, {"last": datetime(2031, 3, 14)},
    {"first": datetime(2031, 3, 16)}, {"exposure_time": 86400.0},
    {"minimum_lunar_distance": 180.0, "first": datetime(2031, 3, 15, 9)}])  # the Moon is up by then
def test_what_cannot_be_observed_is_left_out(sky: Sky, change: dict[str, object]) -> None:
    assert place(sky, [replace(UP, **change)]) == []  # type: ignore[arg-type]


def test_blocks_stay_in_the_dark_and_in_their_window(sky: Sky) -> None:
    first, last = datetime(2031, 3, 15, 6), datetime(2031, 3, 15, 7)
    placed = place(sky, [replace(UP, request_id=number, first=first, last=last) for number in range(10)])
    assert 0 < len(placed) < 10
    assert all(first <= one.start and one.end <= last + nights.STEP for one in placed)
    many = place(sky, [replace(UP, request_id=number) for number in range(200)])
    sun = dict(zip(sky.moments, sky.sun, strict=True))
    assert all(sun[one.start] < -12 for one in many)


def test_rise_and_set() -> None:
    there = place_of(PALOMAR)
    assert there is not None
    night = night_of(there, datetime(2031, 3, 15).date())
    up, never = night.windows([150.0, 150.0], [30.0, -80.0])
    assert never is None
    assert up is not None
    assert up[0] < up[1]
    facts = night.ephemeris()
    assert facts["sunset_utc"] == pytest.approx(datetime(2031, 3, 16, 1, 56), abs=timedelta(minutes=6))
    assert facts["sunrise_utc"] == pytest.approx(datetime(2031, 3, 16, 13, 55), abs=timedelta(minutes=6))
    assert up[0] >= facts["sunset_utc"]
    assert place_of({"lat": None, "lon": 3.0}) is None


def test_the_moon() -> None:
    full, new = nights.moon_phases([datetime(2024, 1, 25, 17, 54), datetime(2024, 1, 11, 11, 57)])
    assert full > 0.99
    assert new < 0.01
    assert nights.moon_phases([]) == []
