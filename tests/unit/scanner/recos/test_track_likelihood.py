"""The vectorised track likelihood against the slow one, against its own differences, and padding."""

from __future__ import annotations

import numpy as np
import pytest

from scanner.common.lanes import LANES
from scanner.events.event import Event
from scanner.light.ice import Z_LIMIT, local_ice
from scanner.recos.track import plain
from scanner.recos.track.fit import frame_of
from scanner.recos.track.hits import SAMPLE, TrackHits, first_hits
from scanner.recos.track.likelihood import SIGMA, Doms, evaluate
from scanner.recos.track.paths import Frame
from scanner.recos.track.reco import tables
from scanner.recos.track.values import NOISE, REACH
from scanner.simulation.simulate import simulate_track
from tests.unit.scanner.recos import oracle

STEP = 0.05
"""m and ns: −ln L in single precision is rough below, by 1e-5."""


def _offset(hits: TrackHits, frame: Frame, vertex: np.ndarray) -> tuple[float, float, float]:
    """(a, b) and the metres along the track from the vertex to the plane through the centre."""
    relative = vertex - hits.centre
    return (float(relative @ frame[3:6]), float(relative[:2] @ frame[6:8]), float(relative @ frame[:3]))


@pytest.mark.parametrize("sigma", [SIGMA, 50.0])
@pytest.mark.parametrize(("tilt", "shift"), [(0.0, 0.0), (0.02, 10.0), (0.3, 40.0)])
def test_agrees_with_the_slow_likelihood(dim_track: Event, dim_hits: TrackHits, tilt: float, shift: float,
                                         sigma: float) -> None:
    truth = dim_track.truth
    assert truth is not None
    zenith, azimuth = truth.zenith + tilt, truth.azimuth - tilt
    vertex = np.array([truth.x + shift, truth.y, truth.z - shift])
    frame = Frame(*frame_of(zenith, azimuth))
    a, b, along = _offset(dim_hits, frame, vertex)
    t0 = truth.time - dim_hits.time - along / oracle.C_VACUUM
    fast = evaluate(dim_hits.doms, tables(), frame, a, b, t0, sigma).llh - dim_hits.padding_llh
    penalty = 0.5 * ((a * a + b * b) / REACH**2) ** 2
    slow = oracle.llh(dim_track, zenith, azimuth, vertex, truth.time, sigma)
    assert fast - penalty == pytest.approx(slow, abs=0.05)


@pytest.mark.parametrize("point", [(1.0, 2.0, 300.0), (25.0, -40.0, 150.0), (150.0, 70.0, 0.0),
                                   (-300.0, 10.0, -500.0)])
@pytest.mark.parametrize("direction", [(1.2, 2.0), (0.02, 0.3), (3.1, 5.0), (1.9, 4.2)])
def test_slopes_are_those_of_the_value(dim_hits: TrackHits, point: tuple[float, ...],
                                       direction: tuple[float, float]) -> None:
    frame = Frame(*frame_of(*direction))
    value = evaluate(dim_hits.doms, tables(), frame, *point, SIGMA)
    for axis, slope in enumerate((value.ga, value.gb, value.gt)):
        step = np.zeros(3)
        step[axis] = STEP
        above = evaluate(dim_hits.doms, tables(), frame, *(np.array(point) + step), SIGMA).llh
        below = evaluate(dim_hits.doms, tables(), frame, *(np.array(point) - step), SIGMA).llh
        assert slope == pytest.approx((above - below) / (2 * STEP), abs=3e-3, rel=1e-2)


def test_absurd_places_give_a_number(dim_hits: TrackHits) -> None:
    frame = Frame(*frame_of(1.0, 1.0))
    for point in ((1e6, 0.0, 0.0), (0.0, -1e7, 1e9), (0.0, 0.0, -1e12)):
        assert np.isfinite(evaluate(dim_hits.doms, tables(), frame, *point, SIGMA).llh)


def test_padding_adds_a_constant_and_no_slope(dim_hits: TrackHits) -> None:
    frame = Frame(*frame_of(1.2, 2.0))
    assert len(dim_hits.doms.time) % LANES == 0
    more = Doms(*(np.append(column, np.repeat(column[-1:], LANES)) for column in dim_hits.doms))
    padded = evaluate(more, tables(), frame, 3.0, 4.0, 5.0, SIGMA)
    bare = evaluate(dim_hits.doms, tables(), frame, 3.0, 4.0, 5.0, SIGMA)
    assert padded.llh + LANES * np.log(NOISE) == pytest.approx(bare.llh, abs=1e-4)
    assert padded[1:] == pytest.approx(bare[1:], rel=1e-9)


def _ice_on_the_way(from_z: np.ndarray, to_z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean coefficients as the kernel takes them: exact integrals; on level ways the module's own ice."""
    height, emitted = (np.clip(z, -Z_LIMIT, Z_LIMIT) for z in (to_z, from_z))
    drop = height - emitted
    share = np.minimum(np.abs(drop), 1.0)
    drop = np.copysign(np.maximum(np.abs(drop), 1.0), drop)
    here, there = local_ice(height), local_ice(height - drop)
    means = [here[k] + share * ((here[k + 1] - there[k + 1]) / drop - here[k]) for k in (0, 2)]
    return means[0], means[1]


@pytest.mark.parametrize("bright", [False, True])
def test_single_precision_is_that_of_doubles(dim_hits: TrackHits, bright: bool,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 0.001 for a hundred modules of the same splines in doubles, wherever track and vertex are."""
    monkeypatch.setattr(plain, "mean_coefficients", _ice_on_the_way)
    hits = dim_hits
    if bright:
        hits = first_hits(simulate_track(np.random.default_rng(1), 1.0, 1.0, energy=1e5).cleaned)
    doubles, rng = plain.PlainFit(hits), np.random.default_rng(3)
    for _ in range(300):
        frame = Frame(*frame_of(np.arccos(rng.uniform(-1, 1)), rng.uniform(0, 2 * np.pi)))
        a, b, t0 = rng.normal(0, 80), rng.normal(0, 80), rng.uniform(-500, 3000)
        single = evaluate(hits.doms, tables(), frame, a, b, t0, SIGMA).llh - hits.padding_llh
        assert single == pytest.approx(doubles.llh(frame, a, b, t0), abs=1e-5 * max(hits.n_hit, 100))


def test_frames_are_orthonormal() -> None:
    for zenith, azimuth in ((1.2, 2.0), (0.0, 1.0), (np.pi, 0.0), (1.5, 6.0)):
        frame = frame_of(zenith, azimuth)
        axes = np.array([frame[:3], frame[3:6], (*frame[6:8], 0.0)])
        assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-8)
        assert np.array(frame[:3]) == pytest.approx(oracle.flight(zenith, azimuth), abs=1e-8)


def test_hits_are_the_first_pulses_of_regular_strings(dim_track: Event, dim_hits: TrackHits) -> None:
    expected = sorted(time for _, time, _ in oracle.first_pulses(dim_track))
    assert sorted(dim_hits.doms.time[: dim_hits.n_hit] + dim_hits.time) == pytest.approx(expected)
    bright = first_hits(simulate_track(np.random.default_rng(1), 1.0, 1.0, energy=1e5).cleaned)
    assert len(bright.coarse.time) == SAMPLE < bright.n_hit
