"""Energies: of muons from the light along them, of the neutrinos behind them, and what a scan tells of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config.detector import dom_positions, relative_efficiency
from config.ice import ICE_MODELS, ice_layers
from scanner.events.event import Event, Particle
from scanner.light.charges import UNTRUSTED, bin_charges
from scanner.light.ice import levelled, tilt_table
from scanner.maps.result import nan_rows
from scanner.recos.auto import choose
from scanner.recos.energy import event_energy
from scanner.recos.recos import IN_OTHER_ICE, find_reco
from scanner.recos.track.energy import SPREAD, light_per_metre, muon_energy, neutrino_energy
from scanner.simulation.simulate import event_of, simulate_cascade, simulate_track

SHOWERS = Path(__file__).parents[3] / "support/data/showers.npz"


@pytest.fixture(scope="module")
def shower() -> Event:
    return simulate_cascade(np.random.default_rng(5), 1.2, 2.0, energy=5e4, vertex=(20.0, 50.0, -200.0),
                            ice_model="spice_ftp_v3m")


def _track(energy: float) -> tuple[Event, Particle]:
    event = simulate_track(np.random.default_rng(8), 1.4, 0.5, energy=energy, vertex=(10.0, 30.0, -150.0))
    assert event.truth is not None
    return event, event.truth


def test_more_energetic_muons_give_more_light() -> None:
    light = []
    for energy in (3e3, 3e4, 3e5):
        event, truth = _track(energy)
        light.append(light_per_metre(event.cleaned, truth))
    assert light[0] < light[1] < light[2]
    found = muon_energy(event.cleaned, truth)
    assert found is not None
    assert found.low < found.value < found.high
    assert np.log(found.high / found.low) == pytest.approx(2 * SPREAD)


def test_a_track_that_nobody_saw_has_no_energy() -> None:
    event, truth = _track(1e4)
    nothing = event.cleaned.select(np.zeros(len(event.cleaned), dtype=bool))
    assert muon_energy(nothing, truth) is None


@pytest.mark.parametrize("muon", [5e3, 1e5, 1e6])
def test_a_neutrino_has_more_energy_than_its_muon(muon: float) -> None:
    found = neutrino_energy(muon)
    assert found.low < found.value < found.high
    assert muon < found.value < 10 * muon
    assert neutrino_energy(muon, index=3.0).value < found.value  # a steeper spectrum has fewer energetic ones


def test_an_event_tells_the_energy_of_its_best_fit(shower: Event) -> None:
    row = nan_rows(np.array([0]))[0]
    assert event_energy(shower, "millipede", 1.2, 2.0, row) is None
    row["E_tot"] = 51234.0
    found = event_energy(shower, "cascade.spice_mie", 1.2, 2.0, row)
    assert found is not None
    assert found.kind == "shower"
    assert str(found) == "51 TeV (44 TeV … 59 TeV) deposited by a shower"


def test_a_shower_in_another_ice_is_fitted_by_name(shower: Event) -> None:
    truth = shower.truth
    assert truth is not None
    direction = np.array([truth.zenith]), np.array([truth.azimuth])
    energies = {}
    for name in ("cascade", "cascade.spice_mie"):
        reco = find_reco(name)
        assert reco.name == name
        energies[name] = float(reco.reconstruct(reco.prepare(shower), *direction)[0]["E_tot"])
    assert energies["cascade"] == pytest.approx(truth.energy, rel=0.15)
    assert energies["cascade.spice_mie"] == pytest.approx(truth.energy, rel=0.5)
    assert energies["cascade.spice_mie"] != energies["cascade"]
    assert set(IN_OTHER_ICE) == {"cascade.spice_mie", "cascade.spice_ftp_v3m_aniso", "millipede.spice_mie",
                                 "millipede.spice_ftp_v3m_aniso", "track.spice_ftp_v3m",
                                 "track_mpe.spice_ftp_v3m"}


def test_saturated_bins_do_not_count(shower: Event) -> None:
    before = bin_charges(shower)
    pulses = shower.pulses
    keys, place = np.unique((pulses.string.astype(int) - 1) * 60 + pulses.om - 1, return_inverse=True)
    key = int(keys[np.argmax(np.bincount(place, weights=pulses.charge))])
    module = (key // 60 + 1, key % 60 + 1)
    position = dom_positions().reshape(-1, 3)[key] - before.centre
    found = np.stack([before.modules.x, before.modules.y, before.modules.z], axis=1)
    brightest = int(np.argmin(np.linalg.norm(found - position, axis=1)))
    late = before.time + float(before.first_times[brightest]) + 100.0
    after = bin_charges(replace(shower, exclusions={module: ((late, late + 5000.0),)}))
    first, last = after.modules.first_bin[brightest : brightest + 2]
    left_out = np.flatnonzero(after.bins.weight == UNTRUSTED)
    assert len(left_out)
    assert ((left_out >= first) & (left_out < last)).all()
    assert (after.bins.stop[left_out] > late - after.time).all()
    assert (after.bins.weight[first : first + 2] == 1.0).all()  # what came before is trusted


def test_layers_are_tilted_where_the_model_says_so() -> None:
    places = np.array([[200.0, 100.0, -100.0], [-300.0, -200.0, 300.0], [400.0, -100.0, -300.0]])
    assert levelled(places, "spice_mie") == pytest.approx(places[:, 2])
    rise = places[:, 2] - levelled(places, "spice_ftp_v3m")
    assert rise == pytest.approx([1.154, 5.910, 6.507], abs=0.3)  # as github.com/icecube/ppc tells it, m
    assert np.isfinite(tilt_table("spice_ftp_v3m")).all()


@pytest.mark.parametrize("model", ICE_MODELS)
def test_layers_ascend_and_scatter_more_than_they_absorb(model: str) -> None:
    layers = ice_layers(model)
    assert (np.diff(layers.z) > 0).all()
    inside = np.abs(layers.z) < 500
    assert (layers.scattering[inside] > layers.absorption[inside]).all()


def test_dense_strings_have_efficient_modules() -> None:
    efficiency = relative_efficiency()
    assert efficiency.shape == dom_positions().shape[:2]
    assert (efficiency[80:85] > 1.3).all()
    assert (efficiency[:35] == 1.0).all()
    assert np.count_nonzero(efficiency > 1.0) == 399


def _outside_showers() -> list[Event]:
    """Ten showers of 10 … 100 TeV whose light an outside program followed: see the kernel's documentation.

    Photo-electrons of github.com/icecube/ppc in the ice SPICE FTP-v3m, module oversize 12; noise, pulses and
    cleaning are ours.
    """
    table = np.load(SHOWERS)
    module = (table["string"].astype(np.int64) - 1) * 60 + table["om"] - 1
    bounds = np.cumsum([0, *table["photons"]])
    events = []
    for k, (first, last) in enumerate(itertools.pairwise(bounds)):
        rng = np.random.default_rng(k)
        zenith, azimuth, x, y, z, energy = (
            float(table[name][k]) for name in ("zenith", "azimuth", "x", "y", "z", "energy_gev"))
        truth = Particle(zenith, azimuth, x, y, z, 6000.0, energy, "cascade")
        time = table["time"][first:last].astype(float) + truth.time + rng.normal(0.0, 2.0, last - first)
        events.append(event_of(rng, module[first:last], time, truth))
    return events


def test_auto_takes_no_shower_of_an_outside_simulation_for_a_track() -> None:
    assert {choose(event).reco for event in _outside_showers()} == {"cascade"}


def test_showers_of_an_outside_simulation_have_their_energy() -> None:
    reco, ratios = find_reco("cascade"), []
    for event in _outside_showers():
        truth = event.truth
        assert truth is not None
        row = reco.reconstruct(reco.prepare(event), np.array([truth.zenith]), np.array([truth.azimuth]))[0]
        ratios.append(float(row["E_tot"]) / truth.energy)
    assert np.median(ratios) == pytest.approx(1.0, abs=0.12)
    assert np.mean(np.abs(np.array(ratios) - 1.0) < 0.15) >= 0.6
    assert 0.6 < min(ratios) < max(ratios) < 1.6
