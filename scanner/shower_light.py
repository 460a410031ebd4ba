"""The light of a point-like shower at a module: how much, and when.

Tabulated by `scanner.photons` for homogeneous ice in scattering lengths; the layered ice enters as the means
on the straight way. A module whose sensitivity is linear in the light's direction sees only the mean
direction: so the yield, two components of that direction and a gamma distribution of delays will do.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from config.ice import C_VACUUM, N_GROUP
from scanner.charges import Bins, Modules
from scanner.compiled import fast_kernel, inlined, kernel
from scanner.fastmath import fast_exp, fast_log
from scanner.ice import GRID_BOTTOM, GRID_STEP, Z_LIMIT, ice_table
from scanner.light import DOM_AREA, METRES_PER_GEV, PHOTONS_PER_METRE
from scanner.pandel import log_survival

__all__ = ["ShowerTables", "fill_signal", "light_at_modules", "shower_tables"]

PHOTONS_PER_GEV = PHOTONS_PER_METRE * METRES_PER_GEV
ANISOTROPY = 0.9
"""Slope of a module's sensitivity ½ (1 + 0.9 cos) with the light's direction, as in `scanner.light`."""
SIZE2 = 4.0
"""A shower's own size squared, m²: the light density stays finite near it."""
FARTHEST = 11.0
"""Beyond so many scattering lengths no light is expected."""
_HEADER_LINES = 5
JITTER = 10.0
"""Smearing of the arrival times, ns: the modules' resolution and the errors of the ice model."""
_S = np.linspace(np.log(0.004), np.log(1.0), 14)
_XI = np.linspace(np.log(0.02), np.log(60.0), 48)
_W = np.linspace(np.arcsinh(-4.0), np.arcsinh(500.0), 110)
_PER_S, _PER_XI, _PER_W = (1.0 / (nodes[1] - nodes[0]) for nodes in (_S, _XI, _W))
_FIRST_S, _FIRST_XI, _FIRST_W = float(_S[0]), float(_XI[0]), float(_W[0])
_LAST_S, _LAST_XI, _LAST_W = len(_S) - 1.0, len(_XI) - 1.0, len(_W) - 1.0
_SCALE = C_VACUUM / N_GROUP
_ALL = 1.0 - 1e-5  # what comes later than this share of the light is left out


Weights = tuple[float, float, float, float]
Vector = tuple[float, float, float]
Place = tuple[float, float, float, float]
"""x, y, z in m and t in ns."""


class ShowerTables(NamedTuple):
    """Ice, light and delays; the first four as in `scanner.ice.IceTable`."""

    scattering: np.ndarray
    scattering_integral: np.ndarray
    absorption: np.ndarray
    absorption_integral: np.ndarray
    light: np.ndarray  # (ratio, distance, cosine, 5): ln yield, radial, axial, ln ξ, ln scale (in λe)
    ratios: np.ndarray
    log_distances: np.ndarray
    cosines: np.ndarray
    cdf: np.ndarray  # (ln s, ln ξ, asinh(w/2)): probability of light before u = w + s, u and s as in `pandel`


@cache
def shower_tables() -> ShowerTables:
    """Read the table of `scanner.photons` and tabulate the gamma distribution, once per process."""
    ice = ice_table()
    return ShowerTables(ice.scattering, ice.scattering_integral, ice.absorption, ice.absorption_integral,
                        *_light_table(), _cdf_table())


def _light_table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    with resources.files("config").joinpath("data/shower_light.csv").open(encoding="utf-8") as lines:
        rows = np.loadtxt(lines, delimiter=",", skiprows=_HEADER_LINES)
    ratios, distances, cosines = (np.unique(rows[:, column]) for column in range(3))
    table = rows[:, 3:].reshape(len(ratios), len(distances), len(cosines), 5)
    light, radial, axial, mean, variance = np.moveaxis(table, -1, 0)
    columns = np.log(light), radial, axial, np.log(mean**2 / variance), np.log(variance / mean)
    return np.ascontiguousarray(np.stack(columns, axis=-1)), ratios, np.log(distances), cosines


