"""The reconstruction `millipede`: showers every SPACING metres along a track, with free energies ≥ 0.

For a direction and a vertex (a, b, t0) the expected charges are linear in the energies. These follow from
multiplicative updates that keep them positive (maximum likelihood by expectation maximisation: Shepp & Vardi,
IEEE TMI 1 (1982) 113; unfolding of energy losses: IceCube, JINST 9 (2014) P03009), here for the negative
binomial likelihood of `scanner.cascade`. The vertex follows by Fisher scoring, with the energies that matter
eliminated from the information matrix (Schur complement).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.ice import C_VACUUM
from scanner.cascade import MODEL_ERROR, flights
from scanner.charges import Bins, Charges, Modules, bin_charges
from scanner.compiled import fast_kernel, kernel
from scanner.event import Event
from scanner.fastmath import fast_log
from scanner.result import PIXEL_DTYPE, nan_rows
from scanner.shower_light import ShowerTables, Vector, fill_signal, shower_tables
from scanner.track.hits import TrackHits, first_hits
from scanner.track.reco import TrackMPE

__all__ = ["Millipede", "MillipedeEvent"]

SPACING = 20.0
"""Distance of the showers, m."""
BEYOND = 60.0
"""Showers reach this far beyond the first and last hit module's projection, m."""
MOST_SOURCES = 120
UPDATES, PLAIN_UPDATES, ACCELERATION = 20, 5, 1.5
"""Multiplicative updates of the energies: accelerated by an exponent, then plain."""
FIRST_ENERGY = 1.0
"""GeV of every shower before the first update; they are scaled to the charge at once."""
ACTIVE_SHARE, MOST_ACTIVE = 0.005, 24
"""Energies above this share of the sum enter the information matrix, at most so many."""
STEPS = (0.5, 0.5, 1.0)
"""Differences for the derivatives by a, b (m) and t0 (ns)."""
MAX_STEPS = 12
TOLERANCE = 0.01
LONGEST = 30.0
_SMALL = 1e-9  # PE per GeV; less is none
_FARTHEST = 1e5


@dataclass(frozen=True)
class MillipedeEvent:
    """Charges, and the first hits from which a track fit makes the first vertices."""

    charges: Charges
    hits: TrackHits


@kernel
def _axes(p: np.ndarray) -> np.ndarray:
    """Unit vectors across the flight, shape (2, 3); the second is horizontal."""
    h = np.sqrt(p[0] * p[0] + p[1] * p[1])
    axes = np.zeros((2, 3))
    if h < 1e-9:
        axes[0, 0], axes[1, 1] = 1.0, 1.0
        return axes
    axes[0] = (p[0] * p[2] / h, p[1] * p[2] / h, -h)
    axes[1] = (-p[1] / h, p[0] / h, 0.0)
    return axes


@kernel
def _positions(modules: Modules, n_hit: int, p: np.ndarray) -> np.ndarray:
    """Places of the showers along the track, m from the centre's projection."""
    low, high = np.inf, -np.inf
    for i in range(n_hit):
        along = modules.x[i] * p[0] + modules.y[i] * p[1] + modules.z[i] * p[2]
        low, high = min(low, along), max(high, along)
    count = min(int((high - low + 2 * BEYOND) / SPACING) + 1, MOST_SOURCES)
    middle = 0.5 * (low + high)
    return middle + SPACING * (np.arange(count) - 0.5 * (count - 1))


@fast_kernel
def _source(signal: np.ndarray, tables: ShowerTables, modules: Modules, bins: Bins, height: float,
            place: np.ndarray, axes: np.ndarray, p: np.ndarray, along: float) -> None:
    """Signal of the shower at `along` on the track through vertex (a, b, t0) = `place`."""
    x = place[0] * axes[0, 0] + place[1] * axes[1, 0] + along * p[0]
    y = place[0] * axes[0, 1] + place[1] * axes[1, 1] + along * p[1]
    z = place[0] * axes[0, 2] + place[1] * axes[1, 2] + along * p[2]
    direction: Vector = (p[0], p[1], p[2])
    fill_signal(signal, tables, modules, bins, height, (x, y, z, place[2] + along / C_VACUUM), direction)


