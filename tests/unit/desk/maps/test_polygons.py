"""Polygons as sky maps: their area, who is inside, and what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.desk.common.positions import hpix29
from server.desk.maps.polygons import of_polygon, read_polygon
from server.desk.maps.tiles import SkymapError

SQUARE = [[10.0, -1.0], [12.0, -1.0], [12.0, 1.0], [10.0, 1.0]]


def inside(tiles: Any, ra: float, dec: float) -> bool:
    return bool(tiles.rows_at(hpix29(ra, dec)) >= 0)


@pytest.mark.parametrize("given_", [
    SQUARE, SQUARE[::-1], [*SQUARE, SQUARE[0]], "POLYGON ICRS 10 -1 12 -1 12 1 10 1",
    " polygon icrs geocenter 10,-1, 12,-1, 12,1, 10,1 ", "POLYGON 10 -1 12 -1 12 1 10 1",
])  # fmt: skip
def test_a_square(given_: Any) -> None:
    tiles = of_polygon(read_polygon(given_))
    assert tiles.area.sum() == pytest.approx(4.0, rel=0.02)
    assert inside(tiles, 11, 0)
    assert not inside(tiles, 9.9, 0)
    assert tiles.chosen(0.5).sum() == len(tiles), "every place is as probable as any other"


def test_over_the_pole_and_over_ra_0() -> None:
    pole = of_polygon(read_polygon([[0, 85], [90, 85], [180, 85], [270, 85]]))
    assert inside(pole, 123.0, 89.9)
    assert not inside(pole, 45.0, 84.0)
    zero = of_polygon(read_polygon([[359, -1], [1, -1], [1, 1], [359, 1]]))
    assert inside(zero, 0.0, 0.0)
    assert not inside(zero, 180.0, 0.0)
    assert zero.area.sum() == pytest.approx(4.0, rel=0.02)


def test_one_that_is_not_convex() -> None:
    tiles = of_polygon(read_polygon([[10, 0], [14, 0], [14, 4], [12, 1], [10, 4]]))
    assert inside(tiles, 10.3, 2.0)
    assert not inside(tiles, 12.0, 3.0)


def test_an_octant() -> None:
    tiles = of_polygon(read_polygon([[0, 0], [90, 0], [0, 90]]))
    assert tiles.area.sum() == pytest.approx(41252.96 / 8, rel=0.02)


@pytest.mark.parametrize(("given_", "text"), [
    ([], "corners"), (SQUARE[:2], "corners"), ("CIRCLE ICRS 1 2 3", "POLYGON"), (7, "list of corners"),
    ("POLYGON GALACTIC 1 2 3 4 5 6", "frame"), ("POLYGON ICRS 1 2 3", "declination"), ("POLYGON", "corners"),
    ([[1, 2, 3]] * 3, "list of corners"), ([[1, "x"]] * 3, "list of corners"), ([[1, True]] * 3, "list of"),
    ([[361, 0], [1, 0], [2, 2]], "ra must"), ([[1, 91], [1, 0], [2, 2]], "dec in"),
    ([[0, 0]] * 1001, "corners"), ("POLYGON ICRS 1 nan 2 2 3 1", "list of"), ("POLYGON e 1", "no number"),
])  # fmt: skip
def test_what_is_no_polygon(given_: Any, text: str) -> None:
    with pytest.raises(SkymapError, match=text):
        read_polygon(given_)


@pytest.mark.parametrize(("given_", "text"), [
    ([[0, 0], [120, 0], [240, 0]], "within 80"), ([[10, 0], [10, 0], [10, 0]], "narrow"),
    ([[10, 0], [11, 0], [12, 0]], "narrow"), ([[0, 0], [180, 0], [0, 0]], "within 80"),
])  # fmt: skip
def test_what_is_no_region(given_: Any, text: str) -> None:
    with pytest.raises(SkymapError, match=text):
        of_polygon(read_polygon(given_))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 360), st.floats(-90, 90)), min_size=3, max_size=6))
def test_any_corners_are_a_map_or_refused(corners: list[tuple[float, float]]) -> None:
    try:
        tiles = of_polygon(np.array(corners))
    except SkymapError:
        return
    assert tiles.probability.sum() == pytest.approx(1)
