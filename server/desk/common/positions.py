"""Places on the sky: the order-29 HEALPix index that region searches use, and Galactic coordinates."""

from __future__ import annotations

import math

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy_healpix import lonlat_to_healpix
from numpy.typing import ArrayLike, NDArray

from server.common.errors import BadRequest

__all__ = ["ORDER", "check_position", "galactic_many", "hpix29", "hpix29_many"]

ORDER = 29
"""The finest order of HEALPix whose nested index fits a signed 64-bit number (Gorski et al. 2005)."""


def hpix29_many(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """Nested indices at order 29; `ra` and `dec` in degrees (ICRS), any shape."""
    lon, lat = np.asarray(ra, float) * units.deg, np.asarray(dec, float) * units.deg
    return np.asarray(lonlat_to_healpix(lon, lat, 1 << ORDER, order="nested"), np.int64)


def hpix29(ra: float, dec: float) -> int:
    """The nested index at order 29 of one position in degrees (ICRS)."""
    return int(hpix29_many(ra, dec))


def check_position(ra: float | None, dec: float | None) -> None:
    """Raise BadRequest unless 0 ≤ ra < 360 and -90 ≤ dec ≤ 90 (both in degrees), or both are absent."""
    if ra is None and dec is None:
        return
    if ra is None or dec is None:
        raise BadRequest("ra and dec are needed together")
    if not (math.isfinite(ra) and 0 <= ra < 360):
        raise BadRequest(f"ra: must be at least 0 and less than 360 degrees, not {ra}")
    if not (math.isfinite(dec) and -90 <= dec <= 90):
        raise BadRequest(f"dec: must be from -90 to 90 degrees, not {dec}")


def galactic_many(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Galactic longitudes and latitudes in degrees of ICRS positions in degrees, any shape."""
    lon, lat = np.asarray(ra, float) * units.deg, np.asarray(dec, float) * units.deg
    places = SkyCoord(lon, lat, frame="icrs").galactic
    return np.asarray(places.l.deg), np.asarray(places.b.deg)
