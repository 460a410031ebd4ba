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
from scanner.common.fastmath import F, single_exp, single_log
from scanner.common.lanes import LANES as WIDE
from scanner.common.lanes import mixed_columns, scratch
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

__all__ = ["ShowerTables", "fill_signal", "fill_some", "light_at_modules", "reach", "shower_tables"]

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
COLUMNS_OF_LIGHT, WIDTH = 5, 8
"""Columns of the light table, and with what pads them to a line of the cache."""
CHUNK = 64
"""So many modules go through each step together: what was stored one by one is then read eight at a time
without waiting for it."""
AT_ONCE = 32
"""Nodes of a distribution are blended so many at a time, and none is left over for one at a time."""
JITTER = 10.0
"""Smearing of the arrival times, ns: the modules' resolution and the errors of the ice model."""
_S = np.linspace(np.log(0.004), np.log(1.0), 14)
_XI = np.linspace(np.log(0.02), np.log(60.0), 48)
_W = np.linspace(np.arcsinh(-4.0), np.arcsinh(500.0), 110)
_XI_NODES, _W_NODES = len(_XI), len(_W)
_ROW, _PLANE = np.uint64(_W_NODES), np.uint64(_W_NODES * _XI_NODES)
_ONE, _TWO, _THREE = (np.uint64(n) for n in (1, 2, 3))
_C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8 = (np.uint64(n * LANES) for n in range(1, COLUMNS))
(_W1, _W2, _W3, _W4, _W5, _W6, _W7, _W8, _W9, _W10, _W11, _W12, _W13, _W14, _W15, _W16, _W17) = (
    np.uint64(n * CHUNK) for n in range(1, 18))
_PER_S, _PER_XI, _PER_W = (F(1.0 / (nodes[1] - nodes[0])) for nodes in (_S, _XI, _W))
_FIRST_S, _FIRST_XI, _FIRST_W = F(_S[0]), F(_XI[0]), F(_W[0])
_LAST_S, _LAST_XI, _LAST_W = (F(len(nodes) - 1.0 - 1e-5) for nodes in (_S, _XI, _W))
_FIRST_TIME, _PER_JITTER = F(-8.0), F(1 / JITTER)
_weights_of, _columns, _cell = scratch(8, F), scratch(WIDTH, F), scratch(1, np.int32)
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
    light: np.ndarray  # (interval of ratio, distance, its two ends, cosine, WIDTH), flat: ln yield, radial,
    # axial, ln ξ, ln scale (λe)
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
    filled[..., :COLUMNS_OF_LIGHT] = np.stack(columns, axis=-1)
    ends = np.stack([filled[:-1], filled[1:]], axis=2)
    return ends.ravel().astype(F), ratios, np.log(distances), cosines


@cache
def _cdf_table() -> np.ndarray:
    """The gamma distribution smeared by JITTER; interpolated linearly, which can never ring below zero."""
    table = kept("shower_times", lambda: -np.expm1(
        np.minimum(log_survival(2.0 * np.sinh(_W), _XI, _S), 0.0)).ravel())
    return np.append(table, np.zeros(AT_ONCE)).astype(np.float32)


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
def _clamped(x: float, first: float, inverse_step: float, last: float) -> float:
    """Position of x among uniform nodes, in intervals; at the ends clamped; float32."""
    return min(max((x - first) * inverse_step, F(0)), last)


@inlined
def _among(w: float) -> float:
    """Position of w among the nodes of the distribution; single precision: 10⁻⁵ of a node, 10⁻⁵ ns."""
    half = F(0.5) * max(w, _FIRST_TIME)
    return _clamped(single_log(half + np.sqrt(half * half + F(1))), _FIRST_W, _PER_W, _LAST_W)


@inlined
def _source(tables: ShowerTables, centre: Vector, place: Place) -> Vector:
    """Height of a shower for the table of the ice, and the integrals of scattering and absorption there."""
    ice_b, ice_a = tables.scattering, tables.absorption
    height = _levelled(tables.tilt, centre[0] + place[0], centre[1] + place[1], centre[2] + place[2])
    height = min(max(height, -Z_LIMIT), Z_LIMIT)
    k, f = _place(height, GRID_BOTTOM, 1 / GRID_STEP, len(ice_b) - 1.0)
    return (height, _integral(ice_b[k], ice_b[k + 1], tables.scattering_integral[k], f),
            _integral(ice_a[k], ice_a[k + 1], tables.absorption_integral[k], f))


