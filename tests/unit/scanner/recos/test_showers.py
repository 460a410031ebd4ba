"""Photon Monte Carlo, shower light, charges in bins, and the fits that use them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from config.detector import dom_positions, relative_efficiency
from scanner.common.errors import EventError
from scanner.events.event import Event
from scanner.light.charges import Charges, Modules, bin_charges
from scanner.light.ice import local_ice
from scanner.light.photons import COSINES, RADII, RATIOS, emission_angles, propagate
from scanner.light.shower_light import WIDTH, fill_signal, light_at_modules, shower_tables
from scanner.recos.auto import SHOWER_SPEED, TRACK_SPEED, Auto, line_speed
from scanner.recos.cascade import Cascade
from scanner.recos.recos import Reco
from scanner.recos.track.fit import frame_of
from scanner.recos.track.hits import first_hits
from scanner.simulation.simulate import simulate_cascade

VERTEX = (30.0, 40.0, -250.0)


@pytest.fixture(scope="module")
def shower() -> Event:
    return simulate_cascade(np.random.default_rng(2), 1.0, 1.0, energy=8e4, vertex=VERTEX)


@pytest.fixture(scope="module")
def charges(shower: Event) -> Charges:
    return bin_charges(shower)


def _flight(zenith: float, azimuth: float) -> tuple[float, float, float]:
    return frame_of(zenith, azimuth)[:3]


def light_table() -> np.ndarray:
    tables = shower_tables()
    shape = len(tables.ratios) - 1, len(tables.log_distances), 2, len(tables.cosines), WIDTH
    ends = tables.light.reshape(shape).swapaxes(1, 2)
    return np.concatenate([ends[:, 0], ends[-1:, 1]])


def test_photons_near_the_shower_carry_its_whole_light() -> None:
    photons = 3000
    sums = propagate(photons, 3, *emission_angles(), RADII[:4], 20, RATIOS)
    light = sums[1, :, :, 0].sum(axis=1) / photons
    assert light == pytest.approx(np.ones(4), abs=0.25)  # scattering back adds, absorption takes away
    assert sums[0, 0, :, 0].sum() > sums[2, 0, :, 0].sum()


def test_the_table_is_what_the_monte_carlo_gives() -> None:
    photons = 4000
    sums = propagate(photons, 5, *emission_angles(), RADII, len(COSINES) - 1, RATIOS)
    table = np.exp(light_table()[..., 0])
    ours, tabulated = sums[..., 0].sum(axis=2) / photons, table.mean(axis=2)
    assert ours[:, 5:15] == pytest.approx(tabulated[:, 5:15], rel=0.15)


def test_light_falls_with_distance_and_leans_forward() -> None:
    light = light_table()
    assert (np.diff(light[:, 12:, :, 0].mean(axis=2), axis=1) < 0).all()  # from 1.5 scattering lengths on
    assert (light[:, :, 15:, 0].mean(axis=2) > light[:, :, :5, 0].mean(axis=2)).all()
    assert (np.diff(light[:, :, :, 0].mean(axis=2), axis=0) < 0).all()  # more absorption, less light


def test_bins_of_a_module_share_its_light(charges: Charges) -> None:
    place, p = (1.0, 2.0, 3.0, -300.0), _flight(1.0, 1.0)
    signal = np.empty(len(charges.bins.charge))
    fill_signal(signal, shower_tables(), charges.receivers, charges.place, place, p)
    per_gev, arrival, _, _ = light_at_modules(shower_tables(), charges.modules, charges.place, place, p)
    first = charges.modules.first_bin
    summed = np.add.reduceat(signal, first[:-1])
    assert (signal >= 0).all()
    assert (summed <= per_gev * (1 + 1e-6)).all()
    # a quiet module's only bin is the whole window: nearly all its light falls into it
    quiet = np.diff(first) == 1
    within = arrival[quiet] < charges.bins.stop[first[:-1][quiet]] - 3000
    assert summed[quiet][within] == pytest.approx(per_gev[quiet][within], rel=0.1, abs=1e-9)


def test_simulated_charges_follow_the_expected_light() -> None:
    rng = np.random.default_rng(4)
    events = [simulate_cascade(rng, 2.0, 3.0, energy=2e4, vertex=(0.0, 0.0, -300.0)) for _ in range(20)]
    x, y, z = np.ascontiguousarray(dom_positions().reshape(-1, 3).T)
    modules = Modules(x, y, z, *local_ice(z), z, relative_efficiency().ravel(), np.arange(len(x) + 1))
    place = (0.0, 0.0, -300.0, 0.0)
    per_gev = light_at_modules(shower_tables(), modules, (0.0, 0.0, 0.0), place, _flight(2.0, 3.0))[0]
    seen = np.mean([event.pulses.charge.sum() for event in events])
    assert seen == pytest.approx(per_gev.sum() * 2e4, rel=0.15)


def test_bins_hold_the_charge_in_the_window(shower: Event, charges: Charges) -> None:
    pulses = shower.pulses
    assert charges.bins.charge.sum() <= pulses.charge.sum() * (1 + 1e-6)
    assert charges.bins.charge.sum() > 0.3 * pulses.charge.sum()
    assert (charges.bins.stop > charges.bins.start).all()
    assert (charges.bins.noise > 0).all()
    first = charges.modules.first_bin
    assert first[-1] == len(charges.bins.charge)
    assert (np.add.reduceat(charges.bins.charge, first[:-1])[: charges.n_hit] > 0).all()
    assert (charges.bins.charge[first[charges.n_hit] :] == 0).all()


def test_too_few_modules_are_refused(shower: Event) -> None:
    with pytest.raises(EventError, match="at least 5 modules; the event has 0"):
        bin_charges(replace(shower, pulses=shower.pulses.select(np.zeros(len(shower.pulses), dtype=bool))))


def test_a_cascade_is_found_where_it_was(shower: Event) -> None:
    reco, truth = Cascade(), shower.truth
    assert truth is not None
    prepared = reco.prepare(shower)
    zenith = np.array([truth.zenith, np.pi - truth.zenith])
    rows = reco.reconstruct(prepared, zenith, np.array([truth.azimuth, truth.azimuth + np.pi]))
    true, opposite = rows
    assert opposite["llh"] > true["llh"] + 20
    assert [true["X"], true["Y"], true["Z"]] == pytest.approx(VERTEX, abs=3.0)
    assert true["T"] == pytest.approx(truth.time, abs=20.0)
    assert true["E_tot"] == pytest.approx(truth.energy, rel=0.3)
    assert true["E_in"] == true["E_tot"]


@pytest.mark.parametrize("reco", [Cascade(), Auto()], ids=lambda reco: reco.name)
def test_a_pixel_does_not_depend_on_its_batch(reco: Reco, dim_track: Event) -> None:
    prepared = reco.prepare(dim_track)
    zenith, azimuth = np.array([0.4, 1.2, 2.2]), np.array([1.0, 2.0, 3.0])
    together = reco.reconstruct(prepared, zenith, azimuth)
    single = [reco.reconstruct(reco.prepare(dim_track), z, a) for z, a in zip(zenith, azimuth, strict=True)]
    assert together.tobytes() == np.concatenate(single).tobytes()
    refined = reco.reconstruct(prepared, zenith + 0.01, azimuth, together)
    backwards = reco.reconstruct(prepared, zenith[::-1] + 0.01, azimuth[::-1], together[::-1])[::-1]
    assert refined.tobytes() == backwards.tobytes()
    assert np.isfinite(refined["llh"]).all()


def test_auto_tells_tracks_from_showers(shower: Event, dim_track: Event, bright_track: Event) -> None:
    assert line_speed(first_hits(shower.cleaned)) <= SHOWER_SPEED
    for track in (dim_track, bright_track):
        assert line_speed(first_hits(track.cleaned)) >= TRACK_SPEED
    auto, direction = Auto(), (np.array([1.1]), np.array([2.1]))
    chosen = auto.reconstruct(auto.prepare(shower), *direction)
    assert chosen.tobytes() == Cascade().reconstruct(Cascade().prepare(shower), *direction).tobytes()
    assert np.isnan(auto.reconstruct(auto.prepare(dim_track), *direction)["E_tot"]).all()
