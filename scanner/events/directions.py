"""Directions: between the sky (ICRS) and the detector (zenith and azimuth of where a particle comes from).

The detector stands at latitude −89.9944°, longitude −62.6081°; its azimuth counts from its own x axis, so
that azimuth = 90° − A − longitude for an astronomical azimuth A (from North through East). UT1 − UTC,
polar motion, refraction and the observer's height are taken as zero, which agrees with IceCube's own
conversion to 0.05″. All the rest (precession, nutation, aberration, light deflection by the Sun) is
ERFA's; one set of star-independent parameters serves any number of directions at one time.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from operator import index

import erfa
import numpy as np
from numpy.typing import ArrayLike

__all__ = ["LATITUDE", "LONGITUDE", "detector_to_icrs", "icrs_to_detector", "pixel_directions",
           "ring_centres"]

LATITUDE = np.radians(-89.9944)
LONGITUDE = np.radians(-62.6081)

_MJD_ZERO = 2400000.5  # Julian Date of MJD 0
_FIRST_MJD = 41317.0  # 1972-01-01, when UTC got its present form
_LAST_MJD = 88069.0  # 2100-01-01
_NSIDES = frozenset(1 << order for order in range(30))


def pixel_directions(nside: int, pixels: ArrayLike, mjd: float) -> tuple[np.ndarray, np.ndarray]:
    """Detector directions of the centres of HEALPix pixels on the sky.

    Parameters
    ----------
    nside : int
        Resolution of the HEALPix grid, a power of two.
    pixels : array_like of int
        RING indices in equatorial coordinates (ICRS).
    mjd : float
        Time, Modified Julian Date (UTC).

    Returns
    -------
    zenith, azimuth : ndarray of float64, shape of ``pixels``
        Radians; zenith in [0, π], azimuth in [0, 2π).

    Raises
    ------
    ValueError
        When ``nside`` or a pixel does not exist, or the time lies outside 1972 … 2099.
    """
    nside = index(nside)
    indices = np.asarray(pixels, dtype=np.int64)
    if nside not in _NSIDES:
        raise ValueError(f"nside {nside} is not a power of two up to 2**29")
    if ((indices < 0) | (indices >= 12 * nside * nside)).any():
        raise ValueError(f"nside {nside} has the pixels 0 to {12 * nside * nside - 1}")
    theta, phi = ring_centres(nside, indices)
    return icrs_to_detector(phi, np.pi / 2 - theta, mjd)


def ring_centres(nside: int, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colatitude and azimuth, radians, of the centres of RING pixels (Górski et al. 2005, ApJ 622, 759).

    To the bit what healpy says: the process that reconstructs pixels would wait for its imports.
    """
    flat = np.ravel(pixels)
    south = flat >= 6 * nside * nside + 2 * nside  # behind the equator's ring: counted from the other pole
    mirrored = np.where(south, 12 * nside * nside - 1 - flat, flat)
    cap = 2 * nside * (nside - 1)
    ring = _cap_ring(np.minimum(mirrored, max(cap - 1, 0)))
    place = mirrored - 2 * ring * (ring - 1)
    belt = mirrored >= cap
    row = (mirrored - cap) // (4 * nside)
    ring, place = np.where(belt, row + nside, ring), np.where(belt, (mirrored - cap) % (4 * nside), place)
    count = np.where(belt, 4 * nside, 4 * ring)
    place = np.where(south, count - 1 - place, place)
    area = 4.0 / (12.0 * nside * nside)
    depth = ring * ring * area  # 1 − z in a cap
    z = np.where(belt, (2 * nside - ring) * (2 * nside * area), 1.0 - depth)
    offset = np.where(belt & ((ring + nside) % 2 == 1), 1.0, 0.5)
    step = place + 1 - offset
    phi = np.where(belt, step * np.pi * 0.75 * (2 * nside * area), step * (0.5 * np.pi) / ring)
    z = np.where(south, -z, z)
    near_pole = ~belt & (np.abs(z) > 0.99)
    theta = [math.atan2(math.sqrt(d * (2.0 - d)), value) if near else math.acos(value)
             for d, value, near in zip(depth.tolist(), z.tolist(), near_pole.tolist(), strict=True)]
    return np.reshape(theta, np.shape(pixels)), np.reshape(phi, np.shape(pixels))


def _cap_ring(pixels: np.ndarray) -> np.ndarray:
    """The ring, from 1, of pixels in the northern cap: the largest i with 2i(i − 1) ≤ pixel."""
    ring = ((1.0 + np.sqrt(1.0 + 2.0 * pixels)) / 2.0).astype(np.int64)
    ring = np.where(2 * ring * (ring - 1) > pixels, ring - 1, ring)
    return np.where(2 * ring * (ring + 1) <= pixels, ring + 1, ring)


def icrs_to_detector(ra: ArrayLike, dec: ArrayLike, mjd: float) -> tuple[np.ndarray, np.ndarray]:
    """Zenith and azimuth, radians, of ICRS right ascension and declination; see `pixel_directions`."""
    astrometry = _astrometry(mjd)
    intermediate_ra, intermediate_dec = erfa.atciqz(np.asarray(ra, float), np.asarray(dec, float), astrometry)
    north_azimuth, zenith, _, _, _ = erfa.atioq(intermediate_ra, intermediate_dec, astrometry)
    return zenith, _turned(north_azimuth)


def detector_to_icrs(zenith: ArrayLike, azimuth: ArrayLike, mjd: float) -> tuple[np.ndarray, np.ndarray]:
    """ICRS right ascension in [0, 2π) and declination, radians, of a detector direction.

    The errors are those of `pixel_directions`.
    """
    astrometry = _astrometry(mjd)
    north_azimuth = _turned(np.asarray(azimuth, float))
    intermediate_ra, intermediate_dec = erfa.atoiq("A", north_azimuth, np.asarray(zenith, float), astrometry)
    ra, dec = erfa.aticq(intermediate_ra, intermediate_dec, astrometry)
    return _wrapped(ra), dec


def _turned(azimuth: np.ndarray) -> np.ndarray:
    """From North-azimuth to detector azimuth, or back: the relation is its own inverse."""
    return _wrapped(np.pi / 2 - LONGITUDE - azimuth)


def _wrapped(angle: np.ndarray) -> np.ndarray:
    """The angle in [0, 2π); the remainder of a tiny negative angle rounds up to 2π, which is 0."""
    wrapped = np.mod(angle, 2 * np.pi)
    return np.where(wrapped < 2 * np.pi, wrapped, 0.0)


@lru_cache(maxsize=64)
def _astrometry(mjd: float) -> np.ndarray:
    """ERFA's star-independent parameters of the detector at a time."""
    if not _FIRST_MJD <= mjd < _LAST_MJD:
        raise ValueError(f"MJD {mjd} is not between {_FIRST_MJD:.0f} and {_LAST_MJD:.0f}")
    with warnings.catch_warnings():
        # ERFA warns of years for which leap seconds are not announced yet; a second turns the sky by 15″.
        warnings.simplefilter("ignore", erfa.ErfaWarning)
        astrometry, _ = erfa.apco13(_MJD_ZERO, mjd, 0.0, LONGITUDE, LATITUDE, *[0.0] * 6, 1.0)
    return astrometry
