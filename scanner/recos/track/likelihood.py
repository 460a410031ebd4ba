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
from scanner.common.fastmath import fast_exp, fast_log
from scanner.light.ice import GRID_BOTTOM, GRID_STEP, Z_LIMIT
from scanner.light.pandel import ASINH_W, LN_S, W_RANGE, XI
from scanner.light.spline import slope_weights, value_weights

__all__ = ["ABSENT", "LANES", "NOISE", "PATH_FACTOR", "SIGMA", "Doms", "Frame", "Tables", "Value", "emission",
           "evaluate", "locate", "path_mean", "right_word"]

LANES = 8
"""Modules that one vector instruction treats together."""
ABSENT = -1000.0
"""ln N of a module that is not there."""

SIGMA = 8.0
"""Time resolution of a module, ns, with the ice model's own errors: electronics alone would be 2 to 3 ns."""
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
REACH = 250.0
"""Distance (m) from the charge-weighted centre at which a vertex costs ½ in ln L; it grows as the 4th power.

Times alone would accept light that has diffused for 1 km; a module would not see it.
"""
_ROW = np.uint64(ASINH_W.nodes)
_PLANE = np.uint64(ASINH_W.nodes * XI.nodes)
_TWO_PLANES = np.uint64(2 * ASINH_W.nodes * XI.nodes)
_THREE_PLANES = np.uint64(3 * ASINH_W.nodes * XI.nodes)
_LAST_W, _LAST_XI, _LAST_S = (np.uint64(axis.nodes - 3) for axis in (ASINH_W, XI, LN_S))
_LAST_Z = np.uint64(-2 * GRID_BOTTOM / GRID_STEP - 2)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_MIN_HEIGHT = 1.0  # below this difference in height (m) the path average goes over to the local value
_HIGH_XI = 79.0
_LOW_U = W_RANGE[0] + 1.0
_HIGH_U = W_RANGE[1] - 1.0


Weights = tuple[float, float, float, float]


