"""How far an object is: by what was measured of it, else by its redshift and a cosmology."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from scanner.common.loading import LOADING
from server.production.common.fields import number

__all__ = ["Distance", "distance"]

LIGHT = 299_792.458  # km/s
LOCAL = 350.0  # km/s: below, a redshift says nothing about the distance
CM_PER_MPC = 3.085677581491367e24

_MPC_OF: dict[str, float] = {"dist_Mpc": 1.0, "dist_kpc": 1e-3, "dist_pc": 1e-6, "dist_cm": 1 / CM_PER_MPC}


@dataclass(frozen=True)
class Distance:
    """Luminosity and angular-diameter distance in Mpc, and the distance modulus in magnitudes."""

    luminosity_distance: float | None
    dm: float | None
    angular_diameter_distance: float | None


def distance(altdata: object, redshift: float | None) -> Distance:
    """The distance of an object. Cosmology: Planck 2018 results VI."""
    luminosity = _measured(altdata) if isinstance(altdata, Mapping) else None
    if luminosity is None:
        luminosity = _by_redshift(redshift)
    if luminosity is None or not 0 < luminosity < math.inf:
        return Distance(None, None, None)
    angular = luminosity / (1 + max(redshift or 0.0, 0.0)) ** 2
    return Distance(luminosity, 5 * math.log10(luminosity) + 25, angular)


def _measured(altdata: Mapping[str, Any]) -> float | None:
    """In Mpc, by modulus (mag), parallax (arcsec) or a distance in one of several units."""
    modulus, parallax = altdata.get("dm"), altdata.get("parallax")
    if number(modulus) and abs(modulus) < 200:
        return float(10 ** (modulus / 5 - 5))
    if number(parallax) and parallax > 0:
        return 1e-6 / parallax
    for name, unit in _MPC_OF.items():
        value = altdata.get(name)
        if number(value):
            return value * unit
    return None


def _by_redshift(redshift: float | None) -> float | None:
    if redshift is None or not LOCAL / LIGHT <= redshift < 1e4:
        return None
    return _luminosity(redshift)


@lru_cache(10_000)
def _luminosity(redshift: float) -> float:
    with LOADING:
        from astropy.cosmology import Planck18  # takes a third of a second to load

    return float(Planck18.luminosity_distance(redshift).value)
