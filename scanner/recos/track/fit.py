"""From directions and seeds to vertices: the loop over pixels of the track fit."""

from __future__ import annotations

import math

import numpy as np

from config.ice import C_VACUUM
from scanner.common.compiled import kernel
from scanner.recos.track.likelihood import Doms
from scanner.recos.track.minimise import End, Hits, descend
from scanner.recos.track.paths import Frame
from scanner.recos.track.search import COARSE, TIGHT, follow, survey
from scanner.recos.track.values import Tables

__all__ = ["fit_pixels", "frame_of"]


def frame_of(zenith: float, azimuth: float) -> Frame:
    """The flight direction of a particle that comes from (zenith, azimuth), and the axes across it."""
    sin_zenith = max(math.sin(zenith), 1e-9)
    cosine, sine, pz = math.cos(azimuth), math.sin(azimuth), -math.cos(zenith)
    px, py = -sin_zenith * cosine, -sin_zenith * sine
    return Frame(px, py, pz, -cosine * pz, -sine * pz, -sin_zenith, sine, -cosine)


_frame = kernel(frame_of)


@kernel
def _better(first: End, second: End) -> End:
    """The deeper end, with the evaluations of both."""
    count = first.evaluations + second.evaluations
    best = second if second.llh < first.llh else first
    return End(best.llh, best.a, best.b, best.t, count)


@kernel
def _refit(doms: Hits, coarse: Doms, tables: Tables, frame: Frame, seed: np.ndarray,
           widths: np.ndarray) -> End:
    """The better end of two ways from a parent's vertex: straight down, and through coarser resolutions."""
    a = seed[0] * frame.e1x + seed[1] * frame.e1y + seed[2] * frame.e1z
    b = seed[0] * frame.e2x + seed[1] * frame.e2y
    t = seed[3] - (seed[0] * frame.px + seed[1] * frame.py + seed[2] * frame.pz) / C_VACUUM
    straight = descend(doms, tables, frame, a, b, t, widths[-1], TIGHT)
    start = np.empty((1, 4))
    start[0, 0], start[0, 1], start[0, 2], start[0, 3] = 0.0, a, b, t + COARSE - widths[-1]
    return _better(straight, follow(doms, coarse, tables, frame, start, widths))


@kernel
def fit_pixels(doms: Hits, full: Doms, coarse: Doms, tables: Tables, zenith: np.ndarray, azimuth: np.ndarray,
               seeds: np.ndarray, grid: np.ndarray, valleys: int, widths: np.ndarray,
               result: np.ndarray) -> None:
    """Fit every direction on its own.

    Parameters
    ----------
    doms : Doms or FirstPhotons
        All modules, in the form of the likelihood that is wanted.
    full, coarse : Doms
        All modules and a sample of them, by which valleys are found.
    zenith, azimuth : ndarray, shape (n,)
    seeds : ndarray, shape (n, 4)
        Parents' vertices x, y, z, t relative to the event's centre and time; NaN for a first-level pixel.
    grid : ndarray, shape (m, 2)
        Vertex offsets that a first-level pixel looks at.
    valleys : int
        How many of them it follows.
    widths : ndarray, shape (k,)
        Time resolutions (ns) of the descents with all modules, the likelihood's own last.
    result : ndarray, shape (n, 6)
        To be filled in: −ln L, vertex x, y, z, t (relative as the seeds), evaluations of the likelihood.
    """
    for i in range(len(zenith)):
        frame = _frame(zenith[i], azimuth[i])
        if not np.isnan(seeds[i, 0]):
            end = _refit(doms, full, tables, frame, seeds[i], widths)
        else:
            starts = survey(coarse, tables, frame, grid, valleys)
            end = follow(doms, coarse, tables, frame, starts, widths)
        result[i, 0] = end.llh
        result[i, 1] = end.a * frame.e1x + end.b * frame.e2x
        result[i, 2] = end.a * frame.e1y + end.b * frame.e2y
        result[i, 3], result[i, 4], result[i, 5] = end.a * frame.e1z, end.t, float(end.evaluations)
