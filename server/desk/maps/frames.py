"""Sky maps in other coordinates than equatorial ones, turned to those.

A turned map is sampled anew: the sky is cut into tiles that are finer than the map's own wherever those are,
and each takes the density at its centre, which no turn changes. The sampling is made finer until it holds
the probability of the map; one that cannot be sampled well enough is refused, not stored with less precision.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from astropy import units
from astropy.coordinates import ICRS, BarycentricMeanEcliptic, Galactic, UnitSphericalRepresentation

from scanner.maps import healpix
from server.desk.maps.tiles import MOST_TILES, SkymapError, Tiles

__all__ = ["frame_of", "turned"]

_FRAMES = {"G": Galactic, "E": BarycentricMeanEcliptic}  # the letters of HEALPix; ecliptic of J2000
_EQUATORIAL = ("C", "Q", "EQU", "ICRS", "FK5", "J2000", "RADEC")
_FINER = (1, 2, 3)  # orders below the map's own
_MOST_LOSS = 0.01  # of the probability, before it is normalised again
_GOOD = 0.001


def frame_of(text: str) -> str:
    """C, G or E of what a file says in COORDSYS; files that say nothing are equatorial.

    Raises SkymapError.
    """
    name = text.strip().upper()
    if not name or name in ("C", "Q") or name.startswith((*_EQUATORIAL[2:], "CEL")):
        return "C"
    if name in ("G", "E") or name.startswith(("GAL", "ECL")):
        return name[0]
    raise SkymapError(f"skymap: COORDSYS must be C, G or E, not {text.strip()[:40]!r}")


def turned(tiles: Tiles, frame: str) -> Tiles:
    """Tiles of a frame as equatorial ones. Raises SkymapError."""
    if frame == "C":
        return tiles
    matrix = _to_equatorial(frame)
    best: Tiles | None = None
    loss = np.inf
    for finer in _FINER:
        rows, uniq = _sampled(tiles, matrix, finer)
        if len(uniq) > MOST_TILES:
            break
        more = {name: column[rows] for name, column in tiles.distance.items()}
        found = Tiles(uniq, tiles.density[rows], more)
        loss = abs(found.probability.sum() - 1)
        best = found
        if loss < _GOOD:
            break
    if best is None or loss > _MOST_LOSS:
        raise SkymapError(f"skymap: COORDSYS {frame}: the map cannot be turned to equatorial coordinates "
                          "without loss: it has too many tiles, or too much in too few of them; send it in C")
    return Tiles.checked(best.uniq, best.density, best.distance)


@cache
def _to_equatorial(frame: str) -> np.ndarray:
    """The matrix that turns unit vectors of a frame into equatorial ones."""
    axes = UnitSphericalRepresentation(lon=[0, 90, 0] * units.deg, lat=[0, 0, 90] * units.deg)
    return np.asarray(_FRAMES[frame](axes).transform_to(ICRS()).cartesian.xyz.value)


def _sampled(tiles: Tiles, matrix: np.ndarray, finer: int) -> tuple[np.ndarray, np.ndarray]:
    """The map's row and the number of each equatorial tile; numbers without end if there are too many."""
    rows, numbers, count = [], [], 0
    order, _ = healpix.from_uniq(tiles.uniq)
    last = min(int(order.max()) + finer, healpix.MAX_ORDER)
    places, nested = _places(tiles) @ matrix.T, np.arange(12)
    for depth in range(last + 1):
        split = np.isin(nested, _touched(places[order + finer > depth], depth)) & (depth < last)
        leaves = nested[~split]
        theirs = healpix.vectors(1 << depth, leaves, nested=True) @ matrix
        row = tiles.rows_at(_pixels(healpix.MAX_ORDER, theirs))
        rows.append(row[row >= 0])
        numbers.append(healpix.to_uniq(depth, leaves[row >= 0]))
        nested = (nested[split][:, None] * 4 + np.arange(4)).ravel()
        count += len(numbers[-1])
        if count + len(nested) > 2 * MOST_TILES:  # some of these may lie outside of the map, not so many
            numbers.append(np.zeros(MOST_TILES + 1, np.int64))
            break
    return np.concatenate(rows), np.concatenate(numbers)


def _touched(places: np.ndarray, depth: int) -> np.ndarray:
    """The pixels of an order that hold these places, and those around them: a tile reaches over its edge."""
    ring = healpix.nest_to_ring(1 << depth, np.unique(_pixels(depth, places)))
    around = healpix.neighbours(1 << depth, ring).ravel()
    return healpix.ring_to_nest(1 << depth, np.concatenate([ring, around[around >= 0]]))


def _places(tiles: Tiles) -> np.ndarray:
    """Unit vectors of the tiles' centres."""
    order, nested = healpix.from_uniq(tiles.uniq)
    places = np.empty((len(tiles), 3))
    for depth in np.unique(order).tolist():
        here = order == depth
        places[here] = healpix.vectors(1 << depth, nested[here], nested=True)
    return places


def _pixels(order: int, vectors: np.ndarray) -> np.ndarray:
    x, y, z = vectors.T
    return healpix.nested_at(order, np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y))))
