"""The reconstruction `cascade`: one point-like shower per direction, with vertex, time and energy.

Charges in time bins are compared with the shower's light (`scanner.light.shower_light`) by a negative
binomial likelihood: counts fluctuate, and the expectation itself is uncertain by MODEL_ERROR. For each
direction five parameters are fitted by Fisher scoring with Levenberg's damping (Nocedal & Wright 2006,
ch. 10): the gradient and the information matrix follow from the expectation's differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.ice import ENERGY_ICE
from scanner.common.compiled import fast_kernel, kernel
from scanner.common.fastmath import fast_log
from scanner.events.event import Event
from scanner.light.charges import Bins, Charges, Receivers, bin_charges
from scanner.light.shower_light import ShowerTables, Vector, fill_signal, fill_some, reach, shower_tables
from scanner.machine.entry import Entry
from scanner.maps import healpix
from scanner.maps.result import PIXEL_DTYPE, nan_rows
from scanner.recos.track.fit import frame_of
from scanner.recos.unfolding import Equations, copy_to, solve

__all__ = ["FIT_SHOWER", "HALF_HEIGHT", "MODEL_ERROR", "RADIUS", "Cascade", "CascadeEvent", "common_vertex",
           "contained",
           "flights", "in_ice"]

MODEL_ERROR = 0.3
"""Relative uncertainty of an expected charge; 0 would be Poisson."""
STEPS = np.array([0.02, 0.02, 0.02, 0.04])
"""Differences for the derivatives by x, y, z (m) and t (ns).

Small, because they look forwards only: where bright modules are far from their expectation, what the light
bends within a step looks like a slope at the bottom, and a fit stops above it: by up to 6 in −ln L at 0.5 m
and 1 ns.
"""
MAX_STEPS = 30
TOLERANCE = 1e-4
"""Promised gain in ln L at which a fit stops."""
LONGEST = 60.0
"""Longest step of the vertex, m."""
SURVEY_NSIDE = 1
"""Directions from which the event's common vertex is sought."""
_FARTHEST = 1e5
RADIUS, HALF_HEIGHT = 520.0, 510.0
"""The instrumented volume as a cylinder, m."""


@dataclass(frozen=True)
class CascadeEvent:
    """Charges of an event, and the vertex (x, y, z, t, ln E; relative) from which its pixels start."""

    charges: Charges
    start: np.ndarray


