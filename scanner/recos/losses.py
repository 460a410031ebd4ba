"""Energy losses along a track: showers every SPACING metres, their energies unfolded, the vertex fitted.

For a direction and a vertex (a, b, t0) the expected charges are linear in the energies, which
`scanner.recos.unfolding` finds. The vertex follows by Fisher scoring together with all energies.

The showers stand at fixed distances from the point next to the event's centre, whatever the direction: where
their number changed with the direction and all of them moved by half a spacing, −ln L had steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from config.ice import C_VACUUM
from scanner.common.compiled import fast_kernel, kernel
from scanner.light.charges import COLUMNS, Modules, Receivers
from scanner.light.shower_light import ShowerTables, Vector, fill_some, reach
from scanner.recos.unfolding import (
    Counts,
    Equations,
    approach,
    copy_to,
    expect,
    objective,
    scoring,
    shift_energies,
    solve,
)

__all__ = ["Counts", "Problem", "fit_losses"]

SPACING = 15.0
"""Distance of the showers, m."""
BEYOND = 60.0
"""Showers reach this far beyond the first and last hit module's projection, m."""
MOST_SOURCES = 220
UPDATES, PLAIN_UPDATES, FEW_UPDATES = 16, 4, 1
"""Multiplicative updates of the energies: accelerated and plain ones at a start, plain ones after a step."""
SMALLEST = np.float32(1e-9)
"""PE per GeV in a bin; less is none."""
STEPS = (0.5, 0.5, 1.0)
"""Differences for the derivatives by a, b (m) and t0 (ns)."""
SAME = (1.0, 1.0, 0.1)
"""By the square of how far the vertex must move to change as much: 1/m² and 1/ns²."""
FAR = 9.0
"""m²: the derivatives are computed again after a longer step, which would teach them wrong things."""
LEAST_SHARE, LEAST_LIGHT = 1e-3, 1e-5
"""Of a module's light, and PE: what gives less stays as it was while the vertex moves, until it stands."""
VERY_FAR = 100.0
"""m²: on the way from the worse of two starts, all light is computed again after a longer step."""
MAX_STEPS, LAST_STEPS = 10, 2
"""Steps of Fisher scoring: of vertex and energies, and of the energies alone when the vertex stands."""
TOLERANCE = 0.01
"""Promised gain in ln L at which the energies alone have converged."""
RIVAL = 100.0
"""A shower alone explains an event about as well if its −ln L is no farther than this."""
DAMPING, MOST_DAMPING = 1e-2, 1e3
SHORTEST = 0.2
"""Least share of a promised step that is gone where −ln L is stiffer than the information says."""
LONGEST, LONGEST_TIME = 30.0, 100.0
"""Longest step in (a, b), m, and in t0, ns."""


class Problem(NamedTuple):
    """What all directions of an event share."""

    tables: ShowerTables
    modules: Modules
    receivers: Receivers
    counts: Counts
    n_hit: int
    centre: Vector  # of the event, m, detector coordinates


class Line(NamedTuple):
    """A direction: flight p, two axes across it (2, 3), and the showers' places along it (m)."""

    p: np.ndarray
    axes: np.ndarray
    along: np.ndarray


class Kept(NamedTuple):
    """Of another start: signals, light, and which modules are reached."""

    matrix: np.ndarray
    amounts: np.ndarray
    reached: np.ndarray
    counts: np.ndarray


class Work(NamedTuple):
    """Arrays that all directions use again; float32 but for the equations."""

    matrix: np.ndarray  # (sources, bins), flat: signals of the showers
    amounts: np.ndarray  # (sources, modules), flat: light of the showers in all bins of a module
    reached: np.ndarray  # (sources, modules + 1): which modules the showers reach,
    wanted: np.ndarray  # and for which their light is computed again when the vertex moves; int64
    counts: np.ndarray  # (3, sources): how many they are; the last row is `kept`'s
    kept: Kept
    slopes: np.ndarray  # (3 + sources, bins), flat
    shifted: np.ndarray  # (bins,)
    mu: np.ndarray
    best_mu: np.ndarray
    nothing: np.ndarray
    equations: Equations


