"""Optical properties of the South Pole ice by depth, and the constants of light and detector in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from config.detector import SURFACE_Z

__all__ = ["COS_CHERENKOV", "C_VACUUM", "N_GROUP", "N_PHASE", "SIN_CHERENKOV", "IceLayers", "ice_layers"]

C_VACUUM = 0.299792458
"""Speed of light, m/ns."""
N_PHASE = 1.3195
"""Phase index of refraction at 400 nm (Price & Woschnagg, Astropart. Phys. 15 (2001) 97)."""
N_GROUP = 1.35634
"""Group index of refraction at 400 nm (same paper)."""
COS_CHERENKOV = 1.0 / N_PHASE
SIN_CHERENKOV = math.sqrt(1.0 - COS_CHERENKOV**2)

_HEADER_LINES = 4


@dataclass(frozen=True)
class IceLayers:
    """Layers ordered by ascending z; arrays of shape (n_layers,), float64."""

    z: np.ndarray  # centre of the layer, m, IceCube coordinates
    scattering: np.ndarray  # effective scattering coefficient, 1/m
    absorption: np.ndarray  # absorption coefficient, 1/m


@cache
def ice_layers() -> IceLayers:
    """The ice model (SPICE Mie, 400 nm); source: see the head of ``config/data/ice_spice_mie.csv``."""
    with resources.files("config").joinpath("data/ice_spice_mie.csv").open(encoding="ascii") as lines:
        depth, scattering, absorption = np.loadtxt(lines, delimiter=",", skiprows=_HEADER_LINES, unpack=True)
    return IceLayers(SURFACE_Z - depth[::-1], 1.0 / scattering[::-1], 1.0 / absorption[::-1])
