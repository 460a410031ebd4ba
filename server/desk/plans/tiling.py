"""Fields that cover the region of a sky map, with the probability in each; pure functions.

The region is sampled by the map's pixels, coarse ones divided until several fit into a field. Without fixed
fields, those of an instrument lie side by side around the best fit, in rows of the offset frame there; with
fixed fields a sample belongs to the nearest field that holds it. Each sample belongs to one field, so
probabilities add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord

from scanner.common.loading import LOADING
from scanner.maps import healpix
from server.desk.maps.tiles import Tiles
from server.desk.observing.footprints import Field, Footprint

__all__ = ["MOST_TILES", "Samples", "Tile", "held", "outline_of", "samples_of", "tile"]

MOST_TILES = 1000
_MOST_SAMPLES = 300_000
_ACROSS = 8  # samples over the short side of a field
_PIXEL = 58.632  # degrees across one of the 12 base pixels
_NEIGHBOURS = 6  # fixed fields that a sample is looked for in


@dataclass(frozen=True)
class Tile:
    """One pointing: its centre in degrees, and the probability that it adds."""

    number: int
    ra: float
    dec: float
    probability: float


@dataclass(frozen=True)
class Samples:
    """Places of a region (degrees) and the probability at each; arrays of one length."""

    ra: np.ndarray
    dec: np.ndarray
    probability: np.ndarray


def samples_of(tiles: Tiles, cumprob: float, size: float) -> Samples:
    """The region of a map that holds a probability, sampled for fields of a size (degrees)."""
    chosen = np.nonzero(tiles.chosen(min(cumprob, 0.999)))[0]
    if len(chosen) > _MOST_SAMPLES:
        chosen = chosen[np.argsort(-tiles.density[chosen], kind="stable")[:_MOST_SAMPLES]]
    order, nested = healpix.from_uniq(tiles.uniq[chosen])
    for wanted in range(min(math.ceil(math.log2(_PIXEL * _ACROSS / size)), 20), -1, -1):
        shift = np.maximum(wanted - order, 0)
        counts = 4 ** shift.astype(np.int64)
        if counts.sum() <= _MOST_SAMPLES:
            break
    first = np.repeat(np.cumsum(counts) - counts, counts)
    fine = np.repeat(nested << 2 * shift, counts) + np.arange(len(first)) - first
    ra, dec = _centres(np.repeat(order + shift, counts), fine)
    return Samples(ra, dec, np.repeat(tiles.probability[chosen] / counts, counts))


def _centres(order: np.ndarray, nested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ra, dec = np.empty(len(order)), np.empty(len(order))
    for one in np.unique(order):
        rows = order == one
        nside = healpix.nside_of(int(one))
        ra[rows], dec[rows] = healpix.centres(nside, healpix.nest_to_ring(nside, nested[rows]))
    return ra, dec


def tile(samples: Samples, best: tuple[float, float], footprint: Footprint, fields: Sequence[Field] = (),
         cumprob: float = 1.0) -> list[Tile]:
    """The fields that cover the samples, the most probable first, until they hold the asked probability."""
    found = _of_fields(samples, footprint, fields) if fields else _side_by_side(samples, best, footprint)
    found.sort(key=lambda one: (-one.probability, one.number))
    total = np.cumsum([one.probability for one in found])
    enough = int(np.searchsorted(total, cumprob - 1e-9)) + 1
    return found[:min(enough, MOST_TILES)]


def _side_by_side(samples: Samples, best: tuple[float, float], footprint: Footprint) -> list[Tile]:
    shrink = math.sqrt(0.5) if footprint.is_round else 1.0  # the square inside the circle
    width, height = footprint.width * shrink, footprint.height * shrink
    centre = SkyCoord(*best, unit="deg")
    around = SkyCoord(samples.ra, samples.dec, unit="deg").transform_to(centre.skyoffset_frame())
    lon, lat = around.lon.wrap_at(180 * units.deg).deg, around.lat.deg
    row = np.rint(lat / height).astype(np.int64)
    widest = np.cos(np.radians(np.minimum(np.maximum(np.abs(row) * height - height / 2, 0.0), 89.9)))
    column = np.rint(lon * widest / width).astype(np.int64)
    cells, first, which = np.unique(np.column_stack([row, column]), axis=0, return_index=True,
                                    return_inverse=True)
    mass = np.bincount(which.ravel(), weights=samples.probability)
    places = SkyCoord(cells[:, 1] * width / widest[first], np.clip(cells[:, 0] * height, -90, 90), unit="deg",
                      frame=centre.skyoffset_frame()).icrs
    order, ra, dec = np.argsort(-mass, kind="stable"), places.ra.deg, places.dec.deg
    return [Tile(number, float(ra[at]), float(dec[at]), float(mass[at]))
            for number, at in enumerate(order, 1)]


def _of_fields(samples: Samples, footprint: Footprint, fields: Sequence[Field]) -> list[Tile]:
    with LOADING:
        from scipy.spatial import cKDTree  # takes a third of a second to load

    ra, dec = np.array([one.ra for one in fields]), np.array([one.dec for one in fields])
    count = min(_NEIGHBOURS, len(fields))
    tree = cKDTree(healpix.unit_vectors(ra, dec))
    near = tree.query(healpix.unit_vectors(samples.ra, samples.dec), k=count)[1]
    near = near.reshape(len(samples.ra), count)
    mine = np.full(len(samples.ra), -1)
    for place in range(count - 1, -1, -1):
        inside = held(samples.ra, samples.dec, ra[near[:, place]], dec[near[:, place]], footprint)
        mine = np.where(inside, near[:, place], mine)
    mass = np.bincount(mine[mine >= 0], weights=samples.probability[mine >= 0], minlength=len(fields))
    return [Tile(one.number, one.ra, one.dec, float(mass[at])) for at, one in enumerate(fields)
            if mass[at] > 0]


def held(ra: np.ndarray, dec: np.ndarray, centre_ra: np.ndarray, centre_dec: np.ndarray,
         footprint: Footprint) -> np.ndarray:
    """Whether places lie in fields with these centres (degrees; arrays that broadcast)."""
    centres = SkyCoord(centre_ra, centre_dec, unit="deg")
    places = SkyCoord(ra, dec, unit="deg")
    if footprint.is_round:
        return np.asarray(centres.separation(places).deg <= footprint.width / 2)
    east, north = centres.spherical_offsets_to(places)
    across = np.abs(east.wrap_at(180 * units.deg).deg) * np.cos(north.rad)
    return np.asarray((across <= footprint.width / 2) & (np.abs(north.deg) <= footprint.height / 2))


def outline_of(ra: float, dec: float, footprint: Footprint) -> np.ndarray:
    """The edge of a field: right ascension and declination in degrees, closed; shape ``(n, 2)``."""
    if footprint.is_round:
        angle = np.linspace(0, 2 * np.pi, 33)
        east, north = footprint.width / 2 * np.sin(angle), footprint.height / 2 * np.cos(angle)
    else:
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
        east, north = footprint.width / 2 * corners[:, 0], footprint.height / 2 * corners[:, 1]
    frame = SkyCoord(ra, dec, unit="deg").skyoffset_frame()
    edge = SkyCoord(east / np.cos(np.radians(north)), north, unit="deg", frame=frame).icrs
    return np.column_stack([edge.ra.deg, edge.dec.deg])
