"""Losses along a track: what the fit finds, how smooth its −ln L is, and the unfolding of energies.

All kernels of `millipede` and of the track fit that starts it are compiled here; nothing else is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scanner.events.event import Event
from scanner.maps.level_sets import default_levels, level_set
from scanner.maps.result import nan_rows
from scanner.recos.cascade import flights
from scanner.recos.losses import HOPELESS
from scanner.recos.millipede import Millipede, MillipedeEvent
from scanner.recos.unfolding import Counts, Equations, approach, expect, objective, scoring, solve
from scanner.simulation.simulate import simulate_track

ZENITH, AZIMUTH = 1.6, 4.0
VERTEX = (-50.0, 60.0, -100.0)
RECO = Millipede()


@pytest.fixture(scope="module")
def prepared() -> MillipedeEvent:
    return RECO.prepare(simulate_track(np.random.default_rng(3), ZENITH, AZIMUTH, energy=5e3, vertex=VERTEX))


def test_a_track_and_its_losses_are_found(prepared: MillipedeEvent) -> None:
    rows = RECO.reconstruct(prepared, np.full(3, ZENITH), AZIMUTH + np.array([0.0, 0.1, 1.0]))
    assert rows["llh"][0] < rows["llh"][1:].min() - 20
    assert (rows["E_tot"] >= rows["E_in"]).all()
    assert rows["E_in"][0] > 0
    flight = flights(np.array([ZENITH]), np.array([AZIMUTH]))[0]
    offset = np.array([rows[name][0] for name in "XYZ"]) - VERTEX
    assert np.linalg.norm(offset - (offset @ flight) * flight) < 10.0


def test_starts_metres_apart_end_in_one_minimum(prepared: MillipedeEvent) -> None:
    zenith, azimuth = np.full(7, ZENITH), np.full(7, AZIMUTH)
    best = RECO.reconstruct(prepared, zenith[:1], azimuth[:1])
    seeds = np.repeat(best, 7)
    seeds["X"] += [0.0, 4.0, -4.0, 0.0, 0.0, 2.0, -2.0]
    seeds["Z"] += [0.0, 0.0, 0.0, 4.0, -4.0, 2.0, -2.0]
    seeds["T"] += [0.0, 3.0, -3.0, 5.0, -5.0, 10.0, -10.0]
    found = RECO.reconstruct(prepared, zenith, azimuth, seeds)["llh"]
    assert np.ptp(found) < 0.2


def test_the_map_is_smooth(prepared: MillipedeEvent) -> None:
    """A parabola describes a stretch of half a degree in either direction; each fit stands for itself."""
    steps = np.radians(np.linspace(-0.25, 0.25, 11))
    still = np.zeros_like(steps)
    for zenith, azimuth in ((steps, still), (still, steps)):
        parents = RECO.reconstruct(prepared, np.array([ZENITH]), np.array([AZIMUTH]))
        rows = RECO.reconstruct(prepared, ZENITH + zenith, AZIMUTH + azimuth, np.repeat(parents, len(steps)))
        curve = np.polynomial.Polynomial.fit(zenith + azimuth, rows["llh"], 3)
        assert np.abs(rows["llh"] - curve(zenith + azimuth)).max() < 0.1


def test_a_track_far_from_all_light_is_fitted_too(dim_track: Event) -> None:
    far = nan_rows(np.full(6, -1))
    far["Z"], far["T"] = 0.0, 6000.0
    far["X"] = far["Y"] = [150.0, 250.0, 350.0, 500.0, 900.0, 5000.0]
    rows = RECO.reconstruct(RECO.prepare(dim_track), np.full(6, 0.2), np.linspace(0.0, 5.0, 6), far)
    for name in ("llh", "X", "Y", "Z", "T", "E_tot"):
        assert np.isfinite(rows[name]).all()


def test_a_bad_parent_does_not_decide(prepared: MillipedeEvent) -> None:
    """The vertex of a track fit is the other start: a parent 60 ns off leads into another valley."""
    direction = np.array([ZENITH]), np.array([AZIMUTH])
    good = RECO.reconstruct(prepared, *direction, RECO.reconstruct(prepared, *direction))
    late = good.copy()
    late["T"] += 60.0
    assert RECO.reconstruct(prepared, *direction, late)["llh"] == pytest.approx(good["llh"], abs=0.3)


def test_a_pixel_does_not_depend_on_its_batch(dim_track: Event) -> None:
    prepared = RECO.prepare(dim_track)
    zenith, azimuth = np.array([0.4, 1.2, 2.2]), np.array([1.0, 2.0, 3.0])
    together = RECO.reconstruct(prepared, zenith, azimuth)
    single = [RECO.reconstruct(RECO.prepare(dim_track), z, a) for z, a in zip(zenith, azimuth, strict=True)]
    assert together.tobytes() == np.concatenate(single).tobytes()
    refined = RECO.reconstruct(prepared, zenith + 0.01, azimuth, together)
    backwards = RECO.reconstruct(prepared, zenith[::-1] + 0.01, azimuth[::-1], together[::-1])[::-1]
    assert refined.tobytes() == backwards.tobytes()
    assert np.isfinite(refined["llh"]).all()


def test_a_pixel_without_a_seed_among_others_is_fitted_as_one_of_a_first_level(dim_track: Event) -> None:
    prepared = RECO.prepare(dim_track)
    zenith, azimuth = np.array([0.4, 1.2]), np.array([1.0, 2.0])
    first = RECO.reconstruct(prepared, zenith, azimuth)
    seeds = first.copy()
    seeds[0] = nan_rows(np.full(1, -1))[0]
    assert RECO.reconstruct(prepared, zenith, azimuth, seeds)[0].tobytes() == first[0].tobytes()


def test_the_good_fit_is_near_the_best_one(prepared: MillipedeEvent) -> None:
    best = RECO.reconstruct(prepared, np.array([ZENITH]), np.array([AZIMUTH]))["llh"][0]
    assert prepared.good == pytest.approx(best, abs=20.0)


def test_what_is_hopeless_beside_a_good_fit_is_given_up_and_nothing_else(prepared: MillipedeEvent) -> None:
    """Fits near the best one are the same to the last bit, those far above it stop early."""
    zenith, azimuth = np.array([ZENITH, ZENITH + 0.01, 0.4, 2.6]), np.array([AZIMUTH, AZIMUTH, 0.3, 1.0])
    to_the_end = replace(prepared, good=float(prepared.good) - HOPELESS[0] / 3)
    near, beside = (RECO.reconstruct(one, zenith[:2], azimuth[:2]) for one in (prepared, to_the_end))
    assert near.tobytes() == beside.tobytes()
    lost = RECO.reconstruct(replace(prepared, good=-5000.0), zenith, azimuth)
    whole = RECO.reconstruct(replace(prepared, good=np.inf), zenith, azimuth)
    assert (lost["llh"] > whole["llh"] + 0.01).all()
    assert np.isfinite(lost["E_tot"]).all()


SOURCES, BINS = 6, 40


class Unfolding:
    """A small problem: showers that see overlapping bins."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        matrix = np.exp(-0.5 * ((np.arange(BINS) - 7.0 * np.arange(SOURCES)[:, None]) / 5.0) ** 2)
        self.matrix = (0.02 * matrix).astype(np.float32)
        noise = np.full(BINS, 0.01, np.float32)
        charge = rng.poisson(np.array([10.0, 3000.0, 1.0, 400.0, 0.0, 50.0]) @ self.matrix + noise)
        self.counts = Counts(charge.astype(np.float32), noise, np.ones(BINS, np.float32), 11.0, 0.02, 0.01)
        self.energy = np.full(SOURCES, 50.0, np.float32)
        self.mu = np.empty(BINS, np.float32)
        n = SOURCES
        self.equations = Equations(np.zeros((n, n)), np.zeros(n), np.zeros(n))

    def approach(self, fast: int, plain: int) -> float:
        light, noise = self.matrix.ravel(), self.counts.noise
        return approach(self.mu, noise, light, self.energy, self.counts, fast, plain)

    def score(self) -> None:
        slopes = (self.energy[:, None] * self.matrix).ravel()
        scoring(self.equations, slopes, 0, self.energy, self.mu, self.counts)

    def value(self, energy: np.ndarray) -> float:
        """−ln L with the prior, in plain arrays."""
        counts, mu = self.counts, energy @ self.matrix.astype(float) + self.counts.noise
        light = (counts.charge + counts.size) * np.log1p(mu / counts.size) - counts.charge * np.log(mu)
        share = energy * counts.per_typical
        return float(light.sum() + counts.prior * (share - 1.0 - np.log(share)).sum())


