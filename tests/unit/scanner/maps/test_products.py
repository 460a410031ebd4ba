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
from scanner.maps.level_sets import default_levels, level_set
from scanner.maps.posterior import Posterior
from scanner.maps.products import contour_json, contour_text, flat_fits, moc, multiorder_fits, summary
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


@pytest.fixture
def posterior(skymap: SkyMap) -> Posterior:
    return Posterior.of(skymap, default_levels(""))


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
    assert 0 <= np.nanmin(table["DELTA2LLH"]) < 1e-9
    assert (table["PROBDENSITY"][np.isnan(table["DELTA2LLH"])] == 0).all()


def test_multiorder_fits_is_a_table_for_astropy() -> None:
    table = Table.read(io.BytesIO(multiorder_fits(scan())), format="fits")
    assert table.colnames == ["UNIQ", "PROBDENSITY", "DELTA2LLH"]
    assert str(table["PROBDENSITY"].unit) == "1 / sr"


def test_multiorder_fits_has_the_headers_that_readers_want(skymap: SkyMap, posterior: Posterior) -> None:
    header = fits.getheader(io.BytesIO(multiorder_fits(scan())), 1)
    wanted = {"PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "COORDSYS": "C", "INDXSCHM": "EXPLICIT",
              "TTYPE1": "UNIQ", "TFORM1": "K", "TTYPE2": "PROBDENSITY", "TUNIT2": "sr-1",
              "OBJECT": "run00136766.evt000007637140.neutrino", "INSTRUME": "IceCube", "RUNID": 136766,
              "EVENTID": 7637140, "DATE-OBS": "2022-05-24T06:00:00.000000", "MJD-OBS": 59723.25,
              "COMPLETE": True, "LEVELSET": "ic160427a"}
    assert {key: header[key] for key in wanted} == wanted
    assert header["RA"] == skymap.best_fit.ra_deg
    assert header["AREA90"] == posterior.area(0.9)
    assert header["MOCORDER"] == posterior.cells.order.max()
    wilks = fits.getheader(io.BytesIO(multiorder_fits(scan(), "wilks")), 1)
    assert (wilks["LEVELSET"], wilks.comments["LEVELSET"]) == ("wilks", "under-covers")


@pytest.mark.parametrize("levels", ["wilks", "ic160427a"])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_mocpy_finds_the_credible_region_of_the_multiorder_file(tmp_path: Path, skymap: SkyMap, levels: str,
                                                                level: float) -> None:
    path = tmp_path / "map.fits"
    path.write_bytes(multiorder_fits(scan(), levels))
    found = MOC.from_multiordermap_fits_file(str(path), cumul_from=0.0, cumul_to=level)
    header = fits.getheader(path, 1)
    assert found.sky_fraction * healpix.FULL_SKY_DEG2 == pytest.approx(
        header[f"AREA{100 * level:g}"], rel=0.01)
    assert header["AREA90"] == Posterior.of(skymap, level_set(levels)).area(0.9)


@pytest.mark.parametrize("nside", [None, 64, 16, 128])
def test_healpy_reads_the_flat_map(nside: int | None, tmp_path: Path, skymap: SkyMap) -> None:
    path = tmp_path / "flat.fits"
    path.write_bytes(flat_fits(scan(), nside))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # healpy's own use of deprecated names is not under test
        flat = healpy.read_map(path, nest=True, dtype=np.float64)
    found = healpy.npix2nside(len(flat))
    assert found == nside or (nside is None and found >= 64)
    assert flat.sum() == pytest.approx(1, rel=1e-5)
    if nside is None:
        ranked = np.sort(flat)[::-1]
        size = np.searchsorted(np.cumsum(ranked), 0.9) * healpix.pixel_area(found)
        assert size == pytest.approx(fits.getheader(path, 1)["AREA90"], rel=0.01)
    brightest = healpy.pix2ang(found, int(flat.argmax()), nest=True, lonlat=True)
    away = np.linalg.norm(healpix.unit_vectors(*brightest) - healpix.unit_vectors(0.4, -35.0))
    assert np.degrees(away) < 1.1 * np.degrees(healpy.max_pixrad(nside or 64)) + 1


def test_a_flat_map_has_its_limits() -> None:
    with pytest.raises(healpix.HealpixError, match="at most 2048, not 4096"):
        flat_fits(scan(), 4096)
    with pytest.raises(healpix.HealpixError, match="power of two"):
        flat_fits(scan(), 100)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.9]))
def test_moc_is_the_region_and_is_normal(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    tables = {4: nan_rows(np.arange(192)), 16: nan_rows(np.unique(rng.integers(0, 3072, 600)))}
    for table in tables.values():
        table["llh"] = rng.exponential(3, len(table)) * rng.integers(0, 2)
    result = ScanResult(tables, METADATA)
    posterior = Posterior.of(SkyMap.from_results(result.pixels), default_levels(""))
    document = moc(result, level)
    chosen, cells = posterior.inside(level), posterior.cells
    pixels, orders = cells.nested[chosen].astype(np.uint64), cells.order[chosen].astype(np.uint8)
    for same in (MOC.from_json(document), MOC.from_healpix_cells(pixels, orders, max_depth=29)):
        assert {order: sorted(held) for order, held in same.serialize("json").items() if held} == document


def test_contours_close_and_enclose_the_best_fit(skymap: SkyMap, posterior: Posterior) -> None:
    document = json.loads(json.dumps(contour_json(scan(), "ic160427a")))
    assert [region["level"] for region in document["regions"]] == [0.5, 0.9]
    for region in document["regions"]:
        assert region["area_deg2"] == posterior.area(region["level"])
        [ring] = region["rings"]
        assert ring[0] == ring[-1]
        ra = (np.array(ring)[:, 0] + 180) % 360 - 180  # the region crosses RA 0
        assert ra.min() < skymap.best_fit.ra_deg < ra.max()


def test_contour_text_has_a_block_per_ring() -> None:
    text = contour_text(scan(), 0.9)
    head, columns, *rows = text.split("\n\n")[0].splitlines()
    assert head.startswith("# run00136766.evt000007637140.neutrino: 0.9 credible region "
                           "(IC160427A calibration: ic160427a), ")
    assert columns == "# ra_deg dec_deg (ICRS)"
    ring = np.loadtxt(rows)
    assert ring.shape[1] == 2
    assert contour_json(scan())["regions"][1]["rings"][0] == ring.tolist()


def test_summary_says_where_and_how_large(skymap: SkyMap, posterior: Posterior) -> None:
    told = summary(scan())
    assert told["best_fit"]["ra_deg"] == skymap.best_fit.ra_deg
    assert told["area_deg2"] == {f"{level}": posterior.area(level) for level in (0.5, 0.9)}
    assert (told["levels"], told["caution"]) == ("ic160427a", "")
    assert summary(scan(), "wilks")["caution"] == "under-covers"
    assert told["pixels"] == {"8": 768, "64": len(scan().pixels[64])}


def test_no_product_without_a_fit() -> None:
    empty = ScanResult({8: nan_rows(np.arange(768))}, METADATA)
    for make in (multiorder_fits, flat_fits, moc, contour_json, contour_text, summary):
        with pytest.raises(EmptyMapError):
            make(empty)