@kernel
def _work(bins: int, room: int) -> Work:
    n = MOST_SOURCES + 3
    matrix = np.zeros((2, MOST_SOURCES * bins), np.float32)
    slopes, rows = np.zeros(n * bins, np.float32), np.zeros((4, bins), np.float32)
    amounts, counts = np.zeros((2, MOST_SOURCES * room), np.float32), np.zeros((3, MOST_SOURCES), np.int64)
    which = np.zeros((3, MOST_SOURCES, room + 1), np.int64)
    kept = Kept(matrix[1], amounts[1], which[2], counts[2])
    return Work(matrix[0], amounts[0], which[0], which[1], counts, kept, slopes, rows[0], rows[1], rows[2],
                rows[3], Equations(np.zeros((n, n)), np.zeros(n), np.zeros(n)))


@kernel
def _row(rows: np.ndarray, j: int, bins: int) -> np.ndarray:
    return rows[j * bins : (j + 1) * bins]


@kernel
def _line(modules: Modules, n_hit: int, p: np.ndarray) -> Line:
    """Axes and showers for a direction."""
    h = max(np.sqrt(p[0] * p[0] + p[1] * p[1]), 1e-9)
    axes = np.empty((2, 3))
    axes[0, 0], axes[0, 1], axes[0, 2] = p[0] * p[2] / h, p[1] * p[2] / h, -h
    axes[1, 0], axes[1, 1], axes[1, 2] = -p[1] / h, p[0] / h, 0.0
    low, high = np.inf, -np.inf
    for i in range(n_hit):
        place = modules.x[i] * p[0] + modules.y[i] * p[1] + modules.z[i] * p[2]
        low, high = min(low, place), max(high, place)
    first = int(np.ceil((low - BEYOND) / SPACING))
    along = np.empty(min(int(np.floor((high + BEYOND) / SPACING)) - first + 1, MOST_SOURCES))
    for j in range(len(along)):
        along[j] = SPACING * (first + j)
    return Line(p, axes, along)


@kernel
def _point(line: Line, place: np.ndarray, along: float) -> tuple[float, float, float]:
    """Position on the track through vertex (a, b, t0) = `place`."""
    axes, p = line.axes, line.p
    return (place[0] * axes[0, 0] + place[1] * axes[1, 0] + along * p[0],
            place[0] * axes[0, 1] + place[1] * axes[1, 1] + along * p[1],
            place[0] * axes[0, 2] + place[1] * axes[1, 2] + along * p[2])


@kernel
def _at(line: Line, place: np.ndarray, along: float) -> tuple[float, float, float, float]:
    """Place and time of the shower at `along`."""
    x, y, z = _point(line, place, along)
    return x, y, z, place[2] + along / C_VACUUM


@kernel
def _fill(signal: np.ndarray, amounts: np.ndarray, near: np.ndarray, count: int, problem: Problem, line: Line,
          place: np.ndarray, along: float) -> None:
    """Signal of the shower at `along` in so many modules."""
    p = (line.p[0], line.p[1], line.p[2])
    fill_some(signal, amounts, near, count, problem.tables, problem.receivers, problem.centre,
              _at(line, place, along), p)


@fast_kernel
def _cut(signal: np.ndarray) -> None:
    """Set to nothing what is too small: showers that only such bins see would take any energy."""
    for k in range(len(signal)):
        signal[k] = signal[k] if signal[k] > SMALLEST else np.float32(0.0)


@kernel
def _set(work: Work, problem: Problem, line: Line, place: np.ndarray) -> None:
    """Fill in all signals of a line's showers for a vertex."""
    n, bins, room = len(line.along), len(work.mu), len(problem.receivers.packed) // COLUMNS
    for k in range(n * bins):
        work.matrix[k] = np.float32(0.0)
    for k in range(n * room):
        work.amounts[k] = np.float32(0.0)
    for j in range(n):
        row, near, at = _row(work.matrix, j, bins), work.reached[j], _at(line, place, line.along[j])
        count = reach(near, problem.tables, problem.receivers, problem.centre, at)
        _fill(row, _row(work.amounts, j, room), near, count, problem, line, place, line.along[j])
        _cut(row)
        work.counts[0, j] = count


@kernel
def _move(work: Work, problem: Problem, line: Line, place: np.ndarray) -> None:
    """Fill in the wanted signals of a line's showers for a vertex."""
    bins, room = len(work.mu), len(problem.receivers.packed) // COLUMNS
    for j in range(len(line.along)):
        row, amounts, count = _row(work.matrix, j, bins), _row(work.amounts, j, room), work.counts[1, j]
        _fill(row, amounts, work.wanted[j], count, problem, line, place, line.along[j])
        _cut(row)


