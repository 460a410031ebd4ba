"""Vectorised HEALPix helpers for whole arrays of pixels (Górski et al. 2005, ApJ 622, 759).

Pixels are RING indices unless a name says *nested*; directions are ICRS right ascension and
declination in degrees; pixel areas are in square degrees. Every function takes arrays of any
length and none of them touches the whole sky unless asked for it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "FULL_SKY_DEG2",
    "MAX_ORDER",
    "HealpixError",
    "centres",
    "children",
    "disc",
    "from_uniq",
    "neighbours",
    "nest_to_ring",
    "nested_at",
    "npix",
    "nside_of",
    "order_of",
    "parents",
    "pixel_area",
    "pixel_at",
    "ring_to_nest",
    "to_uniq",
    "unit_vectors",
    "vectors",
]

MAX_ORDER = 29  # the finest order whose indices fit a signed 64-bit integer
FULL_SKY_DEG2 = 4 * np.pi * np.degrees(1.0) ** 2
# No point of a pixel is further from its centre than this many square roots of its area. The ratio
# rises with nside to 1.0446.
_RADIUS_PER_ROOT_AREA = 1.05


class HealpixError(ValueError):
    """An nside or a pixel index that HEALPix does not have."""


def order_of(nside: int) -> int:
    """The order (log2) of an nside; HealpixError when nside is not a power of two up to 2^29."""
    if nside < 1 or nside & (nside - 1) or nside.bit_length() - 1 > MAX_ORDER:
        raise HealpixError(f"nside must be a power of two from 1 to 2^{MAX_ORDER}, not {nside}")
    return nside.bit_length() - 1


def nside_of(order: int) -> int:
    """The nside of an order."""
    return 1 << order


def npix(nside: int) -> int:
    """How many pixels cover the sky."""
    return 12 * nside * nside


def pixel_area(nside: int) -> float:
    """Area of one pixel in square degrees."""
    return FULL_SKY_DEG2 / npix(nside)


def _core() -> Any:
    """The compiled part of astropy-healpix, whose package brings half of astropy: workers do without."""
    from astropy_healpix import core

    return core


def _checked(nside: int, pixels: ArrayLike) -> np.ndarray:
    order_of(nside)
    array = np.asarray(pixels, dtype=np.int64)
    if array.size and (array.min() < 0 or array.max() >= npix(nside)):
        raise HealpixError(f"pixels of nside {nside} run from 0 to {npix(nside) - 1}")
    return array


def ring_to_nest(nside: int, pixels: ArrayLike) -> np.ndarray:
    """NESTED indices of RING pixels."""
    return np.asarray(_core().ring_to_nested(_checked(nside, pixels), nside), dtype=np.int64)


def nest_to_ring(nside: int, nested: ArrayLike) -> np.ndarray:
    """RING indices of NESTED pixels."""
    return np.asarray(_core().nested_to_ring(_checked(nside, nested), nside), dtype=np.int64)


def children(nside: int, pixels: ArrayLike, to_nside: int) -> np.ndarray:
    """All descendants at a finer nside, shape ``(n, (to_nside/nside)²)``; row i belongs to ``pixels[i]``."""
    shift = 2 * (order_of(to_nside) - order_of(nside))
    if shift < 0:
        raise HealpixError(f"children of nside {nside} have a finer nside, not {to_nside}")
    first = ring_to_nest(nside, np.atleast_1d(pixels)) << shift
    return nest_to_ring(to_nside, first[:, None] + np.arange(1 << shift))


def parents(nside: int, pixels: ArrayLike, to_nside: int) -> np.ndarray:
    """The pixel of a coarser nside that holds each pixel; same shape as ``pixels``."""
    shift = 2 * (order_of(nside) - order_of(to_nside))
    if shift < 0:
        raise HealpixError(f"parents of nside {nside} have a coarser nside, not {to_nside}")
    return nest_to_ring(to_nside, ring_to_nest(nside, pixels) >> shift)


def neighbours(nside: int, pixels: ArrayLike) -> np.ndarray:
    """The eight neighbours, shape ``(8, n)``; −1 where there are only seven."""
    with np.errstate(invalid="ignore"):  # its integer loop leaves a stray floating-point flag behind
        return np.asarray(_core().neighbours(_checked(nside, pixels), nside, order="ring"), dtype=np.int64)


def vectors(nside: int, pixels: ArrayLike, *, nested: bool = False) -> np.ndarray:
    """Unit vectors of pixel centres, shape ``(n, 3)``."""
    order = "nested" if nested else "ring"
    return np.stack(_core().healpix_to_xyz(_checked(nside, pixels), nside, order=order), axis=-1)


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
    """Unit vectors of directions in degrees, shape ``(…, 3)``."""
    lon, lat = np.radians(ra), np.radians(dec)
    level = np.cos(lat)
    return np.stack(np.broadcast_arrays(level * np.cos(lon), level * np.sin(lon), np.sin(lat)), axis=-1)


def centres(nside: int, pixels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension (0 ≤ ra < 360) and declination of pixel centres, degrees."""
    x, y, z = np.moveaxis(vectors(nside, pixels), -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def pixel_at(nside: int, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
    """The RING pixel that holds each direction."""
    return nest_to_ring(nside, nested_at(order_of(nside), ra, dec))


def nested_at(order: int, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
    """The NESTED pixel of an order that holds each direction."""
    x, y, z = np.moveaxis(unit_vectors(ra, dec), -1, 0)
    return np.asarray(_core().xyz_to_healpix(x, y, z, nside_of(order), order="nested"), dtype=np.int64)


def to_uniq(order: ArrayLike, nested: ArrayLike) -> np.ndarray:
    """NUNIQ numbers, 4·4^order + nested (IVOA MOC 2.0, section 4.3.1)."""
    return (np.int64(4) << (2 * np.asarray(order, dtype=np.int64))) + np.asarray(nested, dtype=np.int64)


def from_uniq(uniq: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Order and NESTED index of NUNIQ numbers."""
    array = np.asarray(uniq, dtype=np.int64)
    firsts = np.int64(4) << (2 * np.arange(MAX_ORDER + 1, dtype=np.int64))
    order = np.searchsorted(firsts, array, side="right") - 1
    if array.size and (order.min() < 0 or array.max() >= 4 * firsts[-1]):
        raise HealpixError(f"NUNIQ numbers start at 4 and end at order {MAX_ORDER}")
    return order, array - firsts[order]


def disc(nside: int, ra: float, dec: float, radius: float) -> np.ndarray:
    """Pixels whose centre is nearer than ``radius`` degrees, sorted RING indices.

    Works down from the twelve base pixels and keeps at each order only what can still reach the
    disc, so the cost goes with the answer and not with the sky.
    """
    target, axis = order_of(nside), unit_vectors(ra, dec)
    nested = np.arange(12, dtype=np.int64)
    for order in range(target):
        reach = radius + _RADIUS_PER_ROOT_AREA * math.sqrt(pixel_area(nside_of(order)))
        nested = nested[_within(vectors(nside_of(order), nested, nested=True), axis, reach)]
        nested = (nested[:, None] * 4 + np.arange(4)).ravel()
    nested = nested[_within(vectors(nside, nested, nested=True), axis, radius)]
    return np.sort(nest_to_ring(nside, nested))


def _within(points: np.ndarray, axis: np.ndarray, radius: float) -> np.ndarray:
    """Which unit vectors are nearer to ``axis`` than ``radius`` degrees."""
    if radius > 180:
        return np.ones(len(points), dtype=bool)
    # A chord keeps its digits at small angles, where a cosine loses them.
    return np.square(points - axis).sum(axis=1) < 4 * np.sin(np.radians(radius) / 2) ** 2
