"""Energy losses along a track: showers every SPACING metres, their energies unfolded, the vertex fitted.

For a direction and a vertex (a, b, t0) the expected charges are linear in the energies. These follow from
multiplicative updates that keep them positive (maximum likelihood by expectation maximisation: Shepp & Vardi,
IEEE TMI 1 (1982) 113; energy losses by unfolding: IceCube, JINST 9 (2014) P03009), here for the negative
binomial likelihood of `scanner.recos.cascade`. The vertex follows by Fisher scoring, with the energies that
matter eliminated from the information matrix (Schur complement). Products of matrices are written out: a
library's would wake its threads for nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from config.ice import C_VACUUM
from scanner.common.compiled import fast_kernel, kernel
from scanner.common.fastmath import fast_log
from scanner.light.charges import Bins, Modules, Receivers
from scanner.light.shower_light import ShowerTables, Vector, fill_signal

__all__ = ["Counts", "Problem", "fit_losses"]

SPACING = 10.0
"""Distance of the showers, m."""
BEYOND = 60.0
"""Showers reach this far beyond the first and last hit module's projection, m."""
MOST_SOURCES = 220
UPDATES, FEW_UPDATES, PLAIN_UPDATES, ACCELERATION = 20, 10, 5, 1.5
REVIVED_SHARE = 0.01
"""Multiplicative updates of the energies: accelerated by an exponent, then plain."""
ACTIVE_SHARE, MOST_ACTIVE = 0.005, 24
"""Energies above this share of the sum enter the information matrix, at most so many."""
CARRIER_SHARE = 0.004
"""Showers of less than this share of the energy stay out of the vertex fit."""
SMALLEST = np.float32(1e-9)
"""PE per GeV in a bin; less is none."""
STEPS = (0.5, 0.5, 1.0)
"""Differences for the derivatives by a, b (m) and t0 (ns)."""
MAX_STEPS = 12
DAMPING, STIFFEST = 1e-2, 200.0
TOLERANCE = 0.03
"""Promised gain in ln L at which a fit stops."""
LONGEST, LONGEST_TIME = 30.0, 100.0
"""Longest step in (a, b), m, and in t0, ns."""


class Problem(NamedTuple):
    """What all directions of an event share."""

    tables: ShowerTables
    modules: Modules
    receivers: Receivers
    bins: Bins
    counts: Counts
    n_hit: int
    centre: Vector  # of the event, m, detector coordinates
    size: float  # of the negative binomial: 1 / (relative model error)²


class Line(NamedTuple):
    """A direction: flight p, two axes across it (2, 3), and the showers' places along it (m)."""

    p: np.ndarray
    axes: np.ndarray
    along: np.ndarray


class Work(NamedTuple):
    """Showers' signals as rows of a dense matrix, their energies, and the expectation per bin; float32.

    Single precision halves what streams through the processor; what is summed over bins is summed in double.
    """

    matrix: np.ndarray  # (sources, bins)
    energy: np.ndarray
    mu: np.ndarray


class Counts(NamedTuple):
    """`Bins` in single precision."""

    charge: np.ndarray
    noise: np.ndarray
    weight: np.ndarray


@kernel
def _line(modules: Modules, n_hit: int, p: np.ndarray) -> Line:
    """Axes and showers for a direction, the showers centred on the hit modules' projections."""
    h = max(np.sqrt(p[0] * p[0] + p[1] * p[1]), 1e-9)
    axes = np.array([[p[0] * p[2] / h, p[1] * p[2] / h, -h], [-p[1] / h, p[0] / h, 0.0]])
    low, high = np.inf, -np.inf
    for i in range(n_hit):
        along = modules.x[i] * p[0] + modules.y[i] * p[1] + modules.z[i] * p[2]
        low, high = min(low, along), max(high, along)
    count = min(int((high - low + 2 * BEYOND) / SPACING) + 1, MOST_SOURCES)
    return Line(p, axes, 0.5 * (low + high) + SPACING * (np.arange(count) - 0.5 * (count - 1)))


@kernel
def _work(sources: int, bins: int) -> Work:
    return Work(np.zeros((sources, bins), dtype=np.float32), np.empty(sources, dtype=np.float32),
                np.empty(bins, dtype=np.float32))


@kernel
def _first(work: Work, sources: int) -> Work:
    """The same arrays for so many sources."""
    return Work(work.matrix[:sources], work.energy[:sources], work.mu)


