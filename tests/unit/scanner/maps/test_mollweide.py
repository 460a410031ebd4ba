"""The projection of the whole sky."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.maps import mollweide


@given(st.floats(0, 360), st.floats(-90, 90))
def test_there_and_back(ra: float, dec: float) -> None:
    x, y = mollweide.to_plane(ra, dec)
    assert (x / mollweide.WIDTH) ** 2 + (y / mollweide.HEIGHT) ** 2 <= 1 + 1e-9
    inward = 1 - 1e-9  # the rim itself counts as outside
    back_ra, back_dec = mollweide.from_plane(x * inward, y * inward)
    assert back_dec == pytest.approx(dec, abs=1e-3)
    if abs(dec) < 89:
        assert back_dec == pytest.approx(dec, abs=1e-5)
        assert back_ra == pytest.approx(ra, abs=1e-4)


def test_it_keeps_areas() -> None:
    """The share of the plane below a declination is the share of the sphere."""
    for dec in np.linspace(-89.5, 89.5, 60):
        theta = np.arcsin(mollweide.to_plane(180.0, dec)[1] / mollweide.HEIGHT)
        share = 0.5 + (theta + np.sin(2 * theta) / 2) / np.pi
        assert share == pytest.approx((1 + np.sin(np.radians(dec))) / 2, abs=1e-12)


def test_right_ascension_grows_to_the_left() -> None:
    x, y = mollweide.to_plane([0, 90, 180, 270, 360], 0)
    assert x == pytest.approx(mollweide.WIDTH * np.array([1, 0.5, 0, -0.5, -1]))
    assert y == pytest.approx(0)


def test_outside_the_ellipse_there_is_no_sky() -> None:
    ra, dec = mollweide.from_plane([mollweide.WIDTH, 2.5, 0], [0, 1.3, 1.0])
    assert np.isnan(ra).tolist() == [True, True, False]
    assert np.isnan(dec).tolist() == [True, True, False]


def test_a_path_is_cut_at_right_ascension_zero() -> None:
    ra, dec = mollweide.cut_at_seam(np.array([350.0, 10.0, 20.0, 340.0]), np.array([0.0, 4.0, 5.0, 9.0]))
    assert ra == pytest.approx([350, 360, np.nan, 0, 10, 20, 0, np.nan, 360, 340], nan_ok=True)
    assert dec == pytest.approx([0, 2, np.nan, 2, 4, 5, 7, np.nan, 7, 9], nan_ok=True)
    same = np.array([10.0, 20.0]), np.array([1.0, 2.0])
    assert mollweide.cut_at_seam(*same) == same


def test_a_path_that_ends_on_the_seam_reaches_both_edges() -> None:
    ra, dec = mollweide.cut_at_seam(np.array([355.0, 0.0, 355.0]), np.array([0.0, 1.0, 2.0]))
    assert ra == pytest.approx([355, 360, np.nan, 0, 0, 0, np.nan, 360, 355], nan_ok=True)
    assert dec == pytest.approx([0, 1, np.nan, 1, 1, 1, np.nan, 1, 2], nan_ok=True)
