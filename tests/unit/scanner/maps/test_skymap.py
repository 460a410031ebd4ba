"""The map of mixed orders against a flat map painted coarse to fine."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.maps.level_sets import LevelSetError, level_set
from scanner.maps.result import nan_rows
from scanner.maps.skymap import EmptyMapError, SkyMap

FLAT = 16


@st.composite
def growing(draw: st.DrawFn) -> dict[int, np.ndarray]:
    """Any pixels of any nsides, some fits failed: what a scan may look like at any moment."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    results = {}
    for order in draw(st.sets(st.integers(0, 4), min_size=1)):
        share = draw(st.sampled_from([0.01, 0.3, 0.9, 1.0]))
        table = nan_rows(np.flatnonzero(rng.random(12 * 4**order) < share))
        table["llh"] = rng.exponential(20, len(table)) + 100
        table["llh"][rng.random(len(table)) < 0.1] = rng.choice([np.nan, np.inf])
        results[1 << order] = table
    return results


def painted(results: dict[int, np.ndarray]) -> np.ndarray:
    flat = np.full(12 * FLAT**2, np.nan)
    for nside in sorted(results):
        for row in results[nside][np.isfinite(results[nside]["llh"])]:
            steps = (FLAT // nside) ** 2
            flat[healpy.ring2nest(nside, row["index"]) * steps + np.arange(steps)] = row["llh"]
    return flat


@settings(max_examples=50)
@given(growing())
def test_every_place_shows_its_finest_fit(results: dict[int, np.ndarray]) -> None:
    flat = painted(results)
    if np.isnan(flat).all():
        with pytest.raises(EmptyMapError):
            SkyMap.from_results(results)
        return
    skymap = SkyMap.from_results(results)
    ra, dec = healpy.pix2ang(FLAT, np.arange(len(flat)), nest=True, lonlat=True)
    delta = 2 * (flat - np.nanmin(flat))
    assert np.allclose(skymap.delta_at(ra, dec), delta, rtol=1e-9, atol=1e-9, equal_nan=True)
    assert np.isclose(skymap.area.sum(), healpy.nside2pixarea(FLAT, degrees=True) * np.isfinite(flat).sum())
    start = skymap.nested << 2 * (4 - skymap.order)
    assert (np.diff(start) > 0).all()
    assert (skymap.nside <= 1 << skymap.order).all()
    back = skymap.rows_at(*skymap.centres)
    assert np.array_equal(back, np.arange(len(skymap)))


@settings(max_examples=30)
@given(growing())
def test_best_fit_is_the_smallest_of_all(results: dict[int, np.ndarray]) -> None:
    fits = np.concatenate([table["llh"][np.isfinite(table["llh"])] for table in results.values()])
    if not len(fits):
        return
    best = SkyMap.from_results(results).best_fit
    assert best.llh == fits.min()
    [row] = results[best.nside][results[best.nside]["index"] == best.pixel]
    assert row["llh"] == best.llh
    assert healpy.ang2pix(best.nside, best.ra_deg, best.dec_deg, lonlat=True) == best.pixel


def test_as_wilks_maps_thresholds_on_each_other() -> None:
    wilks, calibrated = level_set("wilks"), level_set("ic160427a")
    deltas = np.array([0.0, 0.3, 1.39, 4.61, 11.83, 5000.0])
    assert np.allclose(wilks.as_wilks(deltas), deltas)
    assert calibrated.as_wilks(np.array([0.0, 22.2, 64.2])) == pytest.approx([0, 1.39, 4.61])
    assert (np.diff(calibrated.as_wilks(np.linspace(0, 1000, 500))) > 0).all()


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(LevelSetError, match=r"wilks, ic160427a, .*, not 'other'"):
        level_set("other")
    with pytest.raises(LevelSetError, match=r"ic160427a has the levels 0\.5, 0\.9, not 0\.68"):
        level_set("ic160427a").threshold(0.68)
