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
from scanner.common.fastmath import F, fast_log, single_exp, single_log
from scanner.common.lanes import LANES, columns4, columns16, scratch
from scanner.light.pandel import ASINH_W, W_RANGE, XI
from scanner.recos.track.likelihood import Doms
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
_LOW_U, _HIGH_U = W_RANGE[0] + 1.0, W_RANGE[1] - 1.0
_LOW_XI, _HIGH_XI = float(np.log(0.065)), float(np.log(79.0))
_LOW_S, _HIGH_S = float(np.log(5e-4)), float(np.log(5.0))
_PER_SLOWER = float(np.exp(-SLOWER))
_A_X2, _A_C, _A_C2 = SHAPE[4:]
_R_C, _T_X = RATE[4], TAIL[1]
(_LN_X, _LN_XI, _LN_S, _U, _X_MOVES, _XI_MOVES, _S_MOVES, _U_MOVES, _SHARE, _F_XI, _F_FAST, _F_SLOW,
 _ROOT_FAST, _ROOT_SLOW, _DB, _SCATTERING, _LLH) = range(PATH_ROWS, PATH_ROWS + 17)
_lanes, _ice, _cell, _shapes = scratch(PATH_ROWS + 17, F), scratch(4, F), scratch(1, np.int32), scratch(16, F)


