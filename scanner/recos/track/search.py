"""Finding the right valley: where descents of one direction should start.

−ln L has a cusp wherever the track passes a module, and many valleys for a wrong direction. Seen through
modules of coarse time resolution the cusps disappear, and a sample of the modules shows the same valleys. A
first-level pixel looks at a grid of vertices through coarse eyes, keeps the best few well apart, and follows
each down while the resolution sharpens to the true one (graduated optimisation: Blake & Zisserman 1987).
"""

from __future__ import annotations

import numpy as np

from config.ice import C_VACUUM
from scanner.common.compiled import kernel
from scanner.recos.track.first_photon import RESOLUTION
from scanner.recos.track.likelihood import SIGMA, Doms, evaluate
from scanner.recos.track.minimise import End, Hits, descend
from scanner.recos.track.paths import PATH_FACTOR, Frame
from scanner.recos.track.values import Tables

__all__ = ["COARSE", "FIRST_WIDTHS", "GRID", "MPE_WIDTHS", "TIGHT", "follow", "survey", "valleys_for"]

COARSE, MEDIUM = 50.0, 17.0
"""Time resolutions (ns) at which valleys are found, on a sample of the modules."""
MPE_WIDTHS, FIRST_WIDTHS = np.array([SIGMA]), np.array([SIGMA, RESOLUTION])
"""Those at which they are followed with all modules; the last is the likelihood's own."""
LOOSE, FIRM, TIGHT = 1.0, 0.3, 1e-4
"""Promised gains in ln L at which a descent stops: coarse, medium and true resolution, where single precision
leaves −ln L a roughness of 2e-5."""
LEAST_VALLEYS, MOST_VALLEYS, DESCENTS = 4, 10, 640
"""Valleys followed from the grid: with few modules a descent is cheap and the landscape flat."""
APART = 50.0
"""Least distance (m) between the starts of two valleys."""
SAME = 8.0
"""Ends closer than this (m, and ns × 0.3) are one."""
EARLY, LATE = 0.05, 0.3
"""Shares of modules that may be hit before the light of a start can arrive."""


def _rings(*rings: tuple[float, int]) -> np.ndarray:
    points = [(0.0, 0.0)]
    for radius, count in rings:
        angles = 2 * np.pi * np.arange(count) / count
        points += [(radius * np.cos(angle), radius * np.sin(angle)) for angle in angles]
    return np.array(points)


GRID = _rings((50.0, 6), (110.0, 10), (190.0, 12), (290.0, 12))
"""Vertex offsets (m) from the charge-weighted centre, denser where tracks are more likely; shape (41, 2)."""


@kernel
def _sort(values: np.ndarray) -> None:
    """Sort a few dozen numbers (Shell, CACM 2 (1959) 30); numba's own sort takes half a second to compile."""
    for gap in (23, 10, 4, 1):
        for i in range(gap, len(values)):
            value, j = values[i], i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value


@kernel
def _start_times(doms: Doms, frame: Frame, a: float, b: float, scratch: np.ndarray) -> tuple[float, float]:
    """Vertex times before which a share EARLY and LATE of the modules would have been hit."""
    for i in range(len(doms.x)):
        x, y, z = doms.x[i], doms.y[i], doms.z[i]
        across = x * frame.e1x + y * frame.e1y + z * frame.e1z - a
        level = x * frame.e2x + y * frame.e2y - b
        along = x * frame.px + y * frame.py + z * frame.pz
        distance = np.sqrt(across * across + level * level)
        scratch[i] = doms.time[i] - (along + PATH_FACTOR * distance) / C_VACUUM
    _sort(scratch)
    return scratch[int(EARLY * len(scratch))], scratch[int(LATE * len(scratch))]


def valleys_for(modules: int) -> int:
    """How many valleys to follow in an event with so many hit modules."""
    return min(max(DESCENTS // modules, LEAST_VALLEYS), MOST_VALLEYS)


@kernel
def survey(coarse: Doms, tables: Tables, frame: Frame, grid: np.ndarray, valleys: int) -> np.ndarray:
    """The best grid points that lie APART, shape (valleys, 4): llh, a, b, t; inf where there are fewer."""
    scratch = np.empty(len(coarse.x))
    points = np.empty((2 * len(grid), 4))
    for k in range(len(grid)):
        a, b = grid[k, 0], grid[k, 1]
        times = _start_times(coarse, frame, a, b, scratch)
        for m in range(2):
            llh = evaluate(coarse, tables, frame, a, b, times[m], COARSE).llh
            n = 2 * k + m
            points[n, 0], points[n, 1], points[n, 2], points[n, 3] = llh, a, b, times[m]
    return _best_apart(points, valleys)


@kernel
def _least(rows: np.ndarray) -> int:
    """The first row whose first number is least."""
    best = 0
    for k in range(1, len(rows)):
        if rows[k, 0] < rows[best, 0]:
            best = k
    return best


@kernel
def _best_apart(points: np.ndarray, count: int) -> np.ndarray:
    best = np.empty((count, 4))
    for n in range(count):
        chosen = _least(points)
        for column in range(4):
            best[n, column] = points[chosen, column]
        if not best[n, 0] < np.inf:
            continue
        for k in range(len(points)):
            a, b = points[k, 1] - best[n, 1], points[k, 2] - best[n, 2]
            if a * a + b * b < APART * APART:
                points[k, 0] = np.inf
    return best


@kernel
def _is_new(ends: np.ndarray, n: int, end: End) -> bool:
    for k in range(n):
        a, b, t = ends[k, 1] - end.a, ends[k, 2] - end.b, ends[k, 3] - end.t
        if a * a + b * b + 0.09 * t * t < SAME * SAME:
            return False
    return True


@kernel
def _sharpen(doms: Hits, tables: Tables, frame: Frame, starts: np.ndarray, sigma: float, shift: float,
             tolerance: float) -> int:
    """Replace every start by the end of its descent, each end once; return the number of evaluations.

    A sharper resolution moves the best vertex time earlier by about the difference, `shift`.
    """
    n = evaluations = 0
    for k in range(len(starts)):
        if not starts[k, 0] < np.inf:
            continue
        end = descend(doms, tables, frame, starts[k, 1], starts[k, 2], starts[k, 3] - shift, sigma, tolerance)
        evaluations += end.evaluations
        if _is_new(starts, n, end):
            starts[n, 0], starts[n, 1], starts[n, 2], starts[n, 3] = end.llh, end.a, end.b, end.t
            n += 1
    for k in range(n, len(starts)):
        starts[k, 0] = np.inf
    return evaluations


@kernel
def follow(doms: Hits, coarse: Doms, tables: Tables, frame: Frame, starts: np.ndarray,
           widths: np.ndarray) -> End:
    """Follow valleys given at COARSE resolution down to the last of `widths`: the best end.

    Its llh is inf without a start.
    """
    count = _sharpen(coarse, tables, frame, starts, COARSE, 0.0, LOOSE)
    count += _sharpen(coarse, tables, frame, starts, MEDIUM, COARSE - MEDIUM, FIRM)
    before = MEDIUM
    for k in range(len(widths)):
        tolerance = TIGHT if k + 1 == len(widths) else FIRM
        count += _sharpen(doms, tables, frame, starts, widths[k], before - widths[k], tolerance)
        before = widths[k]
    k = _least(starts)
    return End(starts[k, 0], starts[k, 1], starts[k, 2], starts[k, 3], count)
