"""The programs of the templates that ship, against numbers that were computed in another way."""

from __future__ import annotations

import csv
import importlib
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from scanner.maps import healpix
from server.desk.analyses import results, templates
from server.desk.analyses.inputs import _tile_table
from server.desk.analyses.programs import lightcurve_fit as lightcurve
from server.desk.analyses.programs import neutrino_association as association
from server.desk.analyses.programs import region_counts as counts
from server.desk.maps.tiles import Tiles

TRUTH = {"t0": 60010.0, "rise": 3.0, "fall": 25.0, "g": 400.0, "r": 250.0}


def bazin(mjd: np.ndarray, t0: float, rise: float, fall: float, height: float) -> np.ndarray:
    return np.asarray(height * np.exp(-(mjd - t0) / fall) / (1 + np.exp(-(mjd - t0) / rise)))


def light_curve() -> list[lightcurve.Point]:
    dice = np.random.default_rng(7)
    points = []
    for band in ("g", "r"):
        days = np.sort(dice.uniform(59990, 60080, 40))
        fluxes = bazin(days, TRUTH["t0"], TRUTH["rise"], TRUTH["fall"], TRUTH[band]) + dice.normal(0, 5, 40)
        points += [lightcurve.Point(*row) for row in zip(days, [band] * 40, fluxes, [5.0] * 40, strict=True)]
    return points


def test_a_light_curve_is_fitted_as_scipy_fits_it() -> None:
    points = light_curve()
    found = lightcurve.fit(points, 4000, 1)["analysis"]["results"]["data"]
    days, flux = np.array([p.mjd for p in points]), np.array([p.flux for p in points])
    is_g = np.array([p.band == "g" for p in points])

    def residuals(x: np.ndarray) -> np.ndarray:
        heights = np.where(is_g, x[3], x[4])
        return (flux - bazin(days, x[0], np.exp(x[1]), np.exp(x[2]), heights)) / 5.0

    best = optimize.least_squares(residuals, [60012, 1.0, 3.0, 300, 300])
    assert found["chi2"] == pytest.approx(2 * best.cost, abs=1.0)  # a chain's best, not the minimum itself
    error = np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)))
    posterior = found["posterior"]
    assert posterior["t0"]["median"] == pytest.approx(best.x[0], abs=error[0])
    assert posterior["fall"]["median"] == pytest.approx(np.exp(best.x[2]), rel=error[2])
    assert (posterior["t0"]["plus"] + posterior["t0"]["minus"]) / 2 == pytest.approx(error[0], rel=0.35)
    for name in ("t0", "rise", "fall"):
        one = posterior[name]
        assert one["median"] - 4 * one["minus"] < TRUTH[name] < one["median"] + 4 * one["plus"]


def test_magnitudes_are_ab() -> None:
    row = {"mjd": "1", "filter": "g", "flux": "", "fluxerr": "", "mag": "23.9", "magerr": "0.1"}
    point = lightcurve.point(row)
    assert point is not None
    assert point.flux == pytest.approx(1.0)
    assert point.error == pytest.approx(0.0921, abs=1e-4)
    assert lightcurve.point({**row, "magerr": ""}) is None


@given(st.floats(-1e5, 1e5), st.floats(-2, 6), st.floats(-2, 6))
def test_the_function_is_finite_everywhere(mjd: float, rise: float, fall: float) -> None:
    assert math.isfinite(lightcurve.shape(mjd, (0.0, rise, fall)))


def gaussian_map(ra: float, dec: float, sigma: float, order: int = 7) -> Tiles:
    nside = healpix.nside_of(order)
    nested = np.arange(healpix.npix(nside))
    far = healpix.vectors(nside, nested, nested=True) @ healpix.unit_vectors(ra, dec)
    angle = np.degrees(np.arccos(np.clip(far, -1, 1)))
    density = np.exp(-0.5 * (angle / sigma) ** 2)
    near = density > 1e-12
    return Tiles.checked(healpix.to_uniq(order, nested[near]), density[near])


def read_tiles(tiles: Tiles) -> list[tuple[float, ...]]:
    rows = list(csv.reader(_tile_table(tiles).splitlines()))
    assert rows[0] == ["ra", "dec", "area", "density"]
    return [tuple(map(float, row)) for row in rows[1:]]


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_the_bayes_factor_is_that_of_gaussians(error: float) -> None:
    """Of two Gaussian errors, B = 2 / (σ₁² + σ₂²) exp(-ψ² / 2 (σ₁² + σ₂²)) (Budavári & Szalay, eq. 16)."""
    rows = read_tiles(gaussian_map(40.0, 20.0, 2.0))
    wide = math.radians(2.0) ** 2 + math.radians(error) ** 2
    for apart in (0.0, 1.0, 3.0):
        place = SkyCoord(40, 20, unit="deg").directional_offset_by(90 * units.deg, apart * units.deg)
        said = association.associate(rows, (place.ra.deg, place.dec.deg),
                                     {"sources": 100, "completeness": 1, "position_error": error})
        data = said["analysis"]["results"]["data"]
        factor = 2 / wide * math.exp(-0.5 * math.radians(apart) ** 2 / wide)
        assert data["bayes_factor"] == pytest.approx(factor, rel=0.15)
        assert data["probability"] == pytest.approx(1 / (1 + 99 / data["bayes_factor"]))


def test_outside_of_the_map_nothing_is_probable() -> None:
    rows = read_tiles(gaussian_map(40.0, 20.0, 0.5))
    data = association.associate(rows, (220.0, -20.0), {})["analysis"]["results"]["data"]
    assert (data["probability"], data["credible_level"]) == (0.0, 1.0)


@pytest.mark.parametrize("parameters", [
    {"sources": 0}, {"completeness": 2}, {"position_error": -1}, {"sources": "nan"}])
def test_parameters_that_cannot_be(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sources must"):
        association.associate([(0.0, 0.0, 1.0, 1.0)], (0.0, 0.0), parameters)


@given(st.integers(0, 400), st.floats(0.001, 300))
def test_the_chance_is_poissons(count: int, expected: float) -> None:
    assert counts.chance(count, expected) == pytest.approx(stats.poisson.sf(count - 1, expected), rel=1e-6,
                                                           abs=1e-12)


def test_counts_are_compared_with_sky_and_disc() -> None:
    table = "catalog,region,area,count\nA,90%,10,5\nA,disc,314,50\nA,sky,41253,1000\n"
    rows = counts.compared(list(csv.DictReader(table.splitlines())))
    assert {row["background"]: round(row["expected"], 3) for row in rows} == {"sky": 0.242, "disc": 1.592}


@pytest.mark.parametrize("name", sorted(templates.shipped()))
def test_without_useful_inputs_a_program_says_so(name: str, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parameters.json").write_text(json.dumps({"steps": "many", "sources": "few"}))
    (tmp_path / "event.csv").write_text("obj_ra,obj_dec\n1,2\n")
    (tmp_path / "localization.csv").write_text("ra,dec,area,density\n1,2,0.1,1\n")
    (tmp_path / "catalogs.csv").write_text("catalog,region,area,count\n")
    module = importlib.import_module(f"server.desk.analyses.programs.{name.replace('-', '_')}")
    said = results.read(module.answer())
    assert said.status == "failure"
    assert said.message


def test_noise_is_fitted_too() -> None:
    dice = random.Random(3)
    points = [lightcurve.Point(float(day), "g", dice.gauss(0, 1), 1.0) for day in range(20)]
    assert lightcurve.fit(points, 600, 1)["status"] == "success"