class FirstPhotons(NamedTuple):
    """Hit modules as `likelihood.Doms`, with what their charge makes of the formulas; shape (n,)."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    time: np.ndarray  # ns after the reference time; these four float64, the others float32
    height: np.ndarray  # z at which the table of the ice holds, m
    node: np.ndarray  # of that table, below the module; int32
    fraction: np.ndarray  # of the way to the next
    present: np.ndarray  # 0, or ln of a weight that leaves nothing but noise
    shape: np.ndarray  # ln ξ at ln x = 0 and cos η = 0, and its slope with ln x
    shape_slope: np.ndarray
    rate: np.ndarray  # the same for ln (ρ λe)
    rate_slope: np.ndarray
    tail: np.ndarray  # ln ε/(½ − ε) at ln x = 0
    scattering: np.ndarray  # of the ice at the module, 1/m
    scattering_integral: np.ndarray
    scattering_rest: np.ndarray  # of the integral, beyond single precision


def first_photons(doms: Doms, charge: np.ndarray) -> FirstPhotons:
    """The modules of `doms` (padding included) with their charges (PE), shape (n,)."""
    log_n = np.log(np.clip(charge, 1.0, LARGEST_CHARGE))
    present = np.where(doms.log_n < 0.0, doms.log_n, 0.0)
    formulas = np.stack([present, SHAPE[0] + SHAPE[2] * log_n, SHAPE[1] + SHAPE[3] * log_n,
                         RATE[0] + RATE[2] * log_n + np.log(C_VACUUM), RATE[1] + RATE[3] * log_n,
                         TAIL[0] + TAIL[2] * log_n]).astype(F)
    present, shape, shape_slope, rate, rate_slope, tail = formulas
    return FirstPhotons(
        doms.x, doms.y, doms.z, doms.time, doms.height, doms.node, doms.fraction,
        present, shape, shape_slope, rate, rate_slope, tail,
        doms.scattering, doms.scattering_integral, doms.scattering_rest)


@inlined
def _place(w: float, row: int) -> tuple[int, float, float]:
    """Where the cell of G begins in a row of ξ, the fraction of it below w, and d asinh(w/2) by d(w/2)."""
    half = F(0.5) * w
    root = np.sqrt(half * half + F(1))
    k, f = locate(np.copysign(single_log(abs(half) + root), w), ASINH_W)
    return np.int32(16) * (row + k), f, F(1) / root


@inlined
def _formulas(first: np.uint64, doms: FirstPhotons, sigma: float, ice: np.ndarray, lane: np.ndarray,
              fast: np.ndarray, slow: np.ndarray) -> None:
    """Shape, rate and share of late light of sixteen modules, and where their cells of G begin."""
    per_sigma, log_sigma = F(1.0 / sigma), F(fast_log(sigma))
    for j in range(LANES):
        k = np.uint64(j)
        i = first + k
        scattering, db = path_mean(doms.scattering[i], doms.scattering_integral[i], doms.scattering_rest[i],
                                   ice[0, k], ice[1, k], ice[2, k], ice[3, k], lane[FRACTION, k],
                                   lane[PER_DROP, k], lane[SCALE, k])
        cosine = lane[COSINE, k]
        free = lane[DISTANCE, k] * scattering
        depth = min(max(free, F(NEAREST)), F(FARTHEST))
        lx = single_log(depth)
        ln_xi_free = (doms.shape[i] + lx * (doms.shape_slope[i] + F(_A_X2) * lx)
                      + cosine * (F(_A_C) + F(_A_C2) * cosine))
        ln_xi = min(max(ln_xi_free, F(_LOW_XI)), F(_HIGH_XI))
        ln_s_free = (doms.rate[i] + doms.rate_slope[i] * lx + F(_R_C) * cosine + single_log(scattering)
                     + log_sigma)
        ln_s = min(max(ln_s_free, F(_LOW_S)), F(_HIGH_S))
        s = single_exp(ln_s)
        odds = single_exp(min(max(doms.tail[i] + F(_T_X) * lx, F(-30)), F(30)))
        u_free = (lane[LATE, k] + F(ADVANCE)) * per_sigma
        u = min(max(u_free, F(_LOW_U) + s), F(_HIGH_U))  # the table's range is that of u − s
        kx, fx = locate(ln_xi, XI)
        row = kx * np.int32(ASINH_W.nodes - 3)
        fast[0, k], lane[_F_FAST, k], lane[_ROOT_FAST, k] = _place(u - s, row)
        slow[0, k], lane[_F_SLOW, k], lane[_ROOT_SLOW, k] = _place(u - s * F(_PER_SLOWER), row)
        lane[_LN_X, k], lane[_LN_XI, k], lane[_LN_S, k], lane[_U, k], lane[_F_XI, k] = lx, ln_xi, ln_s, u, fx
        lane[_X_MOVES, k] = F(1) if free == depth else F(0)
        lane[_XI_MOVES, k] = F(1) if ln_xi == ln_xi_free else F(0)
        lane[_S_MOVES, k] = F(1) if ln_s == ln_s_free else F(0)
        lane[_U_MOVES, k] = per_sigma if u == u_free else F(0)
        lane[_SHARE, k] = F(0.5) * odds / (F(1) + odds)
        lane[_DB, k], lane[_SCATTERING, k] = db, scattering


@inlined
def _sum_up(first: np.uint64, doms: FirstPhotons, sigma: float, frame: Frame, lane: np.ndarray,
            fast: np.ndarray, slow: np.ndarray, sums: np.ndarray) -> None:
    """Add −ln L of sixteen modules and its slopes, their cells of G at hand."""
    per_sigma = F(1.0 / sigma)
    rate, climb = F(frame.pz * COS_CHERENKOV / SIN_CHERENKOV), F(frame.e1z)
    for j in range(LANES):
        k = np.uint64(j)
        i = first + k
        ln_xi, ln_s, u, lx = lane[_LN_XI, k], lane[_LN_S, k], lane[_U, k], lane[_LN_X, k]
        xi, s, late_share = single_exp(ln_xi), single_exp(ln_s), lane[_SHARE, k]
        slow_s = s * F(_PER_SLOWER)
        g1, w1, x1 = cell_value(lane[_F_XI, k], lane[_F_FAST, k], fast, k)
        g2, w2, x2 = cell_value(lane[_F_XI, k], lane[_F_SLOW, k], slow, k)
        w1 = w1 * F(0.5 * ASINH_W.inverse_step) * lane[_ROOT_FAST, k]
        w2 = w2 * F(0.5 * ASINH_W.inverse_step) * lane[_ROOT_SLOW, k]
        x1, x2 = x1 * F(XI.inverse_step), x2 * F(XI.inverse_step)
        y1 = xi * ln_s + s * (F(0.5) * s - u) + g1 + doms.present[i]
        y2 = xi * (ln_s - F(SLOWER)) + slow_s * (F(0.5) * slow_s - u) + g2 + doms.present[i]
        p1 = (F(1) - late_share) * single_exp(min(max(y1, F(-80)), F(80))) * per_sigma
        p2 = late_share * single_exp(min(max(y2, F(-80)), F(80))) * per_sigma
        total = p1 + p2 + F(NOISE)
        lane[_LLH, k] = -single_log(total)
        per_total = F(1) / total
        c1, c2 = p1 * per_total, p2 * per_total
        # slopes with time, ln ξ, ln ρ, share, and with these of ln x, cos η and ln of the scattering
        l_t = (c1 * (w1 - s) + c2 * (w2 - slow_s)) * lane[_U_MOVES, k]
        l_xi = (c1 * (xi * ln_s + x1) + c2 * (xi * (ln_s - F(SLOWER)) + x2)) * lane[_XI_MOVES, k]
        l_s = (c1 * (xi + s * (s - u - w1)) + c2 * (xi + slow_s * (slow_s - u - w2))) * lane[_S_MOVES, k]
        l_odds = (c2 - c1 * late_share / (F(1) - late_share)) * (F(1) - F(2) * late_share)
        l_lx = lane[_X_MOVES, k] * (l_xi * (doms.shape_slope[i] + F(2 * _A_X2) * lx)
                                    + l_s * doms.rate_slope[i] + l_odds * F(_T_X))
        l_cos = l_xi * (F(_A_C) + F(2 * _A_C2) * lane[COSINE, k]) + l_s * F(_R_C)
        nu, nv, per_d = lane[NU, k], lane[NV, k], lane[PER_D, k]
        ice = lane[INSIDE, k] * lane[_DB, k] / lane[_SCATTERING, k] * (l_lx + l_s)
        turn = l_cos * climb * F(SIN_CHERENKOV) * per_d
        slope_a = ice * (nu * rate + climb) - l_lx * nu * per_d + turn * (nu * nu - F(1))
        slope_b = ice * nv * rate - l_lx * nv * per_d + turn * nu * nv
        add_slopes(sums, k, l_t, nu, nv, slope_a, slope_b)


@fast_kernel
def evaluate_first(doms: FirstPhotons, tables: Tables, frame: Frame, a: float, b: float, t0: float,
                   sigma: float) -> Value:
    """−ln L and its slopes at vertex offset (a, b) m and time t0 ns, for modules of resolution sigma ns."""
    lane, ice, fast, slow = _lanes(), _ice(), _shapes(), _shapes()
    node, fast_cell, slow_cell = _cell(), _cell(), _cell()
    sums, values = new_sums(), new_values()
    clear(sums, values)
    for block in range(len(doms.x) // LANES):
        first = np.uint64(block * LANES)
        follow_light(first, doms, frame, a, b, t0, lane, node)
        columns4(tables.ice, node, ice)
        _formulas(first, doms, sigma, ice, lane, fast_cell, slow_cell)
        columns16(tables.shape, fast_cell, fast)
        columns16(tables.shape, slow_cell, slow)
        _sum_up(first, doms, sigma, frame, lane, fast, slow, sums)
        add_values(values, lane, _LLH)
    return summed(sums, values, a, b)
