"""The density of the first photon: slopes, norm, padding, and the losses it was made for."""

from __future__ import annotations

import numpy as np
import pytest

from scanner.common.lanes import LANES
from scanner.events.event import Event
from scanner.light.light import RADIATIVE_LOSS
from scanner.recos.track.first_photon import RESOLUTION, FirstPhotons, evaluate_first
from scanner.recos.track.fit import frame_of
from scanner.recos.track.hits import TrackHits
from scanner.recos.track.likelihood import ABSENT
from scanner.recos.track.paths import Frame
from scanner.recos.track.reco import Track, tables
from scanner.recos.track.values import NOISE, REACH
from scanner.simulation.muon_losses import draw_losses, relative_loss


@pytest.mark.parametrize("sigma", [RESOLUTION, 8.0])
@pytest.mark.parametrize("point", [(1.0, 2.0, 300.0), (25.0, -40.0, 150.0), (150.0, 70.0, 0.0)])
@pytest.mark.parametrize("direction", [(1.2, 2.0), (0.02, 0.3), (1.9, 4.2)])
def test_slopes_are_those_of_the_value(dim_hits: TrackHits, point: tuple[float, ...],
                                       direction: tuple[float, float], sigma: float) -> None:
    frame = Frame(*frame_of(*direction))
    value = evaluate_first(dim_hits.firsts, tables(), frame, *point, sigma)
    for axis, slope in enumerate((value.ga, value.gb, value.gt)):
        step = np.zeros(3)
        step[axis] = 0.05
        above = evaluate_first(dim_hits.firsts, tables(), frame, *(np.array(point) + step), sigma).llh
        below = evaluate_first(dim_hits.firsts, tables(), frame, *(np.array(point) - step), sigma).llh
        assert slope == pytest.approx((above - below) / 0.1, abs=3e-3, rel=1e-2)


def _one(hits: TrackHits, number: int) -> FirstPhotons:
    """One module, and others that see only noise."""
    one = FirstPhotons(*(np.repeat(column[number : number + 1], LANES) for column in hits.firsts))
    one.present[1:] = ABSENT
    return one


@pytest.mark.parametrize("number", [0, 5, 20])
def test_the_density_of_a_module_has_norm_one(dim_hits: TrackHits, number: int) -> None:
    """Over all times the vertex could have, without the floor of noise and of delays beyond the table."""
    frame, one = Frame(*frame_of(1.2, 2.0)), _one(dim_hits, number)
    reach = float(np.linalg.norm([one.x[0], one.y[0], one.z[0]])) * 8
    times = np.arange(float(one.time[0]) - reach - 30000.0, float(one.time[0]) + reach, 2.0)
    llh = np.array([evaluate_first(one, tables(), frame, 0.0, 0.0, t, RESOLUTION).llh for t in times])
    density = np.exp(-llh - (LANES - 1) * np.log(NOISE))
    assert 2.0 * float(np.sum(density - density[0])) == pytest.approx(1.0, abs=0.03)


def test_absurd_places_give_a_number(dim_hits: TrackHits) -> None:
    frame = Frame(*frame_of(1.0, 1.0))
    for point in ((1e6, 0.0, 0.0), (0.0, -1e7, 1e9), (0.0, 0.0, -1e12)):
        assert np.isfinite(evaluate_first(dim_hits.firsts, tables(), frame, *point, RESOLUTION).llh)


def test_padding_adds_a_constant_and_no_slope(dim_hits: TrackHits) -> None:
    frame = Frame(*frame_of(1.2, 2.0))
    more = FirstPhotons(*(np.append(column, np.repeat(column[-1:], LANES)) for column in dim_hits.firsts))
    padded = evaluate_first(more, tables(), frame, 3.0, 4.0, 5.0, RESOLUTION)
    plain = evaluate_first(dim_hits.firsts, tables(), frame, 3.0, 4.0, 5.0, RESOLUTION)
    assert padded.llh + LANES * np.log(NOISE) == pytest.approx(plain.llh, abs=1e-4)
    assert padded[1:] == pytest.approx(plain[1:], rel=1e-9)


def test_a_row_depends_on_event_direction_and_seed_alone(dim_track: Event) -> None:
    reco = Track()
    hits = reco.prepare(dim_track)
    zenith, azimuth = np.linspace(0.3, 2.8, 5), np.linspace(0.0, 6.0, 5)
    rows = reco.reconstruct(hits, zenith, azimuth)
    refined = reco.reconstruct(hits, zenith + 0.01, azimuth, rows)
    for k in range(5):
        alone = reco.reconstruct(hits, zenith[k : k + 1] + 0.01, azimuth[k : k + 1], rows[k : k + 1])
        assert alone.tobytes() == refined[k : k + 1].tobytes()


def test_a_vertex_is_a_minimum(dim_track: Event, dim_hits: TrackHits) -> None:
    truth = dim_track.truth
    assert truth is not None
    row = Track().reconstruct(dim_hits, np.array([truth.zenith]), np.array([truth.azimuth]))[0]
    frame = Frame(*frame_of(truth.zenith, truth.azimuth))
    x, y, z = (float(row[name]) - dim_hits.centre[k] for k, name in enumerate("XYZ"))
    a, b = x * frame.e1x + y * frame.e1y + z * frame.e1z, x * frame.e2x + y * frame.e2y
    assert a * a + b * b < REACH**2
    for shift in ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.5)):
        t0 = float(row["T"]) - dim_hits.time
        moved = evaluate_first(dim_hits.firsts, tables(), frame, a + shift[0], b + shift[1], t0 + shift[2],
                               RESOLUTION)
        assert moved.llh - dim_hits.padding_llh > row["llh"]


def test_losses_are_as_large_as_published_ones() -> None:
    """Bremsstrahlung, pairs and photonuclear losses add up to 3.3e-4 1/m at high energies."""
    assert relative_loss(1e5) == pytest.approx(RADIATIVE_LOSS, rel=0.1)
    assert relative_loss(1e3) < relative_loss(1e4) < relative_loss(1e5)


def test_single_and_even_losses_add_up() -> None:
    rng = np.random.default_rng(1)
    muons = [draw_losses(rng, 1e4, 300.0, 1.0) for _ in range(400)]
    lost = np.mean([1e4 - muon.left for muon in muons])
    radiated = np.mean([muon.even + muon.energy.sum() for muon in muons])
    assert lost == pytest.approx(radiated + 0.25 * 300, rel=0.05)
    assert radiated == pytest.approx(1e4 * -np.expm1(-300 * relative_loss(1e4)), rel=0.15)
    for muon in muons[:20]:
        assert (muon.energy >= 0.99).all()
        assert (np.diff(muon.distance) > 0).all()


def test_a_stopped_muon_ends() -> None:
    muon = draw_losses(np.random.default_rng(2), 50.0, 1e5, 1.0)
    assert muon.left == 0.0
    assert muon.distance.size == muon.energy.size == muon.muon_energy.size
