"""Areas and outlines: an outline must hold exactly the pixels of its region, wherever they lie."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as PlanePath

from scanner.maps import healpix
from scanner.maps.regions import outline

DEEPEST = 4


@st.composite
def regions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of mixed order that do not overlap and leave some of the sky free."""
    order, nested = np.zeros(12, dtype=int), np.arange(12)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for _ in range(draw(st.integers(0, DEEPEST))):
        divide = (rng.random(len(order)) < 0.5) & (order < DEEPEST)
        nested = np.concatenate([nested[~divide], (nested[divide][:, None] * 4 + np.arange(4)).ravel()])
        order = np.concatenate([order[~divide], np.repeat(order[divide] + 1, 4)])
    chosen = rng.random(len(order)) < draw(st.sampled_from([0.05, 0.5, 0.95]))
    chosen[int(rng.integers(len(order)))] = False
    return order[chosen], nested[chosen]


def flat(order: np.ndarray, nested: np.ndarray) -> np.ndarray:
    """Which pixels of the deepest order belong to the region."""
    mask = np.zeros(12 * 4**DEEPEST, dtype=bool)
    for depth, index in zip(order, nested, strict=True):
        steps = 4 ** (DEEPEST - depth)
        mask[index * steps:(index + 1) * steps] = True
    return mask


def flattened(vectors: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Stereographic projection that sends the direction ``hidden`` to infinity."""
    first = np.cross(hidden, [0.3, 0.5, 0.7])
    first /= np.linalg.norm(first)
    second = np.cross(hidden, first)
    return np.stack([vectors @ first, vectors @ second], -1) / (1 - vectors @ hidden)[:, None]


def held(rings: list[np.ndarray], hidden: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which points lie inside an odd number of rings, seen from a direction outside the region."""
    odd = np.zeros(len(points), dtype=bool)
    for ring in rings:
        path = PlanePath(flattened(healpix.unit_vectors(ring[:, 0], ring[:, 1]), hidden), closed=False)
        odd ^= path.contains_points(flattened(points, hidden))
    return odd


@settings(max_examples=60)
@given(regions())
def test_outline_holds_exactly_the_pixels(region: tuple[np.ndarray, np.ndarray]) -> None:
    mask = flat(*region)
    rings = outline(*region)
    if not mask.any():
        assert rings == []
        return
    # Centres of finer pixels: their own directions do not fall on any edge of the lattice.
    points = np.stack(healpy.pix2vec(1 << DEEPEST, np.arange(len(mask)), nest=True), -1)
    hidden = points[np.flatnonzero(~mask)[0]] + [1e-4, 2e-4, -1e-4]
    hidden /= np.linalg.norm(hidden)
    found = held(rings, hidden, points)
    found[np.flatnonzero(~mask)[0]] = False  # this one is at infinity
    assert np.array_equal(found, mask)


@settings(max_examples=60)
@given(regions())
def test_rings_are_closed_and_in_range(region: tuple[np.ndarray, np.ndarray]) -> None:
    for ring in outline(*region):
        assert len(ring) >= 5
        assert ring[0] == pytest.approx(ring[-1])
        assert ring[:, 0].min() >= 0
        assert ring[:, 0].max() < 360
        assert np.abs(ring[:, 1]).max() <= 90
        steps = np.linalg.norm(np.diff(healpix.unit_vectors(ring[:, 0], ring[:, 1]), axis=0), axis=1)
        assert np.degrees(steps.max()) < 3.7


def enclosed(ring: np.ndarray) -> float:
    """Solid angle to the left of a ring in square degrees, by Green's theorem; modulo the sphere."""
    ra, z = np.unwrap(np.radians(ring[:, 0])), np.sin(np.radians(ring[:, 1]))
    turn = np.round((ra[-1] - ra[0]) / (2 * np.pi)) * 2 * np.pi
    flux = -np.sum(np.diff(ra) * (z[1:] + z[:-1]) / 2)
    return np.degrees(np.degrees(flux + turn)) % healpix.FULL_SKY_DEG2


@pytest.mark.parametrize(("order", "nested"), [
    ([3, 3], [0, 9]),
    ([0], [4]),  # an equatorial base pixel across right ascension 0
    ([0], [0]),  # with a corner on the north pole
    ([0, 0, 0, 0], [0, 1, 2, 3]),  # the whole northern cap: the pole is inside
    ([0, 0, 0, 0], [8, 9, 10, 11]),
    ([2, 2, 2], [15, 31, 47]),  # three of the four pixels around the north pole
    ([1, 2, 2], [17, 3, 100]),
])
def test_solid_angle_inside_the_rings(order: list[int], nested: list[int]) -> None:
    total = sum(enclosed(ring) for ring in outline(np.array(order), np.array(nested)))
    expected = healpix.FULL_SKY_DEG2 / 12 * sum(4.0**-depth for depth in order)
    assert total % healpix.FULL_SKY_DEG2 == pytest.approx(expected, rel=0.02)


def test_islands_run_counter_clockwise_and_holes_clockwise() -> None:
    block = np.arange(64 * 5, 64 * 6)  # one base pixel at order 3 …
    ringed = np.delete(block, 27)  # … with one pixel missing inside
    [outer, hole] = outline(np.full(63, 3), ringed)
    assert len(outer) == 4 * 8 * 4 + 1
    assert len(hole) == 4 * 4 + 1
    assert enclosed(outer) == pytest.approx(healpix.FULL_SKY_DEG2 / 12, rel=0.01)
    assert enclosed(hole) == pytest.approx(healpix.FULL_SKY_DEG2 * (1 - 1 / 768), rel=0.01)


def test_pixels_that_touch_at_a_corner_stay_apart() -> None:
    assert len(outline(np.array([1, 1]), np.array([16, 19]))) == 2
    assert len(outline(np.array([1, 1, 1]), np.array([16, 17, 19]))) == 1


def test_the_whole_sky_has_no_outline() -> None:
    assert outline(np.zeros(12, dtype=int), np.arange(12)) == []
    assert outline(np.array([], dtype=int), np.array([], dtype=int)) == []


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_a_ring_through_a_pole_has_two_points_there(pole: float) -> None:
    [ring] = outline(np.array([2]), np.array([15 if pole > 0 else 8 * 16]))
    at = ring[ring[:, 1] == pole]
    assert sorted(at[:, 0]) == [0.0, 90.0]
