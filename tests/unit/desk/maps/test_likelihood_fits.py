"""Flat maps of 2Δ ln L: their regions are those of the thresholds, whatever the map's shape."""

from __future__ import annotations

import healpy
import numpy as np
import pytest

from scanner.maps import healpix
from server.desk.maps.skymaps import of_fits
from server.desk.maps.tiles import SkymapError
from tests.unit.desk.maps.test_flat_fits import packed

NSIDE = 64
PIXELS = 12 * NSIDE**2


def delta(best: int, scale: float = 3.0) -> np.ndarray:
    """2Δ ln L of each pixel (RING), for a parabola about a pixel; degrees."""
    points = healpix.vectors(NSIDE, np.arange(PIXELS))
    away = np.degrees(np.arccos(np.clip(points @ points[best], -1, 1)))
    return np.asarray((away / scale) ** 2 * 64.2)


@pytest.mark.parametrize(("column", "factor", "offset"), [
    ("2DLLH", 1.0, 0.0), ("2LLH", 1.0, -12345.5), ("LLH", 0.5, 987.25)])
def test_regions_are_those_of_the_thresholds(column: str, factor: float, offset: float) -> None:
    values = delta(4321)
    tiles = of_fits(packed(**{column: factor * values + offset}))
    chosen = healpix.nest_to_ring(NSIDE, healpix.from_uniq(tiles.uniq[tiles.chosen(0.9)])[1])
    assert set(chosen.tolist()) == set(np.flatnonzero(values <= 64.2).tolist())
    half = healpix.nest_to_ring(NSIDE, healpix.from_uniq(tiles.uniq[tiles.chosen(0.5)])[1])
    assert set(half.tolist()) == set(np.flatnonzero(values <= 22.2).tolist())
    assert healpix.pixel_at(NSIDE, *tiles.best) == 4321
    assert tiles.probability.sum() == pytest.approx(1)


@pytest.mark.parametrize("mark", [np.nan, np.inf, -np.inf, healpy.UNSEEN])
def test_pixels_where_the_fit_failed_are_left_out(mark: float) -> None:
    values = delta(4321)
    values[:3000] = mark
    values[4322] = mark
    tiles = of_fits(packed(**{"2DLLH": values}))
    assert healpix.pixel_at(NSIDE, *tiles.best) == 4321
    assert healpix.ring_to_nest(NSIDE, 4322) not in healpix.from_uniq(tiles.uniq)[1]


def test_nothing_is_in_it() -> None:
    with pytest.raises(SkymapError, match="no pixel has a value"):
        of_fits(packed(**{"2DLLH": np.full(PIXELS, np.inf)}))


def test_a_map_of_healpy_nested(tmp_path: object) -> None:
    path = f"{tmp_path}/scan.fits.gz"
    healpy.write_map(path, healpy.reorder(delta(777), r2n=True), nest=True, coord="C", column_names=["2DLLH"],
                     dtype=np.float32)
    with open(path, "rb") as file:
        assert healpix.pixel_at(NSIDE, *of_fits(file.read()).best) == 777


def test_a_flat_likelihood_everywhere() -> None:
    tiles = of_fits(packed(**{"2DLLH": np.zeros(PIXELS)}))
    assert tiles.chosen(0.9).all()
