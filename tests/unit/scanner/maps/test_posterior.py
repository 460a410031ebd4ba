"""The calibrated posterior: regions as thresholds name them, whatever the map looks like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.maps import healpix
from scanner.maps.level_sets import LEVEL_SETS, LevelSet, default_levels, level_set
from scanner.maps.posterior import EDGE, PIXEL_SIZE, Posterior
from scanner.maps.regions import contours
from scanner.maps.result import nan_rows
from scanner.maps.skymap import SkyMap
from scanner.recos.recos import RECOS

CENTRE = (210.03, -33.01)


def valley(nside: int, pixels: np.ndarray, wide: float, high: float, tilt: float = 0.0,
           centre: tuple[float, float] = CENTRE) -> np.ndarray:
    """Rows with 2Δ ln L a parabola in Lambert's plane: 1 on an ellipse of these half axes (degrees)."""
    axis = healpix.unit_vectors(*centre)
    east = np.cross([0.0, 0.0, 1.0], axis)
    east /= np.linalg.norm(east)
    east = np.cos(tilt) * east + np.sin(tilt) * np.cross(axis, east)
    north = np.cross(axis, east)
    points = healpix.vectors(nside, pixels)
    stretch = np.degrees(np.sqrt(2 / (1 + np.clip(points @ axis, -0.9999, 1))))
    table = nan_rows(pixels)
    table["llh"] = 500 + 0.5 * (np.square(stretch * (points @ east) / wide)
                                + np.square(stretch * (points @ north) / high))
    return table


def smooth_map(nside: int, wide: float, high: float, tilt: float = 0.0,
               centre: tuple[float, float] = CENTRE, reach: float = 6.0) -> SkyMap:
    fine = healpix.disc(nside, *centre, reach)
    return SkyMap.from_results({8: valley(8, np.arange(768), wide, high, tilt, centre),
                                nside: valley(nside, fine, wide, high, tilt, centre)})


def rugged(seed: int) -> SkyMap:
    """Any values on pixels of any nsides, perhaps not the whole sky."""
    rng = np.random.default_rng(seed)
    results = {}
    for order in sorted({int(one) for one in rng.integers(0, 6, rng.integers(1, 4))}):
        pixels = np.flatnonzero(rng.random(12 * 4**order) < rng.choice([0.05, 0.5, 1.0]))
        results[1 << order] = nan_rows(pixels)
        results[1 << order]["llh"] = rng.exponential(rng.choice([1.0, 20.0, 500.0]), len(pixels))
    if not sum(map(len, results.values())):
        results[1] = nan_rows(np.arange(1))
        results[1]["llh"] = 3.0
    return SkyMap.from_results(results)


def ranked_area(posterior: Posterior, level: float) -> float:
    """What another program finds: the densest cells that hold a probability, the last one in part."""
    by_density = np.argsort(-posterior.density)
    return float(np.interp(level, np.cumsum(posterior.probability[by_density]),
                           np.cumsum(posterior.cell_area[by_density])))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(LEVEL_SETS)))
def test_density_falls_and_covers_what_the_map_covers(seed: int, name: str) -> None:
    skymap = rugged(seed)
    posterior = Posterior.of(skymap, level_set(name))
    assert posterior.probability.sum() == pytest.approx(1)
    assert posterior.cell_area.sum() == pytest.approx(skymap.area.sum())
    ranked = posterior.density[np.argsort(posterior.cells.delta, kind="stable")]
    assert (np.diff(ranked) <= 1e-9 * ranked[0]).all()
    start = posterior.cells.nested << 2 * (29 - posterior.cells.order)
    end = (posterior.cells.nested + 1) << 2 * (29 - posterior.cells.order)
    assert (start[1:] >= end[:-1]).all()
    areas = [posterior.area(level) for level in (0.1, 0.5, 0.9, 0.99)]
    assert areas == sorted(areas)
    assert areas[0] >= skymap.area[np.argmin(skymap.llh)] - 1e-12


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(LEVEL_SETS)))
def test_regions_are_those_of_the_thresholds_or_smaller(seed: int, name: str) -> None:
    posterior = Posterior.of(rugged(seed), level_set(name))
    area, delta = posterior.cell_area, posterior.cells.delta
    named = [float(area[delta <= limit].sum()) for limit in posterior.levels.thresholds.values()]
    sizes = np.maximum(np.diff([0.0, *named, area.sum()]), 1e-9)
    shares = np.diff([0.0, *posterior.levels.thresholds, 1.0]) / sizes
    if (np.diff(shares) < 0).all():  # a falling density can hold what the set says
        for level, size in zip(posterior.levels.thresholds, named, strict=True):
            assert posterior.area(level) == pytest.approx(size, rel=1e-6)
            assert ranked_area(posterior, level) == pytest.approx(size, rel=1e-6)


