"""The energy of a muon from the light along its track, and of the neutrino that it may come from.

The truncated mean (IceCube, NIM A703 (2013) 190): the track is cut into pieces; in each the charge of the
modules near it is compared with what one photon per metre would give; the pieces with the largest ratios are
left out, because single large losses tell little of the energy; what remains grows with it.

How the ratio becomes an energy, and how much energies scatter around it, was taken from simulated muons with
losses from published cross sections, their light followed by an outside program (`docs/kernel.md`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.detector import DOMS_PER_STRING, dom_positions, relative_efficiency
from config.ice import COS_CHERENKOV, SIN_CHERENKOV
from scanner.events.event import Particle, Pulses
from scanner.light.ice import mean_coefficients
from scanner.light.light import DOM_AREA, MEAN_SENSITIVITY, SENSITIVITY_SLOPE, track_density
from scanner.recos.track.fit import frame_of

__all__ = ["SPECTRUM", "SPREAD", "Interval", "light_per_metre", "muon_energy", "neutrino_energy"]

NEAREST, FARTHEST = 10.0, 100.0
"""Modules at these distances from the track take part, m: nearer ones see single losses, others little."""
PIECE = 120.0
"""Length of a piece, m."""
KEPT = 0.5
"""Share of the pieces that is kept, those with the least light."""
FEWEST_MODULES = 3
ENDS, MARGIN = 0.03, 30.0
"""The track counts from this share of its hit modules to the last but so many, and this far beyond, m."""
DIM = 0.1
"""A piece that sees less than this share of the median piece's light is left out."""
LN_SLOPE, LN_OFFSET, SPREAD = 0.85, 1.67, 0.52
"""ln E/GeV = slope · ln(photons per metre) + offset, and the spread of ln E around it."""
SPECTRUM = 2.19
"""Spectral index of astrophysical muon neutrinos (IceCube, ApJ 833 (2016) 3), as IceCube's alerts assume."""
INELASTICITY = 0.28
"""Mean share of a neutrino's energy that does not go to the muon, 10 TeV … 1 PeV (R. Gandhi et al.,
Phys. Rev. D58 (1998) 093009)."""
IONISATION, RADIATION = 0.24, 3.3e-4
"""Mean loss of a muon in ice: GeV/m, and relative per m (D. Chirkin & W. Rhode, arXiv:hep-ph/0407075)."""
_CROSS_SECTION = np.array([[2, 0.69], [3, 6.3], [4, 46.0], [5, 210.0], [6, 680.0], [7, 1900.0], [8, 4800.0]])
"""log10 E/GeV and the charged-current cross section of neutrinos on isoscalar nucleons, pb, two digits
(A. Cooper-Sarkar, P. Mertsch, S. Sarkar, JHEP 08 (2011) 042)."""


@dataclass(frozen=True)
class Interval:
    """A most probable value with the bounds of its central interval, GeV."""

    value: float
    low: float
    high: float


def light_per_metre(pulses: Pulses, track: Particle) -> float:
    """Detectable photons per metre of a track, truncated mean; NaN where too few modules saw it."""
    seen, expected, along = _near_modules(pulses, track)
    hit = along[seen > 0]
    if len(hit) < FEWEST_MODULES:
        return float("nan")
    first, last = np.quantile(hit, [ENDS, 1 - ENDS])
    inside = (along > first - MARGIN) & (along < last + MARGIN)
    piece = ((along[inside] - first + MARGIN) // PIECE).astype(int)
    seen, expected = (np.bincount(piece, weights=values[inside]) for values in (seen, expected))
    bright = expected > DIM * np.median(expected)
    seen, expected = seen[bright], expected[bright]
    kept = np.argsort(seen / expected, kind="stable")[: int(np.ceil(KEPT * len(seen)))]
    return float(seen[kept].sum() / expected[kept].sum())


def _near_modules(pulses: Pulses, track: Particle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Charge (PE), expectation for a photon per metre, place along the track (m) of modules near it."""
    frame = frame_of(track.zenith, track.azimuth)
    flight = np.array(frame[:3])
    positions = dom_positions().reshape(-1, 3)
    relative = positions - np.array([track.x, track.y, track.z])
    along = relative @ flight
    across = relative - np.outer(along, flight)
    distance = np.linalg.norm(across, axis=1)
    near = (distance > NEAREST) & (distance < FARTHEST)
    along, across, distance, height = along[near], across[near], distance[near], positions[near, 2]
    cosine = flight[2] * COS_CHERENKOV + across[:, 2] / distance * SIN_CHERENKOV
    path = distance / SIN_CHERENKOV
    scattering, absorption = mean_coefficients(height - cosine * path, height)
    sensitivity = MEAN_SENSITIVITY * (1.0 + SENSITIVITY_SLOPE * cosine * np.exp(-path * scattering))
    expected = DOM_AREA * track_density(distance, scattering, absorption) * sensitivity
    module = (pulses.string.astype(np.int64) - 1) * DOMS_PER_STRING + pulses.om - 1
    charge = np.bincount(module, weights=pulses.charge, minlength=len(positions))
    return charge[near], expected * relative_efficiency().ravel()[near], along


def muon_energy(pulses: Pulses, track: Particle) -> Interval | None:
    """The muon's energy where it enters the detector and its 68 % interval; None: too little was seen."""
    light = light_per_metre(pulses, track)
    if not light > 0:
        return None
    energy = float(np.exp(LN_SLOPE * np.log(light) + LN_OFFSET))
    return Interval(energy, energy * float(np.exp(-SPREAD)), energy * float(np.exp(SPREAD)))


def neutrino_energy(muon: float, spread: float = SPREAD, index: float = SPECTRUM) -> Interval:
    """Most probable energy of the neutrino behind a muon of about `muon` GeV, with its 90 % interval.

    Neutrinos of spectrum E^-index interact anywhere along the way; a muon gets (1 − y) of the energy, with
    dN/dy ∝ (1 − y)^m of the right mean y, and loses energy on its way. The Earth's shadow is left out: it
    would make high energies less probable for up-going neutrinos.
    """
    ln_e = np.linspace(np.log(1e2), np.log(1e9), 500)
    ln_mu = ln_e[:, None]
    power = 1.0 / INELASTICITY - 1.0
    share = np.exp(np.minimum(ln_mu - ln_e, 0.0))
    # muons of an energy per neutrino: those made above it, times the way they spend at it
    reach = (1.0 - share**power) * np.exp(ln_mu) / (IONISATION + RADIATION * np.exp(ln_mu))
    section = np.exp(np.interp(ln_e, np.log(10.0) * _CROSS_SECTION[:, 0], np.log(_CROSS_SECTION[:, 1])))
    measured = np.exp(-0.5 * ((ln_mu - np.log(muon)) / spread) ** 2)
    density = (measured * reach).sum(axis=0) * section * np.exp((1.0 - index) * ln_e)
    running = np.cumsum(density) / density.sum()
    low, high = np.exp(np.interp([0.05, 0.95], running, ln_e))
    return Interval(float(np.exp(ln_e[np.argmax(density)])), float(low), float(high))
