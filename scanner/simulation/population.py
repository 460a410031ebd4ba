"""Events as a realtime selection might have them: what coverage is measured and calibrated on.

Muons come mostly from near the horizon, where the Earth lets energetic neutrinos pass and the detector is
large, cross the instrumented volume and give some hundred hit modules. Showers lie inside and come from
everywhere. Energies are log-uniform over the range in which real alerts have as many hit modules. Each event
has ice of its own, whose scattering and absorption differ from the table by factors of a given spread.
Event k of a seed is the same however many are asked for.
"""

from __future__ import annotations

import numpy as np

from config.detector import FIRST_DEEPCORE_STRING
from scanner.events.event import Event
from scanner.simulation.simulate import simulate_cascade, simulate_track

__all__ = ["CLASSES", "ICE_SPREAD", "draw_event"]

CLASSES = {"track": "track", "cascade": "cascade", "millipede": "millipede"}
"""Classes of events, and the reconstruction that is measured with each."""
ICE_SPREAD = 0.1
"""Relative spread of scattering and absorption: the uncertainty that the makers of SPICE Mie state
(IceCube, NIM A711 (2013) 73)."""
TRACK_ENERGIES, SHOWER_ENERGIES = (3e3, 1e5), (2.5e4, 1e6)
"""GeV, of the muon 900 m before the point nearest to its vertex, and of the shower."""
HORIZON, HORIZON_SPREAD = -0.05, 0.35
"""Mean and spread of a muon's cosine of zenith."""
TRACK_RADIUS, SHOWER_RADIUS, SHOWER_HEIGHT = 400.0, 420.0, 420.0
"""m. A muon passes so near the centre; a shower lies in a cylinder of such radius and half height."""
FEWEST_MODULES = 25
"""Dimmer events raise no alert and are drawn anew."""


def draw_event(name: str, seed: int, number: int, ice_spread: float = ICE_SPREAD,
               single_losses: bool = True) -> Event:
    """Event `number` of a seed and class; KeyError for an unknown class.

    Without ``single_losses`` muons lose their energy evenly, as the track fit assumes.
    """
    draw = {"track": _track, "millipede": _track, "cascade": _cascade}[name]
    rng = np.random.default_rng([seed, number, sorted(CLASSES).index(name)])
    while True:
        ice = tuple(np.maximum(rng.normal(1.0, ice_spread, 2), 0.5))
        event = draw(rng, number, ice, single_losses)
        if _modules(event) >= FEWEST_MODULES:
            return event


def _modules(event: Event) -> int:
    pulses = event.cleaned.select(event.cleaned.string < FIRST_DEEPCORE_STRING)
    return len(np.unique(pulses.string.astype(int) * 100 + pulses.om))


def _track(rng: np.random.Generator, number: int, ice: tuple[float, float], single_losses: bool) -> Event:
    cosine = np.inf
    while abs(cosine) > 1.0:
        cosine = rng.normal(HORIZON, HORIZON_SPREAD)
    return simulate_track(rng, float(np.arccos(cosine)), rng.uniform(0, 2 * np.pi),
                          energy=_log_uniform(rng, TRACK_ENERGIES), vertex=_in_ball(rng, TRACK_RADIUS),
                          single_losses=single_losses, ice=ice, event_id=number)


def _cascade(rng: np.random.Generator, number: int, ice: tuple[float, float], _: bool) -> Event:
    angle, radius = rng.uniform(0, 2 * np.pi), SHOWER_RADIUS * np.sqrt(rng.uniform())
    vertex = radius * np.cos(angle), radius * np.sin(angle), rng.uniform(-SHOWER_HEIGHT, SHOWER_HEIGHT)
    return simulate_cascade(rng, float(np.arccos(rng.uniform(-1, 1))), rng.uniform(0, 2 * np.pi),
                            energy=_log_uniform(rng, SHOWER_ENERGIES), vertex=vertex, ice=ice,
                            event_id=number)


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _in_ball(rng: np.random.Generator, radius: float) -> tuple[float, float, float]:
    direction = rng.normal(size=3)
    x, y, z = radius * np.cbrt(rng.uniform()) * direction / np.linalg.norm(direction)
    return float(x), float(y), float(z)