@pytest.mark.parametrize("name", sorted(LEVEL_SETS))
@pytest.mark.parametrize(("wide", "high", "tilt"), [(0.33, 0.33, 0.0), (0.5, 0.2, 0.7), (0.9, 0.6, 2.0)])
@pytest.mark.parametrize("centre", [CENTRE, (0.02, 41.7), (45.0, 89.9)])
def test_areas_between_pixels_are_those_of_the_likelihood(name: str, wide: float, high: float, tilt: float,
                                                          centre: tuple[float, float]) -> None:
    levels = level_set(name)
    scale = np.sqrt(levels.thresholds[0.5] / 1.39)  # some ten to hundred pixels in the 50 % region
    skymap = smooth_map(256, wide / scale, high / scale, tilt, centre)
    posterior = Posterior.of(skymap, levels)
    for level, threshold in levels.thresholds.items():
        above = 2 * (skymap.best_fit.llh - 500)  # 2Δ ln L counts from the best pixel, not from the bottom
        exact = np.pi * wide * high / scale**2 * (threshold + above)  # Lambert's plane keeps areas
        pixels = exact / healpix.pixel_area(256)
        assert posterior.area(level) == pytest.approx(exact, rel=0.02 if pixels > 30 else 0.12)
        assert posterior.limits(level) == ((PIXEL_SIZE,) if pixels < 9 else posterior.limits(level))


@pytest.mark.parametrize("name", sorted(LEVEL_SETS))
def test_contours_enclose_the_area_and_are_smooth(name: str) -> None:
    levels = level_set(name)
    scale = np.sqrt(levels.thresholds[0.5] / 1.39)
    posterior = Posterior.of(smooth_map(256, 0.9 / scale, 0.6 / scale, 0.4), levels)
    for level in levels.thresholds:
        ring, *others = contours(posterior, level)
        assert not others
        ra, z = np.unwrap(np.radians(ring[:, 0])), np.sin(np.radians(ring[:, 1]))
        enclosed = abs(np.sum(np.diff(ra) * (z[1:] + z[:-1]) / 2))
        assert np.degrees(np.degrees(enclosed)) == pytest.approx(posterior.area(level), rel=0.01)


def test_a_single_pixel_between_walls_is_the_region_and_says_so() -> None:
    table = nan_rows(np.arange(12 * 64**2))
    table["llh"] = 1000.0
    table["llh"][777] = 1.0
    posterior = Posterior.of(SkyMap.from_results({64: table}), level_set("wilks"))
    for level in (0.5, 0.9):
        assert posterior.area(level) == pytest.approx(healpix.pixel_area(64))
        assert posterior.limits(level) == (PIXEL_SIZE,)


def test_a_region_that_the_refined_area_cuts_says_so() -> None:
    cut = Posterior.of(smooth_map(64, 3.0, 3.0, reach=4.0), level_set("wilks"))
    whole = Posterior.of(smooth_map(64, 3.0, 3.0, reach=30.0), level_set("wilks"))
    assert EDGE in cut.limits(0.9)
    assert whole.limits(0.5) == whole.limits(0.9) == ()


def test_a_region_at_the_end_of_what_was_scanned_is_cut() -> None:
    fine = healpix.disc(64, CENTRE[0], CENTRE[1], 5.0)
    posterior = Posterior.of(SkyMap.from_results({64: valley(64, fine, 3.0, 3.0)}), level_set("wilks"))
    assert posterior.limits(0.9) == (EDGE,)
    assert Posterior.of(SkyMap.from_results({64: valley(64, fine, 1.0, 1.0)}),
                        level_set("wilks")).limits(0.9) == ()


def test_each_reconstruction_has_one_default_that_fits_it() -> None:
    for reco in RECOS:
        assert sum(reco in one.default_of for one in LEVEL_SETS.values()) <= 1
        assert default_levels(reco).fits(reco)
        assert default_levels(reco).name != "wilks"
    assert default_levels("").name == default_levels("unheard-of").name == "ic160427a"


def test_a_new_set_is_one_entry() -> None:
    new = LevelSet("mine", "Mine", {0.5: 2.0, 0.68: 4.0, 0.9: 9.0})
    skymap = smooth_map(256, 0.5, 0.5)
    posterior, above = Posterior.of(skymap, new), 2 * (skymap.best_fit.llh - 500)
    for level, threshold in new.thresholds.items():
        assert posterior.area(level) == pytest.approx(np.pi * 0.25 * (threshold + above), rel=0.02)
