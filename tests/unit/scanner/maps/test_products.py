"""Products, read back by the programs they are made for."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import healpy
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from scanner.maps import healpix
from scanner.maps.products import contour_json, contour_text, flat_fits, moc, multiorder_fits, summary
from scanner.maps.regions import area, inside
from scanner.maps.result import ScanMetadata, ScanResult, nan_rows
from scanner.maps.skymap import EmptyMapError, SkyMap

METADATA = ScanMetadata(136766, 7637140, "neutrino", 59723.25, is_real_event=True)


def bowl(nside: int, pixels: np.ndarray, sharp: float) -> np.ndarray:
    table = nan_rows(pixels)
    centre = healpix.unit_vectors(0.4, -35.0)
    table["llh"] = 900 + sharp * np.square(healpix.vectors(nside, table["index"]) - centre).sum(axis=1)
    return table


def scan(sharp: float = 500.0, pixels: int = 768) -> ScanResult:
    fine = healpix.disc(64, 0.4, -35.0, 6.0)
    tables = {8: bowl(8, np.arange(pixels), sharp), 64: bowl(64, fine, sharp)}
    return ScanResult(tables, METADATA, complete=True)


@pytest.fixture
def skymap() -> SkyMap:
    return SkyMap.from_results(scan().pixels)


@pytest.mark.parametrize("pixels", [768, 500])
def test_multiorder_fits_covers_the_sky_and_holds_all_probability(pixels: int) -> None:
    table = fits.getdata(io.BytesIO(multiorder_fits(scan(pixels=pixels))))
    order, nested = healpix.from_uniq(np.asarray(table["UNIQ"]))
    areas = 4 * np.pi / (12 * 4.0**order)
    assert areas.sum() == pytest.approx(4 * np.pi)
    assert (table["PROBDENSITY"] * areas).sum() == pytest.approx(1)
    assert (np.diff(table["UNIQ"]) > 0).all()
    assert len(np.unique(nested << 2 * (29 - order))) == len(table)
    assert np.isnan(table["DELTA2LLH"]).any() == (pixels < 768)
    assert np.nanmin(table["DELTA2LLH"]) == 0
    assert (table["PROBDENSITY"][np.isnan(table["DELTA2LLH"])] == 0).all()


def test_multiorder_fits_is_a_table_for_astropy() -> None:
    table = Table.read(io.BytesIO(multiorder_fits(scan())), format="fits")
    assert table.colnames == ["UNIQ", "PROBDENSITY", "DELTA2LLH"]
    assert str(table["PROBDENSITY"].unit) == "1 / sr"


def test_multiorder_fits_has_the_headers_that_readers_want(skymap: SkyMap) -> None:
    header = fits.getheader(io.BytesIO(multiorder_fits(scan())), 1)
    wanted = {"PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "COORDSYS": "C", "INDXSCHM": "EXPLICIT",
              "MOCORDER": 6, "TTYPE1": "UNIQ", "TFORM1": "K", "TTYPE2": "PROBDENSITY", "TUNIT2": "sr-1",
              "OBJECT": "run00136766.evt000007637140.neutrino", "INSTRUME": "IceCube", "RUNID": 136766,
              "EVENTID": 7637140, "DATE-OBS": "2022-05-24T06:00:00.000000", "MJD-OBS": 59723.25,
              "COMPLETE": True, "LEVELSET": "wilks"}
    assert {key: header[key] for key in wanted} == wanted
    assert header["RA"] == skymap.best_fit.ra_deg
    assert header["AREA90"] == area(skymap, 0.9)


def test_mocpy_finds_the_credible_region_of_the_multiorder_file(tmp_path: Path, skymap: SkyMap) -> None:
    path = tmp_path / "map.fits"
    path.write_bytes(multiorder_fits(scan()))
    found = MOC.from_multiordermap_fits_file(str(path), cumul_from=0.0, cumul_to=0.9)
    densest = np.argsort(skymap.llh)
    needed = np.searchsorted(np.cumsum(skymap.probability()[densest]), 0.9)
    expected = skymap.area[densest][:needed].sum()
    one_pixel = healpix.pixel_area(64)
    assert found.sky_fraction * healpix.FULL_SKY_DEG2 == pytest.approx(expected, abs=1.5 * one_pixel)


@pytest.mark.parametrize("nside", [None, 64, 16, 128])
def test_healpy_reads_the_flat_map(nside: int | None, tmp_path: Path, skymap: SkyMap) -> None:
    path = tmp_path / "flat.fits"
    path.write_bytes(flat_fits(scan(), nside))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # healpy's own use of deprecated names is not under test
        flat = healpy.read_map(path, nest=True, dtype=np.float64)
    assert len(flat) == healpix.npix(nside or 64)
    assert flat.sum() == pytest.approx(1, rel=1e-5)
    brightest = healpy.pix2ang(nside or 64, int(flat.argmax()), nest=True, lonlat=True)
    away = np.linalg.norm(healpix.unit_vectors(*brightest) - healpix.unit_vectors(0.4, -35.0))
    assert np.degrees(away) < 1.1 * np.degrees(healpy.max_pixrad(nside or 64)) + 1


def test_a_flat_map_has_its_limits() -> None:
    with pytest.raises(healpix.HealpixError, match="at most 2048, not 4096"):
        flat_fits(scan(), 4096)
    with pytest.raises(healpix.HealpixError, match="power of two"):
        flat_fits(scan(), 100)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.9]))
def test_moc_is_the_region_and_is_normal(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    tables = {4: nan_rows(np.arange(192)), 16: nan_rows(np.unique(rng.integers(0, 3072, 600)))}
    for table in tables.values():
        table["llh"] = rng.exponential(3, len(table)) * rng.integers(0, 2)
    result = ScanResult(tables, METADATA)
    skymap = SkyMap.from_results(result.pixels)
    document = moc(result, level)
    chosen = inside(skymap, level)
    pixels, orders = skymap.nested[chosen].astype(np.uint64), skymap.order[chosen].astype(np.uint8)
    for same in (MOC.from_json(document), MOC.from_healpix_cells(pixels, orders, max_depth=29)):
        assert {order: sorted(held) for order, held in same.serialize("json").items() if held} == document


def test_contours_close_and_enclose_the_best_fit(skymap: SkyMap) -> None:
    document = json.loads(json.dumps(contour_json(scan(), "ic160427a")))
    assert [region["level"] for region in document["regions"]] == [0.5, 0.9]
    for region in document["regions"]:
        assert region["area_deg2"] == area(skymap, region["level"], "ic160427a")
        [ring] = region["rings"]
        assert ring[0] == ring[-1]
        ra = (np.array(ring)[:, 0] + 180) % 360 - 180  # the region crosses RA 0
        assert ra.min() < skymap.best_fit.ra_deg < ra.max()


def test_contour_text_has_a_block_per_ring() -> None:
    text = contour_text(scan(), 0.9)
    head, columns, *rows = text.split("\n\n")[0].splitlines()
    assert head.startswith("# run00136766.evt000007637140.neutrino: 0.9 credible region (Wilks: wilks), ")
    assert columns == "# ra_deg dec_deg (ICRS)"
    ring = np.loadtxt(rows)
    assert ring.shape[1] == 2
    assert contour_json(scan())["regions"][1]["rings"][0] == ring.tolist()


def test_summary_says_where_and_how_large(skymap: SkyMap) -> None:
    told = summary(scan())
    assert told["best_fit"]["ra_deg"] == skymap.best_fit.ra_deg
    assert told["area_deg2"] == {f"{level}": area(skymap, level) for level in (0.5, 0.9, 0.9973)}
    assert told["pixels"] == {"8": 768, "64": len(scan().pixels[64])}


def test_no_product_without_a_fit() -> None:
    empty = ScanResult({8: nan_rows(np.arange(768))}, METADATA)
    for make in (multiorder_fits, flat_fits, moc, contour_json, contour_text, summary):
        with pytest.raises(EmptyMapError):
            make(empty)