@fast_kernel
def _want(work: Work, energy: np.ndarray, room: int) -> None:
    """What is more than a LEAST_SHARE of a module's light is computed again when the vertex moves."""
    least, share = np.empty(room, np.float32), np.float32(LEAST_SHARE)
    for m in range(room):
        least[m] = np.float32(LEAST_LIGHT)
    for j in range(len(energy)):
        for m in range(room):
            least[m] += share * energy[j] * work.amounts[j * room + m]
    for j in range(len(energy)):
        count, reached, wanted = 0, work.reached[j], work.wanted[j]
        for k in range(work.counts[0, j]):
            m = reached[k]
            wanted[count] = m
            count += int(energy[j] * work.amounts[j * room + m] > least[m])
        work.counts[1, j] = count


@fast_kernel
def _add(slope: np.ndarray, shifted: np.ndarray, there: np.ndarray, factor: np.float32) -> None:
    for k in range(len(slope)):
        slope[k] += factor * (shifted[k] - there[k])


@fast_kernel
def _scale(rows: np.ndarray, first: int, matrix: np.ndarray, energy: np.ndarray, bins: int) -> None:
    """Derivatives of the expectation by the ln E, into the rows from the `first` on."""
    for j in range(len(energy)):
        row, source, e = _row(rows, first + j, bins), _row(matrix, j, bins), energy[j]
        for k in range(bins):
            row[k] = e * source[k]


@kernel
def _slopes(problem: Problem, line: Line, place: np.ndarray, work: Work, energy: np.ndarray) -> None:
    """Derivatives of the expectation by a, b, t0, as far as the wanted signals tell."""
    near, bins, room = np.empty(3), len(work.mu), len(problem.receivers.packed) // COLUMNS
    unused = np.empty(room, np.float32)
    copy_to(near, place)
    for q in range(3):
        slope = _row(work.slopes, q, bins)
        copy_to(slope, work.nothing)
        near[q] = place[q] + STEPS[q]
        for j in range(len(energy)):
            there = _row(work.matrix, j, bins)
            copy_to(work.shifted, there)
            _fill(work.shifted, unused, work.wanted[j], work.counts[1, j], problem, line, near, line.along[j])
            _add(slope, work.shifted, there, np.float32(energy[j] / STEPS[q]))
        near[q] = place[q]


@kernel
def _length(step: np.ndarray) -> float:
    """The square of a step of the vertex, m²."""
    return SAME[0] * step[0] ** 2 + SAME[1] * step[1] ** 2 + SAME[2] * step[2] ** 2


@kernel
def _learn(work: Work, step: np.ndarray) -> None:
    """Correct the derivatives by what a step of the vertex changed (Broyden, Math. Comp. 19 (1965) 577).

    `work.shifted` holds the expectation after the step, with the energies of before.
    """
    bins = len(work.mu)
    for q in range(3):  # less what they foretold
        _add(work.shifted, _row(work.slopes, q, bins), work.nothing, np.float32(-step[q]))
    length = _length(step) + 1e-12
    for q in range(3):
        _add(_row(work.slopes, q, bins), work.shifted, work.best_mu, np.float32(SAME[q] * step[q] / length))


@kernel
def _limit(step: np.ndarray) -> float:
    """The share of a step of the vertex that is short enough."""
    length = np.sqrt(step[0] ** 2 + step[1] ** 2)
    return min(1.0, LONGEST / (length + 1e-9), LONGEST_TIME / (abs(step[2]) + 1e-9))


@kernel
def _begin(problem: Problem, line: Line, place: np.ndarray, work: Work, energy: np.ndarray) -> float:
    """Energies for a vertex, from equal ones that give as much light as was seen; −ln L."""
    counts, n = problem.counts, len(energy)
    _set(work, problem, line, place)
    matrix = work.matrix[: n * len(work.mu)]
    for j in range(n):
        energy[j] = np.float32(1.0)
    expect(work.mu, counts.noise, matrix, energy)
    seen = expected = 0.0
    for k in range(len(work.mu)):
        seen += counts.charge[k]
        expected += work.mu[k] - counts.noise[k]
    for j in range(n):
        energy[j] = np.float32(max(seen, 1.0) / max(expected, 1e-6))
    return approach(work.mu, counts.noise, matrix, energy, counts, UPDATES, PLAIN_UPDATES)


