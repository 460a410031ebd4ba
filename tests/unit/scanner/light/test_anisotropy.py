"""Ice that absorbs less along its flow: how much light that moves, and that all else stays as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from config.ice import ANISOTROPIC_ICE, ENERGY_ICE, FLOW, anisotropy, ice_layers
from scanner.light.charges import Modules
from scanner.light.ice import levelled, local_ice, tilt_table
from scanner.light.shower_light import light_at_modules, shower_tables
from scanner.recos.recos import find_reco, in_every_ice
from scanner.simulation.simulate import simulate_cascade

UP = (0.0, 0.0, 1.0)


def _stretched(direction: np.ndarray) -> np.ndarray:
    """1/|K n| of directions, shape (n, 3)."""
    stretch = anisotropy(ANISOTROPIC_ICE)
    assert stretch is not None
    along = direction @ np.array([np.cos(stretch.azimuth), np.sin(stretch.azimuth), 0.0])
    return ((stretch.along * along) ** 2 + stretch.across**2 * (1.0 - along**2)) ** -0.5


def _light(ice: str, azimuth: float, distance: float) -> float:
    """PE per GeV of an upward shower in the deep clear ice, at a module on its level."""
    place = np.array([[distance * np.cos(azimuth), distance * np.sin(azimuth), -350.0]])
    level = levelled(place, ice)
    x, y, z = place.T
    modules = Modules(x, y, z, *local_ice(level, ice), level, np.ones(1), np.array([0, 1]))
    shower = (0.0, 0.0, -350.0, 0.0)
    return float(light_at_modules(shower_tables(ice), modules, (0.0, 0.0, 0.0), shower, UP)[0, 0])


def test_absorption_is_the_layers_on_average_and_least_along_the_flow() -> None:
    direction = np.random.default_rng(1).normal(size=(200_000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    factor = _stretched(direction)
    assert factor.mean() == pytest.approx(1.0, abs=3e-3)
    along, across = _stretched(np.array([[np.cos(FLOW), np.sin(FLOW), 0.0], [0.0, 0.0, 1.0]]))
    assert (along, across) == pytest.approx((0.590, 1.451), abs=0.002)
    assert anisotropy(ENERGY_ICE) is None


def test_layers_and_tilt_are_those_of_the_usual_ice() -> None:
    assert ice_layers(ANISOTROPIC_ICE).absorption == pytest.approx(ice_layers(ENERGY_ICE).absorption)
    assert np.array_equal(tilt_table(ANISOTROPIC_ICE), tilt_table(ENERGY_ICE))


def test_more_light_arrives_along_the_flow_and_less_across_it() -> None:
    """Both ways alike; 125 m away it is a factor of about two between the axes, as flashers show it."""
    along, back, across = (_light(ANISOTROPIC_ICE, azimuth, 125.0) / _light(ENERGY_ICE, azimuth, 125.0)
                           for azimuth in (FLOW, FLOW + np.pi, FLOW + np.pi / 2))
    assert along == pytest.approx(back, rel=0.05)
    assert along > 1.0 > across
    assert 1.5 < along / across < 5.0


def test_the_usual_ice_knows_no_direction() -> None:
    tables = shower_tables(ENERGY_ICE)
    assert tables.flow[2] == 0.0
    assert tables.flow[3] == 1.0
    turned = tables._replace(flow=np.array([0.0, 1.0, 0.0, 1.0, 0.0]))
    event = simulate_cascade(np.random.default_rng(3), 1.2, 2.0, energy=5e4, vertex=(20.0, 50.0, -200.0))
    charges = find_reco("cascade").prepare(event).charges
    place = (0.0, 0.0, 0.0, 0.0)
    assert np.array_equal(light_at_modules(tables, charges.modules, charges.place, place, UP),
                          light_at_modules(turned, charges.modules, charges.place, place, UP))


def test_a_shower_of_the_anisotropic_ice_is_fitted_better_in_it() -> None:
    event = simulate_cascade(np.random.default_rng(5), 1.2, 2.0, energy=5e4, vertex=(20.0, 50.0, -200.0),
                             ice_model=ANISOTROPIC_ICE)
    truth = event.truth
    assert truth is not None
    event = replace(event, truth=None)
    fits = {}
    for ice in (ENERGY_ICE, ANISOTROPIC_ICE):
        reco = find_reco(in_every_ice("cascade")[ice])
        prepared = reco.prepare(event)
        fits[ice] = reco.reconstruct(prepared, np.array([truth.zenith]), np.array([truth.azimuth]))[0]
    assert fits[ANISOTROPIC_ICE]["llh"] < fits[ENERGY_ICE]["llh"] - 5.0
    assert fits[ANISOTROPIC_ICE]["E_tot"] == pytest.approx(truth.energy, rel=0.15)


def test_tracks_are_not_fitted_in_it() -> None:
    assert ANISOTROPIC_ICE not in in_every_ice("track")
    assert list(in_every_ice("millipede")) == ["spice_ftp_v3m", "spice_mie", ANISOTROPIC_ICE]
