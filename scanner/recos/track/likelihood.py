"""−ln L of a track's vertex for one direction, with its gradient and curvature.

Every module gives the first photon of N (MPE: N f SF^(N−1), AMANDA, NIM A524 (2004) 169) plus a floor of
noise. The loop over modules has no branches, calls and stores, and its helpers take numbers, never arrays (an
array would have its references counted inside): so the compiler runs eight modules at a time. Most of the
time goes into looking up tables, which is why two neighbouring entries share one word; see `pandel.packed`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from config.ice import C_VACUUM, COS_CHERENKOV, N_GROUP, SIN_CHERENKOV
from scanner.common.compiled import fast_kernel, inlined
from scanner.common.fastmath import F, single_exp, single_log
from scanner.common.lanes import LANES, blended_columns, columns8, columns16, scratch
from scanner.light.pandel import ASINH_W, LN_S, W_RANGE, XI
from scanner.light.spline import slope_weights, value_weights
from scanner.recos.track.paths import (
    COSINE,
    DISTANCE,
    FRACTION,
    INSIDE,
    LATE,
    NU,
    NV,
    PATH_ROWS,
    PER_D,
    PER_DROP,
    SCALE,
    Frame,
    follow_light,
    path_mean,
)
from scanner.recos.track.values import (
    NOISE,
    Tables,
    Value,
    add_slopes,
    add_values,
    cell_value,
    clear,
    locate,
    new_sums,
    new_values,
    summed,
)

__all__ = ["ABSENT", "HIGH_XI", "SIGMA", "Doms", "evaluate"]

ABSENT = -1000.0
"""ln N of a module that is not there."""

SIGMA = 8.0
"""Time resolution of a module, ns, with the ice model's own errors: electronics alone would be 2 to 3 ns."""
SCATTERING_TO_LAMBDA = 1.3
"""Pandel's λ in effective scattering lengths."""
BULK_LAMBDA, BULK_TAU = 33.29, 556.7
"""Pandel's λ (m) and τ (ns) in bulk ice (AMANDA, NIM A524 (2004) 169)."""
SCATTERING_RATE = 27.0 / BULK_TAU
DISTANCE_SLOPE = 0.8395 / SCATTERING_TO_LAMBDA
"""Slope of the effective distance (same source) per scattering length."""
HIGH_XI = 79.0
_LOW_U, _HIGH_U = W_RANGE[0] + 1.0, W_RANGE[1] - 1.0
_PLANE, _ROW = ASINH_W.nodes * XI.nodes, ASINH_W.nodes  # of `pandel.planes`, in fours
_STRIDE = np.int32(4 * _ROW)
(_XI, _S, _U, _U_MOVES, _F_W, _F_XI, _F_S, _ROOT, _SCATTERING, _DB, _DS,
 _LLH) = range(PATH_ROWS, PATH_ROWS + 12)
_lanes, _ice, _cell, _weights = scratch(PATH_ROWS + 12, F), scratch(8, F), scratch(1, np.int32), scratch(8, F)
_shapes, _survivals = scratch(16, F), scratch(32, F)


Weights = tuple[float, float, float, float]