@kernel
def _along(equations: Equations, n: int) -> float:
    """The gradient along the last step."""
    total = 0.0
    for p in range(n):
        total += equations.gradient[p] * equations.step[p]
    return total


@kernel
def _descend(problem: Problem, line: Line, place: np.ndarray, work: Work, energy: np.ndarray,
             tolerance: float, very_far: float) -> None:
    """Fisher scoring of vertex and energies together, both changed in place.

    Derivatives by the vertex are computed at the start and then learnt from every short step. How the
    gradient along a step has changed tells how stiff −ln L is beside the information, and the next step is
    so much shorter.
    """
    counts, equations, mu, n = problem.counts, work.equations, work.mu, 3 + len(energy)
    bins, slopes = len(mu), work.slopes
    matrix = work.matrix[: len(energy) * bins]
    best, there, moved = np.empty_like(energy), np.empty(3), np.empty(3)
    copy_to(best, energy)
    damping, stretch, here = DAMPING, 1.0, True
    llh, room = objective(mu, energy, counts), len(problem.receivers.packed) // COLUMNS
    _want(work, energy, room)
    _slopes(problem, line, place, work, energy)
    _scale(slopes, 3, matrix, energy, bins)
    copy_to(work.best_mu, mu)
    scoring(equations, slopes, 3, best, work.best_mu, counts)
    for _ in range(MAX_STEPS):
        gain = solve(equations, n, damping)
        share = stretch * _limit(equations.step)
        if not gain > tolerance:
            break
        before = _along(equations, n)
        for q in range(3):
            moved[q] = share * equations.step[q]
            there[q] = place[q] + moved[q]
        near = _length(moved) < FAR
        if _length(moved) < very_far:
            _move(work, problem, line, there)
        else:
            _set(work, problem, line, there)
        if near:
            expect(work.shifted, counts.noise, matrix, best)
            _learn(work, moved)
        shift_energies(energy, best, equations.step[3:], share)
        change = llh - approach(mu, counts.noise, matrix, energy, counts, 0, FEW_UPDATES)
        here = change > 0.0
        if here:
            copy_to(place, there)
            copy_to(best, energy)
            copy_to(work.best_mu, mu)
            llh -= change
            _want(work, energy, room)
            if not near:
                _slopes(problem, line, place, work, energy)
            _scale(slopes, 3, matrix, energy, bins)
        scoring(equations, slopes, 3, best, work.best_mu, counts)
        if here:
            if change < tolerance and damping == DAMPING:  # a damped step gains little anywhere
                break
            damping = max(0.1 * damping, DAMPING)
            stretch = min(max(stretch / max(1.0 - _along(equations, n) / before, 1e-3), SHORTEST), 1.0)
        else:
            damping *= 10.0
            if damping > MOST_DAMPING:
                break
    copy_to(energy, best)
    _set(work, problem, line, place)


@kernel
def _finish(problem: Problem, work: Work, energy: np.ndarray) -> float:
    """Energies for a vertex that stands; −ln L."""
    n, counts, equations = len(energy), problem.counts, work.equations
    matrix, slopes, best = work.matrix[: n * len(work.mu)], work.slopes, np.empty_like(energy)
    llh = approach(work.mu, counts.noise, matrix, energy, counts, 0, FEW_UPDATES)
    copy_to(best, energy)
    for _ in range(LAST_STEPS):
        _scale(slopes, 0, matrix, energy, len(work.mu))
        scoring(equations, slopes, 0, energy, work.mu, counts)
        gain = solve(equations, n, DAMPING)
        shift_energies(energy, best, equations.step, 1.0)
        trial = approach(work.mu, counts.noise, matrix, energy, counts, 0, FEW_UPDATES)
        if not trial < llh:
            copy_to(energy, best)
            break
        llh = trial
        copy_to(best, energy)
        if gain < TOLERANCE:
            break
    return llh