@fast_kernel
def _gather(signal: np.ndarray, index: np.ndarray, value: np.ndarray, begin: int) -> int:
    """Append the entries of a signal to a sparse row; return its end."""
    for i in range(len(signal)):
        if signal[i] > _SMALL:
            index[begin], value[begin] = i, signal[i]
            begin += 1
    return begin


@fast_kernel
def _expect(mu: np.ndarray, noise: np.ndarray, rows: np.ndarray, index: np.ndarray, value: np.ndarray,
            energy: np.ndarray) -> None:
    mu[:] = noise
    for j in range(len(energy)):
        e = energy[j]
        for k in range(rows[j], rows[j + 1]):
            mu[index[k]] += e * value[k]


@fast_kernel
def _unfold(energy: np.ndarray, mu: np.ndarray, bins: Bins, rows: np.ndarray, index: np.ndarray,
            value: np.ndarray, size: float) -> None:
    """Energies by multiplicative updates from equal ones; leaves their expectation in mu."""
    noise, charge, weight = bins.noise, bins.charge, bins.weight
    up, down = np.empty(len(mu)), np.empty(len(mu))
    energy[:] = FIRST_ENERGY
    _expect(mu, noise, rows, index, value, energy)
    energy *= max(charge.sum(), 1.0) / max((mu - noise).sum(), 1e-6)
    for step in range(UPDATES + PLAIN_UPDATES):
        _expect(mu, noise, rows, index, value, energy)
        for i in range(len(mu)):
            damp = weight[i] / (1.0 + mu[i] / size)
            up[i], down[i] = charge[i] / mu[i] * damp, damp
        power = ACCELERATION if step < UPDATES else 1.0
        for j in range(len(energy)):
            more = less = 1e-12
            for k in range(rows[j], rows[j + 1]):
                more += value[k] * up[index[k]]
                less += value[k] * down[index[k]]
            energy[j] *= (more / less) ** power
    _expect(mu, noise, rows, index, value, energy)


@fast_kernel
def _llh(mu: np.ndarray, bins: Bins, size: float) -> float:
    """−ln L, terms of the charges alone left out; as in `scanner.cascade`."""
    charge, weight = bins.charge, bins.weight
    total = 0.0
    for i in range(len(mu)):
        total += weight[i] * ((charge[i] + size) * fast_log(1.0 + mu[i] / size) - charge[i] * fast_log(mu[i]))
    return total


@kernel
def _evaluate(tables: ShowerTables, modules: Modules, bins: Bins, height: float, p: np.ndarray, axes: np.ndarray,
              along: np.ndarray, place: np.ndarray, size: float, energy: np.ndarray, mu: np.ndarray,
              signal: np.ndarray, rows: np.ndarray, index: np.ndarray, value: np.ndarray) -> float:
    """−ln L of a vertex with its energies unfolded; fills energy, mu and the sparse signals."""
    for j in range(len(along)):
        _source(signal, tables, modules, bins, height, place, axes, p, along[j])
        rows[j + 1] = _gather(signal, index, value, rows[j])
    _unfold(energy, mu, bins, rows, index, value, size)
    return _llh(mu, bins, size)


@kernel
def _active(energy: np.ndarray) -> np.ndarray:
    """The showers that matter, largest first."""
    order = np.argsort(-energy)[:MOST_ACTIVE]
    return order[energy[order] > ACTIVE_SHARE * energy.sum()]


