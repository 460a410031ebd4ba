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
_ONE, _TWO, _THREE, _FOUR, _WIDE = (np.uint64(n) for n in (1, 2, 3, 4, WIDTH))
_C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8 = (np.uint64(n * LANES) for n in range(1, COLUMNS))
(_W1, _W2, _W3, _W4, _W5, _W6, _W7, _W8, _W9, _W10, _W11, _W12, _W13, _W14, _W15, _W16, _W17, _W18, _W19,
 _W20, _W21, _W22, _W23) = (np.uint64(n * CHUNK) for n in range(1, 24))
_PER_S, _PER_XI, _PER_W = (1.0 / (nodes[1] - nodes[0]) for nodes in (_S, _XI, _W))
_FIRST_S, _FIRST_XI, _FIRST_W = float(_S[0]), float(_XI[0]), float(_W[0])
_LAST_S, _LAST_XI, _LAST_W = len(_S) - 1.0, len(_XI) - 1.0, len(_W) - 1.0
_F0, _F1, _F2, _HALF, _THIRD, _FIFTH, _SEVENTH = (np.float32(n) for n in (0, 1, 2, 1/2, 1/3, 1/5, 1/7))
_LN2, _SQRT_HALF = np.float32(np.log(2.0)), np.int32(0x3F3504F3)
_FIRST_TIME, _ASINH_0 = np.float32(-8.0), np.float32(_FIRST_W)
_ASINH_STEP, _ASINH_LAST = np.float32(_PER_W), np.float32(_LAST_W - 1e-4)
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
    filled[..., :COLUMNS_OF_LIGHT] = np.stack(columns, axis=-1)
    return filled.ravel(), ratios, np.log(distances), cosines


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
def _clamped(x: float, first: float, inverse_step: float, intervals: float) -> float:
    """Position of x among uniform nodes, in intervals; at the ends clamped."""
    return min(max((x - first) * inverse_step, 0.0), intervals - 1e-6)


@inlined
def _log(x: np.float32) -> np.float32:
    """ln x as `fast_log`, of single precision."""
    bits = np.float32(x).view(np.int32)
    k = np.int32(np.int32(bits - _SQRT_HALF) >> np.int32(23))
    m = np.int32(bits - np.int32(k << np.int32(23))).view(np.float32)
    t = (m - _F1) / (m + _F1)
    q = t * t
    return np.float32(k) * _LN2 + _F2 * t * (_F1 + q * (_THIRD + q * (_FIFTH + q * _SEVENTH)))


