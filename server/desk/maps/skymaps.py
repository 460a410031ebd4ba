"""Sky maps from outside: a cone, multi-order arrays, a FITS file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.io import fits

from scanner.maps import healpix
from server.desk.common.fits_files import FitsError, open_fits
from server.desk.common.fits_streams import TableStream
from server.desk.maps.flat_fits import of_flat
from server.desk.maps.frames import frame_of, turned
from server.desk.maps.tiles import DISTANCE_COLUMNS, SkymapError, Tiles

__all__ = ["cone_name", "of_arrays", "of_cone", "of_fits"]

_SIGMAS = 4.0  # how far a cone reaches
_PIXELS_PER_ERROR = 40.0  # so that the edge of a region is right to a hundredth of the error
_COARSEST, _FINEST = 5, 24
_DENSITY_NAMES = ("PROBDENSITY", "PROBABILITY DENSITY")


def cone_name(ra: float, dec: float, error: float) -> str:
    """What SkyPortal calls the map of a cone."""
    return f"{ra:.5f}_{dec:.5f}_{error:.5f}"


def of_cone(ra: float, dec: float, error: float) -> Tiles:
    """A Gaussian of one width in all directions; degrees. Raises SkymapError."""
    if not (0 <= ra < 360 and -90 <= dec <= 90):
        raise SkymapError("skymap: ra must be in [0, 360), dec in [-90, 90] degrees")
    if not 1e-5 <= error <= 60:
        raise SkymapError("skymap.error: must be from 0.00001 to 60 degrees")
    size = error / _PIXELS_PER_ERROR
    order = math.ceil(math.log2(math.sqrt(healpix.FULL_SKY_DEG2 / 12) / size))
    order = min(max(order, _COARSEST), _FINEST)
    nside = healpix.nside_of(order)
    pixels = healpix.disc(nside, ra, dec, min(_SIGMAS * error, 181.0))
    nested = np.sort(healpix.ring_to_nest(nside, pixels))
    apart = _angles(healpix.vectors(nside, nested, nested=True), healpix.unit_vectors(ra, dec))
    density = np.exp(-0.5 * np.square(np.degrees(apart) / error))
    return Tiles.checked(healpix.to_uniq(order, nested), density)


def _angles(points: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Angles in radians; chords keep their digits where cosines lose them."""
    return 2 * np.arcsin(np.minimum(np.linalg.norm(points - axis, axis=1) / 2, 1.0))


def of_arrays(document: Mapping[str, Any]) -> Tiles:
    """The map of a body with ``uniq``, ``probdensity`` and perhaps distances. Raises SkymapError."""
    for name in ("uniq", "probdensity"):
        if not isinstance(document.get(name), list):
            raise SkymapError(f"skymap.{name}: must be a list")
    distance = {name: document[name] for name in DISTANCE_COLUMNS if document.get(name)}
    return Tiles.checked(document["uniq"], document["probdensity"], distance)


def of_fits(data: bytes) -> Tiles:
    """The map of a FITS file: multi-order (UNIQ), or flat with one pixel after the other.

    Raises SkymapError.
    """
    refusal: SkymapError | None = None
    try:
        table = TableStream.of(data)
        frame = frame_of(str(table.header.get("COORDSYS", "")))
        if "UNIQ" not in (table.kind.names or ()):
            return turned(of_flat(table), frame)
        with open_fits(data) as files:
            unit = next(unit for unit in files if isinstance(unit, fits.BinTableHDU))
            try:
                return turned(_of_tiles(unit), frame)
            except SkymapError as error:  # it says by itself what it is about
                refusal = error
    except FitsError as error:
        raise SkymapError(f"skymap: not a FITS sky map: {error}") from None
    raise refusal


def _of_tiles(table: fits.BinTableHDU) -> Tiles:
    names = {name.upper(): name for name in table.columns.names}
    density = _column(table, names, _DENSITY_NAMES)
    distance = {name: _column(table, names, (name.upper(),)) for name in DISTANCE_COLUMNS
                if name.upper() in names}
    return Tiles.checked(np.asarray(table.data[names["UNIQ"]], dtype=np.int64), density, distance)


def _column(table: fits.BinTableHDU, names: Mapping[str, str], wanted: tuple[str, ...]) -> np.ndarray:
    for name in wanted:
        if name in names:
            return np.asarray(table.data[names[name]], dtype=np.float64)
    raise SkymapError(f"skymap: the FITS table has no column {' or '.join(wanted)}")
