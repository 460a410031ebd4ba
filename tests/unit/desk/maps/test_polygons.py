"""Polygons on the sky."""

from __future__ import annotations

import math
from typing import Any

import healpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.maps import healpix
from server.desk.common.positions import hpix29_many
from server.desk.maps.polygons import MOST_CORNERS, of_polygon
from server.desk.maps.tiles import SkymapError, Tiles


def holds(tiles: Tiles, ra: Any, dec: Any) -> list[bool]:
    found = tiles.rows_at(hpix29_many(ra, dec)) >= 0
    return [bool(one) for one in found]


def ring(ra: float, dec: float, radius: float, count: int, turn: float = 0.0) -> list[list[float]]:
    """A regular polygon around a place, degrees."""
    angles = np.radians(turn) + np.linspace(0, 2 * np.pi, count, endpoint=False)
    lat, far = np.radians(dec), np.radians(radius)
    corner = np.arcsin(np.sin(lat) * np.cos(far) + np.cos(lat) * np.sin(far) * np.cos(angles))
    east = np.arctan2(np.sin(angles) * np.sin(far) * np.cos(lat), np.cos(far) - np.sin(lat) * np.sin(corner))
    return np.column_stack([(ra + np.degrees(east)) % 360, np.degrees(corner)]).tolist()


def area_of_ring(radius: float, count: int) -> float:
    """Square degrees of a regular polygon on the sphere, by its angles (Girard's theorem)."""
    half = math.atan(1 / (math.cos(math.radians(radius)) * math.tan(math.pi / count)))
    return (2 * half * count - (count - 2) * math.pi) * math.degrees(1) ** 2


@settings(max_examples=15, deadline=None)
@given(ra=st.floats(0, 359.99), dec=st.floats(-90, 90), radius=st.floats(0.01, 60), count=st.integers(3, 12),
       turn=st.floats(0, 360))
def test_area_of_a_regular_polygon_anywhere(ra: float, dec: float, radius: float, count: int,
                                            turn: float) -> None:
    tiles = of_polygon(ring(ra, dec, radius, count, turn))
    assert tiles.area.sum() == pytest.approx(area_of_ring(radius, count), rel=0.01)
    assert tiles.density == pytest.approx(tiles.density[0])
    assert tiles.probability.sum() == pytest.approx(1)
    assert holds(tiles, [ra, (ra + 180) % 360], [dec, -dec]) == [True, False]


def test_an_eighth_of_the_sky() -> None:
    tiles = of_polygon([[0, 0], [90, 0], [0, 90]])
    assert tiles.area.sum() == pytest.approx(healpix.FULL_SKY_DEG2 / 8, rel=2e-3)
    assert holds(tiles, [45, 135, 45], [30, 30, -30]) == [True, False, False]


def test_the_same_as_healpys_for_a_convex_one() -> None:
    corners = [[355.0, -5.0], [10.0, -8.0], [14.0, 4.0], [2.0, 9.0]]
    vectors = healpy.ang2vec(*np.array(corners).T, lonlat=True)
    theirs = np.zeros(healpy.nside2npix(256), dtype=bool)
    theirs[healpy.query_polygon(256, vectors)] = True
    ra, dec = healpy.pix2ang(256, np.arange(len(theirs)), lonlat=True)
    ours = np.array(holds(of_polygon(corners), ra, dec))
    assert (ours != theirs).sum() < 0.005 * theirs.sum()


def test_a_concave_one_and_its_direction() -> None:
    corners = [[10.0, 0.0], [16.0, 0.0], [16.0, 2.0], [12.0, 2.0], [12.0, 6.0], [10.0, 6.0]]
    for way in (corners, corners[::-1], [*corners, corners[0]]):
        tiles = of_polygon(way)
        assert tiles.area.sum() == pytest.approx(20, rel=0.01)
        assert holds(tiles, [11, 15, 11, 14], [1, 1, 5, 4]) == [True, True, True, False]


def test_round_the_pole() -> None:
    tiles = of_polygon([[0, 85], [90, 85], [180, 85], [270, 85]])
    assert holds(tiles, [0, 45, 45], [90, 88, 82]) == [True, True, False]


@pytest.mark.parametrize(("corners", "reason"), [
    ("[[0, 0]]", "list of corners"), ([[0, 0], [1, 0]], "3 to"),
    ([[0, 0], [1, 0], [0, 91]], "list of corners"),
    ([[0, 0], [1, 0], ["a", 1]], "list of corners"), ([[0, 0], [1, 0], [True, 1]], "list of corners"),
    ([[0, 0], [1, 0], [0, math.nan]], "list of corners"), ([[0, 0], [1, 0], [361, 1]], "list of corners"),
    ([[0, 0]] * 5, "different"), ([[0, 0], [120, 0], [240, 0]], "around its middle"),
    ([[0, 0], [90, 0], [180, 0], [270, 1]], "around its middle"),
    ([[0, 0], [10, 0], [5, 0]], "no area"), ([[n % 360, 1] for n in range(MOST_CORNERS + 1)], "3 to"),
    ([[0, 0], [1e-7, 0], [0, 1e-7]], "different"), ([[0, 0], [1e-5, 0], [0, 1e-5]], "around its middle"),
])  # fmt: skip
def test_what_is_no_polygon(corners: Any, reason: str) -> None:
    with pytest.raises(SkymapError, match=reason):
        of_polygon(corners)
