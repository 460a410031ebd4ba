"""Sky maps from outside: a cone, multi-order arrays, a FITS file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.io import fits

from scanner.maps import healpix
from server.desk.common.fits_files import FitsError, open_fits
from server.desk.common.fits_streams import TableStream
from server.desk.maps import likelihoods
from server.desk.maps.flat_fits import of_flat
from server.desk.maps.frames import frame_of, turned
from server.desk.maps.tiles import DISTANCE_COLUMNS, SkymapError, Tiles

__all__ = ["cone_name", "level_set_in", "of_arrays", "of_cone", "of_ellipse", "of_fits",
           "offsets"]

_SIGMAS = 4.0  # how far a cone reaches
_PIXELS_PER_ERROR = 40.0  # so that the edge of a region is right to a hundredth of the error
_MOST_ECCENTRIC = 10
_COARSER = 5  # a longer axis has no more pixels than this many times those
_COARSEST, _FINEST = 5, 24
_DENSITY = re.compile(r"PROB(?:ABILITY)?[ _]?DENSITY(?: *\[.*\])?")  # of any unit: maps are normalised


def cone_name(ra: float, dec: float, *error: float, containment: float | None = None) -> str:
    """What SkyPortal calls the map of a cone; with what its error contains, if that was said."""
    said = [] if containment is None else [f"{containment:g}"]
    return "_".join([*(f"{value:.5f}" for value in (ra, dec, *error)), *said])


def of_cone(ra: float, dec: float, error: float, containment: float | None = None) -> Tiles:
    """A Gaussian of one width in all directions; degrees. Raises SkymapError."""
    return of_ellipse(ra, dec, (error, error, 0.0), containment)


def of_ellipse(ra: float, dec: float, error: tuple[float, float, float], containment: float | None = None
               ) -> Tiles:
    """A Gaussian with two widths and the position angle of the first, from north through east; degrees.

    The widths are those of the ellipse that holds `containment`; without one they are standard deviations.
    Raises SkymapError.
    """
    if not (0 <= ra < 360 and -90 <= dec <= 90):
        raise SkymapError("skymap: ra must be in [0, 360), dec in [-90, 90] degrees")
    *widths, angle = error
    if not all(1e-5 <= width <= 60 for width in widths) or not math.isfinite(angle):
        raise SkymapError("skymap.error: must be from 0.00001 to 60 degrees")
    if max(widths) > _MOST_ECCENTRIC * min(widths):
        raise SkymapError(f"skymap.error: one axis is more than {_MOST_ECCENTRIC} times the other")
    major, minor = (width / _sigmas(containment) for width in widths)
    size = max(min(major, minor), max(major, minor) / _COARSER) / _PIXELS_PER_ERROR
    order = math.ceil(math.log2(math.sqrt(healpix.FULL_SKY_DEG2 / 12) / size))
    order = min(max(order, _COARSEST), _FINEST)
    nside = healpix.nside_of(order)
    pixels = healpix.disc(nside, ra, dec, min(_SIGMAS * max(major, minor), 181.0))
    nested = np.sort(healpix.ring_to_nest(nside, pixels))
    along, across = offsets(healpix.vectors(nside, nested, nested=True), ra, dec, angle)
    squared = np.square(along / major) + np.square(across / minor)
    near = squared <= _SIGMAS**2
    return Tiles.checked(healpix.to_uniq(order, nested[near]), np.exp(-0.5 * squared[near]))


def _sigmas(containment: float | None) -> float:
    """How many standard deviations the radius has that holds a probability, in two dimensions."""
    if containment is None:
        return 1.0
    if not 0.01 <= containment <= 0.9999:
        raise SkymapError("skymap.containment_probability: must be from 0.01 to 0.9999")
    return math.sqrt(-2 * math.log1p(-containment))


def offsets(points: np.ndarray, ra: float, dec: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Degrees from a centre along a position angle and across it; their length is the angle on the sky."""
    axis, lon, lat, turn = healpix.unit_vectors(ra, dec), *np.radians([ra, dec, angle])
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    x, y = points @ east, points @ north
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.nan_to_num(np.degrees(_angles(points, axis)) / np.hypot(x, y), nan=0.0, posinf=0.0)
    x, y = x * scale, y * scale
    return y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn)


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

    Values are probabilities or, as in IceCube's alerts, 2Δ ln L. Raises SkymapError.
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


def level_set_in(data: bytes) -> str:
    """The name of the level set that a FITS map of likelihoods states. Raises SkymapError."""
    try:
        return likelihoods.levels_of(TableStream.of(data).header).name
    except FitsError as error:
        raise SkymapError(f"skymap: not a FITS sky map: {error}") from None


def _of_tiles(table: fits.BinTableHDU) -> Tiles:
    """Tiles without a value, which scans that looked at a part of the sky have, are no part of the map."""
    names = {name.upper(): name for name in table.columns.names}
    uniq = np.asarray(table.data[names["UNIQ"]], dtype=np.int64)
    if value := next((name for name in likelihoods.COLUMNS if name in names), None):
        values = _column(table, names, (value,)) * likelihoods.COLUMNS[value]
        some = likelihoods.seen(values)
        order, nested = _numbers(uniq[some])
        return likelihoods.posterior_tiles(order, nested, values[some], likelihoods.levels_of(table.header))
    density = _column(table, names, tuple(name for name in names if _DENSITY.fullmatch(name)))
    some = ~np.isnan(density)
    distance = {name: _column(table, names, (name.upper(),))[some] for name in DISTANCE_COLUMNS
                if name.upper() in names}
    return Tiles.checked(uniq[some], density[some], distance)


def _numbers(uniq: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orders and NESTED numbers of tiles. Raises SkymapError."""
    try:
        return healpix.from_uniq(uniq)
    except healpix.HealpixError as error:
        raise SkymapError(f"skymap: UNIQ: {error}") from None


def _column(table: fits.BinTableHDU, names: Mapping[str, str], wanted: tuple[str, ...]) -> np.ndarray:
    for name in wanted:
        if name in names:
            return np.asarray(table.data[names[name]], dtype=np.float64)
    raise SkymapError("skymap: the FITS table has no column PROBDENSITY, PROBABILITY DENSITY or 2DLLH")
