"""How far a best fit moves in another ice: what is compared with what, and what is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from scanner import cli
from scanner.bench import DEFAULT_PROGRESSION, scan_event
from scanner.events.directions import icrs_to_detector
from scanner.events.event import Event
from scanner.events.writer import write_event
from scanner.light.ice import levelled
from scanner.maps import healpix
from scanner.maps.level_sets import level_set
from scanner.maps.levels import best_pixel
from scanner.recos.recos import find_reco, in_every_ice
from scanner.recos.track.hits import first_hits
from scanner.systematics import Systematics, as_text, systematics


@pytest.fixture(scope="module")
def told(bright_track: Event) -> Systematics:
    return systematics(bright_track, "auto")


def test_every_ice_has_its_best_fit_and_it_is_at_the_bottom(told: Systematics, bright_track: Event) -> None:
    assert [(fit.ice, fit.reco) for fit in told.fits] == list(in_every_ice("track").items())
    for fit in told.fits:
        best = best_pixel(scan_event(bright_track, fit.reco, DEFAULT_PROGRESSION))
        assert best is not None
        assert best.llh - 3 < fit.llh <= best.llh
        reco, seed = find_reco(fit.reco), None
        prepared = reco.prepare(bright_track)
        for ra, dec in ((0.0, 0.1), (0.0, -0.1), (0.1, 0.0), (-0.1, 0.0)):
            zenith, azimuth = icrs_to_detector(np.radians([fit.ra_deg + ra]), np.radians([fit.dec_deg + dec]),
                                               bright_track.mjd)
            assert reco.reconstruct(prepared, zenith, azimuth, seed)["llh"][0] > fit.llh


def test_what_lies_between_them_is_told_by_the_usual_ice(told: Systematics) -> None:
    usual, other = told.fits
    assert (usual.degrees_off, usual.delta, usual.region) == (0.0, 0.0, 0.5)
    one, two = (healpix.unit_vectors(fit.ra_deg, fit.dec_deg) for fit in told.fits)
    assert other.degrees_off == pytest.approx(np.degrees(np.arccos(one @ two)), abs=1e-6)
    assert 0.005 < other.degrees_off < 0.5
    assert other.delta > -2e-3
    thresholds = level_set("calibrated_track").thresholds
    held = [level for level, most in thresholds.items() if other.delta <= most]
    assert other.region == (held[0] if held else None)
    assert other.energy_gev is None
    line = as_text(told).splitlines()[-1]
    assert line.startswith(f"spice_ftp_v3m moves the best fit by {other.degrees_off:.2f}°")
    assert "of calibrated_track (50 %: " in line


def test_tracks_in_the_tilted_ice_see_each_module_at_its_level(dim_track: Event) -> None:
    level, tilted = (first_hits(dim_track.cleaned, ice) for ice in ("spice_mie", "spice_ftp_v3m"))
    n = level.n_hit
    place = np.stack([level.doms.x, level.doms.y, level.doms.z], axis=1)[:n] + level.centre
    assert level.doms.height[:n] == pytest.approx(place[:, 2])
    assert tilted.doms.height[:n] == pytest.approx(levelled(place, "spice_ftp_v3m"))
    assert 1.0 < np.abs(tilted.doms.height - level.doms.height).max() < 80.0
    assert not np.allclose(tilted.firsts.scattering, level.firsts.scattering, rtol=0.02)


def test_the_command_says_the_same_as_text_and_as_json(told: Systematics, bright_track: Event,
                                                       tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(write_event(bright_track)))
    said = CliRunner().invoke(cli.systematics, [str(file), "--reco-algo", "track", "--json"])
    document = json.loads(said.output)
    assert (document["reco"], document["level_set"]) == ("track", "calibrated_track")
    for fit, same in zip(told.fits, document["fits"], strict=True):
        assert (same["ice"], same["reco"]) == (fit.ice, fit.reco)
        assert same["ra_deg"] == pytest.approx(fit.ra_deg, abs=0.05)


@pytest.mark.parametrize(("arguments", "wrong"), [
    (["nowhere.json"], "nowhere.json"), (["{file}", "--reco-algo", "trak"], "unknown reconstruction 'trak'"),
    (["{broken}"], "broken.json")])
def test_the_command_refuses_in_words(arguments: list[str], wrong: str, dim_track: Event,
                                      tmp_path: Path) -> None:
    names = {"file": tmp_path / "event.json", "broken": tmp_path / "broken.json"}
    names["file"].write_text(json.dumps(write_event(dim_track)))
    names["broken"].write_text("{")
    said = CliRunner().invoke(cli.systematics, [one.format(**names) for one in arguments])
    assert said.exit_code == 1
    assert wrong in said.output
    assert "Traceback" not in said.output