def contained(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Whether vertices (m) lie inside the instrumented volume, taken as a cylinder."""
    return (np.hypot(x, y) < RADIUS) & (np.abs(z) < HALF_HEIGHT)


@fast_kernel
def _value(bins: Bins, signal: np.ndarray, energy: float, size: float) -> float:
    """−ln L of expectations energy · signal + noise, with terms of the charges alone left out."""
    total = 0.0
    for i in range(len(signal)):
        mu, n = energy * signal[i] + bins.noise[i], bins.charge[i]
        total += bins.weight[i] * ((n + size) * fast_log(1.0 + mu / size) - n * fast_log(mu))
    return total


@fast_kernel
def _normal_equations(bins: Bins, signals: np.ndarray, energy: float, size: float, steps: np.ndarray,
                      gradient: np.ndarray, information: np.ndarray) -> None:
    """Gradient of −ln L and Fisher information (its upper half) for (x, y, z, t, ln E).

    signals[1:] are the shifted ones.
    """
    slopes = np.empty(5)
    for p in range(5):
        gradient[p] = 0.0
        for q in range(p, 5):
            information[p, q] = 0.0
    for i in range(signals.shape[1]):
        base = signals[0, i]
        mu = energy * base + bins.noise[i]
        variance = mu * (1.0 + mu / size)
        weight = bins.weight[i] / variance
        for p in range(4):
            slopes[p] = energy * (signals[p + 1, i] - base) / steps[p]
        slopes[4] = energy * base
        for p in range(5):
            gradient[p] += weight * (mu - bins.charge[i]) * slopes[p]
            for q in range(p, 5):
                information[p, q] += weight * slopes[p] * slopes[q]


@kernel
def _fit(tables: ShowerTables, receivers: Receivers, bins: Bins, centre: Vector, p: Vector, start: np.ndarray,
         steps: np.ndarray, size: float, signals: np.ndarray, result: np.ndarray) -> None:
    """Fisher scoring from `start` = (x, y, z, t, ln E); the least −ln L and its place."""
    best, near = np.empty(5), np.empty(5)
    copy_to(best, start)
    place = (best[0], best[1], best[2], best[3])
    fill_signal(signals[0], tables, receivers, centre, place, p)
    reached, amounts = np.empty(len(receivers.packed) + 1, np.int64), np.empty(len(receivers.packed))
    llh = _value(bins, signals[0], np.exp(best[4]), size)
    equations = Equations(np.empty((5, 5)), np.empty(5), np.empty(5))
    step, damping, current = equations.step, 1e-2, False
    for _ in range(MAX_STEPS):
        if not current:
            place = (best[0], best[1], best[2], best[3])
            count = reach(reached, tables, receivers, centre, place)
            for k in range(4):
                copy_to(near, best)
                near[k] += steps[k]
                place = (near[0], near[1], near[2], near[3])
                copy_to(signals[k + 1], signals[0])
                fill_some(signals[k + 1], amounts, reached, count, tables, receivers, centre, place, p)
            _normal_equations(bins, signals, np.exp(best[4]), size, steps, equations.gradient,
                              equations.information)
            current = True
        if solve(equations, 5, damping) < TOLERANCE:
            break
        length = np.sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2])
        share = min(1.0, LONGEST / (length + 1e-9), 2.0 / (abs(step[4]) + 1e-9))
        for k in range(5):
            near[k] = best[k] + share * step[k]
        fill_signal(signals[5], tables, receivers, centre, (near[0], near[1], near[2], near[3]), p)
        trial = _value(bins, signals[5], np.exp(near[4]), size)
        if trial < llh:
            copy_to(best, near)
            copy_to(signals[0], signals[5])
            llh, current = trial, False
            damping = max(damping * 0.2, 1e-6)
        else:
            damping = damping * 5.0 + 1e-3
            if damping > 1e6:
                break
    result[0] = llh
    copy_to(result[1:], best)


@kernel
def fit_pixels(tables: ShowerTables, receivers: Receivers, bins: Bins, centre: Vector, directions: np.ndarray,
               starts: np.ndarray, steps: np.ndarray, size: float, result: np.ndarray) -> None:
    """Fit each direction from its start; fills in rows of (llh, x, y, z, t, ln E)."""
    signals = np.empty((6, len(bins.charge)))
    for i in range(len(directions)):
        p = (directions[i, 0], directions[i, 1], directions[i, 2])
        _fit(tables, receivers, bins, centre, p, starts[i], steps, size, signals, result[i])


FIT_SHOWER = Entry("cascade", fit_pixels)


def in_ice(name: str, ice: str) -> str:
    """The name of an energy fit in an ice model: ``cascade``, or in another ice ``cascade.spice_mie``."""
    return name if ice == ENERGY_ICE else f"{name}.{ice}"


def flights(zenith: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Unit vectors of flight, shape (n, 3)."""
    return np.array([frame_of(z, a)[:3] for z, a in zip(zenith, azimuth, strict=True)]).reshape(-1, 3)


class Cascade:
    """A point-like shower: vertex, time and energy for each direction."""

    name = "cascade"
    description = ("point-like shower (electron or tau neutrino, neutral current): vertex, time and energy "
                   "from charges in time bins")
    cost = "10"

    def __init__(self, ice: str = ENERGY_ICE) -> None:
        self._ice = ice
        self.name = in_ice(type(self).name, ice)

    def check(self, event: Event) -> None:
        """Raises EventError if too few modules are hit."""
        bin_charges(event, self._ice)

    def prepare(self, event: Event) -> CascadeEvent:
        """Charges and a common vertex; raises EventError if too few modules are hit."""
        charges = bin_charges(event, self._ice)
        return CascadeEvent(charges, common_vertex(charges, self._ice)[1:])

    def reconstruct(self, prepared: CascadeEvent, zenith: np.ndarray, azimuth: np.ndarray,
                    seeds: np.ndarray | None = None) -> np.ndarray:
        """Fit n directions (rad) from the parents' vertices; PIXEL_DTYPE of shape (n,)."""
        zenith, azimuth = np.atleast_1d(zenith).astype(float), np.atleast_1d(azimuth).astype(float)
        charges = prepared.charges
        starts = _starts(prepared, len(zenith), seeds)
        fits = _fit_directions(charges, flights(zenith, azimuth), starts, self._ice)
        return _rows(charges, fits)


def _fit_directions(charges: Charges, directions: np.ndarray, starts: np.ndarray, ice: str) -> np.ndarray:
    fits = np.empty((len(directions), 6))
    FIT_SHOWER(shower_tables(ice), charges.receivers, charges.bins, charges.place, directions, starts, STEPS,
         1.0 / MODEL_ERROR**2, fits)
    return fits


def _rows(charges: Charges, fits: np.ndarray) -> np.ndarray:
    pixels = nan_rows(np.full(len(fits), -1))
    pixels["llh"] = fits[:, 0]
    for column, name in enumerate("XYZ"):
        pixels[name] = fits[:, 1 + column] + charges.centre[column]
    pixels["T"] = fits[:, 4] + charges.time
    pixels["E_tot"] = np.exp(fits[:, 5])
    pixels["E_in"] = np.where(contained(pixels["X"], pixels["Y"], pixels["Z"]), pixels["E_tot"], 0.0)
    return pixels


def _starts(prepared: CascadeEvent, n: int, seeds: np.ndarray | None) -> np.ndarray:
    """The parents' vertices and energies, or the common one; shape (n, 5)."""
    starts = np.tile(prepared.start, (n, 1))
    if seeds is None:
        return starts
    rows, charges = np.asarray(seeds, dtype=PIXEL_DTYPE), prepared.charges
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.stack([*(rows[name] - charges.centre[k] for k, name in enumerate("XYZ")),
                        rows["T"] - charges.time, np.log(rows["E_tot"])], axis=1)
    useful = (np.abs(own) < _FARTHEST).all(axis=1)
    starts[useful] = own[useful]
    return starts


def common_vertex(charges: Charges, ice: str) -> np.ndarray:
    """The best fit from a few directions, started at the charge-weighted centre: −ln L, x, y, z, t, ln E."""
    time = float(np.quantile(charges.first_times, 0.1)) - 100.0
    energy = float(np.log(max(charges.hit_charges.sum(), 1.0) * 30.0))
    theta, azimuth = healpix_directions()
    starts = np.tile([0.0, 0.0, 0.0, time, energy], (len(theta), 1))
    fits = _fit_directions(charges, flights(theta, azimuth), starts, ice)
    return fits[np.argmin(fits[:, 0])]


def healpix_directions() -> tuple[np.ndarray, np.ndarray]:
    """Zenith and azimuth of the centres of SURVEY_NSIDE's pixels, in the detector's frame."""
    ra, dec = healpix.centres(SURVEY_NSIDE, np.arange(healpix.npix(SURVEY_NSIDE)))
    return np.radians(90.0 - dec), np.radians(ra)
