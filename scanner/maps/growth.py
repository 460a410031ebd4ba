"""Going on where a progression ends: finer while the region is a few pixels, wider while it is cut.

A scan whose levels may grow looks, whenever all its pixels are in, at the regions of its map by the level
set of its reconstruction. The nside that it needs is the first of its levels, or of those that double its
last one, at which the 50 % region has FEWEST_PIXELS pixels. Fits inside the 90 % region that are coarser, and
those around them, are divided into the next finer level; where the region reaches the edge of what was fitted
at the needed nside, the pixels beyond are asked for too. When nothing is wanted any more, or too much would
be, the scan is over.

The rule looks at complete results alone, so that what it asks for does not depend on how they came.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scanner.maps import healpix
from scanner.maps.level_sets import default_levels
from scanner.maps.levels import Progression, estimate_pixels
from scanner.maps.posterior import Posterior
from scanner.maps.skymap import EmptyMapError, SkyMap

__all__ = ["FEWEST_PIXELS", "MOST_TIMES", "grown_pixels"]

FEWEST_PIXELS = 30
"""Of the 50 % region: with so many, interpolated areas are right to a percent or two."""
MOST_TIMES = 5
"""A scan has at most so many times the pixels that its levels are estimated to have."""


def grown_pixels(progression: Progression, results: Mapping[int, np.ndarray], known: Mapping[int, np.ndarray],
                 reco: str) -> dict[int, np.ndarray]:
    """The pixels to do next by nside, when all that is known is in; {}: the scan is over.

    ``results`` are tables of a reconstruction by nside, ``known`` the pixels that were ever asked for.
    """
    try:
        skymap = SkyMap.from_results(results)
    except EmptyMapError:
        return {}
    posterior = Posterior.of(skymap, default_levels(reco))
    needed = _needed(progression, posterior.area(0.5))
    wanted: dict[int, np.ndarray] = {}
    for nside, pixels in _region(posterior).items():
        finer = min(progression.after(nside), needed) if nside < needed else needed
        around = _around(nside, pixels)
        new = (healpix.children(nside, around, finer).ravel() if nside < finer
               else healpix.parents(nside, around, finer))
        wanted[finer] = np.union1d(wanted.get(finer, new[:0]), new)
    new_ones = {nside: np.setdiff1d(pixels, known.get(nside, pixels[:0])) for nside, pixels in wanted.items()}
    return _nearest(skymap, new_ones, _left(progression, known))


def _needed(progression: Progression, area: float) -> int:
    """The first nside of the ladder at which a region of so many square degrees has enough pixels."""
    enough = (nside for nside in progression.ladder if area >= FEWEST_PIXELS * healpix.pixel_area(nside))
    return next(enough, progression.ladder[-1])


def _region(posterior: Posterior) -> dict[int, np.ndarray]:
    """The fits that the 90 % region lies in: RING pixels by nside."""
    inside, cells = posterior.inside(0.9), posterior.cells
    order = np.log2(cells.nside[inside]).astype(np.int64)
    nested = cells.nested[inside] >> 2 * (cells.order[inside] - order)
    return {healpix.nside_of(int(one)): healpix.nest_to_ring(healpix.nside_of(int(one)),
                                                             np.unique(nested[order == one]))
            for one in np.unique(order)}


def _around(nside: int, pixels: np.ndarray) -> np.ndarray:
    """Pixels and those that touch them."""
    near = healpix.neighbours(nside, pixels).ravel()
    return np.union1d(pixels, near[near >= 0])


def _left(progression: Progression, known: Mapping[int, np.ndarray]) -> int:
    """How many pixels the scan may still have."""
    return MOST_TIMES * sum(estimate_pixels(progression).values()) - sum(map(len, known.values()))


def _nearest(skymap: SkyMap, wanted: Mapping[int, np.ndarray], most: int) -> dict[int, np.ndarray]:
    """Of all pixels as many as may be, those nearest to the best fit."""
    axis = healpix.unit_vectors(skymap.best_fit.ra_deg, skymap.best_fit.dec_deg)
    sides = np.repeat(list(wanted), [len(some) for some in wanted.values()])
    pixels = np.concatenate([*wanted.values()])
    away = np.concatenate([1 - healpix.vectors(nside, some) @ axis for nside, some in wanted.items()])
    chosen = np.lexsort((pixels, sides, away))[:max(most, 0)]
    return {nside: np.sort(pixels[chosen[sides[chosen] == nside]]) for nside in wanted
            if (sides[chosen] == nside).any()}
