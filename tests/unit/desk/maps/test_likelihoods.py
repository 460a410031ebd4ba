"""Maps of 2Δ ln L, written as IceCube's alerts are."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import healpy
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from scanner.maps import healpix
from server.desk.maps import flat_fits, likelihoods
from server.desk.maps.skymaps import level_set_in, of_fits
from server.desk.maps.tiles import SkymapError, Tiles

WILKS = "50%(90%) uncertainty location => Change in 2LLH based on Wilks theorem"
CALIBRATED = "50%(90%) uncertainty location => Change in 2LLH of 22.2(64.2)"
RA, DEC = 83.25, -5.5


def values(nside: int, sigma: float, pixels: Any = None) -> np.ndarray:
    """2Δ ln L of a Gaussian."""
    lon, lat = healpy.pix2ang(nside, np.arange(12 * nside**2) if pixels is None else pixels, lonlat=True)
    away = healpy.rotator.angdist([RA, DEC], np.array([lon, lat]), lonlat=True)
    found: np.ndarray = (np.degrees(away) / sigma) ** 2
    return found


def alert(path: Path, skymap: np.ndarray, comments: str | None, column: str = "2DLLH", **more: Any
          ) -> bytes:
    """A file as skyreader writes it."""
    header = [("RUNID", 127852), ("EVENTID", 67093193), ("SENDER", "IceCube Collaboration"),
              ("EventMJD", 57505.24481), ("I3TYPE", "gold", "Alert Type"), ("RA", RA, "Degree"),
              ("RA_ERR_PLUS", 0.5, "90% containment error high")]
    if comments is not None:
        header.append(("COMMENTS", comments))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)  # names as long as in the real ones
        healpy.write_map(path / "map.fits.gz", skymap, coord="C", column_names=[column], extra_header=header,
                         overwrite=True, **more)
    return (path / "map.fits.gz").read_bytes()


def area(tiles: Tiles, level: float) -> float:
    return float(tiles.area[tiles.chosen(level)].sum())


@pytest.mark.parametrize("column", ["2DLLH", "2LLH"])
@pytest.mark.parametrize(("comments", "name", "half", "most"), [
    (WILKS, "wilks", 1.39, 4.61), (CALIBRATED, "ic160427a", 22.2, 64.2), (None, "ic160427a", 22.2, 64.2),
    ("50%(90%) => Change in 2LLH of 10.0 (30.5)", "2LLH 10.0 (30.5)", 10.0, 30.5)])
def test_regions_end_where_the_file_says(tmp_path: Path, column: str, comments: str | None, name: str,
                                         half: float, most: float) -> None:
    sigma = 4.0 / np.sqrt(most)
    data = alert(tmp_path, values(128, sigma), comments, column)
    tiles = of_fits(data)
    assert level_set_in(data) == name
    assert tiles.has_delta
    assert tiles.best == pytest.approx((RA, DEC), abs=0.3)
    for level, threshold in ((0.5, half), (0.9, most)):
        expected = np.pi * threshold * sigma**2
        assert area(tiles, level) == pytest.approx(expected, rel=0.05, abs=0.6)
        inside = tiles.area[tiles.chosen_by_delta(threshold)].sum()
        assert inside == pytest.approx(expected, rel=0.05, abs=0.6)


def test_pixels_without_a_fit_and_a_best_fit_above_zero(tmp_path: Path) -> None:
    clean = values(64, 3.0)
    holes = clean + 5.0
    holes[::97], holes[1::97], holes[2::97] = np.nan, np.inf, healpy.UNSEEN
    data = alert(tmp_path, holes, WILKS, dtype=np.float64)
    tiles = of_fits(data)
    assert tiles.distance["delta2llh"].min() == 0
    assert np.isfinite(tiles.density).all()
    assert tiles.area.sum() == pytest.approx(healpix.FULL_SKY_DEG2 * 94 / 97, rel=1e-3)
    assert area(tiles, 0.9) == pytest.approx(np.pi * 4.61 * 9, rel=0.1)


def test_coarse_parts_of_a_scan_become_its_pixels_again(tmp_path: Path) -> None:
    coarse, fine = values(8, 2.0), values(128, 2.0)
    near = fine < 20
    shown = np.where(near, fine, healpy.ud_grade(coarse, 128))
    tiles = of_fits(alert(tmp_path, shown, WILKS, dtype=np.float64))
    order, _ = healpix.from_uniq(tiles.uniq)
    assert set(order.tolist()) >= {3, 7}
    assert len(tiles) < 0.05 * len(shown)
    assert tiles.area.sum() == pytest.approx(healpix.FULL_SKY_DEG2)
    whole = of_fits(alert(tmp_path, fine, WILKS, dtype=np.float64))
    assert area(tiles, 0.9) == pytest.approx(area(whole, 0.9), rel=1e-3)


def test_the_densest_parts_of_a_large_map_keep_their_pixels(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skymap = np.full(12 * 1024**2, healpy.UNSEEN, dtype=np.float32)
    disc = healpy.query_disc(1024, healpy.ang2vec(RA, DEC, lonlat=True), np.radians(12))
    skymap[disc] = values(1024, 0.5, disc)
    data = alert(tmp_path, skymap, CALIBRATED, dtype=np.float32, partial=True)
    whole = of_fits(data)
    assert len(whole) == pytest.approx(len(disc), rel=0.01)
    monkeypatch.setattr(flat_fits, "MOST_PIXELS", 20_000)
    fewer = of_fits(data)
    assert len(fewer) < 30_000
    assert fewer.area.sum() == pytest.approx(whole.area.sum(), rel=0.02)
    for level in (0.5, 0.9):
        assert area(fewer, level) == pytest.approx(area(whole, level), rel=0.02)


def multiorder(column: str, numbers: np.ndarray, **columns: np.ndarray) -> bytes:
    table = fits.BinTableHDU.from_columns(
        [fits.Column("UNIQ", "K", array=numbers),
         *(fits.Column(name or column, "D", array=array) for name, array in columns.items())])
    table.columns.change_name("value", column)
    table.header["COMMENTS"] = WILKS
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    return file.getvalue()


def test_multiorder_likelihoods(tmp_path: Path) -> None:
    flat = of_fits(alert(tmp_path, values(64, 3.0), WILKS, dtype=np.float64))
    pixels = np.arange(12 * 64**2)
    delta = values(64, 3.0, healpy.nest2ring(64, pixels))
    numbers = healpix.to_uniq(6, pixels)
    mixed = np.random.default_rng(1).permutation(len(numbers))
    found = of_fits(multiorder("2DLLH", numbers[mixed], value=delta[mixed]))
    assert area(found, 0.9) == pytest.approx(area(flat, 0.9))
    delta[delta > 30] = np.nan
    assert area(of_fits(multiorder("2DLLH", numbers, value=delta)), 0.9) == pytest.approx(area(flat, 0.9))
    for bad, reason in ((np.array([16, 16, 64]), "overlap"), (np.array([1, 17, 18]), "UNIQ")):
        with pytest.raises(SkymapError, match=reason):
            of_fits(multiorder("2DLLH", bad, value=np.array([0.0, 1.0, 2.0])))


@pytest.mark.parametrize("column", ["PROBABILITY DENSITY [deg-2]", "PROBDENSITY", "PROB DENSITY [pix-1]"])
def test_multiorder_densities_with_pixels_that_nobody_scanned(column: str) -> None:
    numbers = healpix.to_uniq(2, np.arange(10))
    density = np.array([1.0, 3.0, *[np.nan] * 8])
    tiles = of_fits(multiorder(column, numbers, value=density))
    assert tiles.probability == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize("comments", ["Change in 2LLH of 64.2(22.2)", "Change in 2LLH of 0.0(1.0)",
                                      "Change in 2LLH of 1.2.3(5)"])
def test_thresholds_that_cannot_be(tmp_path: Path, comments: str) -> None:
    with pytest.raises(SkymapError, match="COMMENTS"):
        of_fits(alert(tmp_path, values(8, 3.0), comments))


def test_a_map_without_any_value(tmp_path: Path) -> None:
    with pytest.raises(SkymapError, match="no pixel"):
        of_fits(alert(tmp_path, np.full(768, np.nan), WILKS))


def test_siblings_are_merged_where_all_four_are_there_and_equal() -> None:
    nested = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19])
    same = np.array([7.0] * 16 + [1.0] * 3)
    order, numbers, found = likelihoods.siblings_merged(3, nested, same)
    assert sorted(zip(order.tolist(), numbers.tolist(), found.tolist(), strict=True)) == [
        (1, 0, 7.0), (3, 17, 1.0), (3, 18, 1.0), (3, 19, 1.0)]
    order, numbers, _ = likelihoods.siblings_merged(3, np.arange(4), np.array([1.0, 1.0, 1.0, 2.0]))
    assert order.tolist() == [3] * 4
    assert numbers.tolist() == [0, 1, 2, 3]
