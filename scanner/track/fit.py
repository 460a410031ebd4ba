"""From directions and seeds to vertices: the loop over pixels of the track fit.

A first-level pixel starts from offsets around the charge-weighted centre, a finer one from its parent's vertex.
Each start is followed at the modules' true resolution and once more through coarser resolutions, on which the
cusps of single modules disappear; the best end counts.
"""

from __future__ import annotations

import numba
import numpy as np

from config.ice import C_VACUUM
from scanner.track.likelihood import PATH_FACTOR, SIGMA, Frame
from scanner.track.minimise import descend

__all__ = ["BASE_OFFSETS", "CHILD_OFFSETS", "fit_pixels", "frame_of"]

MAX_STEPS = 100
LOOSE, TIGHT = 0.1, 1e-7
COARSE, MEDIUM = 50.0, 17.0
START_QUANTILE = 0.1
"""Share of modules that may be hit before the light can arrive at a start: from early, every module pulls."""


def _ring(radius: float, count: int) -> list[tuple[float, float]]:
    angles = 2 * np.pi * np.arange(count) / count
    return [(radius * np.cos(angle), radius * np.sin(angle)) for angle in angles]


BASE_OFFSETS = np.array([(0.0, 0.0), *_ring(60.0, 6), *_ring(150.0, 6)])
"""Vertex offsets (m) tried at a pixel without a parent."""
CHILD_OFFSETS = np.array([(0.0, 0.0), *_ring(15.0, 3)])
"""Vertex offsets (m) tried around a parent's vertex."""


@numba.njit(error_model="numpy", cache=True, nogil=True)
def frame_of(zenith, azimuth):
    """The flight direction of a particle that comes from (zenith, azimuth), and the axes across it."""
    sin_zenith = max(np.sin(zenith), 1e-9)
    cosine, sine, pz = np.cos(azimuth), np.sin(azimuth), -np.cos(zenith)
    px, py = -sin_zenith * cosine, -sin_zenith * sine
    return Frame(px, py, pz, -cosine * pz, -sine * pz, -sin_zenith, sine, -cosine)


@numba.njit(error_model="numpy", cache=True, nogil=True)
def _start_time(doms, frame, a, b, residual):
    """The quantile of the times at which the light would have to start."""
    for i in range(len(doms.x)):
        x, y, z = doms.x[i], doms.y[i], doms.z[i]
        across = x * frame.e1x + y * frame.e1y + z * frame.e1z - a
        level = x * frame.e2x + y * frame.e2y - b
        along = x * frame.px + y * frame.py + z * frame.pz
        distance = np.sqrt(across * across + level * level)
        residual[i] = doms.time[i] - (along + PATH_FACTOR * distance) / C_VACUUM
    residual.sort()
    return residual[int(START_QUANTILE * len(residual))]


@numba.njit(error_model="numpy", cache=True, nogil=True)
def _follow(doms, tables, frame, a, b, t):
    """The better end of the direct way down and of the way through coarser resolutions."""
    llh, a0, b0, t0, steps = descend(doms, tables, frame, a, b, t, SIGMA, MAX_STEPS, TIGHT)
    for sigma in (COARSE, MEDIUM):
        _, a, b, t, n = descend(doms, tables, frame, a, b, t, sigma, MAX_STEPS, LOOSE)
        steps += n
    annealed, a, b, t, n = descend(doms, tables, frame, a, b, t, SIGMA, MAX_STEPS, TIGHT)
    if annealed < llh:
        return annealed, a, b, t, steps + n
    return llh, a0, b0, t0, steps + n


@numba.njit(error_model="numpy", cache=True, nogil=True)
def _fit_pixel(doms, tables, frame, base, child, seed, residual):
    """Best −ln L and vertex (a, b, t) of one direction; seed is (x, y, z, t) relative, or NaN."""
    a0 = b0 = 0.0
    has_seed = np.isfinite(seed).all()
    offsets = base
    if has_seed:
        offsets = child
        a0 = seed[0] * frame.e1x + seed[1] * frame.e1y + seed[2] * frame.e1z
        b0 = seed[0] * frame.e2x + seed[1] * frame.e2y
    best, vertex, total = np.inf, (0.0, 0.0, 0.0), 0
    for k in range(len(offsets)):
        a, b = a0 + offsets[k, 0], b0 + offsets[k, 1]
        if has_seed and k == 0:
            t = seed[3] - (seed[0] * frame.px + seed[1] * frame.py + seed[2] * frame.pz) / C_VACUUM
        else:
            t = _start_time(doms, frame, a, b, residual)
        llh, a, b, t, steps = _follow(doms, tables, frame, a, b, t)
        total += steps
        if llh < best:
            best, vertex = llh, (a, b, t)
    return best, vertex, total


@numba.njit(error_model="numpy", cache=True, nogil=True)
def fit_pixels(doms, tables, zenith, azimuth, base, child, seeds):
    """Fit every direction; rows of (llh, x, y, z, t, evaluations), relative to the centre and reference time."""
    result = np.empty((len(zenith), 6))
    residual = np.empty(len(doms.x))
    for i in range(len(zenith)):
        frame = frame_of(zenith[i], azimuth[i])
        llh, (a, b, t), steps = _fit_pixel(doms, tables, frame, base, child, seeds[i], residual)
        result[i, 0] = llh
        result[i, 1] = a * frame.e1x + b * frame.e2x
        result[i, 2] = a * frame.e1y + b * frame.e2y
        result[i, 3] = a * frame.e1z
        result[i, 4] = t
        result[i, 5] = steps
    return result