class Doms(NamedTuple):
    """First pulses of the hit modules, positions relative to a reference point; float64 arrays of shape (n,).

    n is padded to a multiple of LANES with modules whose log_n is ABSENT: they see nothing but noise.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    time: np.ndarray  # ns after the reference time
    height: np.ndarray  # z at which the table of the ice holds, m
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
    shape: np.ndarray  # (ξ, w), packed and flat
    survival: np.ndarray  # (s, ξ, w), packed and flat


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
def locate(x: float, first: float, inverse_step: float, last: np.uint64) -> tuple[np.uint64, float]:
    """Index of the node below x, at most `last` whatever x is, and the fraction of the way to the next."""
    position = (x - first) * inverse_step
    k = np.int64(position)
    return min(np.uint64(k), last), position - k


@inlined
def emission(height: float, cosine: float, d: float) -> tuple[float, float, float, float]:
    """Height of the emission and of the path below the module, how far the path counts, and 1 if not clamped.

    A path of less than _MIN_HEIGHT is lengthened to it and counts in part, the module's own ice for the rest.
    """
    emitted = height - cosine * d * (1 / SIN_CHERENKOV)
    clamped = min(max(emitted, -Z_LIMIT), Z_LIMIT)
    drop = height - clamped
    scale = min(abs(drop), _MIN_HEIGHT) * (1 / _MIN_HEIGHT)
    drop = np.copysign(max(abs(drop), _MIN_HEIGHT), drop)
    return height - drop, 1.0 / drop, scale, 1.0 if emitted == clamped else 0.0


@inlined
def path_mean(here: float, here_integral: float, low: float, high: float, integral: float, f: float,
               per_drop: float, scale: float) -> tuple[float, float]:
    """Mean of a coefficient from fraction f between two nodes up to a module; its slope with that height."""
    rise = high - low
    there = low + f * rise
    there_integral = integral + GRID_STEP * f * (low + 0.5 * f * rise)
    mean = (here_integral - there_integral) * per_drop
    slope = here - mean if scale < 1.0 else mean - there
    return here + scale * (mean - here), slope * per_drop


@inlined
def _dot(w: Weights, a: float, b: float, c: float, d: float) -> float:
    return w[0] * a + w[1] * b + w[2] * c + w[3] * d


@inlined
def right_word(x: float) -> float:
    """The right neighbour that a packed word carries."""
    return np.int64(np.float64(x).view(np.int64) << 32).view(np.float64)


@inlined
def _blend(g: float, q: float, r: float, o: float, p: float, e: Weights, de: Weights) -> Weights:
    """Two neighbouring coefficients of G + (N−1) ln SF, and the slopes of ln SF with ln s."""
    h, t, u, v, w = right_word(g), right_word(q), right_word(r), right_word(o), right_word(p)
    return g + _dot(e, q, r, o, p), h + _dot(e, t, u, v, w), _dot(de, q, r, o, p), _dot(de, t, u, v, w)


@inlined
def _line(left: Weights, right: Weights, w: Weights, dw: Weights) -> tuple[float, float, float]:
    """Value, slope with w, and slope with ln s along one row of ξ."""
    a, b, da, db = left
    c, d, dc, dd = right
    return _dot(w, a, b, c, d), _dot(dw, a, b, c, d), _dot(w, da, db, dc, dd)


@fast_kernel
def evaluate(doms: Doms, tables: Tables, frame: Frame, a: float, b: float, t0: float, sigma: float) -> Value:
    """−ln L and its slopes at vertex offset (a, b) m and time t0 ns, for modules of resolution sigma ns."""
    px, py, pz, e1x, e1y, e1z, e2x, e2y = frame
    ice_b, ice_bi, ice_a, ice_ai, shape, survival = tables
    dom_x, dom_y, dom_z, times, heights, others, log_n, dom_b, dom_bi, dom_a, dom_ai = doms
    per_sigma = 1.0 / sigma
    llh = ga = gb = gt = haa = hab = hat = hbb = hbt = htt = 0.0
    for j in range(len(dom_x)):
        i = np.uint64(j)
        # where the light leaves the track, and when it would arrive unscattered
        x, y, z = dom_x[i], dom_y[i], dom_z[i]
        across = x * e1x + y * e1y + z * e1z - a
        level = x * e2x + y * e2y - b
        d = np.sqrt(across * across + level * level + MIN_DISTANCE2)
        per_d = 1.0 / d
        nu, nv = across * per_d, level * per_d
        late = times[i] - t0 - (x * px + y * py + z * pz + PATH_FACTOR * d) * (1 / C_VACUUM)
        u_free = late * per_sigma
        u = min(max(u_free, _LOW_U), _HIGH_U)
        cosine = pz * COS_CHERENKOV + nu * e1z * SIN_CHERENKOV
        dcos = SIN_CHERENKOV * e1z * per_d
        emitted, per_drop, scale, inside = emission(heights[i], cosine, d)
        dz_a = inside * (nu * pz * (COS_CHERENKOV / SIN_CHERENKOV) + e1z)
        dz_b = inside * (nv * pz * (COS_CHERENKOV / SIN_CHERENKOV))
        # ice on the way
        k, f = locate(emitted, GRID_BOTTOM, 1 / GRID_STEP, _LAST_Z)
        k1 = k + _ONE
        scattering, db = path_mean(dom_b[i], dom_bi[i], ice_b[k], ice_b[k1], ice_bi[k], f, per_drop, scale)
        absorption, da = path_mean(dom_a[i], dom_ai[i], ice_a[k], ice_a[k1], ice_ai[k], f, per_drop, scale)
        # shape ξ and rate s of the delay
        xi = (3.094 + cosine * (4.636 * cosine - 3.946)) * (1 / BULK_LAMBDA) + DISTANCE_SLOPE * d * scattering
        xi = min(xi, _HIGH_XI)
        s = sigma * (SCATTERING_RATE * scattering + (C_VACUUM / N_GROUP) * absorption)
        dxi_c = (9.272 * cosine - 3.946) * (1 / BULK_LAMBDA) * dcos
        dxi_a = dxi_c * (nu * nu - 1.0) + DISTANCE_SLOPE * (d * db * dz_a - scattering * nu)
        dxi_b = dxi_c * nu * nv + DISTANCE_SLOPE * (d * db * dz_b - scattering * nv)
        ds_z = sigma * (SCATTERING_RATE * db + (C_VACUUM / N_GROUP) * da)
        # y = ln(σ L) of the signal: spline weights, then four rows of ξ
        n = others[i]
        ln_s = fast_log(s)
        half = 0.5 * (u - s)
        root = np.sqrt(half * half + 1.0)
        kw, fw = locate(fast_log(half + root), ASINH_W.first, ASINH_W.inverse_step, _LAST_W)
        kx, fx = locate(fast_log(xi), XI.first, XI.inverse_step, _LAST_XI)
        ks, fs = locate(ln_s, LN_S.first, LN_S.inverse_step, _LAST_S)
        w, dw, v, dv = value_weights(fw), slope_weights(fw), value_weights(fx), slope_weights(fx)
        e0, e1, e2, e3 = value_weights(fs)
        e, de = (n * e0, n * e1, n * e2, n * e3), slope_weights(fs)
        k = (kx - _ONE) * _ROW + kw - _ONE
        m = k + (ks - _ONE) * _PLANE
        left = _blend(shape[k], survival[m], survival[m + _PLANE], survival[m + _TWO_PLANES],
                      survival[m + _THREE_PLANES], e, de)
        k2, m2 = k + _TWO, m + _TWO
        right = _blend(shape[k2], survival[m2], survival[m2 + _PLANE], survival[m2 + _TWO_PLANES],
                       survival[m2 + _THREE_PLANES], e, de)
        y0, yw0, ys0 = _line(left, right, w, dw)
        k, m = k + _ROW, m + _ROW
        left = _blend(shape[k], survival[m], survival[m + _PLANE], survival[m + _TWO_PLANES],
                      survival[m + _THREE_PLANES], e, de)
        k2, m2 = k + _TWO, m + _TWO
        right = _blend(shape[k2], survival[m2], survival[m2 + _PLANE], survival[m2 + _TWO_PLANES],
                       survival[m2 + _THREE_PLANES], e, de)
        y1, yw1, ys1 = _line(left, right, w, dw)
        k, m = k + _ROW, m + _ROW
        left = _blend(shape[k], survival[m], survival[m + _PLANE], survival[m + _TWO_PLANES],
                      survival[m + _THREE_PLANES], e, de)
        k2, m2 = k + _TWO, m + _TWO
        right = _blend(shape[k2], survival[m2], survival[m2 + _PLANE], survival[m2 + _TWO_PLANES],
                       survival[m2 + _THREE_PLANES], e, de)
        y2, yw2, ys2 = _line(left, right, w, dw)
        k, m = k + _ROW, m + _ROW
        left = _blend(shape[k], survival[m], survival[m + _PLANE], survival[m + _TWO_PLANES],
                      survival[m + _THREE_PLANES], e, de)
        k2, m2 = k + _TWO, m + _TWO
        right = _blend(shape[k2], survival[m2], survival[m2 + _PLANE], survival[m2 + _TWO_PLANES],
                       survival[m2 + _THREE_PLANES], e, de)
        y3, yw3, ys3 = _line(left, right, w, dw)
        y = _dot(v, y0, y1, y2, y3) + xi * ln_s + s * (0.5 * s - u) + log_n[i]
        y_w = _dot(v, yw0, yw1, yw2, yw3) * (0.5 * ASINH_W.inverse_step) / root
        y_x = _dot(dv, y0, y1, y2, y3) * XI.inverse_step
        y_s = n * _dot(v, ys0, ys1, ys2, ys3) * LN_S.inverse_step
        # signal and noise
        signal = fast_exp(min(max(y, -100.0), 100.0)) * per_sigma
        total = signal + NOISE
        weight = signal / total
        llh -= fast_log(total)
        l_t = weight * (y_w - s) * per_sigma if u == u_free else 0.0
        l_xi = weight * (y_x / xi + ln_s)
        l_z = weight * ((y_s + xi) / s + s - u - y_w) * ds_z
        ta, tb = nu * (PATH_FACTOR / C_VACUUM), nv * (PATH_FACTOR / C_VACUUM)
        ga -= l_t * ta + l_xi * dxi_a + l_z * dz_a
        gb -= l_t * tb + l_xi * dxi_b + l_z * dz_b
        gt += l_t
        square = l_t * l_t
        haa += square * ta * ta
        hab += square * ta * tb
        hat -= square * ta
        hbb += square * tb * tb
        hbt -= square * tb
        htt += square
    pull = 1.0 / (REACH * REACH)
    far = (a * a + b * b) * pull
    curve = 2.0 * far * pull
    llh += 0.5 * far * far
    return Value(llh, ga + curve * a, gb + curve * b, gt, haa + curve, hab, hat, hbb + curve, hbt, htt)
