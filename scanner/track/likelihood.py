"""−ln L of a track's vertex for one direction, with its gradient and curvature.

Every module gives the first photon of N (MPE: N f SF^(N−1), AMANDA, NIM A524 (2004) 169) plus a floor of noise.
The loop over modules has no branches, calls and stores, so that the compiler runs eight modules at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from config.ice import C_VACUUM, COS_CHERENKOV, N_GROUP, SIN_CHERENKOV
from scanner.fastmath import fast_exp, fast_log
from scanner.ice import GRID_BOTTOM, GRID_STEP, Z_LIMIT
from scanner.pandel import ASINH_W, LN_S, W_RANGE, XI
from scanner.spline import curvature_weights, slope_weights, value_weights

__all__ = ["SIGMA", "Doms", "Frame", "Tables", "Value", "evaluate"]

SIGMA = 6.0
"""Time resolution of a module, ns; what the result is quoted with."""
NOISE = 1e-6
"""Density of noise pulses, 1/ns: the floor of a module's likelihood."""
PATH_FACTOR = N_GROUP / SIN_CHERENKOV - COS_CHERENKOV / SIN_CHERENKOV
"""Delay of the unscattered light per metre of distance from the track, in units of 1/c: 0.917."""
SCATTERING_TO_LAMBDA = 1.3
"""Pandel's λ in effective scattering lengths."""
BULK_LAMBDA, BULK_TAU = 33.29, 556.7
"""Pandel's λ (m) and τ (ns) in bulk ice (AMANDA, NIM A524 (2004) 169)."""
SCATTERING_RATE = 27.0 / BULK_TAU
DISTANCE_SLOPE = 0.8395 / SCATTERING_TO_LAMBDA
"""Slope of the effective distance (same source) per scattering length."""
MIN_DISTANCE2 = 0.04
_MIN_HEIGHT = 1.0  # below this difference in height (m) the path average goes over to the local value
_HIGH_XI = 79.0
_LOW_U = W_RANGE[0] + 1.0
_HIGH_U = W_RANGE[1] - 1.0