@kernel
def _keep(work: Work, sources: int, room: int, back: bool) -> None:
    """Put a start's signals aside, or bring them back."""
    kept, n = work.kept, sources * len(work.mu)
    if back:
        copy_to(work.matrix, kept.matrix[:n])
        copy_to(work.amounts, kept.amounts[: sources * room])
        copy_to(work.counts[0], kept.counts)
        copy_to(work.mu, work.best_mu)
    else:
        copy_to(kept.matrix, work.matrix[:n])
        copy_to(kept.amounts, work.amounts[: sources * room])
        copy_to(kept.counts, work.counts[0])
        copy_to(work.best_mu, work.mu)
    for j in range(sources):
        there, here = kept.reached[j], work.reached[j]
        for k in range(work.counts[0, j]):
            if back:
                here[k] = there[k]
            else:
                there[k] = here[k]


@kernel
def _choose(problem: Problem, line: Line, starts: np.ndarray, work: Work, energy: np.ndarray) -> int:
    """The best of several starts (n, 3), whose energies and signals are then at hand."""
    best, least, last = 0, np.inf, len(starts) - 1
    energies, room = np.empty_like(energy), len(problem.receivers.packed) // COLUMNS
    for s in range(len(starts)):
        llh = _begin(problem, line, starts[s], work, energy)
        if llh < least:
            best, least = s, llh
            if s < last:
                copy_to(energies, energy)
                _keep(work, len(energy), room, False)
    if best != last:
        copy_to(energy, energies)
        _keep(work, len(energy), room, True)
    return best


@kernel
def _fit(problem: Problem, line: Line, starts: np.ndarray, work: Work, energy: np.ndarray,
         tolerance: float, shower: float) -> tuple[float, np.ndarray]:
    """The least −ln L from the best of several starts (n, 3), and its place; `energy` is filled in.

    Where a shower alone explains the event about as well, its −ln L is told, there are valleys around
    either start, and both are gone down to the end.
    """
    chosen = _choose(problem, line, starts, work, energy)
    place = starts[chosen]
    _descend(problem, line, place, work, energy, tolerance, np.inf)
    llh = _finish(problem, work, energy)
    if len(starts) == 2 and abs(llh - shower) < RIVAL:
        other, best = starts[1 - chosen], np.empty_like(energy)
        copy_to(best, energy)
        _begin(problem, line, other, work, energy)
        _descend(problem, line, other, work, energy, tolerance, VERY_FAR)
        second = _finish(problem, work, energy)
        if second < llh:
            return second, other
        copy_to(energy, best)
    return llh, place


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
def _start(line: Line, seed: np.ndarray) -> tuple[float, float, float]:
    """(a, b, t0) of a point x, y, z, t."""
    a = b = along = 0.0
    for k in range(3):
        a += seed[k] * line.axes[0, k]
        b += seed[k] * line.axes[1, k]
        along += seed[k] * line.p[k]
    return a, b, seed[3] - along / C_VACUUM


@kernel
def fit_losses(problem: Problem, centre: np.ndarray, radius: float, half_height: float,
               directions: np.ndarray, seeds: np.ndarray, tolerance: np.ndarray, result: np.ndarray) -> None:
    """Fit each direction (n, 3) from the best of its vertices (n, starts, 4).

    Vertices are x, y, z, t relative to the event; one whose x is no number does not count, but one must be
    left. `tolerance` (n, 2) is the promised gain in ln L at which a fit stops, and −ln L of a
    shower alone where it matters (`_fit`). Fills in rows of (llh, x, y, z,
    t, energy inside, energy in all), shape (n, 7).
    """
    work = _work(len(problem.counts.charge), len(problem.receivers.packed) // COLUMNS)
    starts = np.empty((seeds.shape[1], 3))
    for i in range(len(directions)):
        line = _line(problem.modules, problem.n_hit, directions[i])
        energy, count = np.empty(len(line.along), np.float32), 0
        for s in range(len(starts)):
            if not np.isnan(seeds[i, s, 0]):
                starts[count, 0], starts[count, 1], starts[count, 2] = _start(line, seeds[i, s])
                count += 1
        result[i, 0], place = _fit(problem, line, starts[:count], work, energy, tolerance[i, 0],
                                   tolerance[i, 1])
        result[i, 1], result[i, 2], result[i, 3] = _point(line, place, 0.0)
        result[i, 4] = place[2]
        result[i, 5] = _inside(line, place, energy, centre, radius, half_height)
        result[i, 6] = 0.0
        for one in energy:
            result[i, 6] += one
