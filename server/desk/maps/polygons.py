"""Polygons on the sky as maps: the same probability everywhere inside, none outside.

Sides are great circles. A place is inside when the polygon winds around it: the turns from corner to corner,
as seen from there, add up to a whole one. Polygons fit into 80° around the middle of their corners, for
beyond a hemisphere that would no longer tell inside from outside.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scanner.maps import healpix
from server.desk.maps.tiles import MOST_TILES, SkymapError, Tiles

__all__ = ["MOST_CORNERS", "of_polygon"]

MOST_CORNERS = 1000
_WIDEST = 80.0  # degrees from the middle
_NARROWEST = 1e-4
_ACROSS = 32  # of the coarsest tiles, over the radius
_FINER = 4  # orders, along the sides
_AT_ONCE = 2_000_000  # turns


def of_polygon(corners: Any) -> Tiles:
    """The map of a list of corners, each right ascension and declination in degrees. Raises SkymapError.

    Tiles along the sides are a five-hundredth of the polygon's radius wide, or less.
    """
    points = _points(corners)
    middle, radius = _around(points)
    order = math.ceil(math.log2(math.sqrt(healpix.FULL_SKY_DEG2 / 12) / (radius / _ACROSS)))
    order = min(max(order, 0), healpix.MAX_ORDER - _FINER)
    ra, dec = np.degrees([np.arctan2(middle[1], middle[0]), np.arcsin(middle[2])])
    reach = min(radius + 2 * healpix.pixel_area(healpix.nside_of(order)) ** 0.5, 90.0)
    nside = healpix.nside_of(order)
    nested = np.sort(healpix.ring_to_nest(nside, healpix.disc(nside, float(ra) % 360, float(dec), reach)))
    found = []
    for depth in range(order, order + _FINER + 1):
        near = _near_sides(points, depth, nested) & (depth < order + _FINER)
        whole = nested[~near]
        found.append(healpix.to_uniq(depth, whole[_inside(points, depth, whole)]))
        nested = (nested[near][:, None] * 4 + np.arange(4)).ravel()
        if len(nested) > MOST_TILES:
            raise SkymapError("skymap.polygon: its sides are too long for its area")
    if not any(map(len, found[:-1])):
        raise SkymapError("skymap.polygon: it holds no area, or is a thousand times longer than wide")
    uniq = np.concatenate(found)
    return Tiles.checked(uniq, np.ones(len(uniq)))


def _points(corners: Any) -> np.ndarray:
    """Unit vectors of the corners, one that is repeated once."""
    if not isinstance(corners, list) or not all(_is_place(corner) for corner in corners):
        raise SkymapError("skymap.polygon: must be a list of corners [ra, dec] in degrees, "
                          "ra in [0, 360], dec in [-90, 90]")
    if not 3 <= len(corners) <= MOST_CORNERS:
        raise SkymapError(f"skymap.polygon: must have 3 to {MOST_CORNERS} corners, not {len(corners)}")
    points = np.asarray(healpix.unit_vectors(*np.array(corners, dtype=float).T))
    differ = np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1) > np.radians(_NARROWEST) / 100
    if differ.sum() < 3:
        raise SkymapError("skymap.polygon: it must have three different corners")
    return points[differ]


def _is_place(corner: Any) -> bool:
    return isinstance(corner, list) and len(corner) == 2 and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in corner
    ) and 0 <= corner[0] <= 360 and -90 <= corner[1] <= 90


def _around(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The middle of the corners, and how far (degrees) the furthest is from it."""
    middle = points.mean(axis=0)
    length = float(np.linalg.norm(middle))
    far = 180.0
    if length > 1e-9:
        middle = middle / length
        far = float(np.degrees(np.arccos(np.clip(points @ middle, -1, 1).min())))
    if not _NARROWEST <= far <= _WIDEST:
        raise SkymapError(f"skymap.polygon: must reach from {_NARROWEST}° to {_WIDEST:g}° around its middle")
    return middle, far


def _near_sides(points: np.ndarray, order: int, nested: np.ndarray) -> np.ndarray:
    """Which pixels a side may pass through; bool."""
    nside = healpix.nside_of(order)
    centres = healpix.vectors(nside, nested, nested=True)
    reach = np.radians(1.5 * healpix.pixel_area(nside) ** 0.5)  # of its centre is a whole pixel
    found = np.zeros(len(nested), dtype=bool)
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        found |= _distance(centres, start, end) <= reach
    return found


def _distance(places: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """From places to a side, radians: to the great circle where it passes between the ends, else to these."""
    normal = np.cross(start, end)
    normal /= np.linalg.norm(normal)
    beside = (places @ np.cross(normal, start) >= 0) & (places @ np.cross(end, normal) >= 0)
    across = np.arcsin(np.clip(np.abs(places @ normal), 0, 1))
    ends = np.minimum(np.linalg.norm(places - start, axis=1), np.linalg.norm(places - end, axis=1))
    return np.where(beside, across, 2 * np.arcsin(np.clip(ends / 2, 0, 1)))


def _inside(points: np.ndarray, order: int, nested: np.ndarray) -> np.ndarray:
    """Which pixels' centres the polygon winds around; bool."""
    centres = healpix.vectors(healpix.nside_of(order), nested, nested=True)
    size = max(_AT_ONCE // len(points), 1)
    parts = [_turns(centres[at:at + size], points) for at in range(0, len(centres), size)]
    return np.abs(np.concatenate(parts)) > np.pi if parts else np.zeros(0, dtype=bool)


def _turns(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The angles (radians) from the direction of one corner to that of the next, seen from places, added."""
    following = np.roll(points, -1, axis=0)
    aside = places @ np.cross(points, following).T
    along = (points * following).sum(axis=1) - (places @ points.T) * (places @ following.T)
    return np.arctan2(aside, along).sum(axis=1)