@kernel
def _point(line: Line, place: np.ndarray, along: float) -> tuple[float, float, float]:
    """Position on the track through vertex (a, b, t0) = `place`."""
    axes, p = line.axes, line.p
    return (place[0] * axes[0, 0] + place[1] * axes[1, 0] + along * p[0],
            place[0] * axes[0, 1] + place[1] * axes[1, 1] + along * p[1],
            place[0] * axes[0, 2] + place[1] * axes[1, 2] + along * p[2])


@kernel
def _fill(signal: np.ndarray, problem: Problem, line: Line, place: np.ndarray, along: float) -> None:
    """Signal of the shower at `along`."""
    x, y, z = _point(line, place, along)
    at = (x, y, z, place[2] + along / C_VACUUM)
    p = (line.p[0], line.p[1], line.p[2])
    fill_signal(signal, problem.tables, problem.receivers, problem.centre, at, p)


@fast_kernel
def _expect(mu: np.ndarray, noise: np.ndarray, matrix: np.ndarray, energy: np.ndarray) -> None:
    """Expected charges: four sources at a time, so that mu is loaded and stored less often."""
    n, bins = len(energy), len(mu)
    for i in range(bins):
        mu[i] = noise[i]
    for j in range(n // 4 * 4, n):
        a, ea = np.uint64(j * bins), energy[j]
        for k in range(bins):
            m = np.uint64(k)
            mu[m] += ea * matrix[a + m]
    for j in range(0, n // 4 * 4, 4):
        a, b = np.uint64(j * bins), np.uint64((j + 1) * bins)
        c, d = np.uint64((j + 2) * bins), np.uint64((j + 3) * bins)
        ea, eb, ec, ed = energy[j], energy[j + 1], energy[j + 2], energy[j + 3]
        for k in range(bins):
            m = np.uint64(k)
            mu[m] += ea * matrix[a + m] + eb * matrix[b + m] + ec * matrix[c + m] + ed * matrix[d + m]


@fast_kernel
def _update(energy: np.ndarray, matrix: np.ndarray, up: np.ndarray, down: np.ndarray, power: float) -> None:
    """Multiply every energy by the ratio of its projections to a power."""
    bins = len(up)
    for j in range(len(energy)):
        at = np.uint64(j * bins)
        more = less = np.float32(1e-12)
        for k in range(bins):
            i = np.uint64(k)
            more += matrix[at + i] * up[i]
            less += matrix[at + i] * down[i]
        energy[j] *= np.float32((more / less) ** power)


@fast_kernel
def _ratios(up: np.ndarray, down: np.ndarray, mu: np.ndarray, counts: Counts, per_size: np.float32) -> None:
    charge, _, weight = counts
    for i in range(len(mu)):
        share = weight[i] / (np.float32(1.0) + mu[i] * per_size)
        down[i] = share
        up[i] = charge[i] / mu[i] * share


@fast_kernel
def _equal_energies(work: Work, counts: Counts) -> None:
    """Energies, all the same, that give as much light as was seen."""
    work.energy[:] = 1.0
    _expect(work.mu, counts.noise, work.matrix.reshape(-1), work.energy)
    seen, expected = max(counts.charge.sum(), 1.0), max((work.mu - counts.noise).sum(), 1e-6)
    work.energy[:] = np.float32(seen / expected)


@fast_kernel
def _unfold(work: Work, counts: Counts, size: float, updates: int) -> None:
    """Improve the energies by multiplicative updates, accelerated and then plain; their expectation."""
    matrix, energy, mu = work.matrix.reshape(-1), work.energy, work.mu
    up, down = np.empty_like(mu), np.empty_like(mu)
    for step in range(updates + PLAIN_UPDATES):
        _expect(mu, counts.noise, matrix, energy)
        _ratios(up, down, mu, counts, np.float32(1.0 / size))
        _update(energy, matrix, up, down, ACCELERATION if step < updates else 1.0)
    _expect(mu, counts.noise, matrix, energy)


@fast_kernel
def _llh(mu: np.ndarray, charge: np.ndarray, weight: np.ndarray, size: float) -> float:
    """−ln L, terms of the charges alone left out; as in `scanner.recos.cascade`."""
    total = 0.0
    for i in range(len(mu)):
        expected = np.float64(mu[i])
        log_part = charge[i] * fast_log(expected)
        total += weight[i] * ((charge[i] + size) * fast_log(1.0 + expected / size) - log_part)
    return total


@kernel
def _unfolded(problem: Problem, work: Work, updates: int) -> float:
    """−ln L of signals, their energies improved."""
    _unfold(work, problem.counts, problem.size, updates)
    return _llh(work.mu, problem.bins.charge, problem.bins.weight, problem.size)


@fast_kernel
def _cut(signals: np.ndarray) -> None:
    """Set to nothing what is too small: showers that only such bins see would take any energy."""
    for k in range(len(signals)):
        i = np.uint64(k)
        signals[i] = signals[i] if signals[i] > SMALLEST else np.float32(0.0)


@kernel
def _set(problem: Problem, line: Line, place: np.ndarray, work: Work) -> None:
    """Fill in the showers' signals for a vertex."""
    for j in range(len(line.along)):
        _fill(work.matrix[j], problem, line, place, line.along[j])
    _cut(work.matrix.reshape(-1))


@kernel
def _active(energy: np.ndarray) -> np.ndarray:
    """The showers that matter, largest first."""
    chosen = np.empty(MOST_ACTIVE, dtype=np.int64)
    rest, least = energy.copy(), ACTIVE_SHARE * energy.sum()
    for n in range(MOST_ACTIVE):
        largest = np.argmax(rest)
        if not rest[largest] > least:
            return chosen[:n]
        chosen[n] = largest
        rest[largest] = 0.0
    return chosen


@kernel
def _slopes(problem: Problem, line: Line, place: np.ndarray, work: Work) -> np.ndarray:
    """Derivatives of the expectation by a, b, t0 and the active energies, shape (3 + active, bins)."""
    active = _active(work.energy)
    slopes = np.zeros((3 + len(active), len(work.mu)))
    shifted = np.empty(len(work.mu))
    for n in range(len(active)):
        slopes[3 + n] = work.matrix[active[n]]
    for q in range(3):
        near = place.copy()
        near[q] += STEPS[q]
        for n in range(len(active)):
            _fill(shifted, problem, line, near, line.along[active[n]])
            slopes[q] += work.energy[active[n]] / STEPS[q] * (shifted - slopes[3 + n])
    return slopes


@fast_kernel
def _information(slopes: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Fisher information of the parameters."""
    n, bins = slopes.shape
    flat = slopes.reshape(-1)
    information = np.empty((n, n))
    scaled = np.empty(bins)
    for p in range(n):
        at = np.uint64(p * bins)
        for k in range(bins):
            i = np.uint64(k)
            scaled[i] = flat[at + i] / variance[i]
        for q in range(p, n):
            at, total = np.uint64(q * bins), 0.0
            for k in range(bins):
                i = np.uint64(k)
                total += scaled[i] * flat[at + i]
            information[p, q] = information[q, p] = total
    return information


@kernel
def _equations(problem: Problem, line: Line, place: np.ndarray, work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Gradient by (a, b, t0) and Fisher information with the active energies eliminated."""
    slopes = _slopes(problem, line, place, work)
    variance = work.mu * (1.0 + work.mu / problem.size) / problem.bins.weight
    pull = (work.mu - problem.bins.charge) / variance
    gradient = np.array([(slopes[q] * pull).sum() for q in range(3)])
    information = _information(slopes, variance)
    for n in range(3, len(information)):
        information[n, n] = information[n, n] * 1.001 + 1e-12
    outer = information[:3, :3].copy()
    if len(information) == 3:
        return gradient, outer
    cross = information[:3, 3:].copy()
    return gradient, outer - cross @ np.linalg.solve(information[3:, 3:].copy(), cross.T.copy())


@kernel
def _step(gradient: np.ndarray, information: np.ndarray, damping: float) -> np.ndarray:
    """Damped step against the gradient, of limited length."""
    damped = information.copy()
    for q in range(3):
        damped[q, q] += damping * information[q, q] + 1e-7
    step = -np.linalg.solve(damped, gradient)
    length = np.sqrt(step[0] ** 2 + step[1] ** 2)
    return step * min(1.0, LONGEST / (length + 1e-9), LONGEST_TIME / (abs(step[2]) + 1e-9))


@kernel
def _carriers(energy: np.ndarray) -> np.ndarray:
    """The showers that carry light, and the two beside each of them."""
    n, least = len(energy), CARRIER_SHARE * energy.sum()
    chosen = np.zeros(n, dtype=np.bool_)
    for j in range(n):
        if energy[j] > least:
            chosen[max(j - 1, 0) : j + 2] = True
    return np.flatnonzero(chosen)


@kernel
def _descend(problem: Problem, line: Line, start: np.ndarray, work: Work) -> np.ndarray:
    """Fisher scoring of (a, b, t0) with the showers of a line, whose `work` is that of the start.

    The energies follow a step only in part, so that the landscape is stiffer than the information says: each
    step tells by a parabola how much, and the next is so much shorter.
    """
    place = start.copy()
    llh = _unfolded(problem, work, FEW_UPDATES)
    best = work.energy.copy()
    gradient, information = _equations(problem, line, place, work)
    stiffness = 1.5
    for _ in range(MAX_STEPS):
        step = _step(gradient, information * stiffness, DAMPING)
        slope = (step * gradient).sum()
        if not -0.5 * slope * stiffness > TOLERANCE:
            break
        _set(problem, line, place + step, work)
        work.energy[:] = best
        trial = _unfolded(problem, work, FEW_UPDATES)
        change = trial - llh
        stiffness = max(stiffness * min(max(2.0 * (change - slope) / -slope, 0.5), 4.0), 1.0)
        if change < 0.0:
            place, llh = place + step, trial
            best[:] = work.energy
            if -change < TOLERANCE:
                break
            gradient, information = _equations(problem, line, place, work)
        elif stiffness > STIFFEST:
            break
    work.energy[:] = best
    return place


@kernel
def _fit(problem: Problem, line: Line, start: np.ndarray, work: Work,
         part: Work) -> tuple[float, np.ndarray, np.ndarray]:
    """The least −ln L, its place and energies.

    All showers are unfolded at the start and at the end; on the way only those take part that carry light.
    """
    _set(problem, line, start, work)
    _equal_energies(work, problem.counts)
    llh = _unfolded(problem, work, UPDATES)
    energy = work.energy.copy()
    chosen = _carriers(energy)
    if len(chosen) == 0:
        return llh, start, energy
    few = _first(part, len(chosen))
    for n in range(len(chosen)):
        few.matrix[n], few.energy[n] = work.matrix[chosen[n]], energy[chosen[n]]
    end = _descend(problem, Line(line.p, line.axes, line.along[chosen]), start, few)
    _set(problem, line, end, work)
    work.energy[:] = np.maximum(energy, np.float32(REVIVED_SHARE) * energy.mean())
    for n in range(len(chosen)):
        work.energy[chosen[n]] = max(few.energy[n], np.float32(REVIVED_SHARE) * energy.mean())
    final = _unfolded(problem, work, UPDATES)
    if final < llh:
        return final, end, work.energy
    return llh, start, energy


@kernel
def _inside(line: Line, place: np.ndarray, energy: np.ndarray, centre: np.ndarray, radius: float,
            half_height: float) -> float:
    """Energy of the showers inside the detector, taken as a cylinder."""
    total = 0.0
    for j in range(len(energy)):
        x, y, z = _point(line, place, line.along[j])
        if np.hypot(x + centre[0], y + centre[1]) < radius and abs(z + centre[2]) < half_height:
            total += energy[j]
    return total


@kernel
def fit_losses(problem: Problem, centre: np.ndarray, radius: float, half_height: float,
               directions: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Fit each direction (n, 3) from its vertex (n, 4): x, y, z, t relative to the event.

    Rows of (llh, x, y, z, t, energy inside, energy in all), shape (n, 7).
    """
    result = np.empty((len(directions), 7))
    bins = len(problem.bins.charge)
    work, part = _work(MOST_SOURCES, bins), _work(MOST_SOURCES, bins)
    for i in range(len(directions)):
        line = _line(problem.modules, problem.n_hit, directions[i])
        n, seed = len(line.along), starts[i]
        start = np.array([(seed[:3] * line.axes[0]).sum(), (seed[:3] * line.axes[1]).sum(),
                          seed[3] - (seed[:3] * line.p).sum() / C_VACUUM])
        llh, place, energy = _fit(problem, line, start, _first(work, n), part)
        x, y, z = _point(line, place, 0.0)
        inside = _inside(line, place, energy, centre, radius, half_height)
        result[i] = np.array([llh, x, y, z, place[2], inside, energy.sum()])
    return result
