"""Energy losses along a track: showers every 15 m, their energies unfolded, the vertex fitted.

For a direction and a vertex (a, b, t0) the expected charges are linear in the energies, which
`scanner.recos.unfolding` finds. The vertex follows by Fisher scoring together with all energies.
"""

from __future__ import annotations

import numpy as np

from config.ice import C_VACUUM
from scanner.common.compiled import fast_kernel, kernel
from scanner.light.charges import COLUMNS
from scanner.recos.signals import (
    Line,
    Problem,
    Work,
    add_difference,
    choose_wanted,
    line_of,
    move_signals,
    other_start,
    point_on,
    row_of,
    set_signals,
    vertex_slopes,
    workspace,
)
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

UPDATES, PLAIN_UPDATES, FEW_UPDATES = 16, 4, 1
"""Multiplicative updates of the energies: accelerated and plain ones at a start, plain ones after a step."""
FIRST_UPDATES, LATER_GAIN = 4, 300.0
"""A start is left after so many accelerated updates, if the others would have to gain more than this."""
SAME = (1.0, 1.0, 0.1)
"""By the square of how far the vertex must move to change as much: 1/m² and 1/ns²."""
FAR = 9.0
"""m²: the derivatives are computed again after a longer step, which would teach them wrong things."""
VERY_FAR = 100.0
"""m²: on the way from the worse of two starts, all light is computed again after a longer step."""
MAX_STEPS, FIRST_STEPS, LAST_STEPS = 10, 6, 2
"""Steps of Fisher scoring: of vertex and energies, and of the energies alone before it and after it."""
RIGHT, WORTH = 10.0, 3.0
"""A start no farther above a good fit has the right vertex: there energies alone are scored first, if so much
gain in ln L is promised."""
TOLERANCE = 0.01
"""Promised gain in ln L at which the energies alone have converged."""
NEIGHBOURS = 9.0
"""m²: of two starts that are closer only the last is looked at, for they lie in one valley."""
HOPELESS = np.array([700.0, 500.0, 450.0, 400.0, 350.0, 300.0])
"""So far above −ln L of a good fit one is given up: at its start, after each step, and later.

Of the pixels of thirteen events that ended within 100 of their best fit none was farther than 239, 209, 189,
122 and 122 there; of those within 200 none was farther than 662, 432, 391, 336 and 274.
"""
RIVAL = 100.0
"""A shower alone explains an event about as well if its −ln L is no farther than this."""
DAMPING, MOST_DAMPING = 1e-2, 1e3
SHORTEST = 0.2
"""Least share of a promised step that is gone where −ln L is stiffer than the information says."""
LONGEST, LONGEST_TIME = 30.0, 100.0
"""Longest step in (a, b), m, and in t0, ns."""


@fast_kernel
def _scale(rows: np.ndarray, first: int, matrix: np.ndarray, energy: np.ndarray, bins: int) -> None:
    """Derivatives of the expectation by the ln E, into the rows from the `first` on."""
    for j in range(len(energy)):
        row, source, e = row_of(rows, first + j, bins), row_of(matrix, j, bins), energy[j]
        for k in range(bins):
            row[k] = e * source[k]


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
        add_difference(work.shifted, row_of(work.slopes, q, bins), work.nothing, np.float32(-step[q]))
    length = _length(step) + 1e-12
    for q in range(3):
        factor = np.float32(SAME[q] * step[q] / length)
        add_difference(row_of(work.slopes, q, bins), work.shifted, work.best_mu, factor)


@kernel
def _limit(step: np.ndarray) -> float:
    """The share of a step of the vertex that is short enough."""
    length = np.sqrt(step[0] ** 2 + step[1] ** 2)
    return min(1.0, LONGEST / (length + 1e-9), LONGEST_TIME / (abs(step[2]) + 1e-9))


@kernel
def _begin(problem: Problem, line: Line, place: np.ndarray, work: Work, energy: np.ndarray,
           bound: float) -> float:
    """Energies for a vertex, from equal ones that give as much light as was seen; −ln L.

    After a few updates a start far above the bound is left.
    """
    counts, n = problem.counts, len(energy)
    set_signals(work, problem, line, place)
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
    llh = approach(work.mu, counts.noise, matrix, energy, counts, FIRST_UPDATES, 0)
    if llh > bound + LATER_GAIN:
        return llh
    return approach(work.mu, counts.noise, matrix, energy, counts, UPDATES - FIRST_UPDATES, PLAIN_UPDATES)


@kernel
def _along(equations: Equations, n: int) -> float:
    """The gradient along the last step."""
    total = 0.0
    for p in range(n):
        total += equations.gradient[p] * equations.step[p]
    return total


@kernel
def _settle(problem: Problem, work: Work, energy: np.ndarray, llh: float, steps: int, worth: float) -> float:
    """Fisher scoring of the energies alone, where the vertex stands; −ln L, which is `llh` before.

    So many steps, until little is promised; none at all if the first promises less than it is `worth`.
    """
    n, counts, equations = len(energy), problem.counts, work.equations
    matrix, slopes, best = work.matrix[: n * len(work.mu)], work.slopes, np.empty_like(energy)
    copy_to(best, energy)
    for taken in range(steps):
        _scale(slopes, 0, matrix, energy, len(work.mu))
        scoring(equations, slopes, 0, energy, work.mu, counts)
        gain = solve(equations, n, DAMPING)
        if taken == 0 and gain < worth:
            break
        shift_energies(energy, best, equations.step, 1.0)
        trial = approach(work.mu, counts.noise, matrix, energy, counts, 0, FEW_UPDATES)
        if not trial < llh:
            copy_to(energy, best)
            expect(work.mu, counts.noise, matrix, energy)
            break
        llh = trial
        copy_to(best, energy)
        if gain < TOLERANCE:
            break
    return llh


