"""When the light of a track or shower arrives: a gamma distribution smeared by the modules' time resolution.

The delay t of a photon, scattered and absorbed on its way, follows a gamma distribution with shape ξ (the
path in scattering lengths) and rate ρ (D. Pandel, diploma thesis, Humboldt-Universität Berlin 1996; AMANDA,
NIM A524 (2004) 169). Electronics add a Gaussian of width σ; the convolution is van Eijndhoven et al.,
Astropart. Phys. 28 (2007) 456. With u = t/σ and s = ρσ only two shapes are left::

    ln σ f = ξ ln s + s²/2 − s u + G(u − s; ξ)
    G(w; ξ) = ln[ 1/(Γ(ξ) √2π) ∫₀^∞ x^(ξ−1) exp(−(x−w)²/2) dx ]        (a parabolic cylinder function)

and the probability SF(u; ξ, s) that a photon comes later. Both are tabulated as cubic B-splines on one grid
in (ln s,) ln ξ and asinh(w/2), w = u − s, in single precision, the neighbours of a look-up side by side. They
are built in a fraction of a second from the integrals. SciPy, which takes as long to import, is only asked
for then.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from scanner.light.spline import MARGIN, coefficients
from scanner.machine.tables import kept

__all__ = ["ASINH_W", "LN_S", "XI", "Axis", "PandelTables", "cells", "log_shape", "log_survival",
           "pandel_tables", "planes"]

_TINY_X = 1e-6  # below this delay (in σ) the Gaussian does not change
_FAR_X = 34.0  # no smearing brings a longer delay below _NEAR
_NEAR = 14.0  # smearing is integrated over the delay below, over the Gaussian above


class Axis(NamedTuple):
    """A uniform grid: its first node, the inverse spacing, the number of nodes and the usable range."""

    first: float
    inverse_step: float
    nodes: int

    @classmethod
    def covering(cls, low: float, high: float, intervals: int) -> Axis:
        """The axis whose usable range is [low, high], with margins for the spline's ends."""
        step = (high - low) / intervals
        return cls(low - MARGIN * step, 1.0 / step, intervals + 1 + 2 * MARGIN)

    @property
    def points(self) -> np.ndarray:
        """All nodes, margins included; float64 of shape (nodes,)."""
        return self.first + np.arange(self.nodes) / self.inverse_step


W_RANGE = (-10.0, 1250.0)
LN_S = Axis.covering(np.log(0.006), np.log(1.6), 14)
XI = Axis.covering(np.log(0.06), np.log(80.0), 40)
ASINH_W = Axis.covering(float(np.arcsinh(W_RANGE[0] / 2)), float(np.arcsinh(W_RANGE[1] / 2)), 110)


class PandelTables(NamedTuple):
    """G as `cells` (ξ, w), ln SF as `planes` (s, ξ, w); float32, flat."""

    shape: np.ndarray
    survival: np.ndarray


@cache
def _delay_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre nodes x and weights of ∫ … dx/x, `_TINY_X` … `_FAR_X`: in ln x below 1, in x above."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    low, low_weights = _panels(np.linspace(np.log(_TINY_X), 0.0, 25), nodes, weights)
    high, high_weights = _panels(np.arange(1.0, _FAR_X + 0.5), nodes, weights)
    return np.append(np.exp(low), high), np.append(low_weights, high_weights / high)


