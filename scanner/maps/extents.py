"""How far a region reaches from the best fit, as circulars write it: RA 77.43 (+1.14/−1.31).

Right ascensions are differences of the coordinate itself, not of angles on the sky. They are those of the
outlines that files and pages draw, over all islands of the region.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanner.maps import healpix
from scanner.maps.posterior import Posterior
from scanner.maps.regions import contours
from scanner.maps.skymap import BestFit

__all__ = ["Extent", "extent"]


@dataclass(frozen=True)
class Extent:
    """Degrees from the best fit to the edges of a region; right ascension: None where a pole lies inside."""

    ra_plus: float | None
    ra_minus: float | None
    dec_plus: float
    dec_minus: float


def extent(posterior: Posterior, level: float, best: BestFit) -> Extent:
    """The extent of a credible region."""
    ra, dec = np.concatenate([np.empty((0, 2)), *contours(posterior, level)]).T
    inside = posterior.inside(level)
    poles = [sign * 90.0 for sign in (1, -1) if _has_pole(posterior, inside, sign)]
    dec_away = np.concatenate([dec, poles, [best.dec_deg]]) - best.dec_deg
    plus, minus = float(dec_away.max()), float(-dec_away.min())
    if poles or not len(ra):
        return Extent(None, None, plus, minus)
    ra_away = np.append((ra - best.ra_deg + 180.0) % 360.0 - 180.0, 0.0)
    return Extent(float(ra_away.max()), float(-ra_away.min()), plus, minus)


def _has_pole(posterior: Posterior, inside: np.ndarray, sign: int) -> bool:
    """Whether all four pixels that meet at a pole are in a region."""
    around = np.array([45.0, 135.0, 225.0, 315.0])
    deep = healpix.nested_at(healpix.MAX_ORDER, around, np.full(4, sign * (90.0 - 1e-7)))
    order, nested = posterior.cells.order[inside], posterior.cells.nested[inside]
    shift = 2 * (healpix.MAX_ORDER - order)
    return all(((int(one) >> shift) == nested).any() for one in deep)
