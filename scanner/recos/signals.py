"""Showers along a line, and what the modules see of them: the signals of which a fit of losses is made.

They stand every SPACING metres at fixed distances from the point next to the event's centre, whatever the
direction: where their number changed with the direction and all of them moved by half a spacing, −ln L had
steps. While a vertex moves, the signals that matter are computed again and the others stay as they were.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from config.ice import C_VACUUM
from scanner.common.compiled import fast_kernel, kernel
from scanner.light.charges import COLUMNS, Modules, Receivers
from scanner.light.shower_light import ShowerTables, Vector, fill_some, reach
from scanner.recos.unfolding import Counts, Equations, copy_to

__all__ = ["Line", "Problem", "Work", "add_difference", "choose_wanted", "line_of", "move_signals",
           "other_start", "point_on", "row_of", "set_signals", "vertex_slopes", "workspace"]

SPACING = 15.0
"""Distance of the showers, m."""
BEYOND = 60.0
"""Showers reach this far beyond the first and last hit module's projection, m."""
MOST_SOURCES = 220
SMALLEST = np.float32(1e-9)
"""PE per GeV in a bin; less is none."""
STEPS = (0.5, 0.5, 1.0)
"""Differences for the derivatives by a, b (m) and t0 (ns)."""
LEAST_SHARE, LEAST_LIGHT = 1e-3, 1e-5
"""Of a module's light, and PE: what gives less stays as it was while the vertex moves, until it stands."""


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
    """Of another start what `Work` has of this one."""

    matrix: np.ndarray
    amounts: np.ndarray
    reached: np.ndarray
    counts: np.ndarray
    mu: np.ndarray


class Work(NamedTuple):
    """Arrays that all directions use again; float32 but for the equations."""

    matrix: np.ndarray  # (sources, bins), flat: signals of the showers
    amounts: np.ndarray  # (sources, modules), flat: light of the showers in all bins of a module
    reached: np.ndarray  # (sources, modules + 1): which modules the showers reach,
    wanted: np.ndarray  # and for which their light is computed again when the vertex moves; int64
    counts: np.ndarray  # (2, sources): how many they are
    kept: Kept
    slopes: np.ndarray  # (3 + sources, bins), flat
    shifted: np.ndarray  # (bins,)
    mu: np.ndarray
    best_mu: np.ndarray
    nothing: np.ndarray
    equations: Equations


@kernel
def workspace(bins: int, room: int) -> Work:
    n = MOST_SOURCES + 3
    matrix = np.zeros((2, MOST_SOURCES * bins), np.float32)
    slopes, rows = np.zeros(n * bins, np.float32), np.zeros((5, bins), np.float32)
    amounts, counts = np.zeros((2, MOST_SOURCES * room), np.float32), np.zeros((2, 2, MOST_SOURCES), np.int64)
    which = np.zeros((3, MOST_SOURCES, room + 1), np.int64)
    kept = Kept(matrix[1], amounts[1], which[2], counts[1], rows[4])
    return Work(matrix[0], amounts[0], which[0], which[1], counts[0], kept, slopes, rows[0], rows[1], rows[2],
                rows[3], Equations(np.zeros((n, n)), np.zeros(n), np.zeros(n)))


@kernel
def row_of(rows: np.ndarray, j: int, bins: int) -> np.ndarray:
    return rows[j * bins : (j + 1) * bins]


@kernel
def line_of(modules: Modules, n_hit: int, p: np.ndarray) -> Line:
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
def point_on(line: Line, place: np.ndarray, along: float) -> tuple[float, float, float]:
    """Position on the track through vertex (a, b, t0) = `place`."""
    axes, p = line.axes, line.p
    return (place[0] * axes[0, 0] + place[1] * axes[1, 0] + along * p[0],
            place[0] * axes[0, 1] + place[1] * axes[1, 1] + along * p[1],
            place[0] * axes[0, 2] + place[1] * axes[1, 2] + along * p[2])


@kernel
def _at(line: Line, place: np.ndarray, along: float) -> tuple[float, float, float, float]:
    """Place and time of the shower at `along`."""
    x, y, z = point_on(line, place, along)
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
def set_signals(work: Work, problem: Problem, line: Line, place: np.ndarray) -> None:
    """Fill in all signals of a line's showers for a vertex."""
    n, bins, room = len(line.along), len(work.mu), len(problem.receivers.packed) // COLUMNS
    for k in range(n * bins):
        work.matrix[k] = np.float32(0.0)
    for k in range(n * room):
        work.amounts[k] = np.float32(0.0)
    for j in range(n):
        row, near, at = row_of(work.matrix, j, bins), work.reached[j], _at(line, place, line.along[j])
        count = reach(near, problem.tables, problem.receivers, problem.centre, at)
        _fill(row, row_of(work.amounts, j, room), near, count, problem, line, place, line.along[j])
        _cut(row)
        work.counts[0, j] = count


@kernel
def move_signals(work: Work, problem: Problem, line: Line, place: np.ndarray) -> None:
    """Fill in the wanted signals of a line's showers for a vertex."""
    bins, room = len(work.mu), len(problem.receivers.packed) // COLUMNS
    for j in range(len(line.along)):
        row, amounts, count = row_of(work.matrix, j, bins), row_of(work.amounts, j, room), work.counts[1, j]
        _fill(row, amounts, work.wanted[j], count, problem, line, place, line.along[j])
        _cut(row)


@fast_kernel
def choose_wanted(work: Work, energy: np.ndarray, room: int) -> None:
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
def add_difference(slope: np.ndarray, shifted: np.ndarray, there: np.ndarray, factor: np.float32) -> None:
    for k in range(len(slope)):
        slope[k] += factor * (shifted[k] - there[k])


@kernel
def vertex_slopes(problem: Problem, line: Line, place: np.ndarray, work: Work, energy: np.ndarray) -> None:
    """Derivatives of the expectation by a, b, t0, as far as the wanted signals tell."""
    near, bins, room = np.empty(3), len(work.mu), len(problem.receivers.packed) // COLUMNS
    unused = np.empty(room, np.float32)
    copy_to(near, place)
    for q in range(3):
        slope = row_of(work.slopes, q, bins)
        copy_to(slope, work.nothing)
        near[q] = place[q] + STEPS[q]
        for j in range(len(energy)):
            there = row_of(work.matrix, j, bins)
            copy_to(work.shifted, there)
            _fill(work.shifted, unused, work.wanted[j], work.counts[1, j], problem, line, near, line.along[j])
            add_difference(slope, work.shifted, there, np.float32(energy[j] / STEPS[q]))
        near[q] = place[q]


@kernel
def other_start(work: Work) -> Work:
    """The same arrays with the signals of the other start in place of those of this one."""
    kept = work.kept
    aside = Kept(work.matrix, work.amounts, work.reached, work.counts, work.mu)
    return Work(kept.matrix, kept.amounts, kept.reached, work.wanted, kept.counts, aside, work.slopes,
                work.shifted, kept.mu, work.best_mu, work.nothing, work.equations)