def _cdf_table() -> np.ndarray:
    """The gamma distribution smeared by JITTER; interpolated linearly, which can never ring below zero."""
    return -np.expm1(np.minimum(log_survival(2.0 * np.sinh(_W), _XI, _S), 0.0))


@inlined
def _place(x: float, first: float, inverse_step: float, intervals: float) -> tuple[int, float]:
    """Interval and fraction of x among uniform nodes, at the ends clamped."""
    position = min(max((x - first) * inverse_step, 0.0), intervals - 1e-6)
    k = int(position)
    return k, position - k


@fast_kernel
def _light(light: np.ndarray, q: int, fq: float, r: int, fr: float, c: int,
           fc: float) -> tuple[float, float, float, float, float]:
    """Trilinear ln yield, radial, axial, ln ξ, ln scale."""
    a0 = a1 = a2 = a3 = a4 = 0.0
    for i in range(2):
        wi = fq if i else 1.0 - fq
        for j in range(2):
            wj = wi * (fr if j else 1.0 - fr)
            for k in range(2):
                w = wj * (fc if k else 1.0 - fc)
                x, y, z = q + i, r + j, c + k
                a0 += w * light[x, y, z, 0]
                a1 += w * light[x, y, z, 1]
                a2 += w * light[x, y, z, 2]
                a3 += w * light[x, y, z, 3]
                a4 += w * light[x, y, z, 4]
    return a0, a1, a2, a3, a4


@inlined
def _integral(low: float, high: float, integral: float, f: float) -> float:
    """Integral of a coefficient up to fraction f of an interval."""
    return integral + GRID_STEP * f * (low + 0.5 * f * (high - low))


@inlined
def _cdf(cdf: np.ndarray, k: int, m: int, weights: Weights, w: float) -> float:
    """Probability of light before w, with the place and the four weights in (ln s, ln ξ) given."""
    half = 0.5 * max(w, -8.0)
    n, f = _place(fast_log(half + np.sqrt(half * half + 1.0)), _FIRST_W, _PER_W, _LAST_W)
    low = weights[0] * cdf[k, m, n] + weights[1] * cdf[k, m + 1, n]
    low += weights[2] * cdf[k + 1, m, n] + weights[3] * cdf[k + 1, m + 1, n]
    n += 1
    high = weights[0] * cdf[k, m, n] + weights[1] * cdf[k, m + 1, n]
    high += weights[2] * cdf[k + 1, m, n] + weights[3] * cdf[k + 1, m + 1, n]
    return low + f * (high - low)


