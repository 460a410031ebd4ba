"""Flat FITS sky maps: a value for each pixel of one nside, for all of the sky or a list of pixels.

Values are probabilities, or 2Δ ln L (`likelihoods`). They are read twice, block after block: once to learn
how much lies where, once for the pixels. When more of them hold something than a map may have tiles, the
densest parts of the sky keep their pixels, and each other part of 0.05 square degrees becomes one tile of its
mean density.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scanner.maps import healpix
from server.desk.common.fits_streams import TableStream
from server.desk.maps import likelihoods
from server.desk.maps.tiles import SkymapError, Tiles

__all__ = ["MOST_NSIDE", "MOST_PIXELS", "of_flat"]

MOST_NSIDE = 8192
MOST_PIXELS = 2_000_000  # that stay pixels
_UNSEEN = -1.6375e30  # HEALPix's mark of a pixel without a value
_PART_ORDER = 8
_PROBABILITIES = ("PROB", "PROBABILITY", "PROBDENSITY", "PROBABILITY DENSITY")  # pixels are equally large
_VALUES = (*_PROBABILITIES, *likelihoods.COLUMNS)
_PIXELS = ("PIXEL", "PIX", "IPIX")


def of_flat(table: TableStream) -> Tiles:
    """The map of a table. Raises SkymapError, FitsError."""
    flat = _Flat.of(table)
    return _of_likelihoods(flat) if flat.is_likelihood else _of_probabilities(flat)


def _of_probabilities(flat: _Flat) -> Tiles:
    sums, most, count = flat.parts()
    kept = _kept(-most, count)
    nested, values = flat.pixels(kept)
    coarse = np.flatnonzero((sums > 0) & ~kept)
    return Tiles.checked(
        np.concatenate([healpix.to_uniq(flat.order, nested), healpix.to_uniq(flat.part_order, coarse)]),
        np.concatenate([values, sums[coarse] / 4.0 ** (flat.order - flat.part_order)]))


def _of_likelihoods(flat: _Flat) -> Tiles:
    """Parts of the sky whose pixels do not stay take the 2Δ ln L of their mean likelihood."""
    levels = likelihoods.levels_of(flat.table.header)
    least, count = flat.least()
    kept = _kept(least, count)
    nested, values = flat.pixels(kept)
    means = flat.mean_likelihoods(~kept, float(least.min()))
    order, nested, values = likelihoods.siblings_merged(flat.order, nested, values)
    coarse = np.flatnonzero(np.isfinite(means))
    return likelihoods.posterior_tiles(
        np.concatenate([order, np.full(len(coarse), flat.part_order)]), np.concatenate([nested, coarse]),
        np.concatenate([values, means[coarse]]), levels)


def _kept(rank: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The parts whose pixels stay: those of the lowest rank, as many as there is room for."""
    if count.sum() <= MOST_PIXELS:
        return np.ones(len(count), dtype=bool)
    ranked = np.argsort(rank, kind="stable")
    kept = np.zeros(len(count), dtype=bool)
    kept[ranked[np.cumsum(count[ranked]) <= MOST_PIXELS]] = True
    return kept


@dataclass(frozen=True)
class _Flat:
    table: TableStream
    order: int
    value: str  # names of columns
    pixel: str | None
    is_nested: bool

    @classmethod
    def of(cls, table: TableStream) -> _Flat:
        names = table.kind.names or ()
        value = next((name for name in _VALUES if name in names), None)
        if value is None or table.kind[value].base.kind != "f":
            raise SkymapError("skymap: the FITS table has no column PROB, PROBABILITY or 2DLLH of real "
                              "numbers")
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
        return cls(table, _order(nside), value, pixel, _nested(table))

    @property
    def is_likelihood(self) -> bool:
        return self.value in likelihoods.COLUMNS

    @property
    def part_order(self) -> int:
        return min(self.order, _PART_ORDER)

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sum, greatest value and count of the pixels of each part of the sky."""
        size = 12 * 4**self.part_order
        sums, most, count = np.zeros(size), np.zeros(size), np.zeros(size, dtype=np.int64)
        for nested, values in self._blocks():
            part = nested >> 2 * (self.order - self.part_order)
            sums += np.bincount(part, values, size)
            count += np.bincount(part, minlength=size)
            np.maximum.at(most, part, values)
        return sums, most, count

    def least(self) -> tuple[np.ndarray, np.ndarray]:
        """Least value and count of the pixels of each part of the sky."""
        size = 12 * 4**self.part_order
        least, count = np.full(size, np.inf), np.zeros(size, dtype=np.int64)
        for nested, values in self._blocks():
            part = nested >> 2 * (self.order - self.part_order)
            count += np.bincount(part, minlength=size)
            np.minimum.at(least, part, values)
        return least, count

    def mean_likelihoods(self, chosen: np.ndarray, best: float) -> np.ndarray:
        """−2 ln of the mean likelihood of some parts; pixels without a value have none. inf elsewhere."""
        sums = np.zeros(len(chosen))
        if chosen.any():
            for nested, values in self._blocks():
                part = nested >> 2 * (self.order - self.part_order)
                sums += np.bincount(part, np.exp((best - values) / 2), len(chosen))
        with np.errstate(divide="ignore"):
            means = best - 2 * np.log(sums / 4.0 ** (self.order - self.part_order))
        return np.where(chosen, means, np.inf)

    def pixels(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """NESTED numbers and values of the pixels in some parts."""
        numbers, found = [np.empty(0, np.int64)], [np.empty(0)]
        for nested, values in self._blocks():
            here = kept[nested >> 2 * (self.order - self.part_order)]
            numbers.append(nested[here])
            found.append(values[here])
        return np.concatenate(numbers), np.concatenate(found)

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """NESTED numbers and values of the pixels that hold something."""
        first, seen = 0, likelihoods.seen if self.is_likelihood else _seen
        for rows in self.table.blocks():
            values = rows[self.value].ravel().astype(np.float64)
            some = np.flatnonzero(seen(values))
            if len(some):
                pixels = rows[self.pixel].ravel()[some].astype(np.int64) if self.pixel else some + first
                yield self._numbers(pixels), values[some] * likelihoods.COLUMNS.get(self.value, 1.0)
            first += len(values)

    def _numbers(self, pixels: np.ndarray) -> np.ndarray:
        nside = healpix.nside_of(self.order)
        if pixels.min() < 0 or pixels.max() >= healpix.npix(nside):
            raise SkymapError(f"skymap: {self.pixel}: pixels of nside {nside} run from 0 to "
                              f"{healpix.npix(nside) - 1}")
        return pixels if self.is_nested else healpix.ring_to_nest(nside, pixels)


def _seen(values: np.ndarray) -> np.ndarray:
    """Which pixels hold probability; those without a value are not a part of the map."""
    with np.errstate(invalid="ignore"):
        missing = np.isnan(values) | np.isclose(values, _UNSEEN, rtol=1e-5, atol=0)
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
