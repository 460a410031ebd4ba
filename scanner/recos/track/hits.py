"""The first pulse of every hit module, with the ice around it: what the track likelihood sees of an event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.detector import FIRST_DEEPCORE_STRING, dom_positions
from config.ice import TRACK_ICE
from scanner.common.errors import EventError
from scanner.common.fastmath import F
from scanner.common.lanes import LANES
from scanner.events.event import Pulses
from scanner.light.ice import GRID_BOTTOM, GRID_STEP, levelled, local_ice
from scanner.recos.track.first_photon import LARGEST_CHARGE, FirstPhotons, first_photons
from scanner.recos.track.likelihood import ABSENT, Doms
from scanner.recos.track.misfit import usual_llh
from scanner.recos.track.paths import split
from scanner.recos.track.values import NOISE

__all__ = ["MAX_PHOTONS", "MIN_DOMS", "SAMPLE", "TrackHits", "first_hits"]

SAMPLE = 48
"""Modules that show the valleys of −ln L as well as all of them."""

MIN_DOMS = 4
"""One more than the vertex has parameters."""
MAX_PHOTONS = 20.0
"""Cap of N: beyond, the width of the first photon's time is electronics and geometry, not statistics."""


@dataclass(frozen=True)
class TrackHits:
    """Hit modules relative to their charge-weighted centre and a reference time."""

    doms: Doms  # padded; the first n_hit are real, the brightest first
    firsts: FirstPhotons  # the same
    coarse: Doms  # a sample of them, evenly over the strings
    n_hit: int
    centre: np.ndarray  # (3,), m
    time: float  # ns
    usual: float  # mean −ln L per module that tracks with such charges have by their first photons

    @property
    def padding_llh(self) -> float:
        """What the padding adds to −ln L."""
        return -(len(self.doms.time) - self.n_hit) * float(np.log(NOISE))


def first_hits(pulses: Pulses, ice: str = TRACK_ICE) -> TrackHits:
    """First pulse and charge of every module of strings 1 … 78, in an ice; EventError if fewer than MIN_DOMS.
    """
    pulses = pulses.select(pulses.string < FIRST_DEEPCORE_STRING)
    module = pulses.string.astype(np.int64) * 64 + pulses.om
    keys, place = np.unique(module, return_inverse=True)
    if len(keys) < MIN_DOMS:
        raise EventError(f"a track fit needs pulses in at least {MIN_DOMS} modules; "
                         f"after cleaning the event has {len(keys)}")
    charge = np.bincount(place, weights=pulses.charge)
    time = np.full(len(keys), np.inf)
    np.minimum.at(time, place, pulses.time)
    position = dom_positions()[keys // 64 - 1, keys % 64 - 1]
    centre = np.average(position, axis=0, weights=np.maximum(charge, 1e-3))
    brightest = np.argsort(-charge, kind="stable")
    coarse = np.sort(np.argsort(brightest)[_sample(len(keys))])
    position, time, charge = position[brightest], time[brightest], charge[brightest]
    doms = _padded(_doms(position, centre, time - time.min(), charge, ice))
    charges = np.pad(charge, (0, len(doms.time) - len(keys)), mode="edge")
    usual = usual_llh(np.clip(charge, 1.0, LARGEST_CHARGE))
    return TrackHits(doms, first_photons(doms, charges), _padded(Doms(*(column[coarse] for column in doms))),
                     len(keys), centre, float(time.min()), usual)


def _doms(position: np.ndarray, centre: np.ndarray, time: np.ndarray, charge: np.ndarray, ice: str) -> Doms:
    """The modules; at their heights the table of the ice holds; on the whole way the tilt is the module's.
    """
    x, y, z = np.ascontiguousarray((position - centre).T)
    height = levelled(position, ice)
    photons = np.clip(charge, 1.0, MAX_PHOTONS)
    scattering, scattering_integral, absorption, absorption_integral = local_ice(height, ice)
    node, fraction = np.divmod((height - GRID_BOTTOM) / GRID_STEP, 1.0)
    return Doms(x, y, z, time, height.astype(F), node.astype(np.int32), fraction.astype(F),
                (photons - 1.0).astype(F), np.log(photons).astype(F),
                scattering.astype(F), *split(scattering_integral),
                absorption.astype(F), *split(absorption_integral))


def _sample(n_hit: int) -> np.ndarray:
    """Numbers of at most SAMPLE modules, evenly over all."""
    return np.linspace(0, n_hit - 1, min(SAMPLE, n_hit)).astype(int)


def _padded(doms: Doms) -> Doms:
    """The modules, followed by copies of the last that see only noise, up to whole vectors."""
    missing = -len(doms.time) % LANES
    padded = Doms(*(np.pad(column, (0, missing), mode="edge") for column in doms))
    padded.log_n[len(doms.time):] = ABSENT
    return padded