def _panels(edges: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A rule for [−1, 1] repeated between all neighbouring edges."""
    half = 0.5 * np.diff(edges)[:, None]
    return (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()


def _gauss_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Trapezoid for an expectation over a normal variable, exact to 1e-8 for smooth functions."""
    z = np.arange(-9.0, 10.0)
    weights = np.exp(-0.5 * z * z)
    return z, weights / weights.sum()


def _upper_normal(x: np.ndarray) -> np.ndarray:
    from scipy.special import erfc

    return 0.5 * erfc(x / np.sqrt(2.0))


def _log_gammaincc(xi: float, x: np.ndarray) -> np.ndarray:
    """ln Q(ξ, x), by two terms of the continued fraction (DLMF 8.9.2) where Q itself would underflow."""
    from scipy.special import gammaincc, gammaln

    far = x > 500.0
    below = xi - 1
    fraction = x - below + below / (x - below + 2.0)
    asymptotic = xi * np.log(x) - x - np.log(np.where(far, fraction, 1.0)) - gammaln(xi)
    return np.where(far, asymptotic, np.log(gammaincc(xi, np.where(far, 1.0, x))))


def log_shape(w: np.ndarray, ln_xi: np.ndarray) -> np.ndarray:
    """G(w; ξ) on the grid of both axes; shape (len(ln_xi), len(w)), −40 < w."""
    from scipy.special import gammaln, logsumexp

    xi = np.exp(ln_xi)[:, None, None]
    result = np.empty((len(ln_xi), len(w)))
    near = w < _NEAR
    x, dx = _delay_nodes()
    logs = xi * np.log(x) - 0.5 * (x - w[near, None]) ** 2 + np.log(dx)
    rest = xi * np.log(_TINY_X) - np.log(xi) - 0.5 * w[near, None] ** 2
    result[:, near] = logsumexp(np.concatenate([logs, rest], axis=2), axis=2) - 0.5 * np.log(2 * np.pi)
    z, weights = _gauss_nodes()
    result[:, ~near] = logsumexp((xi - 1) * np.log(w[~near, None] + z), b=weights, axis=2)
    return result - gammaln(xi[:, :, 0])


def log_survival(w: np.ndarray, ln_xi: np.ndarray, ln_s: np.ndarray) -> np.ndarray:
    """ln SF(w + s; ξ, s) on the grid of three axes; shape (len(ln_s), len(ln_xi), len(w))."""
    result = np.empty((len(ln_s), len(ln_xi), len(w)))
    near = w < _NEAR
    for plane, s in zip(result, np.exp(ln_s), strict=True):
        plane[:, near] = _near_survival(w[near] + s, np.exp(ln_xi)[:, None], s)
    if not near.all():
        result[:, :, ~near] = _far_survival(w[~near], np.exp(ln_xi), np.exp(ln_s))
    return result


def _near_survival(u: np.ndarray, xi: np.ndarray, s: float) -> np.ndarray:
    """Integral over the delay: probability that delay and Gaussian together exceed u."""
    from scipy.special import gammainc, gammaincc, gammaln

    x, dx = _delay_nodes()
    density = np.exp(xi * np.log(s * x) - s * x - gammaln(xi)) * dx
    inside = density @ _upper_normal(u[:, None] - x).T
    tail = gammainc(xi, s * _TINY_X) * _upper_normal(u) + gammaincc(xi, s * _FAR_X)
    return np.log(np.minimum(inside + tail, 1.0))


def _far_survival(w: np.ndarray, xi: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Expectation of Q over the Gaussian; ln Q by a spline per ξ, since Q itself is slow."""
    from scipy.interpolate import CubicSpline
    from scipy.special import logsumexp

    z, weights = _gauss_nodes()
    ln_x = np.log(s[:, None, None] * (w[:, None] + s[:, None, None] - z))
    nodes = np.linspace(ln_x.min(), ln_x.max(), 1000)
    planes = []
    for shape in xi:
        log_q = CubicSpline(nodes, _log_gammaincc(shape, np.exp(nodes)))
        planes.append(logsumexp(log_q(ln_x), b=weights, axis=2))
    return np.stack(planes, axis=1)


_POWERS = np.array([[1, -3, 3, -1], [4, 0, -6, 3], [1, 3, 3, -3], [0, 0, 0, 1]]) / 6.0
"""Weights of the coefficients c[k-1 … k+2] of a cubic B-spline by powers of the fraction; shape (4, 4)."""


def cells(table: np.ndarray) -> np.ndarray:
    """Two-dimensional splines as polynomials: sixteen float32 for each cell (x, w), side by side.

    Number 4 i + j belongs to the i-th power of the fraction in x and the j-th in w. The first cell lies
    between the second and third coefficient of `table`; shape (nx − 3, nw − 3, 16).
    """
    windows = np.lib.stride_tricks.sliding_window_view(table, (4, 4))
    powers = np.einsum("xwab,ai,bj->xwij", windows, _POWERS, _POWERS)
    return powers.reshape(*powers.shape[:2], 16).astype(np.float32)


def planes(table: np.ndarray) -> np.ndarray:
    """Three-dimensional splines (s, x, w): for each cell in s its four coefficients side by side.

    So sixteen neighbours, four w by four s, are one row; float32 of shape (ns − 3, nx, nw, 4).
    """
    windows = np.lib.stride_tricks.sliding_window_view(table, 4, axis=0)
    return np.ascontiguousarray(windows, dtype=np.float32)


@cache
def pandel_tables() -> PandelTables:
    """The spline tables, built on first use and kept."""
    return PandelTables(kept("pandel_shape", _shape_table), kept("pandel_survival", _survival_table))


def _shape_table() -> np.ndarray:
    values = log_shape(2 * np.sinh(ASINH_W.points), XI.points)
    return cells(coefficients(values, axes=(0, 1))).ravel()


def _survival_table() -> np.ndarray:
    values = log_survival(2 * np.sinh(ASINH_W.points), XI.points, LN_S.points)
    return planes(coefficients(values, axes=(0, 1, 2))).ravel()
