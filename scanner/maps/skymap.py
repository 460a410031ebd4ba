"""The sky map that grows while a scan runs: at every place the finest fit there is.

Results of several nsides become pixels of mixed order that do not overlap. A coarse pixel that is
covered only in part by finer ones is divided until each piece is either covered or free, so a
half-finished level shows no holes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from scanner.maps import healpix
from scanner.maps.levels import best_pixel

__all__ = ["BestFit", "EmptyMapError", "SkyMap"]


class EmptyMapError(ValueError):
    """No pixel has a finite −ln L yet, so there is no map."""


@dataclass(frozen=True)
class BestFit:
    """The centre of the pixel with the smallest −ln L; degrees, ICRS."""

    ra_deg: float
    dec_deg: float
    llh: float
    nside: int
    pixel: int  # RING


@dataclass(frozen=True)
class SkyMap:
    """Pixels of mixed order, sorted along the sky (NESTED), none overlapping; arrays of shape ``(n,)``."""

    order: np.ndarray  # int64
    nested: np.ndarray  # int64, NESTED index at that order
    llh: np.ndarray  # float64, −ln L, finite
    nside: np.ndarray  # int64, of the fit; coarser than the order where a pixel had to be divided
    best_fit: BestFit

    @classmethod
    def from_results(cls, results: Mapping[int, np.ndarray]) -> SkyMap:
        """The map of tables of ``PIXEL_DTYPE`` by nside; EmptyMapError while no fit is finite."""
        best = best_pixel(results)
        if best is None:
            raise EmptyMapError("no pixel has a finite likelihood yet")
        ra, dec = healpix.centres(best.nside, best.pixel)
        columns = _finest(results)
        fit = BestFit(float(ra), float(dec), best.llh, best.nside, best.pixel)
        return cls(*columns, best_fit=fit)

    def __len__(self) -> int:
        return len(self.llh)

    @cached_property
    def digest(self) -> bytes:
        """What tells it from every other map."""
        arrays = (self.order, self.nested, self.llh, self.nside)
        return hashlib.blake2b(b"".join(array.tobytes() for array in arrays), digest_size=16).digest()

    @property
    def uniq(self) -> np.ndarray:
        """NUNIQ numbers of the pixels."""
        return healpix.to_uniq(self.order, self.nested)

    @cached_property
    def area(self) -> np.ndarray:
        """Area of each pixel in square degrees."""
        return healpix.FULL_SKY_DEG2 / (12.0 * 4.0**self.order)

    @cached_property
    def delta(self) -> np.ndarray:
        """2Δ ln L of each pixel to the best one of the map, which has 0.

        That one is the best fit too, unless finer pixels hide a coarse best fit and reach less.
        """
        return 2 * (self.llh - self.llh.min())

    @cached_property
    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Right ascension and declination of the pixels' centres in degrees."""
        ra, dec = np.empty(len(self)), np.empty(len(self))
        for order in np.unique(self.order):
            here = self.order == order
            nside = healpix.nside_of(int(order))
            ra[here], dec[here] = healpix.centres(nside, healpix.nest_to_ring(nside, self.nested[here]))
        return ra, dec

    def rows_at(self, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
        """Which pixel holds each direction (degrees); −1 where nothing has been scanned."""
        deep = healpix.nested_at(healpix.MAX_ORDER, ra, dec)
        start, end = self._ranges
        row = np.searchsorted(start, deep, side="right") - 1
        return np.where((row >= 0) & (deep < end[row]), row, -1)

    def delta_at(self, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
        """2Δ ln L at directions in degrees; NaN where nothing has been scanned."""
        row = self.rows_at(ra, dec)
        return np.where(row >= 0, self.delta[row], np.nan)

    def unscanned(self) -> tuple[np.ndarray, np.ndarray]:
        """Order and NESTED index of the largest pixels that cover the rest of the sky."""
        order, nested, _ = _free_pieces(0, np.arange(12), np.zeros(12), _Cover(*self._ranges))
        return order, nested

    @cached_property
    def _ranges(self) -> tuple[np.ndarray, np.ndarray]:
        return _range(self.order, self.nested)


def _range(order: np.ndarray | int, nested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and one past the last NESTED index of pixels at the deepest order."""
    shift = 2 * (healpix.MAX_ORDER - np.asarray(order, dtype=np.int64))
    return nested << shift, (nested + 1) << shift


class _Cover:
    """What finer levels have covered already, as disjoint ranges of the deepest order."""

    def __init__(self, start: np.ndarray, end: np.ndarray) -> None:
        by_start = np.argsort(start)
        self.start, self.end = start[by_start], end[by_start]
        self.before = np.concatenate([[0], np.cumsum(self.end - self.start)])

    def up_to(self, position: np.ndarray) -> np.ndarray:
        """How many indices below each position are covered."""
        if not len(self.start):
            return np.zeros(len(position), dtype=np.int64)
        count = np.searchsorted(self.start, position, side="left")
        beyond = np.maximum(self.end[count - 1] - position, 0)
        return self.before[count] - np.where(count > 0, beyond, 0)


def _finest(results: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Order, NESTED index, −ln L and nside of the finest fit at every place, sorted along the sky."""
    columns = [np.empty(0, dtype) for dtype in (np.int64, np.int64, float, np.int64)]
    for nside in sorted(results, reverse=True):
        table = results[nside][np.isfinite(results[nside]["llh"])]
        cover = _Cover(*_range(columns[0], columns[1]))
        nested = healpix.ring_to_nest(nside, table["index"])
        pieces = _free_pieces(healpix.order_of(nside), nested, table["llh"], cover)
        fitted = np.full(len(pieces[0]), nside, dtype=np.int64)
        columns = [np.concatenate(pair) for pair in zip(columns, (*pieces, fitted), strict=True)]
    along = np.argsort(_range(columns[0], columns[1])[0])
    order, nested, llh, nsides = (column[along] for column in columns)
    return order, nested, llh, nsides


def _free_pieces(order: int, nested: np.ndarray, llh: np.ndarray,
                 cover: _Cover) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order, NESTED index and −ln L of the parts of these pixels that finer ones leave free."""
    pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while len(nested) or not pieces:
        start, end = _range(order, nested)
        covered = cover.up_to(end) - cover.up_to(start)
        free, partly = covered == 0, (covered > 0) & (covered < end - start)
        pieces.append((np.full(free.sum(), order, dtype=np.int64), nested[free], llh[free]))
        nested = (nested[partly][:, None] * 4 + np.arange(4)).ravel()
        llh = np.repeat(llh[partly], 4)
        order += 1
    orders, indices, values = map(np.concatenate, zip(*pieces, strict=True))
    return orders, indices, values
