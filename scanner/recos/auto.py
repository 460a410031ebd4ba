"""The reconstruction `auto`: a track fit, a shower fit, or, between the two, a fit of losses along a track.

Which one is decided once per event by a robust line fit to the first hits (improved LineFit: IceCube, NIM
A736 (2014) 143): a muon's light front moves with about the speed of light, a shower's spreads in all
directions, so that the fitted speed is small. A track that starts with a large shower lies between.

How sure the choice is, is measured: the line is fitted again to modules drawn with repetition from the hit
ones (the bootstrap: Efron 1979), and the share of these fits that choose the same is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanner.events.event import Event
from scanner.recos.cascade import Cascade, CascadeEvent
from scanner.recos.millipede import Millipede, MillipedeEvent
from scanner.recos.track.hits import TrackHits, first_hits
from scanner.recos.track.reco import Track

__all__ = ["SHOWER_SPEED", "TRACK_SPEED", "Auto", "AutoEvent", "Choice", "choose", "line_speed"]

SHOWER_SPEED, TRACK_SPEED = 0.14, 0.17
"""Speeds (m/ns) up to which an event is a shower and from which it is a passing track.

Simulated events with more than 20 hit modules: tracks had 0.175 … 0.30, showers 0.02 … 0.14.
"""
ROUNDS, KEPT = 3, 0.9
"""The line is fitted so often to the hits nearest to it, and to so large a share of them."""

REDRAWN = 200
"""So many fits tell how sure a choice is: to 4 % at worst."""


@dataclass(frozen=True)
class Choice:
    """What suits an event, and how that was found."""

    reco: str
    speed: float  # of the line through the first hits, m/ns
    sureness: float  # share of redrawn events that choose the same
    why: str


@dataclass(frozen=True)
class AutoEvent:
    """What the chosen reconstruction prepared, and the speed (m/ns) that decided."""

    prepared: TrackHits | CascadeEvent | MillipedeEvent
    speed: float


def line_speed(hits: TrackHits) -> float:
    """Speed (m/ns) of the straight line through the first hits, outliers left out."""
    return _speed(*_places(hits))


def choose(event: Event) -> Choice:
    """What suits an event, why, and how sure that is; raises EventError if too few modules are hit."""
    place, time = _places(first_hits(event.cleaned))
    speed = _speed(place, time)
    reco = _suited(speed)
    rng = np.random.default_rng(len(time))  # the same event is always judged alike
    drawn = rng.integers(0, len(time), (REDRAWN, len(time)))
    same = np.mean([_suited(_speed(place[some], time[some])) == reco for some in drawn])
    return Choice(reco, speed, float(same), f"its light moves at {speed:.2f} m/ns along a line: {_WHY[reco]}")


_WHY = {"track": f"from {TRACK_SPEED} m/ns on it is a passing track",
        "cascade": f"up to {SHOWER_SPEED} m/ns it is a shower",
        "millipede": f"between a shower's {SHOWER_SPEED} and a passing track's {TRACK_SPEED} m/ns"}


def _suited(speed: float) -> str:
    if speed >= TRACK_SPEED:
        return Track.name
    return Cascade.name if speed <= SHOWER_SPEED else Millipede.name


def _places(hits: TrackHits) -> tuple[np.ndarray, np.ndarray]:
    """Place (m, shape (n, 3)) and time (ns) of the first hits."""
    doms, n = hits.doms, hits.n_hit
    return np.stack([doms.x, doms.y, doms.z], axis=1)[:n], doms.time[:n]


def _speed(place: np.ndarray, time: np.ndarray) -> float:
    kept = np.ones(len(time), dtype=bool)
    velocity = np.zeros(3)
    for _ in range(ROUNDS):
        middle, moment = place[kept].mean(axis=0), time[kept].mean()
        delay = time[kept] - moment
        velocity = delay @ (place[kept] - middle) / max(float(delay @ delay), 1.0)
        miss = np.linalg.norm(place - middle - np.outer(time - moment, velocity), axis=1)
        kept = miss <= np.quantile(miss, KEPT)
    return float(np.linalg.norm(velocity))


class Auto:
    """Track, shower or losses, whichever the event looks like."""

    name = "auto"
    description = ("track for events whose light moves like a passing track, cascade for those where it "
                   "spreads from a point, millipede for those between")
    cost = "1 … 100"

    def __init__(self) -> None:
        self._track, self._cascade, self._millipede = Track(), Cascade(), Millipede()
        self._known = {reco.name: reco for reco in (self._track, self._cascade, self._millipede)}

    def chosen(self, event: Event) -> str:
        """The name of the reconstruction that suits an event; raises EventError as `prepare`."""
        return _suited(line_speed(first_hits(event.cleaned)))

    def check(self, event: Event) -> None:
        """Raises EventError if too few modules are hit."""
        self._known[self.chosen(event)].check(event)

    def prepare(self, event: Event) -> AutoEvent:
        """Choose and prepare; raises EventError if too few modules are hit."""
        speed = line_speed(first_hits(event.cleaned))
        return AutoEvent(self._known[_suited(speed)].prepare(event), speed)

    def reconstruct(self, prepared: AutoEvent, zenith: np.ndarray, azimuth: np.ndarray,
                    seeds: np.ndarray | None = None) -> np.ndarray:
        """Fit n directions with the chosen reconstruction; PIXEL_DTYPE of shape (n,)."""
        match prepared.prepared:
            case TrackHits() as hits:
                return self._track.reconstruct(hits, zenith, azimuth, seeds)
            case CascadeEvent() as shower:
                return self._cascade.reconstruct(shower, zenith, azimuth, seeds)
            case losses:
                return self._millipede.reconstruct(losses, zenith, azimuth, seeds)