class Doms(NamedTuple):
    """First pulses of the hit modules, positions relative to a reference point; arrays of shape (n,).

    The brightest are first. n is padded to a multiple of LANES with modules whose log_n is ABSENT: they see
    nothing but noise.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    time: np.ndarray  # ns after the reference time; these four float64, the others float32
    height: np.ndarray  # z at which the table of the ice holds, m
    node: np.ndarray  # of that table, below the module; int32
    fraction: np.ndarray  # of the way to the next
    others: np.ndarray  # N − 1
    log_n: np.ndarray
    scattering: np.ndarray  # of the ice at the module, 1/m
    scattering_integral: np.ndarray
    scattering_rest: np.ndarray  # of the integral, beyond single precision
    absorption: np.ndarray
    absorption_integral: np.ndarray
    absorption_rest: np.ndarray


@inlined
def _formulas(first: np.uint64, doms: Doms, sigma: float, ice: np.ndarray, lane: np.ndarray,
              weights: np.ndarray, shape: np.ndarray, survival: np.ndarray) -> None:
    """Shape and rate of the delay of sixteen modules, and where their parts of both tables begin."""
    per_sigma = F(1.0 / sigma)
    for j in range(LANES):
        k = np.uint64(j)
        i = first + k
        f, per_drop, scale = lane[FRACTION, k], lane[PER_DROP, k], lane[SCALE, k]
        scattering, db = path_mean(doms.scattering[i], doms.scattering_integral[i], doms.scattering_rest[i],
                                   ice[0, k], ice[1, k], ice[2, k], ice[3, k], f, per_drop, scale)
        absorption, da = path_mean(doms.absorption[i], doms.absorption_integral[i], doms.absorption_rest[i],
                                   ice[4, k], ice[5, k], ice[6, k], ice[7, k], f, per_drop, scale)
        cosine = lane[COSINE, k]
        xi = ((F(3.094) + cosine * (F(4.636) * cosine - F(3.946))) * F(1 / BULK_LAMBDA)
              + F(DISTANCE_SLOPE) * lane[DISTANCE, k] * scattering)
        xi = min(xi, F(HIGH_XI))
        s = F(sigma) * (F(SCATTERING_RATE) * scattering + F(C_VACUUM / N_GROUP) * absorption)
        u_free = lane[LATE, k] * per_sigma
        u = min(max(u_free, F(_LOW_U)), F(_HIGH_U))
        half = F(0.5) * (u - s)
        root = np.sqrt(half * half + F(1))
        kw, lane[_F_W, k] = locate(np.copysign(single_log(abs(half) + root), half), ASINH_W)
        kx, fx = locate(single_log(xi), XI)
        ks, lane[_F_S, k] = locate(single_log(s), LN_S)
        shape[0, k] = np.int32(16) * (kx * np.int32(ASINH_W.nodes - 3) + kw)
        survival[0, k] = np.int32(4) * (ks * np.int32(_PLANE) + kx * np.int32(_ROW) + kw)
        weights[0, k], weights[1, k], weights[2, k], weights[3, k] = value_weights(fx)
        weights[4, k], weights[5, k], weights[6, k], weights[7, k] = slope_weights(fx)
        lane[_F_XI, k], lane[_XI, k], lane[_S, k], lane[_U, k], lane[_ROOT, k] = fx, xi, s, u, F(1) / root
        lane[_U_MOVES, k] = per_sigma if u == u_free else F(0)
        lane[_SCATTERING, k], lane[_DB, k] = scattering, db
        lane[_DS, k] = F(sigma) * (F(SCATTERING_RATE) * db + F(C_VACUUM / N_GROUP) * da)


@inlined
def _dot(w: Weights, a: float, b: float, c: float, d: float) -> float:
    return w[0] * a + w[1] * b + w[2] * c + w[3] * d


@inlined
def _across(w: Weights, rows: np.ndarray, first: int, k: np.uint64) -> float:
    """Four rows of a lane, four apart, summed with weights."""
    return _dot(w, rows[first, k], rows[first + 4, k], rows[first + 8, k], rows[first + 12, k])


@inlined
def _survival(w: float, s: float, rows: np.ndarray, k: np.uint64) -> tuple[float, float, float, float]:
    """ln SF at fractions w and s of a lane's cell, and its slopes with w, ln ξ and ln s (per node spacing).

    Rows are four w by four s, summed over ξ with the weights of the value, then with those of the slope.
    """
    v, dv, e, de = value_weights(w), slope_weights(w), value_weights(s), slope_weights(s)
    a, b = _across(v, rows, 0, k), _across(v, rows, 1, k)
    c, d = _across(v, rows, 2, k), _across(v, rows, 3, k)
    slope_w = _dot(e, _across(dv, rows, 0, k), _across(dv, rows, 1, k), _across(dv, rows, 2, k),
                   _across(dv, rows, 3, k))
    slope_x = _dot(e, _across(v, rows, 16, k), _across(v, rows, 17, k), _across(v, rows, 18, k),
                   _across(v, rows, 19, k))
    return _dot(e, a, b, c, d), slope_w, slope_x, _dot(de, a, b, c, d)


@inlined
def _sum_up(first: np.uint64, doms: Doms, sigma: float, frame: Frame, lane: np.ndarray, shapes: np.ndarray,
            survivals: np.ndarray, sums: np.ndarray) -> None:
    """Add −ln L of sixteen modules and its slopes, their parts of the tables at hand."""
    per_sigma = F(1.0 / sigma)
    rate, climb = F(frame.pz * COS_CHERENKOV / SIN_CHERENKOV), F(frame.e1z)
    for j in range(LANES):
        k = np.uint64(j)
        i = first + k
        n, u, s, xi, root = doms.others[i], lane[_U, k], lane[_S, k], lane[_XI, k], lane[_ROOT, k]
        g, g_w, g_x = cell_value(lane[_F_XI, k], lane[_F_W, k], shapes, k)
        q, q_w, q_x, q_s = _survival(lane[_F_W, k], lane[_F_S, k], survivals, k)
        ln_s = single_log(s)
        y = g + n * q + xi * ln_s + s * (F(0.5) * s - u) + doms.log_n[i]
        y_w = (g_w + n * q_w) * F(0.5 * ASINH_W.inverse_step) * root
        y_x = (g_x + n * q_x) * F(XI.inverse_step)
        y_s = n * q_s * F(LN_S.inverse_step)
        signal = single_exp(min(max(y, F(-80)), F(80))) * per_sigma
        total = signal + F(NOISE)
        weight = signal / total
        lane[_LLH, k] = -single_log(total)
        l_t = weight * (y_w - s) * lane[_U_MOVES, k]
        l_xi = weight * (y_x / xi + ln_s)
        l_z = weight * ((y_s + xi) / s + s - u - y_w) * lane[_DS, k]
        # what a and b do to shape and rate, by the path and by the height from which it comes
        nu, nv = lane[NU, k], lane[NV, k]
        height = lane[INSIDE, k] * (l_xi * F(DISTANCE_SLOPE) * lane[DISTANCE, k] * lane[_DB, k] + l_z)
        turn = (l_xi * (F(9.272) * lane[COSINE, k] - F(3.946)) * F(1 / BULK_LAMBDA)
                * F(SIN_CHERENKOV) * climb * lane[PER_D, k])
        nearer = l_xi * F(DISTANCE_SLOPE) * lane[_SCATTERING, k]
        slope_a = height * (nu * rate + climb) + turn * (nu * nu - F(1)) - nearer * nu
        slope_b = height * nv * rate + turn * nu * nv - nearer * nv
        add_slopes(sums, k, l_t, nu, nv, slope_a, slope_b)


@fast_kernel
def evaluate(doms: Doms, tables: Tables, frame: Frame, a: float, b: float, t0: float, sigma: float) -> Value:
    """−ln L and its slopes at vertex offset (a, b) m and time t0 ns, for modules of resolution sigma ns."""
    lane, ice, weights, shapes, survivals = _lanes(), _ice(), _weights(), _shapes(), _survivals()
    node, shape, survival = _cell(), _cell(), _cell()
    sums, values = new_sums(), new_values()
    clear(sums, values)
    for block in range(len(doms.x) // LANES):
        first = np.uint64(block * LANES)
        follow_light(first, doms, frame, a, b, t0, lane, node)
        columns8(tables.ice, node, ice)
        _formulas(first, doms, sigma, ice, lane, weights, shape, survival)
        columns16(tables.shape, shape, shapes)
        if block == 0 or doms.others[first] > F(0):  # the brightest are first
            blended_columns(tables.survival, survival, _STRIDE, weights, survivals)
        _sum_up(first, doms, sigma, frame, lane, shapes, survivals, sums)
        add_values(values, lane, _LLH)
    return summed(sums, values, a, b)
