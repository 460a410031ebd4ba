"""Optical properties of the South Pole ice by depth, and the constants of light and detector in it.

Two models are known by name. ``spice_mie`` (IceCube, NIM A711 (2013) 73) has level layers; ``spice_ftp_v3m``
(IceCube, as distributed with github.com/icecube/ppc) has newer coefficients and layers that are tilted. A
third, ``spice_ftp_v3m_aniso``, is the second with the anisotropy of its absorption: it serves systematics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from config.detector import SURFACE_Z

__all__ = ["ANISOTROPIC_ICE", "COS_CHERENKOV", "C_VACUUM", "ENERGY_ICE", "ICE_MODELS", "N_GROUP", "N_PHASE",
           "SIN_CHERENKOV", "TRACK_ICE", "Anisotropy", "IceLayers", "LayerTilt", "anisotropy", "ice_layers",
           "layer_tilt"]

C_VACUUM = 0.299792458
"""Speed of light, m/ns."""
N_PHASE = 1.3195
"""Phase index of refraction at 400 nm (Price & Woschnagg, Astropart. Phys. 15 (2001) 97)."""
N_GROUP = 1.35634
"""Group index of refraction at 400 nm (same paper)."""
COS_CHERENKOV = 1.0 / N_PHASE
SIN_CHERENKOV = math.sqrt(1.0 - COS_CHERENKOV**2)

ICE_MODELS = ("spice_mie", "spice_ftp_v3m")
TRACK_ICE, ENERGY_ICE = ICE_MODELS
"""What the track fits and the energy fits use unless another is named."""
ANISOTROPIC_ICE = "spice_ftp_v3m_aniso"
"""An ice that the energy fits know beside `ICE_MODELS`, for systematics alone."""
_LAYER_TABLES = {ANISOTROPIC_ICE: "spice_ftp_v3m"}
_TILT_TABLES = {"spice_ftp_v3m": "ice_tilt_ftp_v3m", ANISOTROPIC_ICE: "ice_tilt_ftp_v3m"}
_HEADER_LINES = 4


@dataclass(frozen=True)
class IceLayers:
    """Layers ordered by ascending z; arrays of shape (n_layers,), float64."""

    z: np.ndarray  # centre of the layer, m, IceCube coordinates
    scattering: np.ndarray  # effective scattering coefficient, 1/m
    absorption: np.ndarray  # absorption coefficient, 1/m


@dataclass(frozen=True)
class LayerTilt:
    """Where the layers lie higher than the table of the ice has them."""

    x: np.ndarray  # (n_places,), m, IceCube coordinates
    y: np.ndarray  # (n_places,), m
    z: np.ndarray  # (n_layers,), m, ascending
    rise: np.ndarray  # (n_layers, n_places), m


@dataclass(frozen=True)
class Anisotropy:
    """Absorption that depends on the light's direction n: the coefficient is divided by |K n|.

    K stretches by `along` on the level axis at `azimuth` and by `across` in the plane perpendicular to it.
    """

    azimuth: float  # rad, IceCube coordinates
    along: float
    across: float


FLOW = math.radians(130.0)
"""Axis along which the ice flows and absorbs least (cfg.txt of SPICE FTP-v3m, github.com/icecube/ppc)."""
FLOW_LOG_ALONG, FLOW_LOG_ACROSS = 0.6, -0.3
"""Logarithms of the stretching before it is scaled (same file, "new absorption anisotropy"). The model adds
birefringence, which bends light towards the flow and is not in the fits."""


def anisotropy(model: str) -> Anisotropy | None:
    """The anisotropy of a model's absorption, None where all directions are alike.

    Scaled so that the coefficient's mean over all directions is that of the layer: the mean of 1/|K n| for
    K = (along, across, across) is ln(r + s)/(s across), r = along/across, s = √(r² − 1).
    """
    if model != ANISOTROPIC_ICE:
        return None
    ratio = math.exp(FLOW_LOG_ALONG - FLOW_LOG_ACROSS)
    root = math.sqrt(ratio**2 - 1.0)
    across = math.log(ratio + root) / root
    return Anisotropy(FLOW, ratio * across, across)


@cache
def ice_layers(model: str = ICE_MODELS[0]) -> IceLayers:
    """The layers of an ice model at 400 nm; source: see the head of ``config/data/ice_<model>.csv``."""
    table = _LAYER_TABLES.get(model, model)
    with resources.files("config").joinpath(f"data/ice_{table}.csv").open(encoding="ascii") as lines:
        depth, scattering, absorption = np.loadtxt(lines, delimiter=",", skiprows=_HEADER_LINES, unpack=True)
    return IceLayers(SURFACE_Z - depth[::-1], 1.0 / scattering[::-1], 1.0 / absorption[::-1])


@cache
def layer_tilt(model: str) -> LayerTilt | None:
    """The tilt of a model's layers, None where they are level."""
    if model not in _TILT_TABLES:
        return None
    table_file = resources.files("config").joinpath(f"data/{_TILT_TABLES[model]}.csv")
    with table_file.open(encoding="ascii") as lines:
        rows = [line.rstrip().split(",") for line in lines if not line.startswith("#")]
    x, y = (np.array(row[1:], dtype=float) for row in rows[:2])
    table = np.array(rows[2:], dtype=float)[::-1]
    return LayerTilt(x, y, SURFACE_Z - table[:, 0], table[:, 1:])
