"""What must not matter: when the readout began, and how the detector is turned about its vertical axis.

The ice of SPICE Mie depends on height alone (that of the other model is tilted). So turning the modules and
the sky together leaves every fit as it was, and a later start of the clock moves nothing but the fitted time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scanner.events.event import Event, Pulses
from scanner.light.charges import Charges, receivers
from scanner.recos.cascade import CascadeEvent
from scanner.recos.millipede import MillipedeEvent
from scanner.recos.recos import find_reco
from scanner.recos.track.hits import TrackHits
from scanner.recos.track.likelihood import Doms
from scanner.simulation.simulate import simulate_cascade


@pytest.fixture(scope="module")
def events(dim_track: Event) -> dict[str, Event]:
    """By reconstruction, an event that it is made for: another's best fit is no clear minimum."""
    shower = simulate_cascade(np.random.default_rng(5), 1.1, 2.1, energy=6e4, vertex=(20.0, -30.0, -300.0))
    return {"track_mpe": dim_track, "cascade.spice_mie": shower, "millipede.spice_mie": dim_track}


PRECISION = {"track_mpe": 0.02, "cascade.spice_mie": 0.05, "millipede.spice_mie": 0.03}
"""Of −ln L, also far from the best fit, where a shower's is some 10⁵ and differs by thousands.

Light in single precision moves that of a track's losses by 0.02, in a pixel some 900 above another one."""
NEAR = {"track_mpe": 1.45, "cascade.spice_mie": 1.45, "millipede.spice_mie": 1.25}
"""The zenith of the second direction. That of `millipede` is another: at 1.45 its −ln L has several valleys,
and the last bit of a sum chooses."""
AZIMUTH = np.array([1.1, 2.0, 5.0])
SHIFT = 37.25  # ns


def zeniths(name: str) -> np.ndarray:
    return np.array([0.7, NEAR[name], 2.3])


def later(pulses: Pulses) -> Pulses:
    return replace(pulses, time=pulses.time + SHIFT)


@pytest.mark.parametrize("name", ["track_mpe", "cascade.spice_mie", "millipede.spice_mie"])
def test_a_later_clock_moves_only_the_time(name: str, events: dict[str, Event]) -> None:
    reco, event = find_reco(name), events[name]
    moved = replace(event, pulses=later(event.pulses), cleaned=later(event.cleaned))
    rows, others = (reco.reconstruct(reco.prepare(one), zeniths(name), AZIMUTH) for one in (event, moved))
    assert others["llh"] == pytest.approx(rows["llh"], abs=1e-3)
    assert others["T"] - rows["T"] == pytest.approx(np.full(len(rows), SHIFT), abs=0.1)
    for column in "XYZ":
        assert others[column] == pytest.approx(rows[column], abs=0.05)


def turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    return x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)


def turned_centre(centre: np.ndarray, angle: float) -> np.ndarray:
    return np.array([*turned(centre[0], centre[1], angle), centre[2]])


def turned_doms(doms: Doms, angle: float) -> Doms:
    x, y = turned(doms.x, doms.y, angle)
    return doms._replace(x=x, y=y)


def turned_hits(hits: TrackHits, angle: float) -> TrackHits:
    return replace(hits, doms=turned_doms(hits.doms, angle), coarse=turned_doms(hits.coarse, angle),
                   centre=turned_centre(hits.centre, angle))


def turned_charges(charges: Charges, angle: float) -> Charges:
    x, y = turned(charges.modules.x, charges.modules.y, angle)
    modules = charges.modules._replace(x=x, y=y)
    return replace(charges, modules=modules, receivers=receivers(modules, charges.bins),
                   centre=turned_centre(charges.centre, angle))


def turned_event(prepared: object, angle: float) -> object:
    match prepared:
        case TrackHits():
            return turned_hits(prepared, angle)
        case CascadeEvent(charges, start):
            x, y = turned(start[0], start[1], angle)
            return CascadeEvent(turned_charges(charges, angle), np.array([x, y, *start[2:]]))
        case MillipedeEvent(charges, hits, shower, good):
            x, y = turned(shower[1], shower[2], angle)
            return MillipedeEvent(turned_charges(charges, angle), turned_hits(hits, angle),
                                  np.array([shower[0], x, y, *shower[3:]]), good)
    raise AssertionError(prepared)


@pytest.mark.parametrize("angle", [0.3, 2.0, -1.1])
@pytest.mark.parametrize("name", ["track_mpe", "cascade.spice_mie", "millipede.spice_mie"])
def test_turning_detector_and_sky_turns_the_map(name: str, angle: float, events: dict[str, Event]) -> None:
    reco = find_reco(name)
    prepared = reco.prepare(events[name])
    rows = reco.reconstruct(prepared, zeniths(name), AZIMUTH)
    others = reco.reconstruct(turned_event(prepared, angle), zeniths(name), (AZIMUTH + angle) % (2 * np.pi))
    assert others["llh"] == pytest.approx(rows["llh"], abs=PRECISION[name])
    x, y = turned(rows["X"], rows["Y"], angle)
    for found, expected in ((others["X"], x), (others["Y"], y), (others["Z"], rows["Z"])):
        assert found == pytest.approx(expected, abs=0.3)