@inlined
def _among(w: np.float32) -> np.float32:
    """Position of w among the nodes of the distribution; single precision: 10⁻⁵ of a node, 10⁻⁵ ns."""
    half = _HALF * max(w, _FIRST_TIME)
    position = (_log(half + np.sqrt(half * half + _F1)) - _ASINH_0) * _ASINH_STEP
    return min(max(position, _F0), _ASINH_LAST)


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
    """Fill PE per GeV, arrival (ns), ln ξ and rate (1/ns) at so many modules, `step` numbers each.

    The columns of CHUNK modules are copied into `work`, where the compiler knows what overlaps, and all lanes
    are computed at once; then the table is looked up for one module at a time, all its columns at once.
    """
    table, ratios, log_distances, cosines, flow = (
        tables.light, tables.ratios, tables.log_distances, tables.cosines, tables.flow)
    flow_x, flow_y, excess, isotropic, beyond = flow[0], flow[1], flow[2], flow[3], flow[4]
    sx, sy, sz, time = place
    px, py, pz = p
    height, source_b, source_a = source
    n_r, n_c = len(log_distances), len(cosines)
    r0, per_r0, r_last = log_distances[0], 1.0 / (log_distances[1] - log_distances[0]), n_r - 1.0
    c0, per_c0, c_last = cosines[0], 1.0 / (cosines[1] - cosines[0]), n_c - 1.0
    ratio0, ratio1, ratio2 = ratios[0], ratios[1], ratios[2]
    per_first, per_second = 1.0 / (ratio1 - ratio0), 1.0 / (ratio2 - ratio1)
    below = np.uint64(WIDTH * n_c)
    right = below * np.uint64(n_r)
    work = np.empty(24 * CHUNK)
    room = step
    for begin in range(0, count, CHUNK):
        lanes = (min(CHUNK, count - begin) + LANES - 1) // LANES * LANES
        for lane in range(lanes):
            i, module = np.uint64(lane), near[np.uint64(min(begin + lane, count - 1))]
            base = np.uint64(module // LANES * (COLUMNS * LANES) + module % LANES)
            for c in range(COLUMNS):
                work[np.uint64(c * CHUNK) + i] = packed[base + np.uint64(c * LANES)]
        for lane in range(lanes):
            i = np.uint64(lane)
            x, y, z = work[i] - sx, work[i + _W1] - sy, work[i + _W2] - sz
            r2 = x * x + y * y + z * z
            r = np.sqrt(r2 + 1e-4)
            per_r = 1.0 / r
            drop = work[i + _W7] - height
            is_level = abs(drop) <= 1.0
            per_drop = 1.0 / (1.0 if is_level else drop)
            b_here, a_here = work[i + _W3], work[i + _W5]
            b_mean, a_mean = (work[i + _W4] - source_b) * per_drop, (work[i + _W6] - source_a) * per_drop
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
            work[i + _W9] = r * b
            work[i + _W10] = ((q * n_r + n) * n_c + m) * WIDTH
            work[i + _W11] = min(max(fq, -beyond), 1.0 + beyond)
            work[i + _W12] = at_r - n
            work[i + _W13] = at_c - m
            work[i + _W14] = z * per_r
            work[i + _W15] = (pz - cosine * z * per_r) / np.sqrt(max(1.0 - cosine * cosine, 1e-6))
            work[i + _W16] = work[i + _W8] * _PER_GEV / (r2 + SIZE2)
            work[i + _W17] = time + r * (1 / _SCALE)
            work[i + _W18] = b * _SCALE
        for lane in range(lanes):
            i = np.uint64(lane)
            fq, fr, fc = work[i + _W11], work[i + _W12], work[i + _W13]
            w0, w1, w2, w3 = (1.0 - fq) * (1.0 - fr), (1.0 - fq) * fr, fq * (1.0 - fr), fq * fr
            first = np.uint64(work[i + _W10])
            for column in range(COLUMNS_OF_LIGHT):
                v = np.uint64(column)
                g = first + v
                h = g + right
                low = w0 * table[g] + w1 * table[g + below] + w2 * table[h] + w3 * table[h + below]
                g, h = g + _WIDE, h + _WIDE
                high = w0 * table[g] + w1 * table[g + below] + w2 * table[h] + w3 * table[h + below]
                work[i + _W19 + v * _W1] = low + fc * (high - low)
        for lane in range(lanes):
            i = np.uint64(lane)
            upward = work[i + _W20] * work[i + _W14] + work[i + _W21] * work[i + _W15]
            path = (work[i + _W9] + fast_exp(work[i + _W22] + work[i + _W23])) * _SCALE / work[i + _W18]
            faded = work[i + _W19] - COLOUR_POWER * fast_log(1.0 + path * (1 / COLOUR_LENGTH))
            work[i] = work[i + _W16] * fast_exp(faded) * (1.0 + SENSITIVITY_SLOPE * upward)
            work[i + _W1] = work[i + _W18] * fast_exp(-work[i + _W23])
        for lane in range(lanes):
            i, o = np.uint64(lane), np.uint64(begin + lane)
            light[o] = work[i]
            light[o + room] = work[i + _W17]
            light[o + room + room] = work[i + _W22]
            light[o + room + room + room] = work[i + _W1]


@fast_kernel
def _corners(light: np.ndarray, corner: np.ndarray, room: np.uint64, count: int) -> None:
    """Where among the distributions those of so many modules lie: node, two fractions, and time of w = 0."""
    for k in range((count + LANES - 1) // LANES * LANES):
        i = np.uint64(k)
        s = light[i + room + room + room] * JITTER
        at_s = _clamped(fast_log(s), _FIRST_S, _PER_S, _LAST_S)
        at_x = _clamped(light[i + room + room], _FIRST_XI, _PER_XI, _LAST_XI)
        n, m = np.floor(at_s), np.floor(at_x)
        corner[i] = n * (_XI_NODES * _W_NODES) + m * _W_NODES
        corner[i + room] = at_s - n
        corner[i + room + room] = at_x - m
        corner[i + room + room + room] = light[i + room] * (1 / JITTER) + s


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

    What belongs to others is left as it is.
    """
    if count == 0:
        return
    packed, edges, first_bin, several = receivers
    cdf, room = tables.cdf, np.int64(count)
    source, step = _source(tables, centre, place), np.uint64(room + CHUNK)
    light, corner = np.empty(4 * (room + CHUNK)), np.empty(4 * (room + CHUNK))
    _at_modules(light, near, count, step, tables, packed, source, place, p)
    _corners(light, corner, step, count)
    row, at = np.empty(_W_NODES + AT_ONCE, np.float32), np.empty(room * EDGES, np.float32)
    _ends(at, near, count, corner[3 * (room + CHUNK):], edges, first_bin)
    upper = np.uint64(0)
    for k in range(count):
        o = np.uint64(k)
        module, amount = near[o], light[o]
        amounts[module] = amount
        fs, fx = np.float32(corner[o + step]), np.float32(corner[o + step + step])
        weights = (_F1 - fs) * (_F1 - fx), (_F1 - fs) * fx, fs * (_F1 - fx), fs * fx
        node, begin, end = np.uint64(corner[o]), first_bin[module], first_bin[module + 1]
        if module >= several:
            whole = np.floor(at[upper])
            low_node = node + np.uint64(whole)
            low, high = _blend(cdf, low_node, weights), _blend(cdf, low_node + _ONE, weights)
            signal[begin] = amount * (low + (at[upper] - whole) * (high - low))
            upper += _ONE
            continue
        first = int(at[upper])
        nodes = int(at[upper + np.uint64(end - begin - 1)]) + 1 + AT_ONCE - first
        for v in range(first, first + nodes // AT_ONCE * AT_ONCE):
            row[np.uint64(v)] = _blend(cdf, node + np.uint64(v), weights)
        before = _F0
        for n in range(begin, end):
            whole = np.floor(at[upper])
            j = np.uint64(whole)
            after = row[j] + (at[upper] - whole) * (row[j + _ONE] - row[j])
            signal[np.uint64(n)] = amount * (after - before)
            before = after
            upper += _ONE


@fast_kernel
def _ends(at: np.ndarray, near: np.ndarray, count: int, shift: np.ndarray, edges: np.ndarray,
          first_bin: np.ndarray) -> None:
    """Where among the nodes of their distributions the bins of so many modules end, one after the other."""
    place = np.uint64(0)
    for k in range(count):
        module = near[np.uint64(k)]
        edge, begin = np.uint64(module * EDGES + 1), shift[np.uint64(k)]
        for n in range(first_bin[module + 1] - first_bin[module]):
            at[place] = np.float32(edges[edge + np.uint64(n)] * (1 / JITTER) - begin)
            place += _ONE
    for k in range(np.int64(place)):
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
    light, near, found = np.zeros((room, 4)), np.empty(room + 1, np.int64), np.empty(4 * (room + CHUNK))
    count, source = reach(near, tables, receivers, centre, place), _source(tables, centre, place)
    _at_modules(found, near, count, np.uint64(room + CHUNK), tables, receivers.packed, source, place, p)
    for k in range(count):
        for c in range(4):
            light[near[k], c] = found[c * (room + CHUNK) + k]
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
