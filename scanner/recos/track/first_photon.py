"""−ln L of a track's vertex for one direction, by the density of the first photon itself.

`scanner.recos.track.likelihood` takes the delay of one photon of a bare track (Pandel) and asks for the first
of N. Most light of an energetic muon comes from its losses, though, and N photons that share a cloud of dust
and a shower are not N independent ones: so the first of many comes later than that says, and scatters more.
Here the first photon's delay has a gamma distribution of its own, whose shape ξ and rate ρ depend on the path
in scattering lengths x, on the charge N and on how the module looks at the light,

    ln ξ = SHAPE · (1, ln x, ln N, ln x ln N, ln² x, cos η, cos² η)
    ln (ρ n λe / c) = RATE · (1, ln x, ln N, ln x ln N, cos η)

smeared by a Gaussian; with a share ε of modules that see later light only (of the same shape, but slower by a
factor), ln ε/(½ − ε) = TAIL · (1, ln x, ln N), and a floor of noise. The figures
maximise the likelihood of simulated muons at their true places; which ones, and what it gained, is told in
the documentation of the kernel. There is no survival function, so one small table serves both parts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from config.ice import C_VACUUM, COS_CHERENKOV, SIN_CHERENKOV
from scanner.common.compiled import fast_kernel, inlined
from scanner.common.fastmath import fast_exp, fast_log
from scanner.light.ice import GRID_BOTTOM, GRID_STEP
from scanner.light.pandel import ASINH_W, W_RANGE, XI
from scanner.light.spline import slope_weights, value_weights
from scanner.recos.track.likelihood import (
    MIN_DISTANCE2,
    NOISE,
    PATH_FACTOR,
    REACH,
    Doms,
    Frame,
    Tables,
    Value,
    emission,
    locate,
    path_mean,
    right_word,
)

__all__ = ["ADVANCE", "LARGEST_CHARGE", "RESOLUTION", "FirstPhotons", "evaluate_first", "first_photons"]

RESOLUTION = 3.0
"""Width of the Gaussian, ns."""
SHAPE = (0.169, 0.916, 0.163, 0.092, -0.064, -0.017, 0.224)
RATE = (0.325, -0.302, 0.740, -0.104, 0.198)
TAIL = (1.053, 0.650, -1.152)
SLOWER = 0.909
"""ln of the factor by which the late light's rate is smaller."""
ADVANCE = 2.2
"""The whole distribution begins so much (ns) before the unscattered light of a thin track: showers have a
length, and of many photons one is jittered early."""
LARGEST_CHARGE = 100.0
"""PE; more make the first photon no sharper."""
NEAREST, FARTHEST = 0.05, 60.0
"""Bounds of x inside the formulas."""
_ROW = np.uint64(ASINH_W.nodes)
_TWO_ROWS, _THREE_ROWS = np.uint64(2 * ASINH_W.nodes), np.uint64(3 * ASINH_W.nodes)
_LAST_W, _LAST_XI = (np.uint64(axis.nodes - 3) for axis in (ASINH_W, XI))
_LAST_Z = np.uint64(-2 * GRID_BOTTOM / GRID_STEP - 2)
_ONE, _TWO = np.uint64(1), np.uint64(2)
_LOW_U, _HIGH_U = W_RANGE[0] + 1.0, W_RANGE[1] - 1.0
_LOW_XI, _HIGH_XI = float(np.log(0.065)), float(np.log(79.0))
_LOW_S, _HIGH_S = float(np.log(5e-4)), float(np.log(5.0))
_PER_SLOWER = float(np.exp(-SLOWER))
_A_X2, _A_C, _A_C2 = SHAPE[4:]
_R_C, _T_X = RATE[4], TAIL[1]


