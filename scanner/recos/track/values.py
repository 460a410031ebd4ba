"""What both track likelihoods give: −ln L with its slopes, summed over lanes of modules; and their tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from config.ice import C_VACUUM
from scanner.common.compiled import inlined
from scanner.common.fastmath import F
from scanner.common.lanes import LANES, scratch
from scanner.light.pandel import Axis
from scanner.recos.track.paths import PATH_FACTOR

__all__ = ["NOISE", "REACH", "Tables", "Value", "add_slopes", "add_values", "cell_value", "clear", "locate",
           "new_sums", "new_values", "summed"]

NOISE = 1e-6
"""Density of noise pulses, 1/ns: the floor of a module's likelihood."""
REACH = 250.0
"""Distance (m) from the charge-weighted centre at which a vertex costs ½ in ln L; it grows as the 4th power.

Times alone would accept light that has diffused for 1 km; a module would not see it.
"""
_ROWS = 9
_GA, _GB, _GT, _HAA, _HAB, _HAT, _HBB, _HBT, _HTT = range(_ROWS)
new_sums, new_values = scratch(_ROWS, F), scratch(1, np.float64)
"""Sums by lanes: of slopes and their squares, and of −ln L, whose last digits a descent looks at."""
_PER_METRE = PATH_FACTOR / C_VACUUM


class Tables(NamedTuple):
    """Everything that depends on neither event nor pixel; float32, flat."""

    ice: np.ndarray  # `paths.ice_rows`
    shape: np.ndarray  # `pandel.cells` of (ξ, w)
    survival: np.ndarray  # `pandel.planes` of (s, ξ, w)


class Value(NamedTuple):
    """−ln L, its gradient in (a, b, t0), and the squared slopes with time as an estimate of its curvature."""

    llh: float
    ga: float
    gb: float
    gt: float
    haa: float
    hab: float
    hat: float
    hbb: float
    hbt: float
    htt: float


@inlined
def clear(sums: np.ndarray, values: np.ndarray) -> None:
    """Begin to sum."""
    for k in range(LANES):
        values[0, np.uint64(k)] = 0.0
    for row in range(_ROWS):
        for k in range(LANES):
            sums[row, np.uint64(k)] = F(0)


@inlined
def locate(x: float, axis: Axis) -> tuple[Any, float]:
    """The cell in which x lies, at most the last whatever x is, and the fraction of the way through it."""
    position = (x - F(axis.first)) * F(axis.inverse_step)
    k = np.int32(position)
    return min(max(np.int32(k - np.int32(1)), np.int32(0)), np.int32(axis.nodes - 4)), position - F(k)


@inlined
def _cubic(f: float, a: float, b: float, c: float, d: float) -> tuple[float, float]:
    """a + b f + c f² + d f³ and its slope."""
    value = d * f + c
    slope = d * f + value
    value = value * f + b
    slope = slope * f + value
    return value * f + a, slope


@inlined
def cell_value(x: float, w: float, cell: np.ndarray, k: np.uint64) -> tuple[float, float, float]:
    """Value at fractions x and w of a lane's cell (`pandel.cells`), and its slopes with w and x."""
    a, da = _cubic(w, cell[0, k], cell[1, k], cell[2, k], cell[3, k])
    b, db = _cubic(w, cell[4, k], cell[5, k], cell[6, k], cell[7, k])
    c, dc = _cubic(w, cell[8, k], cell[9, k], cell[10, k], cell[11, k])
    d, dd = _cubic(w, cell[12, k], cell[13, k], cell[14, k], cell[15, k])
    value, slope = _cubic(x, a, b, c, d)
    return value, da + x * (db + x * (dc + x * dd)), slope


@inlined
def add_slopes(sums: np.ndarray, k: np.uint64, l_t: float, nu: float, nv: float, slope_a: float,
               slope_b: float) -> None:
    """Add a module that slopes so with time, and with a and b but for what these do to its time."""
    square = l_t * l_t
    sums[_GA, k] -= l_t * nu * F(_PER_METRE) + slope_a
    sums[_GB, k] -= l_t * nv * F(_PER_METRE) + slope_b
    sums[_GT, k] += l_t
    sums[_HAA, k] += square * nu * nu
    sums[_HAB, k] += square * nu * nv
    sums[_HAT, k] -= square * nu
    sums[_HBB, k] += square * nv * nv
    sums[_HBT, k] -= square * nv
    sums[_HTT, k] += square


@inlined
def add_values(values: np.ndarray, lane: np.ndarray, row: int) -> None:
    """Add what a row of lanes has of −ln L."""
    for k in range(LANES):
        values[0, np.uint64(k)] += np.float64(lane[row, np.uint64(k)])


@inlined
def _total(rows: np.ndarray, row: int) -> float:
    total = 0.0
    for k in range(LANES):
        total += np.float64(rows[row, np.uint64(k)])
    return total


@inlined
def summed(sums: np.ndarray, values: np.ndarray, a: float, b: float) -> Value:
    """The sums over all modules, and what a vertex (a, b) far from the centre costs."""
    pull = 1.0 / (REACH * REACH)
    far = (a * a + b * b) * pull
    curve = 2.0 * far * pull
    per, per2 = _PER_METRE, _PER_METRE * _PER_METRE
    return Value(_total(values, 0) + 0.5 * far * far,
                 _total(sums, _GA) + curve * a, _total(sums, _GB) + curve * b, _total(sums, _GT),
                 _total(sums, _HAA) * per2 + curve, _total(sums, _HAB) * per2,
                 _total(sums, _HAT) * per, _total(sums, _HBB) * per2 + curve, _total(sums, _HBT) * per,
                 _total(sums, _HTT))
