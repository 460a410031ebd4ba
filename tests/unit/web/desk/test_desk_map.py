"""The drawing of the desk's map: where things are, and that nothing in a name becomes markup."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.maps import healpix
from server.desk.maps.skymaps import of_cone
from server.web.desk.desk_map import HEIGHT, WIDTH, Mark, draw, outlines_of
from server.web.desk.graticule import project


@given(st.floats(0, 359.99), st.floats(-90, 90), st.floats(0, 359.99), st.floats(-90, 90))
def test_projection_keeps_distances_from_the_centre(ra0: float, dec0: float, ra: float, dec: float) -> None:
    x, y = project((ra0, dec0), np.array([ra]), np.array([dec]))
    chord = np.linalg.norm(healpix.unit_vectors(ra, dec) - healpix.unit_vectors(ra0, dec0))
    if chord < 1.99:  # the opposite of the centre is the whole rim
        assert math.hypot(float(x[0]), float(y[0])) == pytest.approx(float(chord), abs=1e-6)


def test_north_is_up_and_east_is_left() -> None:
    x, y = project((359.9, 10.0), np.array([0.4, 359.9]), np.array([10.0, 11.0]))
    assert x[0] < 0
    assert y[1] > 0
    assert abs(x[1]) < 1e-12


@pytest.mark.parametrize("place", [(150.0, 2.2), (0.0, 89.9), (359.99, -89.9), (0.01, 0.0)])
def test_the_region_fills_the_map(place: tuple[float, float]) -> None:
    tiles = of_cone(*place, 0.5)
    picture = draw(outlines_of(tiles, [("r90", tiles.chosen(0.9))]))
    points = re.search(r'<polyline class="line r90" points="([^"]+)"', picture)
    assert points
    where = np.array([pair.split(",") for pair in points[1].split()], dtype=float)
    assert (where[:, 0] >= 0).all()
    assert (where[:, 0] <= WIDTH).all()
    size = where[:, 1].max() - where[:, 1].min()
    assert 0.6 * HEIGHT < size < HEIGHT


def test_marks() -> None:
    tiles = of_cone(150.0, 2.2, 0.5)
    marks = [Mark(1, '<b>"&', 150.0, 2.2), Mark(2, "far away", 330.0, -2.2, "good")]
    picture = draw(outlines_of(tiles, [("r90", tiles.chosen(0.9))]), marks)
    assert 'href="#candidate-1"' in picture
    assert 'href="#candidate-2"' not in picture, "what is not on the map has no mark"
    assert "<b>" not in picture
    assert "&lt;b&gt;&quot;&amp;" in picture


def test_a_map_of_the_whole_sky() -> None:
    tiles = of_cone(10.0, 20.0, 60.0)
    picture = draw(outlines_of(tiles, [("r90", tiles.chosen(1.0))]), [Mark(1, "a", 190.0, -20.0)])
    assert "nan" not in picture
    assert picture.count('class="tick inside"') >= 4, "lines are named though none leaves the frame"


def test_an_image_lies_behind_it() -> None:
    drawn = outlines_of(of_cone(150.0, 2.2, 0.5), [])
    assert '<image href="/web/x?a=1&amp;b=2"' in draw(drawn, image="/web/x?a=1&b=2")
    assert "<image" not in draw(drawn)
