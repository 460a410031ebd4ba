"""The light of a point-like shower at a module: how much, and when.

Tabulated by `scanner.light.photons` for homogeneous ice in scattering lengths; the layered ice enters as the
means on the straight way. A module whose sensitivity is linear in the light's direction sees only the mean
direction: so the yield, two components of that direction and a gamma distribution of delays will do.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from config.ice import C_VACUUM, ICE_MODELS, N_GROUP, anisotropy
from scanner.common.compiled import fast_kernel, inlined, kernel
from scanner.common.fastmath import fast_exp, fast_log
from scanner.light.charges import COLUMNS, EDGES, LANES, Modules, Receivers, packed
from scanner.light.ice import (
    GRID_BOTTOM,
    GRID_STEP,
    TILT_BOTTOM,
    TILT_EDGE,
    TILT_HEIGHT,
    TILT_SHAPE,
    TILT_STEP,
    Z_LIMIT,
    ice_table,
    tilt_table,
)
from scanner.light.light import (
    DOM_AREA,
    MEAN_SENSITIVITY,
    METRES_PER_GEV,
    PHOTONS_PER_METRE,
    SENSITIVITY_SLOPE,
)
from scanner.light.pandel import log_survival
from scanner.machine.tables import kept

__all__ = ["ShowerTables", "fill_signal", "light_at_modules", "shower_tables"]

PHOTONS_PER_GEV = PHOTONS_PER_METRE * METRES_PER_GEV
COLOUR_LENGTH, COLOUR_POWER = 25.0, 0.165
"""Light of all wavelengths fades as (1 + path/25 m)^−0.165 beside light of 400 nm.

Long waves are absorbed sooner: A exp(−B/λ), with A, B and the dust's κ of SPICE (IceCube, NIM A711 (2013)
73), averaged over the wavelengths that a module sees of Cherenkov light; within 2 % up to 350 m, for any
dust."""
SIZE2 = 4.0
"""A shower's own size squared, m²: the light density stays finite near it."""
PROLONGED = 1.0
"""Where absorption depends on direction, the light table is prolonged by so many intervals of λe/λa: to
0.14 and 0.50."""
FARTHEST = 11.0
"""Beyond so many scattering lengths no light is expected."""
_HEADER_LINES = 5
WIDTH = 8
"""Columns of the light table, padded to a vector."""
JITTER = 10.0
"""Smearing of the arrival times, ns: the modules' resolution and the errors of the ice model."""
_S = np.linspace(np.log(0.004), np.log(1.0), 14)
_XI = np.linspace(np.log(0.02), np.log(60.0), 48)
_W = np.linspace(np.arcsinh(-4.0), np.arcsinh(500.0), 110)
_XI_NODES, _W_NODES = len(_XI), len(_W)
_ROW, _PLANE = np.uint64(_W_NODES), np.uint64(_W_NODES * _XI_NODES)
_ONE, _TWO, _THREE, _FOUR, _WIDE = (np.uint64(n) for n in (1, 2, 3, 4, WIDTH))
(_C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13, _C14, _C15, _C16, _C17,
 _C18) = (np.uint64(n * LANES) for n in range(1, 19))
_PER_S, _PER_XI, _PER_W = (1.0 / (nodes[1] - nodes[0]) for nodes in (_S, _XI, _W))
_FIRST_S, _FIRST_XI, _FIRST_W = float(_S[0]), float(_XI[0]), float(_W[0])
_LAST_S, _LAST_XI, _LAST_W = len(_S) - 1.0, len(_XI) - 1.0, len(_W) - 1.0
_SCALE = C_VACUUM / N_GROUP
_PER_GEV = MEAN_SENSITIVITY * PHOTONS_PER_GEV * DOM_AREA / (4 * np.pi)


Weights = tuple[float, float, float, float]
Vector = tuple[float, float, float]
Place = tuple[float, float, float, float]
"""x, y, z in m and t in ns."""


class ShowerTables(NamedTuple):
    """Ice, light and delays; the first four as in `scanner.light.ice.IceTable`."""

    scattering: np.ndarray
    scattering_integral: np.ndarray
    absorption: np.ndarray
    absorption_integral: np.ndarray
    tilt: np.ndarray  # as of `scanner.light.ice.tilt_table`, flat
    light: np.ndarray  # (ratio, distance, cosine, WIDTH), flat: ln yield, radial, axial, ln ξ, ln scale (λe)
    ratios: np.ndarray
    log_distances: np.ndarray
    cosines: np.ndarray
    flow: np.ndarray  # as of `_flow`
    cdf: np.ndarray  # (ln s, ln ξ, asinh(w/2)), flat: probability before u = w + s, u and s as in `pandel`


