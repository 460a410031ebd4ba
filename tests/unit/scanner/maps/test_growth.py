"""Levels grow: finer until the 50 % region has its pixels, wider until no region is cut, not for ever."""

from __future__ import annotations

import numpy as np
import pytest

from scanner.maps import healpix
from scanner.maps.growth import FEWEST_PIXELS, MOST_TIMES, grown_pixels
from scanner.maps.level_sets import default_levels
from scanner.maps.levels import GROWN_NSIDE, Progression, estimate_pixels, first_pixels, next_pixels
from scanner.maps.posterior import Posterior
from scanner.maps.result import nan_rows
from scanner.maps.skymap import SkyMap

RECO = "track_mpe"


def scanned(text: str, width: float) -> dict[int, np.ndarray]:
    """The whole scan of a Gaussian of that width in degrees."""
    progression = Progression.parse(text)
    axis = healpix.unit_vectors(77.7, -12.3)
    tables: dict[int, np.ndarray] = {}
    wanted = {progression.nsides[0]: first_pixels(progression)}
    for _ in range(100):
        for nside, pixels in wanted.items():
            rows = nan_rows(pixels)
            chord = np.linalg.norm(healpix.vectors(nside, pixels) - axis, axis=1)
            away = np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1.0)))
            rows["llh"] = 0.5 * np.square(away / width)
            tables[nside] = np.concatenate([tables[nside], rows]) if nside in tables else rows
        wanted = next_pixels(progression, tables)
        if not wanted and progression.grows:
            wanted = grown_pixels(progression, tables, {n: t["index"] for n, t in tables.items()}, RECO)
        if not wanted:
            return tables
    raise AssertionError("the scan does not end")


@pytest.mark.parametrize("width", [0.05, 0.3, 4.0])
def test_regions_are_whole_and_resolved_at_the_end(width: float) -> None:
    tables = scanned("8:0,64:12,512:24+", width)
    posterior = Posterior.of(SkyMap.from_results(tables), default_levels(RECO))
    assert posterior.limits(0.5) == posterior.limits(0.9) == ()
    finest = healpix.pixel_area(int(posterior.cells.nside[posterior.inside(0.5)].max()))
    assert posterior.area(0.5) >= FEWEST_PIXELS * finest or max(tables) > 512
    for level, threshold in posterior.levels.thresholds.items():
        assert posterior.area(level) == pytest.approx(np.pi * width**2 * threshold, rel=0.03)


def test_a_region_that_stays_a_point_ends_at_the_finest_nside() -> None:
    tables = scanned("8:0,64:12,512:24+", 1e-5)
    assert max(tables) == GROWN_NSIDE
    assert sum(len(table) for nside, table in tables.items() if nside > 512) < 1000


def test_a_map_without_a_structure_costs_no_more_than_may_be() -> None:
    progression = Progression.parse("8:0,64:12,512:24+")
    tables = scanned(str(progression), 1e3)
    assert sum(map(len, tables.values())) <= MOST_TIMES * sum(estimate_pixels(progression).values())


def test_named_levels_are_exact() -> None:
    assert list(scanned("8:0,64:12", 0.05)) == [8, 64]
    assert Progression.parse("8:0,64:12").ladder == (8, 64)
    assert str(Progression.parse("8:0,64:12+")) == "8:0,64:12+"
    assert Progression.parse({"8": 0, "64": 12}).grows is False


def test_nothing_grows_where_no_fit_is_finite() -> None:
    failed = {1: nan_rows(np.arange(12))}
    assert grown_pixels(Progression.parse("1:0+"), failed, {1: np.arange(12)}, RECO) == {}
