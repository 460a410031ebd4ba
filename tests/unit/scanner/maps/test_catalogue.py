"""Every product by its name, and what other programs find in it."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import healpy
import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.table import QTable
from jsonschema import Draft202012Validator
from mocpy import MOC

from scanner.maps import healpix
from scanner.maps.catalogue import CATALOGUE, FORMATS, UnknownProduct, find_product, products_for
from scanner.maps.energy import EventEnergy, NeutrinoEnergy
from scanner.maps.level_sets import LEVEL_SETS, LevelSetError
from scanner.maps.posterior import Posterior
from scanner.maps.result import Method, ScanMetadata, ScanResult, nan_rows
from scanner.maps.skymap import EmptyMapError, SkyMap
from tests.support import gcn_schema

METADATA = ScanMetadata(136766, 7637140, "neutrino", 59723.25, is_real_event=True)
STARTS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "fits": b"SIMPLE  =", "npz": b"PK"}


def gaussian(nside: int, pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Rows of a bell of that width in degrees."""
    table = nan_rows(pixels)
    away = np.linalg.norm(healpix.vectors(nside, pixels) - healpix.unit_vectors(179.5, 21.0), axis=1)
    table["llh"] = 700 + 0.5 * np.square(np.degrees(2 * np.arcsin(away / 2)) / sigma)
    return table


def stretched(result: ScanResult, levels: str) -> ScanResult:
    """The same bell on the scale of a level set: its density is a Gaussian's, its thresholds the set's."""
    shared = [level for level in LEVEL_SETS[levels].thresholds if level in (0.5, 0.9)]
    wilks = [0.0, *(LEVEL_SETS["wilks"].thresholds[level] for level in shared), 1e6]
    theirs = [0.0, *(LEVEL_SETS[levels].thresholds[level] for level in shared)]
    slope = (theirs[2] - theirs[1]) / (wilks[2] - wilks[1])
    tables = {nside: table.copy() for nside, table in result.pixels.items()}
    best = min(float(table["llh"].min()) for table in tables.values())
    for table in tables.values():
        table["llh"] = best + 0.5 * np.interp(
            2 * (table["llh"] - best), wilks, [*theirs, theirs[2] + slope * (1e6 - wilks[2])])
    return ScanResult(tables, result.metadata, result.complete, Method("", LEVEL_SETS[levels].reco))


def scan(sigma: float = 2.0, complete: bool = True) -> ScanResult:
    """Coarse everywhere, fine where it matters; the 90 % region crosses RA 180."""
    fine = healpix.disc(256, 179.5, 21.0, 6 * sigma)
    tables = {8: gaussian(8, np.arange(768), sigma), 256: gaussian(256, fine, sigma)}
    return ScanResult(tables, METADATA, complete=complete)


def read_flat(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # healpy's own use of deprecated names is not under test
        return np.asarray(healpy.read_map(path, nest=True, dtype=np.float64))


def smallest_area(probability: np.ndarray, areas: np.ndarray, level: float) -> float:
    """The area of the densest pixels that hold a probability."""
    densest = np.argsort(-probability / areas)
    needed = np.searchsorted(np.cumsum(probability[densest]), level) + 1
    return float(areas[densest][:needed].sum())


@pytest.mark.parametrize("as_calibrated", [True, False])
@pytest.mark.parametrize("levels", LEVEL_SETS)
def test_astropy_mocpy_and_healpy_agree_on_the_90_percent_area(levels: str, as_calibrated: bool,
                                                               tmp_path: Path) -> None:
    plain = replace(scan(3.0), method=Method("", LEVEL_SETS[levels].reco))
    result = stretched(plain, levels) if as_calibrated else plain
    wanted = Posterior.of(SkyMap.from_results(result.pixels), LEVEL_SETS[levels]).area(0.9)
    paths = {name: tmp_path / name for name in (
        f"multiorder.{levels}.fits", f"flat.{levels}.fits", f"moc_90.{levels}.fits", f"moc_90.{levels}.json")}
    for name, path in paths.items():
        path.write_bytes(CATALOGUE[name].make(result))
    multiorder, flat, moc_fits, moc_json = paths.values()

    table = QTable.read(multiorder)
    order, _ = healpix.from_uniq(np.asarray(table["UNIQ"]))
    areas = (4 * np.pi / (12 * 4.0**order) * units.sr).to(units.deg**2)
    probability = (table["PROBDENSITY"] * areas).to_value(units.dimensionless_unscaled)
    by_astropy = smallest_area(probability, areas.value, 0.9)

    whole_sky = healpix.FULL_SKY_DEG2
    by_mocpy = MOC.from_multiordermap_fits_file(
        str(multiorder), cumul_from=0.0, cumul_to=0.9).sky_fraction * whole_sky
    pixels = read_flat(flat)
    by_healpy = smallest_area(pixels, np.full(len(pixels), healpy.nside2pixarea(
        healpy.npix2nside(len(pixels)), degrees=True)), 0.9)
    regions = [MOC.from_fits(str(moc_fits)), MOC.from_json(json.loads(moc_json.read_text()))]
    by_region = [region.sky_fraction * whole_sky for region in regions]
    header = fits.getheader(multiorder, 1)
    for found in (by_astropy, by_mocpy, by_healpy, *by_region, header["AREA90"]):
        assert found == pytest.approx(wanted, rel=0.01)


def test_every_name_says_its_level_set_and_every_file_that_can_does() -> None:
    for name, product in CATALOGUE.items():
        if product.levels is None:
            continue
        result = replace(scan(), method=Method("", LEVEL_SETS[product.levels].reco))
        assert f".{product.levels}." in name
        if product.form in ("png", "pdf", "svg"):
            continue  # checked below, one by one: drawing takes a second
        content = product.make(result)
        if product.media_type == "application/json" and not name.startswith("moc"):
            assert json.loads(content)["levels"] == product.levels
        elif name.endswith(".fits"):
            assert fits.getheader(io.BytesIO(content), 1)["LEVELSET"] == product.levels
        elif name.endswith(".txt"):
            assert f": {product.levels})".encode() in content.splitlines()[0]


@pytest.mark.parametrize(("name", "date"), [
    ("multiorder.wilks.fits", b"'2024-02-29T12:30:15'"), ("flat.wilks.fits", b"'2024-02-29T12:30:15'"),
    ("moc_50.wilks.fits", b"'2024-02-29T12:30:15'"), ("gcn.wilks.json", b'"2024-02-29T12:30:15Z"'),
    ("zoom.wilks.svg", b"2024-02-29T12:30:15"), ("zoom.wilks.pdf", b"(D:20240229123015")])
def test_equal_maps_of_one_date_are_equal_files(name: str, date: bytes) -> None:
    """Several servers make them, each for itself."""
    result = replace(scan(), made=datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC))
    content = CATALOGUE[name].make(result)
    assert date in content
    assert CATALOGUE[name].make(replace(result)) == content