class FirstPhotons(NamedTuple):
    """Hit modules as `likelihood.Doms`, with what their charge makes of the formulas; float64, shape (n,)."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    time: np.ndarray  # ns after the reference time
    height: np.ndarray  # z at which the table of the ice holds, m
    present: np.ndarray  # 0, or ln of a weight that leaves nothing but noise
    shape: np.ndarray  # ln ξ at ln x = 0 and cos η = 0, and its slope with ln x
    shape_slope: np.ndarray
    rate: np.ndarray  # the same for ln (ρ λe)
    rate_slope: np.ndarray
    tail: np.ndarray  # ln ε/(½ − ε) at ln x = 0
    scattering: np.ndarray  # of the ice at the module, 1/m
    scattering_integral: np.ndarray


def first_photons(doms: Doms, charge: np.ndarray) -> FirstPhotons:
    """The modules of `doms` (padding included) with their charges (PE), shape (n,)."""
    log_n = np.log(np.clip(charge, 1.0, LARGEST_CHARGE))
    present = np.where(doms.log_n < 0.0, doms.log_n, 0.0)
    return FirstPhotons(
        doms.x, doms.y, doms.z, doms.time, doms.height, present,
        SHAPE[0] + SHAPE[2] * log_n, SHAPE[1] + SHAPE[3] * log_n,
        RATE[0] + RATE[2] * log_n + np.log(C_VACUUM), RATE[1] + RATE[3] * log_n,
        TAIL[0] + TAIL[2] * log_n, doms.scattering, doms.scattering_integral)


Weights = tuple[float, float, float, float]


@inlined
def _cubic(w: Weights, a: float, b: float, c: float, d: float) -> float:
    return w[0] * a + w[1] * b + w[2] * c + w[3] * d


@inlined
def _node(w: float) -> tuple[np.uint64, float, float]:
    """Node below w on the axis of G, fraction of the way to the next, and d asinh(w/2) by d(w/2)."""
    half = 0.5 * w
    root = np.sqrt(half * half + 1.0)
    k, f = locate(fast_log(half + root), ASINH_W.first, ASINH_W.inverse_step, _LAST_W)
    return k, f, 1.0 / root


@inlined
def _shape(f: float, v: Weights, dv: Weights, a0: float, a2: float, b0: float, b2: float, c0: float,
           c2: float, d0: float, d2: float) -> tuple[float, float, float]:
    """G from four rows of two words: value, slope with asinh(w/2), slope with ln ξ (per node spacing)."""
    e, de = value_weights(f), slope_weights(f)
    a1, a3, b1, b3 = right_word(a0), right_word(a2), right_word(b0), right_word(b2)
    c1, c3, d1, d3 = right_word(c0), right_word(c2), right_word(d0), right_word(d2)
    r0, r1 = _cubic(e, a0, a1, a2, a3), _cubic(e, b0, b1, b2, b3)
    r2, r3 = _cubic(e, c0, c1, c2, c3), _cubic(e, d0, d1, d2, d3)
    slope = _cubic(v, _cubic(de, a0, a1, a2, a3), _cubic(de, b0, b1, b2, b3),
                   _cubic(de, c0, c1, c2, c3), _cubic(de, d0, d1, d2, d3))
    return _cubic(v, r0, r1, r2, r3), slope, _cubic(dv, r0, r1, r2, r3)


@fast_kernel
def evaluate_first(doms: FirstPhotons, tables: Tables, frame: Frame, a: float, b: float, t0: float,
                   sigma: float) -> Value:
    """−ln L and its slopes at vertex offset (a, b) m and time t0 ns, for modules of resolution sigma ns."""
    px, py, pz, e1x, e1y, e1z, e2x, e2y = frame
    ice_b, ice_bi, _, _, table, _ = tables
    (dom_x, dom_y, dom_z, times, heights, present, shapes, shape_slopes, rates, rate_slopes, tails, dom_b,
     dom_bi) = doms
    per_sigma = 1.0 / sigma
    log_sigma = fast_log(sigma)
    llh = ga = gb = gt = haa = hab = hat = hbb = hbt = htt = 0.0
    for j in range(len(dom_x)):
        i = np.uint64(j)
        # where the light leaves the track, and the ice on its way
        x, y, z = dom_x[i], dom_y[i], dom_z[i]
        across = x * e1x + y * e1y + z * e1z - a
        level = x * e2x + y * e2y - b
        d = np.sqrt(across * across + level * level + MIN_DISTANCE2)
        per_d = 1.0 / d
        nu, nv = across * per_d, level * per_d
        cosine = pz * COS_CHERENKOV + nu * e1z * SIN_CHERENKOV
        dcos = SIN_CHERENKOV * e1z * per_d
        emitted, per_drop, scale, inside = emission(heights[i], cosine, d)
        dz_a = inside * (nu * pz * (COS_CHERENKOV / SIN_CHERENKOV) + e1z)
        dz_b = inside * (nv * pz * (COS_CHERENKOV / SIN_CHERENKOV))
        k, f = locate(emitted, GRID_BOTTOM, 1 / GRID_STEP, _LAST_Z)
        scattering, db = path_mean(dom_b[i], dom_bi[i], ice_b[k], ice_b[k + _ONE], ice_bi[k], f, per_drop,
                                   scale)
        free = d * scattering
        depth = min(max(free, NEAREST), FARTHEST)
        moves = 1.0 if free == depth else 0.0
        lx = fast_log(depth)
        # shape, rate and share of late light
        ln_xi_free = shapes[i] + lx * (shape_slopes[i] + _A_X2 * lx) + cosine * (_A_C + _A_C2 * cosine)
        ln_xi = min(max(ln_xi_free, _LOW_XI), _HIGH_XI)
        ln_s_free = rates[i] + rate_slopes[i] * lx + _R_C * cosine + fast_log(scattering) + log_sigma
        ln_s = min(max(ln_s_free, _LOW_S), _HIGH_S)
        xi, s = fast_exp(ln_xi), fast_exp(ln_s)
        odds = fast_exp(min(max(tails[i] + _T_X * lx, -30.0), 30.0))
        late_share = 0.5 * odds / (1.0 + odds)
        # the two parts
        late = times[i] - t0 - (x * px + y * py + z * pz + PATH_FACTOR * d) * (1 / C_VACUUM)
        u_free = (late + ADVANCE) * per_sigma
        u = min(max(u_free, _LOW_U + s), _HIGH_U)  # the table's range is that of u − s
        kx, fx = locate(ln_xi, XI.first, XI.inverse_step, _LAST_XI)
        v, dv = value_weights(fx), slope_weights(fx)
        slow = s * _PER_SLOWER
        row = (kx - _ONE) * _ROW - _ONE
        kw, fw, per_root = _node(u - s)
        k0 = row + kw
        k1, k2, k3 = k0 + _ROW, k0 + _TWO_ROWS, k0 + _THREE_ROWS
        g1, w1, x1 = _shape(fw, v, dv, table[k0], table[k0 + _TWO], table[k1], table[k1 + _TWO], table[k2],
                            table[k2 + _TWO], table[k3], table[k3 + _TWO])
        w1 = w1 * (0.5 * ASINH_W.inverse_step) * per_root
        kw, fw, per_root = _node(u - slow)
        k0 = row + kw
        k1, k2, k3 = k0 + _ROW, k0 + _TWO_ROWS, k0 + _THREE_ROWS
        g2, w2, x2 = _shape(fw, v, dv, table[k0], table[k0 + _TWO], table[k1], table[k1 + _TWO], table[k2],
                            table[k2 + _TWO], table[k3], table[k3 + _TWO])
        w2 = w2 * (0.5 * ASINH_W.inverse_step) * per_root
        x1, x2 = x1 * XI.inverse_step, x2 * XI.inverse_step
        y1 = xi * ln_s + s * (0.5 * s - u) + g1 + present[i]
        y2 = xi * (ln_s - SLOWER) + slow * (0.5 * slow - u) + g2 + present[i]
        p1 = fast_exp(min(max(y1, -100.0), 100.0)) * per_sigma
        p2 = fast_exp(min(max(y2, -100.0), 100.0)) * per_sigma
        total = (1.0 - late_share) * p1 + late_share * p2 + NOISE
        llh -= fast_log(total)
        per_total = 1.0 / total
        c1, c2 = (1.0 - late_share) * p1 * per_total, late_share * p2 * per_total
        # slopes with time, ln ξ, ln ρ, share, and with these of ln x, cos η and ln of the scattering
        l_t = (c1 * (w1 - s) + c2 * (w2 - slow)) * per_sigma if u == u_free else 0.0
        l_xi = c1 * (xi * ln_s + x1) + c2 * (xi * (ln_s - SLOWER) + x2) if ln_xi == ln_xi_free else 0.0
        l_s = (c1 * (xi + s * (s - u - w1)) + c2 * (xi + slow * (slow - u - w2))
               if ln_s == ln_s_free else 0.0)
        l_odds = (p2 - p1) * per_total * late_share * (1.0 - 2.0 * late_share)
        l_lx = moves * (l_xi * (shape_slopes[i] + 2.0 * _A_X2 * lx) + l_s * rate_slopes[i] + l_odds * _T_X)
        l_cos = l_xi * (_A_C + 2.0 * _A_C2 * cosine) + l_s * _R_C
        per_b = 1.0 / scattering
        lb_a, lb_b = db * dz_a * per_b, db * dz_b * per_b
        ta, tb = nu * (PATH_FACTOR / C_VACUUM), nv * (PATH_FACTOR / C_VACUUM)
        ga -= l_t * ta + l_lx * (lb_a - nu * per_d) + l_s * lb_a + l_cos * dcos * (nu * nu - 1.0)
        gb -= l_t * tb + l_lx * (lb_b - nv * per_d) + l_s * lb_b + l_cos * dcos * nu * nv
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
