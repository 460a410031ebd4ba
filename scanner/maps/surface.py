"""−2Δ ln L between the pixels of a sky map: a smooth surface through their centres, and cells that follow it.

The surface is made of cubic patches over a triangulation of the centres (Clough & Tocher 1965, as SciPy has
it) in Lambert's equal-area plane around the best fit. Cubic patches follow a parabola's bottom, where
straight lines between centres would make regions of some thirty pixels 4 % too small. Walls of hundreds
beside a flat bottom would make them swing, so that not 2Δ ln L itself is interpolated but
t ln(1 + 2Δ ln L / t), t being the largest threshold; and no value leaves its triangle's by more than half of
the lowest.

Cells are the map's pixels, divided where a threshold passes through them, so that the pixels' size does not
show in areas and outlines. The best fit's pixel stays whole and belongs to every region: nothing smaller was
looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from scanner.common.loading import LOADING
from scanner.maps import healpix
from scanner.maps.skymap import SkyMap

__all__ = ["Cells", "cells_of"]

CELLS_PER_REGION = 2000.0
"""The smallest region is as large as so many of the finest cells: its area is right to half a percent."""
DEEPEST = 6
"""Cells are at most so many orders finer than the finest pixels."""
MOST_CELLS = 50_000
"""Where noise makes every pixel an edge, cells stay coarser: real maps have 5000 to 10 000."""
FAR = 4.0
"""A pixel is left as it is when its 2Δ ln L is this often the largest threshold: halfway between a centre
with 0 and one with 3 t the surface is at t."""
FEWEST_POINTS = 12
_OUTERMOST = 1.9999  # in Lambert's plane the antipode is the circle of radius 2


@dataclass(frozen=True)
class Cells:
    """Disjoint cells that cover what the map covers, sorted along the sky; arrays of shape ``(n,)``."""

    order: np.ndarray  # int64
    nested: np.ndarray  # int64, NESTED index at that order
    delta: np.ndarray  # float64, 2Δ ln L at the cell's centre
    nside: np.ndarray  # int64, of the fit that the cell lies in


def cells_of(skymap: SkyMap, thresholds: Iterable[float], also: Iterable[float] = ()) -> Cells:
    """The cells of a map that follow the outlines at some thresholds on 2Δ ln L.

    Further thresholds only divide more cells: the surface is that of the first ones.
    """
    own = np.sort(np.fromiter(thresholds, float))
    limits = np.sort([*own, *also])
    surface = _Surface.through(skymap, float(own[-1]))
    settled = (skymap.delta <= 0) | (skymap.delta > FAR * limits[-1])
    parts = _Parts(skymap.order, skymap.nested, skymap.delta.copy(), skymap.nside, settled)
    if surface is not None:
        parts.smooth(surface)
        smallest = float(skymap.area[skymap.delta <= own[0]].sum())
        parts = parts.divided(surface, limits, _deepest(skymap, smallest))
    along = np.argsort(parts.nested << 2 * (healpix.MAX_ORDER - parts.order))
    return Cells(*(column[along] for column in (parts.order, parts.nested, parts.delta, parts.nside)))


def _deepest(skymap: SkyMap, smallest: float) -> int:
    """The order of the finest cells for a smallest region of so many square degrees."""
    wanted = np.log2(np.sqrt(healpix.FULL_SKY_DEG2 / 12 * CELLS_PER_REGION / smallest))
    return int(min(np.ceil(wanted), skymap.order.max() + DEEPEST, healpix.MAX_ORDER))


@dataclass
class _Parts:
    """Cells while they are divided, in any order."""

    order: np.ndarray
    nested: np.ndarray
    delta: np.ndarray
    nside: np.ndarray
    is_settled: np.ndarray  # never divided

    def smooth(self, surface: _Surface) -> None:
        """Give the surface's values to pieces of pixels, whose own values are those of a centre elsewhere."""
        pieces = (self.nside < 1 << self.order) & ~self.is_settled
        self.delta[pieces] = surface.at(self.order[pieces], self.nested[pieces], self.delta[pieces])

    def divided(self, surface: _Surface, limits: np.ndarray, deepest: int) -> _Parts:
        """The cells, those that a limit passes through divided down to an order."""
        done: list[_Parts] = []
        rest, count = self, 0
        while len(rest.order):
            fixed = rest.is_settled | (rest.order >= deepest)
            done.append(rest._chosen(fixed))
            rest = rest._chosen(~fixed)
            children = rest._children(surface)
            crossed = rest._crossed(children, limits)
            done.append(rest._chosen(~crossed))
            count += int(fixed.sum()) + len(done[-1].order)
            if count + 4 * int(crossed.sum()) > MOST_CELLS:
                done.append(rest._chosen(crossed))
                break
            rest = rest._chosen(crossed)._split(children[crossed])
        columns = ("order", "nested", "delta", "nside", "is_settled")
        return _Parts(*(np.concatenate([getattr(part, name) for part in done]) for name in columns))

    def _children(self, surface: _Surface) -> np.ndarray:
        """The surface at the centres of each cell's four children, shape ``(n, 4)``."""
        nested = (self.nested[:, None] * 4 + np.arange(4)).ravel()
        own = np.repeat(self.delta, 4)
        return surface.at(np.repeat(self.order + 1, 4), nested, own).reshape(-1, 4)

    def _crossed(self, children: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Whether a limit lies between what a cell's corners may have: they lie twice as far as children."""
        low = np.maximum(self.delta + 2 * (children.min(axis=1) - self.delta), 0.0)
        high = self.delta + 2 * (children.max(axis=1) - self.delta)
        low, high = np.minimum(low, self.delta), np.maximum(high, self.delta)
        return np.searchsorted(limits, low, side="left") < np.searchsorted(limits, high, side="left")

    def _chosen(self, which: np.ndarray) -> _Parts:
        return _Parts(self.order[which], self.nested[which], self.delta[which], self.nside[which],
                      self.is_settled[which])

    def _split(self, values: np.ndarray) -> _Parts:
        nested = (self.nested[:, None] * 4 + np.arange(4)).ravel()
        return _Parts(np.repeat(self.order + 1, 4), nested, values.ravel(), np.repeat(self.nside, 4),
                      np.repeat(self.is_settled, 4))


class _Surface:
    """The smooth surface through the centres of a map's fits."""

    def __init__(self, centre: np.ndarray, points: np.ndarray, delta: np.ndarray, scale: float) -> None:
        with LOADING:
            from scipy.interpolate import CloughTocher2DInterpolator  # takes a third of a second to load
            from scipy.spatial import Delaunay

        self._frame, self._scale = _frame(centre), scale
        self._mesh = Delaunay(_in_plane(self._frame, points))
        with threadpool_limits(1, "blas"):  # a matrix per triangle: with threads 20 times as long
            assert self._mesh.transform is not None, "is kept, and every look-up needs it"
        self._delta = delta
        self._patches = CloughTocher2DInterpolator(self._mesh, scale * np.log1p(delta / scale))

    @classmethod
    def through(cls, skymap: SkyMap, scale: float) -> _Surface | None:
        """The surface of a map; None where there are too few fits for one."""
        with LOADING:
            from scipy.spatial import QhullError

        order, nested, delta = _fits(skymap)
        if len(order) < FEWEST_POINTS:
            return None
        best = healpix.unit_vectors(skymap.best_fit.ra_deg, skymap.best_fit.dec_deg)
        try:
            return cls(best, _centres(order, nested), delta, scale)
        except QhullError:  # all fits on one line
            return None

    def at(self, order: np.ndarray, nested: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        """2Δ ln L at the centres of cells; what it is otherwise beyond the outermost fits."""
        if not len(order):
            return otherwise
        places = _in_plane(self._frame, _centres(order, nested))
        triangle = self._mesh.find_simplex(places)
        corners = self._delta[self._mesh.simplices[triangle]]
        smooth = self._scale * np.expm1(np.asarray(self._patches(places)) / self._scale)
        values = np.clip(smooth, 0.5 * corners.min(axis=1), corners.max(axis=1))
        return np.where((triangle >= 0) & np.isfinite(values), values, otherwise)


def _fits(skymap: SkyMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order, NESTED index and 2Δ ln L of the fits that show at their own pixel's centre."""
    order = np.log2(skymap.nside).astype(np.int64)
    pixel = skymap.nested >> 2 * (skymap.order - order)
    _, first = np.unique(healpix.to_uniq(order, pixel), return_index=True)
    order, pixel, delta, nside = order[first], pixel[first], skymap.delta[first], skymap.nside[first]
    ra, dec = _degrees(_centres(order, pixel))
    row = skymap.rows_at(ra, dec)
    shows = (row >= 0) & (skymap.nside[row] == nside)
    return order[shows], pixel[shows], delta[shows]


def _centres(order: np.ndarray, nested: np.ndarray) -> np.ndarray:
    """Unit vectors of the centres of pixels of mixed order, shape ``(n, 3)``."""
    found = np.empty((len(order), 3))
    for depth in np.unique(order):
        here = order == depth
        found[here] = healpix.vectors(healpix.nside_of(int(depth)), nested[here], nested=True)
    return found


def _degrees(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y, z = points.T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def _frame(centre: np.ndarray) -> np.ndarray:
    """Two axes across a direction and the direction itself, as rows."""
    first = np.cross(centre, np.eye(3)[int(np.argmin(np.abs(centre)))])
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(centre, first), centre])


def _in_plane(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Places in Lambert's azimuthal equal-area plane, shape ``(n, 2)``, in radians near the middle."""
    x, y, z = (points @ frame.T).T
    across = np.hypot(x, y)
    chord = np.minimum(np.sqrt(np.maximum(across**2 + (1 - z) ** 2, 0.0)), _OUTERMOST)
    stretch = chord / np.where(across > 0, across, 1.0)
    return np.stack([x * stretch, y * stretch], axis=1)
