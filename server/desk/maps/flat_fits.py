"""Flat FITS sky maps: a value for each pixel of one nside, for all of the sky or a list of pixels.

They are read twice, block after block: once to learn how much lies where, once for the pixels. When more
of them hold probability than a map may have tiles, the densest parts of the sky keep their pixels, and each
other part of 0.05 square degrees becomes one tile of its mean density.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from scanner.maps import healpix
from server.desk.common.fits_streams import TableStream
from server.desk.maps.tiles import SkymapError, Tiles

__all__ = ["MOST_NSIDE", "MOST_PIXELS", "FlatTable", "is_missing", "of_flat", "seen_probability"]

MOST_NSIDE = 8192
MOST_PIXELS = 2_000_000  # that stay pixels
_UNSEEN = -1.6375e30  # HEALPix's mark of a pixel without a value
_PART_ORDER = 8
_VALUES = ("PROB", "PROBABILITY", "PROBDENSITY", "PROBABILITY DENSITY")  # pixels are equally large
_PIXELS = ("PIXEL", "PIX", "IPIX")


def of_flat(table: TableStream) -> Tiles:
    """The map of a table. Raises SkymapError, FitsError."""
    flat = FlatTable.of(table, _VALUES, seen_probability)
    sums, most, count = flat.parts()
    kept = _kept(most, count)
    nested, values = flat.pixels(kept)
    coarse = np.flatnonzero((sums > 0) & ~kept)
    return Tiles.checked(
        np.concatenate([healpix.to_uniq(flat.order, nested), healpix.to_uniq(flat.part_order, coarse)]),
        np.concatenate([values, sums[coarse] / 4.0 ** (flat.order - flat.part_order)]))


def _kept(most: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The parts whose pixels stay: those with the greatest values, as many as there is room for."""
    if count.sum() <= MOST_PIXELS:
        return np.ones(len(count), dtype=bool)
    ranked = np.argsort(-most, kind="stable")
    kept = np.zeros(len(count), dtype=bool)
    kept[ranked[np.cumsum(count[ranked]) <= MOST_PIXELS]] = True
    return kept


@dataclass(frozen=True)
class FlatTable:
    """A flat map's table: which columns hold what, and how its pixels are numbered."""

    table: TableStream
    order: int
    value: str  # names of columns
    pixel: str | None
    is_nested: bool
    seen: Callable[[np.ndarray], np.ndarray]  # which values are of the map; raises SkymapError

    @classmethod
    def of(cls, table: TableStream, values: Iterable[str],
           seen: Callable[[np.ndarray], np.ndarray]) -> FlatTable:
        """The map in the first of these columns. Raises SkymapError."""
        names = table.kind.names or ()
        value = next((name for name in values if name in names), None)
        if value is None or table.kind[value].base.kind != "f":
            raise SkymapError("skymap: the FITS table has no column PROB, PROBABILITY or 2DLLH of "
                               "real numbers")
        pixel = next((name for name in _PIXELS if name in names), None)
        explicit = str(table.header.get("INDXSCHM", "")).strip().upper() == "EXPLICIT"
        if explicit and pixel is None:
            raise SkymapError("skymap: INDXSCHM is EXPLICIT, but the FITS table has no column PIXEL")
        if pixel is not None and (table.kind[pixel].base.kind != "i"
                                  or table.kind[pixel].shape != table.kind[value].shape):
            raise SkymapError(f"skymap: {pixel} must be a column of integers, one for each {value}")
        nside = _stated(table) if pixel else _counted(table.rows * math.prod(table.kind[value].shape))
        if nside > MOST_NSIDE:
            raise SkymapError(f"skymap: flat maps are read up to nside {MOST_NSIDE}, not {nside}")
        return cls(table, _order(nside), value, pixel, _nested(table), seen)

    @property
    def part_order(self) -> int:
        return min(self.order, _PART_ORDER)

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sum, greatest value and count of the pixels of each part of the sky."""
        size = 12 * 4**self.part_order
        sums, most, count = np.zeros(size), np.zeros(size), np.zeros(size, dtype=np.int64)
        for nested, values in self.blocks():
            part = nested >> 2 * (self.order - self.part_order)
            sums += np.bincount(part, values, size)
            count += np.bincount(part, minlength=size)
            np.maximum.at(most, part, values)
        return sums, most, count

    def pixels(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """NESTED numbers and values of the pixels in some parts."""
        numbers, found = [np.empty(0, np.int64)], [np.empty(0)]
        for nested, values in self.blocks():
            here = kept[nested >> 2 * (self.order - self.part_order)]
            numbers.append(nested[here])
            found.append(values[here])
        return np.concatenate(numbers), np.concatenate(found)

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """NESTED numbers and values of the pixels that hold something."""
        first = 0
        for rows in self.table.blocks():
            values = rows[self.value].ravel().astype(np.float64)
            some = np.flatnonzero(self.seen(values))
            if len(some):
                pixels = rows[self.pixel].ravel()[some].astype(np.int64) if self.pixel else some + first
                yield self._numbers(pixels), values[some]
            first += len(values)

    def _numbers(self, pixels: np.ndarray) -> np.ndarray:
        nside = healpix.nside_of(self.order)
        if pixels.min() < 0 or pixels.max() >= healpix.npix(nside):
            raise SkymapError(f"skymap: {self.pixel}: pixels of nside {nside} run from 0 to "
                              f"{healpix.npix(nside) - 1}")
        return pixels if self.is_nested else healpix.ring_to_nest(nside, pixels)


def is_missing(values: np.ndarray) -> np.ndarray:
    """Which pixels have no value."""
    return np.asarray(np.isnan(values) | np.isclose(values, _UNSEEN, rtol=1e-5, atol=0))


def seen_probability(values: np.ndarray) -> np.ndarray:
    """Which pixels hold probability; those without a value are not a part of the map."""
    with np.errstate(invalid="ignore"):
        missing = is_missing(values)
        if ((values < 0) & ~missing).any() or np.isinf(values).any():
            raise SkymapError("skymap: probabilities must be finite and not negative")
        return (values > 0) & ~missing


def _stated(table: TableStream) -> int:
    nside = table.header.get("NSIDE")
    if isinstance(nside, bool) or not isinstance(nside, int) or nside < 1:
        raise SkymapError(f"skymap: a partial map must say its NSIDE, not {str(nside)[:40]!r}")
    return nside


def _counted(pixels: int) -> int:
    nside = math.isqrt(pixels // 12)
    if not nside or 12 * nside * nside != pixels:
        raise SkymapError(f"skymap: a flat map has 12 nside² pixels, not {pixels}")
    return nside


def _order(nside: int) -> int:
    try:
        return healpix.order_of(nside)
    except healpix.HealpixError as error:
        raise SkymapError(f"skymap: {error}") from None


def _nested(table: TableStream) -> bool:
    ordering = str(table.header.get("ORDERING", "RING")).strip().upper()
    if not ordering.startswith(("NEST", "RING")):
        raise SkymapError(f"skymap: ORDERING must be RING or NESTED, not {ordering[:40]!r}")
    return ordering.startswith("NEST")
