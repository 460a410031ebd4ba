"""Outlines of credible regions and of any set of pixels.

An outline follows the pixels' edges exactly: edges are compared as whole numbers on the lattice of
HEALPix corners, so islands, holes, the poles and right ascension 0 need no special care. The contour of a
credible region (``scanner.maps.posterior``) goes through the middles of the edges of its small cells: what is
a staircase along the edges is a smooth line so, and encloses the same area.
"""

from __future__ import annotations

import numpy as np

from scanner.maps import healpix
from scanner.maps.posterior import Posterior

__all__ = ["contours", "outline"]

_SMOOTHEST_ORDER = 5  # edges are broken into pieces of at most 2° so that they bend as the pixels do
# Where the twelve base pixels lie (Górski et al. 2005, section 4): ring of the southern corner in units of
# nside, and right ascension of the centre in units of 45°.
_FACE_RING = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_FACE_TURN = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])


def contours(posterior: Posterior, level: float) -> list[np.ndarray]:
    """Outline of a credible region as closed rings of shape ``(m, 2)``, longest first; see ``outline``."""
    chosen = posterior.inside(level)
    return [_smoothed(ring) for ring in outline(posterior.cells.order[chosen],
                                                posterior.cells.nested[chosen])]


def _smoothed(ring: np.ndarray) -> np.ndarray:
    """The ring through the middles of another's edges."""
    corners = healpix.unit_vectors(ring[:, 0], ring[:, 1])
    x, y, z = (corners[1:] + corners[:-1]).T
    ra, dec = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
    middles = np.column_stack([ra, dec])
    middles = middles[np.linalg.norm(np.diff(corners, axis=0), axis=1) > 0]  # a pole is there twice
    return np.concatenate([middles, middles[:1]])


def outline(order: np.ndarray, nested: np.ndarray) -> list[np.ndarray]:
    """The boundary of a set of pixels that do not overlap, longest ring first.

    Each ring has shape ``(m, 2)``: right ascension in [0, 360) and declination in degrees, first point =
    last point. The region lies to the left of the way (seen from outside the sphere), so islands run
    counter-clockwise and holes clockwise. Pixels that only touch at a corner stay separate rings. A ring
    through a pole has two points there, with the right ascensions of its neighbours.
    """
    if not len(order):
        return []
    lattice = max(int(order.max()), _SMOOTHEST_ORDER)
    start, end, owner = _edges(order, nested, lattice)
    keep = _unshared(start, end)
    rings = _chains(start[keep], end[keep], owner[keep])
    return sorted((_directions(ring, lattice) for ring in rings), key=len, reverse=True)


def _edges(order: np.ndarray, nested: np.ndarray, lattice: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All edges of the pixels in steps of the lattice, counter-clockwise: start, end, number of the pixel."""
    starts, ends, owners = [], [], []
    for depth in np.unique(order):
        rows = np.flatnonzero(order == depth)
        face, x, y = _face_xy(int(depth), nested[rows])
        side = 1 << (lattice - int(depth))
        path_x, path_y = _square(side)
        corner = _corner(face[:, None], x[:, None] * side + path_x, y[:, None] * side + path_y, lattice)
        starts.append(corner[:, :-1].ravel())
        ends.append(corner[:, 1:].ravel())
        owners.append(np.repeat(rows, 4 * side))
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(owners)


def _square(side: int) -> tuple[np.ndarray, np.ndarray]:
    """The way round a square from its southern corner over east, north and west, both ends included."""
    up, full = np.arange(side), np.full(side, side)
    x = np.concatenate([up, full, side - up, 0 * up, [0]])
    y = np.concatenate([0 * up, up, full, side - up, [0]])
    return x, y


def _face_xy(order: int, nested: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Base pixel and position inside it: x towards north-east, y towards north-west."""
    face, x, y = nested >> 2 * order, np.zeros_like(nested), np.zeros_like(nested)
    for bit in range(order):
        x |= (nested >> 2 * bit & 1) << bit
        y |= (nested >> 2 * bit + 1 & 1) << bit
    return face, x, y


def _corner(face: np.ndarray, x: np.ndarray, y: np.ndarray, lattice: int) -> np.ndarray:
    """One number per corner of the lattice, the same from whichever base pixel it is reached."""
    nside = 1 << lattice
    ring = _FACE_RING[face] * nside - x - y  # 0 at the north pole, 4 nside at the south pole
    length = np.minimum(np.minimum(ring, 4 * nside - ring), nside)  # steps per 45° on that ring
    turn = (_FACE_TURN[face] * length + x - y) % np.maximum(8 * length, 1)
    return ring * (8 * nside) + turn


def _directions(ring_of_corners: np.ndarray, lattice: int) -> np.ndarray:
    """Right ascension and declination of a closed ring of corners."""
    nside = 1 << lattice
    ring, turn = np.divmod(ring_of_corners, 8 * nside)
    cap = np.minimum(ring, 4 * nside - ring)
    length = np.minimum(cap, nside)
    # At the caps 1 − |z| = cap²/3 nside² loses nothing if the colatitude is taken from its half angle.
    polar = 90.0 - np.degrees(2 * np.arcsin(cap / (nside * np.sqrt(6.0))))
    belt = np.degrees(np.arcsin(np.clip((2 * nside - cap) * 2 / (3 * nside), -1, 1)))
    dec = np.where(cap < nside, polar, belt) * np.where(ring > 2 * nside, -1.0, 1.0)
    ra = 45.0 * turn / np.maximum(length, 1)
    return _split_poles(ra, dec, cap == 0)


def _split_poles(ra: np.ndarray, dec: np.ndarray, pole: np.ndarray) -> np.ndarray:
    """Give each point at a pole the right ascension of the point before, and again of the one after."""
    if not pole.any():
        return np.column_stack([ra, dec])
    first = int(np.flatnonzero(~pole)[0])  # start away from the pole, so that it has a point on each side
    ra, dec, pole = (np.append(np.roll(a[:-1], -first), a[first]) for a in (ra, dec, pole))
    at = np.flatnonzero(pole)
    ra[at] = ra[at - 1]
    return np.column_stack([np.insert(ra, at + 1, ra[at + 1]), np.insert(dec, at + 1, dec[at])])


def _unshared(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Which directed edges have no partner in the other direction."""
    corners, index = np.unique(np.concatenate([start, end]), return_inverse=True)
    tail, head = index[:len(start)], index[len(start):]
    return ~np.isin(tail * len(corners) + head, head * len(corners) + tail)


def _chains(start: np.ndarray, end: np.ndarray, owner: np.ndarray) -> list[np.ndarray]:
    """Follow directed edges into closed rings of corners."""
    follower = _followers(start, end, owner)
    unused = np.ones(len(start), dtype=bool)
    rings = []
    for first in range(len(start)):
        ring, edge = [], first
        while unused[edge]:
            unused[edge] = False
            ring.append(edge)
            edge = follower[edge]
        if ring:
            rings.append(start[[*ring, first]])
    return rings


def _followers(start: np.ndarray, end: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """The edge that goes on from each edge's end.

    Two edges leave a corner where two pixels of the region touch with nothing else; there the way
    stays on its own pixel.
    """
    by_start = np.argsort(start, kind="stable")
    first = np.searchsorted(start[by_start], end, side="left")
    last = np.searchsorted(start[by_start], end, side="right") - 1
    other = owner[by_start[last]] == owner
    return by_start[np.where(other, last, first)]
