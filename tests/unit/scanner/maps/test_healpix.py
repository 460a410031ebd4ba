"""HEALPix helpers against healpy, an independent implementation."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.maps import healpix

ORDERS = st.integers(0, 10)


@st.composite
def pixel_arrays(draw: st.DrawFn, orders: st.SearchStrategy[int] = ORDERS) -> tuple[int, np.ndarray]:
    nside = 1 << draw(orders)
    pixels = draw(st.lists(st.integers(0, 12 * nside * nside - 1), min_size=1, max_size=20))
    return nside, np.array(pixels)


@given(pixel_arrays())
def test_indices_and_centres_agree_with_healpy(case: tuple[int, np.ndarray]) -> None:
    nside, pixels = case
    nested = healpix.ring_to_nest(nside, pixels)
    assert np.array_equal(nested, healpy.ring2nest(nside, pixels))
    assert np.array_equal(healpix.nest_to_ring(nside, nested), pixels)
    ra, dec = healpix.centres(nside, pixels)
    lon, lat = healpy.pix2ang(nside, pixels, lonlat=True)
    assert np.allclose(ra, lon, rtol=0, atol=1e-10)
    assert np.allclose(dec, lat, rtol=0, atol=1e-6)  # healpy goes through arccos near the poles
    assert np.array_equal(healpix.pixel_at(nside, ra, dec), pixels)


@given(pixel_arrays(), st.integers(0, 3))
def test_children_and_parents_are_each_others_inverse(case: tuple[int, np.ndarray], deeper: int) -> None:
    nside, pixels = case
    fine = healpix.children(nside, pixels, nside << deeper)
    assert fine.shape == (len(pixels), 4**deeper)
    expected = (healpy.ring2nest(nside, pixels)[:, None] << 2 * deeper) + np.arange(4**deeper)
    assert np.array_equal(fine, healpy.nest2ring(nside << deeper, expected))
    assert (healpix.parents(nside << deeper, fine, nside) == pixels[:, None]).all()


@given(pixel_arrays())
def test_neighbours_agree_with_healpy(case: tuple[int, np.ndarray]) -> None:
    nside, pixels = case
    ours = healpix.neighbours(nside, pixels)
    assert np.array_equal(np.sort(ours, axis=0), np.sort(healpy.get_all_neighbours(nside, pixels), axis=0))


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 2**62)), min_size=1, max_size=20))
def test_uniq_round_trip(cases: list[tuple[int, int]]) -> None:
    order = np.array([case[0] for case in cases])
    nested = np.array([case[1] % (12 << 2 * case[0]) for case in cases])
    back = healpix.from_uniq(healpix.to_uniq(order, nested))
    assert np.array_equal(back[0], order)
    assert np.array_equal(back[1], nested)


def test_uniq_knows_the_last_pixel_of_the_last_order() -> None:
    order, nested = healpix.from_uniq(healpix.to_uniq(29, 12 * 4**29 - 1))
    assert (order, nested) == (29, 12 * 4**29 - 1)


@given(st.integers(0, 5), st.floats(0, 360), st.floats(-90, 90), st.floats(0, 200))
def test_disc_is_every_centre_in_reach(order: int, ra: float, dec: float, radius: float) -> None:
    nside = 1 << order
    every = healpix.centres(nside, np.arange(12 * nside**2))
    away = np.degrees(healpy.rotator.angdist((ra, dec), every, lonlat=True))
    found = healpix.disc(nside, ra, dec, radius)
    assert np.array_equal(found, np.sort(found))
    clearly = 1e-5  # degrees: arccos in the reference is not exact
    assert set(np.flatnonzero(away < radius - clearly)) <= set(found)
    assert set(found) <= set(np.flatnonzero(away < radius + clearly))


@pytest.mark.parametrize("order", range(13))
def test_no_pixel_reaches_further_than_the_disc_search_assumes(order: int) -> None:
    bound = healpix._RADIUS_PER_ROOT_AREA * np.sqrt(healpix.pixel_area(1 << order))
    assert np.degrees(healpy.max_pixrad(1 << order)) < bound


@pytest.mark.parametrize("nside", [0, -1, 3, 12, 1 << 30])
def test_nside_must_be_a_power_of_two(nside: int) -> None:
    with pytest.raises(healpix.HealpixError, match="power of two"):
        healpix.order_of(nside)


def test_pixels_must_exist() -> None:
    with pytest.raises(healpix.HealpixError, match="from 0 to 767"):
        healpix.centres(8, [0, 768])
    with pytest.raises(healpix.HealpixError, match="finer"):
        healpix.children(8, [0], 4)
    with pytest.raises(healpix.HealpixError, match="coarser"):
        healpix.parents(8, [0], 16)