class Doms(NamedTuple):
    """First pulses of the hit modules; float64 arrays of shape (n,), positions relative to a reference point."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    time: np.ndarray  # ns after the reference time
    height: np.ndarray  # z in detector coordinates, m
    others: np.ndarray  # N − 1
    log_n: np.ndarray
    scattering: np.ndarray  # of the ice at the module, 1/m
    scattering_integral: np.ndarray
    absorption: np.ndarray
    absorption_integral: np.ndarray


class Tables(NamedTuple):
    """Everything that depends on neither event nor pixel."""

    scattering: np.ndarray
    scattering_integral: np.ndarray
    absorption: np.ndarray
    absorption_integral: np.ndarray
    shape: np.ndarray  # (ξ, w)
    survival: np.ndarray  # (s, ξ, w)


class Frame(NamedTuple):
    """A direction: unit vector p of the flight and e1, e2 across it (e2 is horizontal)."""

    px: float
    py: float
    pz: float
    e1x: float
    e1y: float
    e1z: float
    e2x: float
    e2y: float


class Value(NamedTuple):
    """−ln L, its gradient in (a, b, t0) and a positive approximation of its second derivatives."""

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


@numba.njit(fastmath=True, error_model="numpy", inline="always")
def _locate(x, first, inverse_step):
    """Index of the node below x and the fraction of the way to the next."""
    position = (x - first) * inverse_step
    k = np.int64(position)
    return k, position - k


@numba.njit(fastmath=True, error_model="numpy", inline="always")
def _path_mean(here, here_integral, values, integrals, k, f, height, scale):
    """Mean of a coefficient between a module and node position (k, f), and its slope with that height."""
    low = values[k]
    rise = values[k + 1] - low
    there = low + f * rise
    there_integral = integrals[k] + GRID_STEP * f * (low + 0.5 * f * rise)
    mean = (here_integral - there_integral) / height
    return here + scale * (mean - here), scale * (mean - there) / height


@numba.njit(fastmath=True, error_model="numpy", inline="always")
def _row(table, k, w):
    return w[0] * table[k - 1] + w[1] * table[k] + w[2] * table[k + 1] + w[3] * table[k + 2]


@numba.njit(fastmath=True, error_model="numpy", inline="always")
def _dot(w, a, b, c, d):
    return w[0] * a + w[1] * b + w[2] * c + w[3] * d


@numba.njit(fastmath=True, error_model="numpy", inline="always")
def _line(table, k, w, dw, ddw):
    """Value, slope and curvature along the contiguous axis."""
    a, b, c, d = table[k - np.uint64(1)], table[k], table[k + np.uint64(1)], table[k + np.uint64(2)]
    return _dot(w, a, b, c, d), _dot(dw, a, b, c, d), _dot(ddw, a, b, c, d)


@numba.njit(fastmath=True, error_model="numpy", inline="always")
def _plane(table, k, stride, w, dw, ddw, v, dv):
    """Value, ∂w, ∂²w and ∂ξ of a two-dimensional spline whose rows are `stride` apart."""
    a, da, dda = _line(table, k - stride, w, dw, ddw)
    b, db, ddb = _line(table, k, w, dw, ddw)
    c, dc, ddc = _line(table, k + stride, w, dw, ddw)
    d, dd, ddd = _line(table, k + stride + stride, w, dw, ddw)
    return _dot(v, a, b, c, d), _dot(v, da, db, dc, dd), _dot(v, dda, ddb, ddc, ddd), _dot(dv, a, b, c, d)


@numba.njit(fastmath=True, error_model="numpy", cache=True, nogil=True)
def evaluate(doms, tables, frame, a, b, t0, sigma):
    """−ln L at vertex offset (a, b) m and time t0 ns for modules of resolution sigma ns; see `Value`."""
    px, py, pz, e1x, e1y, e1z, e2x, e2y = frame
    shape, survival = tables.shape.ravel(), tables.survival.ravel()
    row = np.uint64(tables.shape.shape[1])
    plane = np.uint64(tables.shape.size)
    per_sigma = 1.0 / sigma
    llh = ga = gb = gt = haa = hab = hat = hbb = hbt = htt = 0.0
    for i in range(len(doms.x)):
        x, y, z = doms.x[i], doms.y[i], doms.z[i]
        along = x * px + y * py + z * pz
        across = x * e1x + y * e1y + z * e1z - a
        level = x * e2x + y * e2y - b
        d = np.sqrt(across * across + level * level + MIN_DISTANCE2)
        nu, nv = across / d, level / d
        u_raw = (doms.time[i] - t0 - (along + PATH_FACTOR * d) * (1 / C_VACUUM)) * per_sigma
        u = min(max(u_raw, _LOW_U), _HIGH_U)
        # photon direction and emission height
        cosine = pz * COS_CHERENKOV + nu * e1z * SIN_CHERENKOV
        dcos_a = SIN_CHERENKOV * e1z * (nu * nu - 1.0) / d
        dcos_b = SIN_CHERENKOV * e1z * nu * nv / d
        height = doms.height[i]
        z_emit = height - cosine * d * (1 / SIN_CHERENKOV)
        z_low = min(max(z_emit, -Z_LIMIT), Z_LIMIT)
        drop = height - z_low
        size = max(abs(drop), _MIN_HEIGHT)
        scale = abs(drop) / size
        drop = np.copysign(size, drop)
        inside = 1.0 if z_emit == z_low else 0.0
        k, f = _locate(height - drop, GRID_BOTTOM, 1 / GRID_STEP)
        ku = np.uint64(k)
        scattering, ds = _path_mean(doms.scattering[i], doms.scattering_integral[i], tables.scattering,
                                    tables.scattering_integral, ku, f, drop, scale)
        absorption, da = _path_mean(doms.absorption[i], doms.absorption_integral[i], tables.absorption,
                                    tables.absorption_integral, ku, f, drop, scale)
        dz_a = inside * (nu * pz * (COS_CHERENKOV / SIN_CHERENKOV) + e1z)
        dz_b = inside * (nv * pz * (COS_CHERENKOV / SIN_CHERENKOV))
        # shape and rate of the delay
        xi = (3.094 + cosine * (4.636 * cosine - 3.946)) * (1 / BULK_LAMBDA) + DISTANCE_SLOPE * d * scattering
        xi = min(xi, _HIGH_XI)
        s = sigma * (SCATTERING_RATE * scattering + (C_VACUUM / N_GROUP) * absorption)
        dxi_c = (9.272 * cosine - 3.946) * (1 / BULK_LAMBDA)
        dxi_a = dxi_c * dcos_a + DISTANCE_SLOPE * (d * ds * dz_a - scattering * nu)
        dxi_b = dxi_c * dcos_b + DISTANCE_SLOPE * (d * ds * dz_b - scattering * nv)
        ds_z = sigma * (SCATTERING_RATE * ds + (C_VACUUM / N_GROUP) * da)
        # spline tables
        ln_xi, ln_s = fast_log(xi), fast_log(s)
        half = 0.5 * (u - s)
        root = np.sqrt(half * half + 1.0)
        kw, fw = _locate(fast_log(half + root), ASINH_W.first, ASINH_W.inverse_step)
        kx, fx = _locate(ln_xi, XI.first, XI.inverse_step)
        ks, fs = _locate(ln_s, LN_S.first, LN_S.inverse_step)
        w, dw, ddw = value_weights(fw), slope_weights(fw), curvature_weights(fw)
        v, dv = value_weights(fx), slope_weights(fx)
        at = np.uint64(kx) * row + np.uint64(kw)
        g, g_w, g_ww, g_x = _plane(shape, at, row, w, dw, ddw, v, dv)
        at = at + np.uint64(ks) * plane
        q, q_w, q_ww, q_x = _plane(survival, at - plane, row, w, dw, ddw, v, dv)
        r, r_w, r_ww, r_x = _plane(survival, at, row, w, dw, ddw, v, dv)
        o, o_w, o_ww, o_x = _plane(survival, at + plane, row, w, dw, ddw, v, dv)
        p, p_w, p_ww, p_x = _plane(survival, at + plane + plane, row, w, dw, ddw, v, dv)
        e, de = value_weights(fs), slope_weights(fs)
        n = doms.others[i]
        slope = ASINH_W.inverse_step / (2.0 * root)  # dx/dw
        bend = -0.5 * half / (root * root)  # d²x/dw² over dx/dw
        y_w = g_w + n * _dot(e, q_w, r_w, o_w, p_w)
        y_ww = g_ww + n * _dot(e, q_ww, r_ww, o_ww, p_ww)
        y_x = (g_x + n * _dot(e, q_x, r_x, o_x, p_x)) * XI.inverse_step
        y_s = n * _dot(de, q, r, o, p) * LN_S.inverse_step
        y = g + n * _dot(e, q, r, o, p) + xi * ln_s + s * (0.5 * s - u) + doms.log_n[i]
        # signal plus noise
        signal = fast_exp(min(max(y, -100.0), 100.0)) * per_sigma
        total = signal + NOISE
        weight = signal / total
        llh -= fast_log(total)
        y_u = y_w * slope
        y_uu = (y_ww * slope + y_w * bend) * slope
        l_u = weight * (y_u - s) * per_sigma
        l_xi = weight * (y_x / xi + ln_s)
        l_s = weight * (y_s / s + xi / s + s - u - y_u) * ds_z
        ja, jb = nu * (PATH_FACTOR / C_VACUUM), nv * (PATH_FACTOR / C_VACUUM)
        inside = 1.0 if u == u_raw else 0.0
        l_u = l_u * inside
        ga -= l_u * ja + l_xi * dxi_a + l_s * dz_a
        gb -= l_u * jb + l_xi * dxi_b + l_s * dz_b
        gt += l_u
        stiff = max(-weight * y_uu, 0.0) * (per_sigma * per_sigma)
        haa += stiff * ja * ja
        hab += stiff * ja * jb
        hat -= stiff * ja
        hbb += stiff * jb * jb
        hbt -= stiff * jb
        htt += stiff
    return Value(llh, ga, gb, gt, haa, hab, hat, hbb, hbt, htt)