@pytest.mark.parametrize("name", ["sky.wilks.png", "zoom.ic160427a.svg", "sky.wilks.pdf", "result.npz",
                                  "flat.wilks.fits"])
def test_files_are_what_their_names_say(name: str) -> None:
    content = CATALOGUE[name].make(scan(complete=False))
    assert content.startswith(STARTS[name.rpartition(".")[2]])


def test_geojson_is_cut_where_it_crosses_180() -> None:
    document = json.loads(CATALOGUE["contours.wilks.geojson"].make(scan()))
    assert document["type"] == "FeatureCollection"
    for feature in document["features"]:
        assert feature["properties"]["levels"] == "wilks"
        lines = feature["geometry"]["coordinates"]
        assert len(lines) >= 2
        for line in lines:
            longitude = np.array(line)[:, 0]
            assert len(line) > 1
            assert np.abs(longitude).max() <= 180
            assert np.abs(np.diff(longitude)).max() < 10


def test_gcn_says_where_how_large_and_by_which_set() -> None:
    result = scan()
    for levels in LEVEL_SETS:
        fitting = replace(result, method=Method("", LEVEL_SETS[levels].reco))
        told = json.loads(CATALOGUE[f"gcn.{levels}.json"].make(fitting))
        Draft202012Validator(gcn_schema.ALERT).validate(told)
        assert told["levels"] == levels
        size = Posterior.of(SkyMap.from_results(result.pixels), LEVEL_SETS[levels]).area(0.9)
        circle = 2 * np.pi * (1 - np.cos(np.radians(told["ra_dec_error"]))) * np.degrees(1) ** 2
        assert circle == pytest.approx(size, rel=1e-3)
        assert told["trigger_time"] == "2022-05-24T06:00:00.000000Z"
        assert (told["containment_probability"], told["alert_tense"]) == (0.9, "current")
        assert told["systematic_included"] is LEVEL_SETS[levels].systematics


def test_every_file_that_can_says_which_reconstruction_computed() -> None:
    result = replace(scan(), method=Method("splinempe", "track_mpe"))
    for product in products_for("track_mpe"):
        name = product.name
        if product.form in ("png", "pdf", "svg", "moc") and not name.endswith(".fits"):
            continue
        content = product.make(result)
        if name.endswith(".fits"):
            header = fits.getheader(io.BytesIO(content), 1)
            assert (header["RECO"], header["RECOALGO"]) == ("track_mpe", "splinempe")
        elif name.endswith(".txt"):
            assert b"# reconstruction track_mpe for splinempe" in content.splitlines()
        elif name == "result.npz":
            assert ScanResult.from_npz(io.BytesIO(content)).method == result.method
        elif name == "result.json":
            assert ScanResult.from_json(json.loads(content)).method == result.method
        else:
            told = json.loads(content)
            assert (told["reconstruction"], told["reco_algo"]) == ("track_mpe", "splinempe")


ENERGIES = {
    "track": EventEnergy("muon", 6e4, 3.6e4, 1.01e5, NeutrinoEnergy(1.2e5, 5e4, 2e6, 2.19)),
    "cascade": EventEnergy("shower", 4100.0, 3485.0, 4715.0),
    "millipede": EventEnergy("losses", 2.6e4)}