@kernel
def _equations(tables: ShowerTables, modules: Modules, bins: Bins, height: float, p: np.ndarray,
               axes: np.ndarray, along: np.ndarray, place: np.ndarray, size: float, energy: np.ndarray,
               mu: np.ndarray, signal: np.ndarray, rows: np.ndarray, index: np.ndarray,
               value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient by (a, b, t0) and Fisher information with the active energies eliminated."""
    active = _active(energy)
    slopes = np.zeros((3 + len(active), len(mu)))
    for n in range(len(active)):
        j = active[n]
        for k in range(rows[j], rows[j + 1]):
            slopes[3 + n, index[k]] = value[k]
    steps = np.array(STEPS)
    for q in range(3):
        near = place.copy()
        near[q] += steps[q]
        for n in range(len(active)):
            _source(signal, tables, modules, bins, height, near, axes, p, along[active[n]])
            slopes[q] += energy[active[n]] * (signal - slopes[3 + n])
        slopes[q] /= steps[q]
    variance = mu * (1.0 + mu / size) / bins.weight
    scaled = slopes / variance
    gradient = scaled[:3] @ (mu - bins.charge)
    information = scaled @ slopes.T
    for n in range(3, len(information)):
        information[n, n] = information[n, n] * 1.001 + 1e-12
    if len(active):
        cross = np.ascontiguousarray(information[:3, 3:])
        inner = np.linalg.solve(np.ascontiguousarray(information[3:, 3:]), np.ascontiguousarray(cross.T))
        return gradient, information[:3, :3] - cross @ inner
    return gradient, information


@kernel
def _fit(tables: ShowerTables, modules: Modules, bins: Bins, height: float, n_hit: int, p: np.ndarray,
         start: np.ndarray, size: float, energy: np.ndarray, index: np.ndarray, value: np.ndarray,
         inside_of: np.ndarray) -> tuple[float, np.ndarray, float, float]:
    """Fisher scoring of (a, b, t0); the least −ln L, its place, the energy inside the detector and in all."""
    axes, along = _axes(p), _positions(modules, n_hit, p)
    rows = np.zeros(len(along) + 1, dtype=np.int64)
    mu, signal = np.empty(len(bins.charge)), np.empty(len(bins.charge))
    energy = np.empty(len(along))
    place = start.copy()
    llh = _evaluate(tables, modules, bins, height, p, axes, along, place, size, energy, mu, signal, rows, index,
                    value)
    best_energy = energy.copy()
    damping, fresh = 1e-2, False
    gradient, information = np.zeros(3), np.zeros((3, 3))
    for _ in range(MAX_STEPS):
        if not fresh:
            gradient, information = _equations(tables, modules, bins, height, p, axes, along, place, size, energy,
                                               mu, signal, rows, index, value)
            fresh = True
        damped = information.copy()
        for q in range(3):
            damped[q, q] += damping * information[q, q] + 1e-7
        step = -np.linalg.solve(damped, gradient)
        if not 0.5 * abs((step * gradient).sum()) > TOLERANCE:
            break
        step *= min(1.0, LONGEST / (np.sqrt(step[0] ** 2 + step[1] ** 2) + 1e-9), 100.0 / (abs(step[2]) + 1e-9))
        trial = _evaluate(tables, modules, bins, height, p, axes, along, place + step, size, energy, mu, signal,
                          rows, index, value)
        if trial < llh:
            place, fresh = place + step, False
            small = llh - trial < TOLERANCE
            llh = trial
            best_energy[:] = energy
            damping = max(damping * 0.2, 1e-6)
            if small:
                break
        else:
            damping = damping * 8.0 + 1e-2
            if damping > 1e4:
                break
    inside = 0.0
    for j in range(len(along)):
        x = place[0] * axes[0, 0] + place[1] * axes[1, 0] + along[j] * p[0] + inside_of[0]
        y = place[0] * axes[0, 1] + place[1] * axes[1, 1] + along[j] * p[1] + inside_of[1]
        z = place[0] * axes[0, 2] + place[1] * axes[1, 2] + along[j] * p[2] + inside_of[2]
        if np.sqrt(x * x + y * y) < 520.0 and abs(z) < 510.0:
            inside += best_energy[j]
    vertex = np.array([place[0] * axes[0, 0] + place[1] * axes[1, 0], place[0] * axes[0, 1] + place[1] * axes[1, 1],
                       place[0] * axes[0, 2] + place[1] * axes[1, 2], place[2]])
    return llh, vertex, inside, best_energy.sum()


@kernel
def fit_pixels(tables: ShowerTables, modules: Modules, bins: Bins, centre: np.ndarray, n_hit: int,
               directions: np.ndarray, starts: np.ndarray, size: float) -> np.ndarray:
    """Fit each direction from its vertices; starts of shape (n, m, 4): x, y, z, t relative, NaN for none.

    Rows of (llh, x, y, z, t, E inside, E total).
    """
    result = np.full((len(directions), 7), np.nan)
    index = np.empty(MOST_SOURCES * len(bins.charge), dtype=np.int64)
    value = np.empty(MOST_SOURCES * len(bins.charge))
    energy = np.empty(MOST_SOURCES)
    for i in range(len(directions)):
        p = directions[i]
        axes = _axes(p)
        best = np.inf
        for m in range(starts.shape[1]):
            seed = starts[i, m]
            if not np.isfinite(seed).all():
                continue
            start = np.array([(seed[:3] * axes[0]).sum(), (seed[:3] * axes[1]).sum(),
                              seed[3] - (seed[:3] * p).sum() / C_VACUUM])
            llh, vertex, inside, total = _fit(tables, modules, bins, centre[2], n_hit, p, start, size, energy, index,
                                              value, centre)
            if llh < best:
                best = llh
                result[i, 0], result[i, 1:5], result[i, 5], result[i, 6] = llh, vertex, inside, total
    return result


class Millipede:
    """Energy losses along a track, unfolded."""

    name = "millipede"
    description = ("energy losses along the track (starting, stopping or stochastic tracks): vertex and energies "
                   "from charges in time bins; slow, gives energies")
    cost = "100"

    def prepare(self, event: Event) -> MillipedeEvent:
        """Charges and first hits; raises EventError if too few modules are hit."""
        return MillipedeEvent(bin_charges(event.pulses), first_hits(event.cleaned))

    def reconstruct(self, prepared: MillipedeEvent, zenith: np.ndarray, azimuth: np.ndarray,
                    seeds: np.ndarray | None = None) -> np.ndarray:
        """Fit n directions (rad) from the parents' vertices; PIXEL_DTYPE of shape (n,)."""
        zenith, azimuth = np.atleast_1d(zenith).astype(float), np.atleast_1d(azimuth).astype(float)
        charges = prepared.charges
        starts = _starts(prepared, zenith, azimuth, seeds)
        fits = fit_pixels(shower_tables(), charges.modules, charges.bins, charges.centre, charges.n_hit,
                          flights(zenith, azimuth), starts, 1.0 / MODEL_ERROR**2)
        return _rows(charges, fits)


def _starts(prepared: MillipedeEvent, zenith: np.ndarray, azimuth: np.ndarray,
            seeds: np.ndarray | None) -> np.ndarray:
    """Per direction the parent's vertex, or where there is none that of a track fit; shape (n, 1, 4)."""
    charges = prepared.charges
    starts = np.full((len(zenith), 1, 4), np.nan)
    if seeds is not None:
        starts[:, 0] = _relative(charges, np.asarray(seeds, dtype=PIXEL_DTYPE))
    missing = ~(np.abs(starts[:, 0]) < _FARTHEST).all(axis=1)
    if missing.any():
        tracks = TrackMPE().reconstruct(prepared.hits, zenith[missing], azimuth[missing])
        starts[missing, 0] = _relative(charges, tracks)
    return starts


def _relative(charges: Charges, rows: np.ndarray) -> np.ndarray:
    vertices = [rows[name] - charges.centre[column] for column, name in enumerate("XYZ")]
    return np.stack([*vertices, rows["T"] - charges.time], axis=1)


def _rows(charges: Charges, fits: np.ndarray) -> np.ndarray:
    pixels = nan_rows(np.full(len(fits), -1))
    pixels["llh"] = fits[:, 0]
    for column, name in enumerate("XYZ"):
        pixels[name] = fits[:, 1 + column] + charges.centre[column]
    pixels["T"] = fits[:, 4] + charges.time
    pixels["E_in"], pixels["E_tot"] = fits[:, 5], fits[:, 6]
    return pixels
