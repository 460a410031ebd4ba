"""Uniform cubic B-splines: coefficients of a table, and the four weights that evaluate them.

A value between nodes k and k+1 is the sum of four coefficients c[k-1 … k+2] with weights of the fraction f;
the first derivative uses the weights' derivatives. Twice continuously differentiable, error O(h⁴)
(de Boor, A Practical Guide to Splines, 1978).
"""

from __future__ import annotations

import numpy as np

from scanner.common.compiled import inlined
from scanner.common.fastmath import F

__all__ = ["MARGIN", "coefficients", "slope_weights", "value_weights"]

MARGIN = 4
"""Nodes that a table should extend beyond its used range: the end condition's error falls by 3.7 per node."""


def coefficients(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """B-spline coefficients, same shape as `values`, interpolating it along each of `axes`.

    The ends have zero curvature, so the outermost interval of an axis must not be used.
    """
    from scipy.linalg import solve_banded  # slow to import, and tables are seldom made

    result = np.array(values, dtype=float)
    for axis in axes:
        rows = np.moveaxis(result, axis, 0)
        shape = rows.shape
        solved = solve_banded((1, 1), _bands(shape[0]), rows.reshape(shape[0], -1))
        result = np.moveaxis(solved.reshape(shape), 0, axis)
    return np.ascontiguousarray(result)


def _bands(n: int) -> np.ndarray:
    """The tridiagonal interpolation condition (1, 4, 1)/6 with c = y at both ends."""
    bands = np.empty((3, n))
    bands[0], bands[1], bands[2] = 1 / 6, 4 / 6, 1 / 6
    bands[1, [0, -1]] = 1.0
    bands[0, 1] = bands[2, -2] = 0.0
    return bands


@inlined
def value_weights(f: float) -> tuple[float, float, float, float]:
    """Weights of c[k-1 … k+2] for the value at fraction f in [0, 1), a float32."""
    g = F(1) - f
    return (
        g * g * g * F(1 / 6),
        F(2 / 3) - f * f * (F(1) - F(0.5) * f),
        F(2 / 3) - g * g * (F(1) - F(0.5) * g),
        f * f * f * F(1 / 6),
    )


@inlined
def slope_weights(f: float) -> tuple[float, float, float, float]:
    """Weights of the first derivative, per node spacing."""
    g = F(1) - f
    return F(-0.5) * g * g, f * (F(1.5) * f - F(2)), -g * (F(1.5) * g - F(2)), F(0.5) * f * f