CARDS = {"ENERGY": "gev", "ENERGYLO": "low_gev", "ENERGYHI": "high_gev"}
NEUTRINO_CARDS = {"NUENERGY": "gev", "NUENLO": "low_gev", "NUENHI": "high_gev", "NUINDEX": "spectrum"}


@pytest.mark.parametrize("reco", ENERGIES)
def test_every_file_that_names_the_event_says_its_energy_with_errors(reco: str) -> None:
    energy = ENERGIES[reco]
    result = replace(scan(), method=Method("", reco), energy=energy)
    for product in products_for(reco):
        name = product.name
        if product.form in ("png", "pdf", "svg", "moc") and not name.endswith(".fits"):
            continue
        content = product.make(result)
        if name.endswith(".fits"):
            check_cards(fits.getheader(io.BytesIO(content), 1), energy)
        elif name.endswith(".txt"):
            assert f"# energy {energy}".encode() in content.splitlines()
        elif name == "result.npz":
            assert ScanResult.from_npz(io.BytesIO(content)).energy == energy
        elif name == "result.json":
            assert ScanResult.from_json(json.loads(content)).energy == energy
        elif product.form == "gcn":
            told = json.loads(content)
            Draft202012Validator(gcn_schema.ALERT).validate(told)
            assert told["event_energy"] == energy.document()
            assert told["additional_info"].endswith(f"; energy: {energy}")
        else:
            assert json.loads(content)["energy"] == energy.document()


def check_cards(header: fits.Header, energy: EventEnergy) -> None:
    """A header has each number that is known, with its unit, and no other."""
    assert header["ENKIND"] == energy.kind
    wanted = {card: getattr(energy, name) for card, name in CARDS.items()}
    wanted |= {card: getattr(energy.neutrino, name, None) for card, name in NEUTRINO_CARDS.items()}
    assert {card: header.get(card) for card in wanted} == wanted
    assert all("GeV" in header.comments[card] for card in wanted if card in header and card != "NUINDEX")


def test_a_picture_says_the_energy() -> None:
    result = replace(scan(), method=Method("", "cascade"), energy=ENERGIES["cascade"])
    assert "4.1 TeV (3.5 TeV … 4.7 TeV)" in CATALOGUE["zoom.wilks.svg"].make(result).decode()


def test_without_an_energy_no_file_makes_one_up() -> None:
    assert json.loads(CATALOGUE["summary.wilks.json"].make(scan()))["energy"] is None
    assert "event_energy" not in json.loads(CATALOGUE["gcn.wilks.json"].make(scan()))
    header = fits.getheader(io.BytesIO(CATALOGUE["multiorder.wilks.fits"].make(scan())), 1)
    assert not set(header) & {"ENKIND", *CARDS, *NEUTRINO_CARDS}


def test_a_calibration_is_refused_to_maps_of_other_reconstructions() -> None:
    product = CATALOGUE["moc_90.calibrated_track.json"]
    assert product in products_for("track")
    for reco in ("", "track_mpe", "cascade", "millipede"):
        assert product not in products_for(reco)
        with pytest.raises(LevelSetError, match="calibrated_track holds for maps of track, not of"):
            product.make(replace(scan(), method=Method("auto", reco)))


def test_pictures_say_which_reconstruction_computed() -> None:
    result = replace(scan(), method=Method("splinempe", "track_mpe"))
    assert b"track_mpe for splinempe" in CATALOGUE["sky.wilks.svg"].make(result)


def test_names_of_files_name_the_event() -> None:
    stem = "run00136766.evt000007637140.neutrino_8_256"
    assert CATALOGUE["result.json"].file_name(scan()) == f"{stem}.result.json"
    assert CATALOGUE["moc_90.wilks.json"].file_name(scan()) == f"{stem}.moc_90.wilks.json"


def test_skyreader_files_come_back() -> None:
    result = scan()
    for back in (ScanResult.from_json(json.loads(CATALOGUE["result.json"].make(result))),
                 ScanResult.from_npz(io.BytesIO(CATALOGUE["result.npz"].make(result)))):
        assert all(back.pixels[nside].tobytes() == table.tobytes() for nside, table in result.pixels.items())


def test_an_unknown_product_is_answered_with_the_nearest() -> None:
    assert find_product("gcn.wilks.json") is CATALOGUE["gcn.wilks.json"]
    with pytest.raises(UnknownProduct, match=r"did you mean 'gcn\.wilks\.json'"):
        find_product("gcn.wilk.json")


def test_formats_cover_the_catalogue() -> None:
    assert {product.form for product in CATALOGUE.values()} == set(FORMATS)
    for product in CATALOGUE.values():
        assert product.name.endswith(product.form if product.form in STARTS else product.name[-4:])


def test_without_a_fit_only_the_table_can_be_made() -> None:
    empty = ScanResult({8: nan_rows(np.arange(768))}, METADATA)
    for product in products_for(""):
        name = product.name
        if product.levels is None:
            assert product.make(empty)
        elif not name.endswith(("pdf", "svg")):
            with pytest.raises(EmptyMapError):
                product.make(empty)