@fast_kernel
def _at_modules(result: np.ndarray, tables: ShowerTables, modules: Modules, height: float, place: Place,
                p: Vector) -> None:
    """Fill PE per GeV (0 if too far), arrival (ns), ln ξ and rate (1/ns) of modules, shape (n_modules, 4).

    Arrays are taken out of their tuples before the loop: each time costs as much as a table look-up.
    """
    ice_b, ice_bi, ice_a, ice_ai, light, ratios, log_distances, cosines, _ = tables
    dom_x, dom_y, dom_z, dom_b, dom_bi, dom_a, dom_ai, _ = modules
    sx, sy, sz, time = place
    px, py, pz = p
    source = min(max(sz + height, -Z_LIMIT), Z_LIMIT)
    k, f = _place(source, GRID_BOTTOM, 1 / GRID_STEP, len(ice_b) - 1.0)
    source_b = _integral(ice_b[k], ice_b[k + 1], ice_bi[k], f)
    source_a = _integral(ice_a[k], ice_a[k + 1], ice_ai[k], f)
    r0, r_step = log_distances[0], 1.0 / (log_distances[1] - log_distances[0])
    r_last = len(log_distances) - 1.0
    c0, c_step, c_last = cosines[0], 1.0 / (cosines[1] - cosines[0]), len(cosines) - 1.0
    for i in range(len(dom_x)):
        x, y, z = dom_x[i] - sx, dom_y[i] - sy, dom_z[i] - sz
        r2 = x * x + y * y + z * z
        r = np.sqrt(r2 + 1e-4)
        drop = dom_z[i] + height - source
        b, a = dom_b[i], dom_a[i]
        if abs(drop) > 1.0:
            b, a = (dom_bi[i] - source_b) / drop, (dom_ai[i] - source_a) / drop
        result[i, 1] = time + r / _SCALE
        if r * b > FARTHEST:
            result[i, 0], result[i, 2], result[i, 3] = 0.0, 0.0, 1.0
            continue
        cosine = (x * px + y * py + z * pz) / r
        ratio = a / b
        q = 0 if ratio < ratios[1] else 1
        fq = min(max((ratio - ratios[q]) / (ratios[q + 1] - ratios[q]), 0.0), 1.0)
        n, fr = _place(fast_log(r * b), r0, r_step, r_last)
        m, fc = _place(cosine, c0, c_step, c_last)
        ln_yield, radial, axial, ln_xi, ln_scale = _light(light, q, fq, n, fr, m, fc)
        sine = np.sqrt(max(1.0 - cosine * cosine, 1e-6))
        upward = radial * z / r + axial * (pz - cosine * z / r) / sine
        amount = (PHOTONS_PER_GEV * DOM_AREA / (4 * np.pi)) / (r2 + SIZE2) * fast_exp(ln_yield)
        result[i, 0] = amount * 0.5 * (1.0 + ANISOTROPY * upward)
        result[i, 2] = ln_xi
        result[i, 3] = b * _SCALE * fast_exp(-ln_scale)


@fast_kernel
def fill_signal(signal: np.ndarray, tables: ShowerTables, modules: Modules, bins: Bins, height: float,
                place: Place, p: Vector) -> None:
    """Expected PE per GeV in every bin of a shower at `place` that flies along p.

    `place` is (x, y, z, t) relative to the event's centre, which lies at `height`, and to its reference time.
    """
    first_bin, start, stop, cdf = modules.first_bin, bins.start, bins.stop, tables.cdf
    light = np.empty((len(first_bin) - 1, 4))
    _at_modules(light, tables, modules, height, place, p)
    signal[:] = 0.0
    for i in range(len(light)):
        amount, arrival, ln_xi, rate = light[i, 0], light[i, 1], light[i, 2], light[i, 3]
        if amount == 0.0:
            continue
        s = rate * JITTER
        k, fs = _place(fast_log(s), _FIRST_S, _PER_S, _LAST_S)
        m, fx = _place(ln_xi, _FIRST_XI, _PER_XI, _LAST_XI)
        weights = ((1.0 - fs) * (1.0 - fx), (1.0 - fs) * fx, fs * (1.0 - fx), fs * fx)
        begin, end = first_bin[i], first_bin[i + 1]
        before = _cdf(cdf, k, m, weights, (start[begin] - arrival) * (1 / JITTER) - s)
        for n in range(begin, end):
            if before > _ALL:
                break
            after = _cdf(cdf, k, m, weights, (stop[n] - arrival) * (1 / JITTER) - s)
            signal[n] = amount * (after - before)
            before = after


@kernel
def light_at_modules(tables: ShowerTables, modules: Modules, height: float, place: Place,
                     p: Vector) -> np.ndarray:
    """PE per GeV, arrival (ns), ξ and rate (1/ns) of a shower's light; shape (4, n_modules)."""
    result = np.empty((len(modules.x), 4))
    _at_modules(result, tables, modules, height, place, p)
    result[:, 2] = np.exp(result[:, 2])
    return result.T