@cache
def shower_tables(model: str = ICE_MODELS[0]) -> ShowerTables:
    """Tables of an ice model: light of `scanner.light.photons`, gamma distribution; once per process."""
    ice = ice_table(model)
    return ShowerTables(ice.scattering, ice.scattering_integral, ice.absorption, ice.absorption_integral,
                        tilt_table(model).ravel(), *_light_table(), _flow(model), _cdf_table())


def _flow(model: str) -> np.ndarray:
    """Absorption goes as f/√(1 + e c²) with the cosine c to a level axis: axis x, y, e, f, and how far the
    light table may be prolonged; shape (5,). Without anisotropy that is exactly 1.
    """
    stretch = anisotropy(model)
    if stretch is None:
        return np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    excess = (stretch.along / stretch.across) ** 2 - 1.0
    axis = np.cos(stretch.azimuth), np.sin(stretch.azimuth)
    return np.array([*axis, excess, 1.0 / stretch.across, PROLONGED])


@cache
def _light_table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    with resources.files("config").joinpath("data/shower_light.csv").open(encoding="utf-8") as lines:
        rows = np.loadtxt(lines, delimiter=",", skiprows=_HEADER_LINES)
    ratios, distances, cosines = (np.unique(rows[:, column]) for column in range(3))
    table = rows[:, 3:].reshape(len(ratios), len(distances), len(cosines), 5)
    light, radial, axial, mean, variance = np.moveaxis(table, -1, 0)
    columns = np.log(light), radial, axial, np.log(mean**2 / variance), np.log(variance / mean)
    filled = np.zeros((*light.shape, WIDTH))
    filled[..., : len(columns)] = np.stack(columns, axis=-1)
    return filled.ravel(), ratios, np.log(distances), cosines


@cache
def _cdf_table() -> np.ndarray:
    """The gamma distribution smeared by JITTER; interpolated linearly, which can never ring below zero."""
    return kept("shower_times", lambda: -np.expm1(
        np.minimum(log_survival(2.0 * np.sinh(_W), _XI, _S), 0.0)).ravel())


@inlined
def _place(x: float, first: float, inverse_step: float, intervals: float) -> tuple[int, float]:
    """Interval and fraction of x among uniform nodes, at the ends clamped."""
    position = min(max((x - first) * inverse_step, 0.0), intervals - 1e-6)
    k = int(position)
    return k, position - k


@inlined
def _levelled(tilt: np.ndarray, x: float, y: float, z: float) -> float:
    """Height at which the table of the ice holds for a place: trilinear among the nodes of the tilt."""
    i, fx = _place(x, TILT_EDGE, 1 / TILT_STEP, TILT_SHAPE[0] - 1.0)
    j, fy = _place(y, TILT_EDGE, 1 / TILT_STEP, TILT_SHAPE[1] - 1.0)
    k, fz = _place(z, TILT_BOTTOM, 1 / TILT_HEIGHT, TILT_SHAPE[2] - 1.0)
    rise = 0.0
    for a in range(2):
        for b in range(2):
            n = ((i + a) * TILT_SHAPE[1] + j + b) * TILT_SHAPE[2] + k
            column = tilt[n] + fz * (tilt[n + 1] - tilt[n])
            rise += (fx if a else 1.0 - fx) * (fy if b else 1.0 - fy) * column
    return z - rise


@inlined
def _integral(low: float, high: float, integral: float, f: float) -> float:
    """Integral of a coefficient up to fraction f of an interval."""
    return integral + GRID_STEP * f * (low + 0.5 * f * (high - low))


@inlined
def _clamped(x: float, first: float, inverse_step: float, intervals: float) -> float:
    """Position of x among uniform nodes, in intervals; at the ends clamped."""
    return min(max((x - first) * inverse_step, 0.0), intervals - 1e-6)


@inlined
def _among(w: float) -> float:
    """Position of w among the nodes of the distribution."""
    half = 0.5 * max(w, -8.0)
    return _clamped(fast_log(half + np.sqrt(half * half + 1.0)), _FIRST_W, _PER_W, _LAST_W)


@inlined
def _corner(s: float, ln_xi: float) -> tuple[np.uint64, Weights]:
    """Where the distributions of the nodes around (ln s, ln ξ) begin, and their weights."""
    at_s = _clamped(fast_log(s), _FIRST_S, _PER_S, _LAST_S)
    at_x = _clamped(ln_xi, _FIRST_XI, _PER_XI, _LAST_XI)
    k, m = np.floor(at_s), np.floor(at_x)
    fs, fx = at_s - k, at_x - m
    weights = (1.0 - fs) * (1.0 - fx), (1.0 - fs) * fx, fs * (1.0 - fx), fs * fx
    return np.uint64(k * (_XI_NODES * _W_NODES) + m * _W_NODES), weights