@kernel
def _finish(problem: Problem, work: Work, energy: np.ndarray) -> float:
    """Energies for a vertex that stands; −ln L."""
    matrix = work.matrix[: len(energy) * len(work.mu)]
    llh = approach(work.mu, problem.counts.noise, matrix, energy, problem.counts, 0, FEW_UPDATES)
    return _settle(problem, work, energy, llh, LAST_STEPS, 0.0)


@kernel
def _descend(problem: Problem, line: Line, place: np.ndarray, work: Work, energy: np.ndarray,
             tolerance: float, very_far: float, good: float) -> None:
    """Fisher scoring of vertex and energies together, both changed in place.

    Derivatives by the vertex are computed at the start and then learnt from every short step. How the
    gradient along a step has changed tells how stiff −ln L is beside the information, and the next step is
    so much shorter. What is HOPELESS beside the −ln L of a `good` fit ends early.
    """
    counts, equations, mu, n = problem.counts, work.equations, work.mu, 3 + len(energy)
    bins, slopes = len(mu), work.slopes
    matrix = work.matrix[: len(energy) * bins]
    best, there, moved = np.empty_like(energy), np.empty(3), np.empty(3)
    llh = objective(mu, energy, counts)
    if llh - good < RIGHT:
        llh = _settle(problem, work, energy, llh, FIRST_STEPS, WORTH)
    copy_to(best, energy)
    damping, stretch, here = DAMPING, 1.0, True
    room = len(problem.receivers.packed) // COLUMNS
    choose_wanted(work, energy, room)
    vertex_slopes(problem, line, place, work, energy)
    _scale(slopes, 3, matrix, energy, bins)
    copy_to(work.best_mu, mu)
    scoring(equations, slopes, 3, best, work.best_mu, counts)
    for taken in range(MAX_STEPS):
        if llh - good > HOPELESS[min(taken, len(HOPELESS) - 1)]:
            break
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
            move_signals(work, problem, line, there)
        else:
            set_signals(work, problem, line, there)
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
            choose_wanted(work, energy, room)
            if not near:
                vertex_slopes(problem, line, place, work, energy)
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
    set_signals(work, problem, line, place)


@kernel
def _are_neighbours(starts: np.ndarray) -> bool:
    return len(starts) == 2 and _length(starts[1] - starts[0]) < NEIGHBOURS


@kernel
def _choose(problem: Problem, line: Line, starts: np.ndarray, work: Work,
            energy: np.ndarray) -> tuple[int, float, Work]:
    """The best of one or two starts (n, 3), its −ln L, and the work with its signals; fills in energies."""
    last, here = len(starts) - 1, work
    least = _begin(problem, line, starts[last], here, energy, np.inf)
    if last == 0 or _are_neighbours(starts):
        return last, least, here
    there, energies = other_start(work), np.empty_like(energy)
    llh = _begin(problem, line, starts[0], there, energies, least)
    if llh < least:
        copy_to(energy, energies)
        return 0, llh, there
    return last, least, here


@kernel
def _fit(problem: Problem, line: Line, starts: np.ndarray, work: Work, energy: np.ndarray,
         tolerance: float, shower: float, good: float) -> tuple[float, np.ndarray]:
    """The least −ln L from the best of several starts (n, 3), and its place; `energy` is filled in.

    Where a shower alone explains the event about as well, its −ln L is told, there are valleys around
    either start, and both are gone down to the end. One that is HOPELESS beside
    the −ln L of a `good` fit is left where it starts.
    """
    chosen, least, work = _choose(problem, line, starts, work, energy)
    place = starts[chosen]
    if least - good > HOPELESS[0]:
        return least, place
    _descend(problem, line, place, work, energy, tolerance, np.inf, good)
    llh = _finish(problem, work, energy)
    if len(starts) == 2 and abs(llh - shower) < RIVAL:
        other, best = starts[1 - chosen], np.empty_like(energy)
        copy_to(best, energy)
        _begin(problem, line, other, work, energy, np.inf)
        _descend(problem, line, other, work, energy, tolerance, VERY_FAR, np.inf)
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
        x, y, z = point_on(line, place, line.along[j])
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
               directions: np.ndarray, seeds: np.ndarray, tolerance: np.ndarray, good: float,
               result: np.ndarray) -> None:
    """Fit each direction (n, 3) from the best of its vertices (n, starts, 4).

    Vertices are x, y, z, t relative to the event; one whose x is no number does not count, but one must be
    left. `tolerance` (n, 2) is the promised gain in ln L at which a fit stops, and −ln L of a
    shower alone where it matters (`_fit`); `good` is −ln L of a good fit, or infinity: fits that are HOPELESS
    beside it are given up. Fills in rows of (llh, x, y, z, t, energy inside, energy in all), shape (n, 7).
    """
    work = workspace(len(problem.counts.charge), len(problem.receivers.packed) // COLUMNS)
    starts = np.empty((seeds.shape[1], 3))
    for i in range(len(directions)):
        line = line_of(problem.modules, problem.n_hit, directions[i])
        energy, count = np.empty(len(line.along), np.float32), 0
        for s in range(len(starts)):
            if not np.isnan(seeds[i, s, 0]):
                starts[count, 0], starts[count, 1], starts[count, 2] = _start(line, seeds[i, s])
                count += 1
        result[i, 0], place = _fit(problem, line, starts[:count], work, energy, tolerance[i, 0],
                                   tolerance[i, 1], good)
        result[i, 1], result[i, 2], result[i, 3] = point_on(line, place, 0.0)
        result[i, 4] = place[2]
        result[i, 5] = _inside(line, place, energy, centre, radius, half_height)
        result[i, 6] = 0.0
        for one in energy:
            result[i, 6] += one