def test_minus_ln_l_is_what_its_formula_says() -> None:
    one = Unfolding()
    expect(one.mu, one.counts.noise, one.matrix.ravel(), one.energy)
    plain = one.value(one.energy.astype(float))
    assert objective(one.mu, one.energy, one.counts) == pytest.approx(plain, rel=1e-5)


def test_every_plain_update_gains() -> None:
    one = Unfolding()
    values = [one.approach(0, 1) for _ in range(30)]
    assert (np.diff(values) < 1e-4).all()
    assert (one.energy > 0).all()


def test_the_gradient_is_the_slope_of_minus_ln_l() -> None:
    one = Unfolding()
    one.approach(4, 2)
    one.score()
    for j in range(SOURCES):
        sides = [one.energy.astype(float) for _ in range(2)]
        sides[0][j] *= np.exp(-1e-4)
        sides[1][j] *= np.exp(1e-4)
        slope = (one.value(sides[1]) - one.value(sides[0])) / 2e-4
        assert one.equations.gradient[j] == pytest.approx(slope, rel=1e-2, abs=2e-3)


def test_a_shower_that_sees_nothing_is_solved_for_by_itself() -> None:
    one = Unfolding()
    one.matrix[2] *= 1e-6
    one.approach(4, 2)
    one.score()
    information = one.equations.information
    assert not information[2, 3:].any()
    assert not information[:2, 2].any()
    assert information[2, 2] > 0
    whole = one.energy[:, None] * one.matrix
    each = 1.0 / (one.mu * (1.0 + one.mu / one.counts.size))
    assert information[0, 1] == pytest.approx(float((each * whole[0] * whole[1]).sum()), rel=1e-4)


def test_steps_solve_their_equations_and_end_where_nothing_is_left() -> None:
    one = Unfolding()
    one.approach(16, 4)
    one.score()
    full = np.triu(one.equations.information) + np.triu(one.equations.information, 1).T
    gain = solve(one.equations, SOURCES, 0.0)
    assert full @ one.equations.step == pytest.approx(-one.equations.gradient, abs=1e-6)
    assert gain == pytest.approx(-0.5 * one.equations.step @ one.equations.gradient)
    for _ in range(8):
        one.energy *= np.exp(one.equations.step).astype(np.float32)
        one.approach(0, 1)
        one.score()
        gain = solve(one.equations, SOURCES, 1e-2)
    assert gain < 1e-4


def test_its_regions_are_bounded_by_levels_of_its_own() -> None:
    levels = default_levels("millipede")
    assert levels == level_set("calibrated_millipede")
    assert levels.fits("millipede.spice_mie")
    assert not levels.fits("track")