@inlined
def _blend(cdf: np.ndarray, n: np.uint64, w: Weights) -> float:
    above = n + _PLANE
    return w[0] * cdf[n] + w[1] * cdf[n + _ROW] + w[2] * cdf[above] + w[3] * cdf[above + _ROW]


@fast_kernel
def _at_modules(light: np.ndarray, tables: ShowerTables, packed: np.ndarray, centre: Vector, place: Place,
                p: Vector) -> None:
    """Fill PE per GeV (0 if too far), arrival (ns), ln ξ and rate (1/ns), shape (n_modules, WIDTH), flat.

    A block of modules is copied into `work`, where the compiler knows what overlaps, and all its lanes are
    computed at once; then the table is looked up for one module at a time, all its columns at once.
    """
    ice_b, ice_bi, ice_a, ice_ai, tilt, table, ratios, log_distances, cosines, flow, _ = tables
    flow_x, flow_y, excess, isotropic, beyond = flow[0], flow[1], flow[2], flow[3], flow[4]
    sx, sy, sz, time = place
    px, py, pz = p
    source = _levelled(tilt, centre[0] + sx, centre[1] + sy, centre[2] + sz)
    source = min(max(source, -Z_LIMIT), Z_LIMIT)
    k, f = _place(source, GRID_BOTTOM, 1 / GRID_STEP, len(ice_b) - 1.0)
    source_b = _integral(ice_b[k], ice_b[k + 1], ice_bi[k], f)
    source_a = _integral(ice_a[k], ice_a[k + 1], ice_ai[k], f)
    n_r, n_c = len(log_distances), len(cosines)
    r0, per_r0, r_last = log_distances[0], 1.0 / (log_distances[1] - log_distances[0]), n_r - 1.0
    c0, per_c0, c_last = cosines[0], 1.0 / (cosines[1] - cosines[0]), n_c - 1.0
    ratio0, ratio1, ratio2 = ratios[0], ratios[1], ratios[2]
    per_first, per_second = 1.0 / (ratio1 - ratio0), 1.0 / (ratio2 - ratio1)
    below = np.uint64(WIDTH * n_c)
    right = below * np.uint64(n_r)
    work = np.empty(20 * LANES)
    for block in range(len(packed) // (COLUMNS * LANES)):
        base = np.uint64(block * COLUMNS * LANES)
        for c in range(COLUMNS * LANES):
            work[np.uint64(c)] = packed[base + np.uint64(c)]
        for lane in range(LANES):
            i = np.uint64(lane)
            x, y, z = work[i] - sx, work[i + _C1] - sy, work[i + _C2] - sz
            r2 = x * x + y * y + z * z
            r = np.sqrt(r2 + 1e-4)
            per_r = 1.0 / r
            drop = work[i + _C7] - source
            is_level = abs(drop) <= 1.0
            per_drop = 1.0 / (1.0 if is_level else drop)
            b_here, a_here = work[i + _C3], work[i + _C5]
            b_mean, a_mean = (work[i + _C4] - source_b) * per_drop, (work[i + _C6] - source_a) * per_drop
            b = b_here if is_level else b_mean
            a = a_here if is_level else a_mean
            flowing = (x * flow_x + y * flow_y) * per_r
            ratio = a / b * (isotropic / np.sqrt(1.0 + excess * flowing * flowing))
            is_first = ratio < ratio1
            f_first, f_second = (ratio - ratio0) * per_first, (ratio - ratio1) * per_second
            fq = f_first if is_first else f_second
            q = 0.0 if is_first else 1.0
            cosine = (x * px + y * py + z * pz) * per_r
            at_r = _clamped(fast_log(r * b), r0, per_r0, r_last)
            at_c = _clamped(cosine, c0, per_c0, c_last)
            n, m = np.floor(at_r), np.floor(at_c)
            work[i + _C9] = r * b
            work[i + _C10] = ((q * n_r + n) * n_c + m) * WIDTH
            work[i + _C11] = min(max(fq, -beyond), 1.0 + beyond)
            work[i + _C12] = at_r - n
            work[i + _C13] = at_c - m
            work[i + _C14] = z * per_r
            work[i + _C15] = (pz - cosine * z * per_r) / np.sqrt(max(1.0 - cosine * cosine, 1e-6))
            work[i + _C16] = work[i + _C8] * _PER_GEV / (r2 + SIZE2)
            work[i + _C17] = time + r * (1 / _SCALE)
            work[i + _C18] = b * _SCALE
        for lane in range(LANES):
            i = np.uint64(lane)
            o = np.uint64((block * LANES + lane) * WIDTH)
            if work[i + _C9] > FARTHEST:
                light[o] = 0.0
                continue
            fq, fr, fc = work[i + _C11], work[i + _C12], work[i + _C13]
            w0, w1, w2, w3 = (1.0 - fq) * (1.0 - fr), (1.0 - fq) * fr, fq * (1.0 - fr), fq * fr
            first = np.uint64(work[i + _C10])
            for column in range(WIDTH):
                v = np.uint64(column)
                g = first + v
                h = g + right
                low = w0 * table[g] + w1 * table[g + below] + w2 * table[h] + w3 * table[h + below]
                g, h = g + _WIDE, h + _WIDE
                high = w0 * table[g] + w1 * table[g + below] + w2 * table[h] + w3 * table[h + below]
                light[o + v] = low + fc * (high - low)
            upward = light[o + _ONE] * work[i + _C14] + light[o + _TWO] * work[i + _C15]
            path = (work[i + _C9] + fast_exp(light[o + _THREE] + light[o + _FOUR])) * _SCALE / work[i + _C18]
            faded = light[o] - COLOUR_POWER * fast_log(1.0 + path * (1 / COLOUR_LENGTH))
            light[o] = work[i + _C16] * fast_exp(faded) * (1.0 + SENSITIVITY_SLOPE * upward)
            light[o + _ONE] = work[i + _C17]
            light[o + _TWO] = light[o + _THREE]
            light[o + _THREE] = work[i + _C18] * fast_exp(-light[o + _FOUR])


@fast_kernel
def fill_signal(signal: np.ndarray, tables: ShowerTables, receivers: Receivers, centre: Vector, place: Place,
                p: Vector) -> None:
    """Expected PE per GeV in every bin of a shower at `place` that flies along p.

    `place` is (x, y, z, t) relative to the event's centre and to its reference time.
    """
    packed, edges, first_bin, several = receivers
    cdf = tables.cdf
    light, row, at = np.empty(len(packed) // COLUMNS * WIDTH), np.empty(_W_NODES), np.empty(EDGES)
    _at_modules(light, tables, packed, centre, place, p)
    for n in range(len(signal)):
        signal[n] = 0.0
    for i in range(len(first_bin) - 1):
        o, edge = np.uint64(i * WIDTH), np.uint64(i * EDGES)
        amount = light[o]
        if amount == 0.0:
            continue
        s = light[o + _THREE] * JITTER
        corner, weights = _corner(s, light[o + _TWO])
        shift = light[o + _ONE] * (1 / JITTER) + s
        if i >= several:
            w = _among(edges[edge + _ONE] * (1 / JITTER) - shift)
            whole = np.floor(w)
            node = corner + np.uint64(whole)
            low, high = _blend(cdf, node, weights), _blend(cdf, node + _ONE, weights)
            signal[first_bin[i]] = amount * (low + (w - whole) * (high - low))
            continue
        for e in range(EDGES):
            at[np.uint64(e)] = _among(edges[edge + np.uint64(e)] * (1 / JITTER) - shift)
        for v in range(int(at[_ONE]), _W_NODES):
            row[np.uint64(v)] = _blend(cdf, corner + np.uint64(v), weights)
        before, upper = 0.0, _ONE
        for n in range(first_bin[i], first_bin[i + 1]):
            k = int(at[upper])
            after = row[k] + (at[upper] - k) * (row[k + 1] - row[k])
            signal[n] = amount * (after - before)
            before = after
            upper += _ONE


@kernel
def _light_of(tables: ShowerTables, packed: np.ndarray, centre: Vector, place: Place,
              p: Vector) -> np.ndarray:
    light = np.zeros(len(packed) // COLUMNS * WIDTH)
    _at_modules(light, tables, packed, centre, place, p)
    return light.reshape(-1, WIDTH)


def light_at_modules(tables: ShowerTables, modules: Modules, centre: Vector, place: Place,
                     p: Vector) -> np.ndarray:
    """PE per GeV, arrival (ns), ξ and rate (1/ns) of a shower's light; shape (4, n_modules)."""
    light = _light_of(tables, packed(modules), centre, place, p)[: len(modules.x), :4].T
    light[2] = np.exp(light[2])
    light[3, light[0] == 0.0] = 1.0
    return light
