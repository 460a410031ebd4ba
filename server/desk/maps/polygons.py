"""Sky maps of polygons: every place inside is as probable as any other.

A polygon is a list of its corners or text as STC-S has it (IVOA note 1.33: ``POLYGON ICRS ra dec ra dec …``);
its sides are great circles, and where they cross each other, places that are inside twice are outside.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from scanner.maps import healpix
from server.desk.maps.tiles import SkymapError, Tiles

__all__ = ["of_polygon", "read_polygon"]

MOST_CORNERS = 1000
_WIDEST = 80.0  # degrees from the middle to a corner: beyond, great circles are no straight lines any more
_ENOUGH = 4000  # pixels inside: then the area is right to about a percent
_MOST_PIXELS = 2_000_000
_FINEST = 24
_FRAMES = ("ICRS", "FK5", "J2000", "UNKNOWNFRAME")
_STC = re.compile(r"\s*POLYGON\b(.*)", re.IGNORECASE | re.DOTALL)
_IGNORED = ("FILLFACTOR", "BARYCENTER", "GEOCENTER", "TOPOCENTER", "UNKNOWNREFPOS", "SPHERICAL2")


def read_polygon(given: Any) -> np.ndarray:
    """The corners, right ascension and declination in degrees, shape ``(n, 2)``. Raises SkymapError."""
    corners = _of_text(given) if isinstance(given, str) else given
    if not isinstance(corners, list) or not all(
            isinstance(one, list) and len(one) == 2 and all(map(_is_number, one)) for one in corners):
        raise SkymapError("skymap.polygon: must be a list of corners [ra, dec] in degrees, or text: "
                          "POLYGON ICRS ra dec ra dec …")
    if not 3 <= len(corners) <= MOST_CORNERS:
        raise SkymapError(f"skymap.polygon: has 3 to {MOST_CORNERS} corners, not {len(corners)}")
    places = np.array(corners, dtype=float)
    if not (np.isfinite(places).all() and (places[:, 0] >= 0).all() and (places[:, 0] <= 360).all()
            and (np.abs(places[:, 1]) <= 90).all()):
        raise SkymapError("skymap.polygon: ra must be in [0, 360], dec in [-90, 90] degrees")
    return places


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6


def _of_text(text: str) -> list[list[float]]:
    found = _STC.fullmatch(text[:100_000])
    if not found:
        raise SkymapError("skymap.polygon: text must begin with POLYGON")
    words = [word.upper() for word in found[1].replace(",", " ").split()]
    while words and words[0] in (*_FRAMES, *_IGNORED):
        words.pop(0)
    numbers = [_number(word) for word in words]
    if len(numbers) % 2:
        raise SkymapError("skymap.polygon: the last corner has no declination")
    return [list(pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise SkymapError(f"skymap.polygon: {word[:40]!r} is no number; the frame must be one of "
                          f"{', '.join(_FRAMES)}") from None


def of_polygon(corners: np.ndarray) -> Tiles:
    """The flat map inside a polygon; corners in degrees, shape ``(n, 2)``. Raises SkymapError."""
    points = healpix.unit_vectors(corners[:, 0], corners[:, 1])
    middle = points.mean(axis=0)
    size = float(np.linalg.norm(middle))
    axis = middle / size if size > 1e-6 else middle
    reach = float(np.degrees(np.arccos(np.clip((points @ axis).min(), -1, 1)))) if size > 1e-6 else 180.0
    if reach > _WIDEST:
        raise SkymapError(f"skymap.polygon: its corners must be within {_WIDEST:g} degrees of its middle")
    ra, dec = math.degrees(math.atan2(axis[1], axis[0])) % 360, math.degrees(math.asin(axis[2]))
    flat = _projected(points, axis)
    order = _order_of(reach)
    while True:
        nside = healpix.nside_of(order)
        nested = np.sort(healpix.ring_to_nest(nside, healpix.disc(nside, ra, dec, reach + 0.1 / nside)))
        chosen = nested[_inside(_projected(healpix.vectors(nside, nested, nested=True), axis), flat)]
        if len(chosen) >= _ENOUGH:
            return Tiles.checked(healpix.to_uniq(order, chosen), np.ones(len(chosen)))
        if order >= _FINEST or 4 * len(nested) > _MOST_PIXELS:
            break
        order += 1
    if not len(chosen):
        raise SkymapError("skymap.polygon: it is so narrow that no pixel lies inside")
    return Tiles.checked(healpix.to_uniq(order, chosen), np.ones(len(chosen)))


def _order_of(reach: float) -> int:
    """An order at which the surrounding circle has some thousand pixels."""
    area = max(2 * math.pi * (1 - math.cos(math.radians(reach))), 1e-14)
    return min(max(math.ceil(math.log2(math.sqrt(2 * _ENOUGH * 4 * math.pi / 12 / area))), 3), _FINEST)


def _projected(points: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Places in the plane that touches the sphere at `axis`, where great circles are straight."""
    other = np.eye(3)[int(np.argmin(np.abs(axis)))]
    east = np.cross(other, axis)
    east /= np.linalg.norm(east)
    north = np.cross(axis, east)
    depth = np.maximum(points @ axis, 1e-3)
    return np.column_stack([points @ east / depth, points @ north / depth])


def _inside(places: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Which places lie inside: a line from them to the side crosses an odd number of sides."""
    found = np.zeros(len(places), dtype=bool)
    x, y = places.T
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        found ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return found