@fast_kernel
def _at_modules(light: np.ndarray, near: np.ndarray, count: int, step: np.uint64, tables: ShowerTables,
                packed: np.ndarray, source: Vector, place: Place, p: Vector) -> None:
    """Fill PE per GeV, delay after the shower (ns), ln ξ and rate (1/ns) at so many modules, `step` each.

    How CHUNK modules lie from the shower goes into `work`, in single precision from there on, where the
    compiler knows what overlaps, and all lanes are computed at once.
    """
    table, ratios, log_distances, cosines, flow = (
        tables.light, tables.ratios, tables.log_distances, tables.cosines, tables.flow)
    flow_x, flow_y, excess, isotropic, beyond = F(flow[0]), F(flow[1]), F(flow[2]), F(flow[3]), F(flow[4])
    sx, sy, sz, _ = place
    px, py, pz = F(p[0]), F(p[1]), F(p[2])
    height, source_b, source_a = source
    n_r, n_c, w = F(len(log_distances)), F(len(cosines)), F(WIDTH)
    r0, per_r0 = F(log_distances[0]), F(1.0 / (log_distances[1] - log_distances[0]))
    c0, per_c0 = F(cosines[0]), F(1.0 / (cosines[1] - cosines[0]))
    r_last, c_last = F(len(log_distances) - 1.0 - 1e-5), F(len(cosines) - 1.0 - 1e-5)
    ratio0, ratio1 = F(ratios[0]), F(ratios[1])
    per_first, per_second = F(1.0 / (ratios[1] - ratios[0])), F(1.0 / (ratios[2] - ratios[1]))
    work, weights, columns, cell = np.empty(18 * CHUNK, F), _weights_of(), _columns(), _cell()
    stride = np.int32(WIDTH * len(cosines))
    for begin in range(0, count, CHUNK):
        lanes = (min(CHUNK, count - begin) + WIDE - 1) // WIDE * WIDE
        for lane in range(lanes):
            i, module = np.uint64(lane), near[np.uint64(min(begin + lane, count - 1))]
            base = np.uint64(module // LANES * (COLUMNS * LANES) + module % LANES)
            work[i], work[i + _W1] = F(packed[base] - sx), F(packed[base + _C1] - sy)
            work[i + _W2], work[i + _W3] = F(packed[base + _C2] - sz), F(packed[base + _C3])
            work[i + _W4], work[i + _W5] = F(packed[base + _C4] - source_b), F(packed[base + _C5])
            work[i + _W6], work[i + _W7] = F(packed[base + _C6] - source_a), F(packed[base + _C7] - height)
            work[i + _W8] = F(packed[base + _C8])
        for lane in range(lanes):
            i = np.uint64(lane)
            x, y, z, drop = work[i], work[i + _W1], work[i + _W2], work[i + _W7]
            r2 = x * x + y * y + z * z
            r = np.sqrt(r2 + F(1e-4))
            per_r = F(1) / r
            is_level = abs(drop) <= F(1)
            per_drop = F(1) / (F(1) if is_level else drop)
            b_mean, a_mean = work[i + _W4] * per_drop, work[i + _W6] * per_drop
            b_here, a_here = work[i + _W3], work[i + _W5]
            b = b_here if is_level else b_mean
            a = a_here if is_level else a_mean
            flowing = (x * flow_x + y * flow_y) * per_r
            ratio = a / b * (isotropic / np.sqrt(F(1) + excess * flowing * flowing))
            is_first = ratio < ratio1
            f_first, f_second = (ratio - ratio0) * per_first, (ratio - ratio1) * per_second
            fq = f_first if is_first else f_second
            q = F(0) if is_first else F(1)
            cosine = (x * px + y * py + z * pz) * per_r
            at_r = _clamped(single_log(r * b), r0, per_r0, r_last)
            at_c = _clamped(cosine, c0, per_c0, c_last)
            n, m = np.floor(at_r), np.floor(at_c)
            work[i + _W9] = ((q * n_r + n) * F(2) * n_c + m) * w
            work[i + _W10] = min(max(fq, -beyond), F(1) + beyond)
            work[i + _W11] = at_r - n
            work[i + _W12] = at_c - m
            work[i + _W13] = z * per_r
            work[i + _W14] = (pz - cosine * z * per_r) / np.sqrt(max(F(1) - cosine * cosine, F(1e-6)))
            work[i + _W15] = work[i + _W8] * F(_PER_GEV) / (r2 + F(SIZE2))
            work[i + _W16] = r
            work[i + _W17] = b
        for block in range(0, lanes, WIDE):
            for lane in range(WIDE):
                k = np.uint64(lane)
                i = np.uint64(block) + k
                fq, fr, fc = work[i + _W10], work[i + _W11], work[i + _W12]
                cell[0, k] = np.int32(work[i + _W9])
                w0, w1, w2, w3 = ((F(1) - fr) * (F(1) - fq), (F(1) - fr) * fq, fr * (F(1) - fq), fr * fq)
                weights[0, k], weights[1, k], weights[2, k] = w0 * (F(1) - fc), w0 * fc, w1 * (F(1) - fc)
                weights[3, k], weights[4, k], weights[5, k] = w1 * fc, w2 * (F(1) - fc), w2 * fc
                weights[6, k], weights[7, k] = w3 * (F(1) - fc), w3 * fc
            mixed_columns(table, cell, stride, weights, columns)
            for lane in range(WIDE):
                k = np.uint64(lane)
                i = np.uint64(block) + k
                o, r, b = np.uint64(begin) + i, work[i + _W16], work[i + _W17]
                upward = columns[1, k] * work[i + _W13] + columns[2, k] * work[i + _W14]
                per_b = F(1) / b
                path = r + single_exp(columns[3, k] + columns[4, k]) * per_b
                faded = columns[0, k] - F(COLOUR_POWER) * single_log(F(1) + path * F(1 / COLOUR_LENGTH))
                light[o] = work[i + _W15] * single_exp(faded) * (F(1) + F(SENSITIVITY_SLOPE) * upward)
                light[o + step] = r * F(1 / _SCALE)
                light[o + _TWO * step] = columns[3, k]
                light[o + _THREE * step] = b * F(_SCALE) * single_exp(-columns[4, k])


@fast_kernel
def _corners(light: np.ndarray, corner: np.ndarray, room: np.uint64, count: int) -> None:
    """Where among the distributions those of so many modules lie: node, two fractions, and delay of w = 0."""
    for k in range((count + WIDE - 1) // WIDE * WIDE):
        i = np.uint64(k)
        s = light[i + _THREE * room] * F(JITTER)
        at_s = _clamped(single_log(s), _FIRST_S, _PER_S, _LAST_S)
        at_x = _clamped(light[i + _TWO * room], _FIRST_XI, _PER_XI, _LAST_XI)
        n, m = np.floor(at_s), np.floor(at_x)
        corner[i] = n * F(_XI_NODES * _W_NODES) + m * F(_W_NODES)
        corner[i + room] = at_s - n
        corner[i + _TWO * room] = at_x - m
        corner[i + _THREE * room] = light[i + room] * _PER_JITTER + s


@inlined
def _blend(cdf: np.ndarray, n: np.uint64, w: Weights) -> np.float32:
    above = n + _PLANE
    return w[0] * cdf[n] + w[1] * cdf[n + _ROW] + w[2] * cdf[above] + w[3] * cdf[above + _ROW]


@fast_kernel
def reach(near: np.ndarray, tables: ShowerTables, receivers: Receivers, centre: Vector, place: Place) -> int:
    """Fill in which modules a shower's light reaches; how many they are. `near` has room for one more."""
    packed, count = receivers.packed, 0
    height, source_b, _ = _source(tables, centre, place)
    sx, sy, sz, _ = place
    depth = np.empty(LANES)
    for block in range(len(packed) // (COLUMNS * LANES)):
        base = np.uint64(block * COLUMNS * LANES)
        for lane in range(LANES):
            i = base + np.uint64(lane)
            x, y, z = packed[i] - sx, packed[i + _C1] - sy, packed[i + _C2] - sz
            drop = packed[i + _C7] - height
            is_level = abs(drop) <= 1.0
            b_mean = (packed[i + _C4] - source_b) / (1.0 if is_level else drop)
            b = packed[i + _C3] if is_level else b_mean
            depth[np.uint64(lane)] = (x * x + y * y + z * z + 1e-4) * b * b
        for lane in range(LANES):
            near[np.uint64(count)] = block * LANES + lane
            count += int(depth[np.uint64(lane)] <= FARTHEST * FARTHEST)
    return count


@fast_kernel
def fill_some(signal: np.ndarray, amounts: np.ndarray, near: np.ndarray, count: int, tables: ShowerTables,
              receivers: Receivers, centre: Vector, place: Place, p: Vector) -> None:
    """Expected PE per GeV of a shower in the bins of the first `count` modules of `near`, and in all of each.

    `near` is in rising order. What belongs to others is left as it is.
    """
    if count == 0:
        return
    packed, edges, first_bin, several = receivers
    cdf, step, with_bins = tables.cdf, np.uint64(count + CHUNK), count
    light, corner = np.empty(4 * (count + CHUNK), F), np.empty(4 * (count + CHUNK), F)
    _at_modules(light, near, count, step, tables, packed, _source(tables, centre, place), place, p)
    _corners(light, corner, step, count)
    while with_bins > 0 and near[np.uint64(with_bins - 1)] >= several:
        with_bins -= 1
    row, at = np.empty(_W_NODES + AT_ONCE, F), np.empty(EDGES * with_bins + count + WIDE, F)
    _ends(at, near, count, with_bins, corner[3 * (count + CHUNK):], edges, place[3])
    for k in range(with_bins):
        o = np.uint64(k)
        module, amount = near[o], light[o]
        amounts[module] = amount
        weights, node = _weights(corner, o, step), np.uint64(corner[o])
        begin, end, upper = first_bin[module], first_bin[module + 1], np.uint64(EDGES * k + 1)
        first = int(at[upper])
        nodes = int(at[upper + np.uint64(end - begin - 1)]) + 1 + AT_ONCE - first
        for v in range(first, first + nodes // AT_ONCE * AT_ONCE):
            row[np.uint64(v)] = _blend(cdf, node + np.uint64(v), weights)
        before = F(0)
        for n in range(begin, end):
            whole = np.floor(at[upper])
            j = np.uint64(whole)
            after = row[j] + (at[upper] - whole) * (row[j + _ONE] - row[j])
            signal[np.uint64(n)] = amount * (after - before)
            before = after
            upper += _ONE
    for k in range(with_bins, count):
        o, upper = np.uint64(k), np.uint64((EDGES - 1) * with_bins + k)
        module, amount = near[o], light[o]
        amounts[module] = amount
        whole, weights = np.floor(at[upper]), _weights(corner, o, step)
        node = np.uint64(corner[o] + whole)
        low, high = _blend(cdf, node, weights), _blend(cdf, node + _ONE, weights)
        signal[first_bin[module]] = amount * (low + (at[upper] - whole) * (high - low))


@inlined
def _weights(corner: np.ndarray, k: np.uint64, step: np.uint64) -> Weights:
    """Of the four distributions around that of a module."""
    fs, fx = corner[k + step], corner[k + _TWO * step]
    return (F(1) - fs) * (F(1) - fx), (F(1) - fs) * fx, fs * (F(1) - fx), fs * fx


@fast_kernel
def _ends(at: np.ndarray, near: np.ndarray, count: int, with_bins: int, shift: np.ndarray, edges: np.ndarray,
          time: float) -> None:
    """Where among the nodes of their distributions bins end: EDGES for each of the first modules, then one.

    The first of EDGES is where the first bin begins.
    """
    for k in range(with_bins):
        base, start, later = np.uint64(near[np.uint64(k)] * EDGES), np.uint64(k * EDGES), shift[np.uint64(k)]
        for n in range(EDGES):
            at[start + np.uint64(n)] = F((edges[base + np.uint64(n)] - time) * (1 / JITTER)) - later
    for k in range(with_bins, count):
        end = edges[np.uint64(near[np.uint64(k)] * EDGES + 1)]
        at[np.uint64((EDGES - 1) * with_bins + k)] = F((end - time) * (1 / JITTER)) - shift[np.uint64(k)]
    for k in range((EDGES - 1) * with_bins + count):
        i = np.uint64(k)
        at[i] = _among(at[i])


@kernel
def fill_signal(signal: np.ndarray, tables: ShowerTables, receivers: Receivers, centre: Vector, place: Place,
                p: Vector) -> None:
    """Expected PE per GeV in every bin of a shower at `place` that flies along p.

    `place` is (x, y, z, t) relative to the event's centre and to its reference time.
    """
    room = len(receivers.packed) // COLUMNS
    near = np.empty(room + 1, np.int64)
    for n in range(len(signal)):
        signal[n] = 0.0
    count = reach(near, tables, receivers, centre, place)
    fill_some(signal, np.empty(room), near, count, tables, receivers, centre, place, p)


@kernel
def _light_of(tables: ShowerTables, receivers: Receivers, centre: Vector, place: Place,
              p: Vector) -> np.ndarray:
    room = len(receivers.packed) // COLUMNS
    light, near, found = np.zeros((room, 4)), np.empty(room + 1, np.int64), np.empty(4 * (room + CHUNK), F)
    count, source = reach(near, tables, receivers, centre, place), _source(tables, centre, place)
    _at_modules(found, near, count, np.uint64(room + CHUNK), tables, receivers.packed, source, place, p)
    for k in range(count):
        for c in range(4):
            light[near[k], c] = found[c * (room + CHUNK) + k]
        light[near[k], 1] += place[3]
    return light


def light_at_modules(tables: ShowerTables, modules: Modules, centre: Vector, place: Place,
                     p: Vector) -> np.ndarray:
    """PE per GeV, arrival (ns), ξ and rate (1/ns) of a shower's light; shape (4, n_modules)."""
    nothing = np.empty(0)
    receivers = Receivers(packed(modules), nothing, modules.first_bin, 0)
    light = _light_of(tables, receivers, centre, place, p)[: len(modules.x)].T
    light[2] = np.exp(light[2])
    light[3, light[0] == 0.0] = 1.0
    return light
