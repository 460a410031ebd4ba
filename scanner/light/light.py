"""How much light a module sees of a muon track, without photon tables.

Near the track it is the Cherenkov cone, far away diffusion; one formula joins the two, as in IceCube's
truncated-mean energy estimate (NIM A703 (2013) 190, arXiv:1208.3430)::

    n(d) = y / (2π sin θ_C) · exp(−d/λp) / (√(λμ d) tanh √(d/λμ))       photons per m² at distance d
    λp = √(λa λe/3),  λc = λe/3 · exp(λe/λa),  √λμ = λc/sin θ_C · √(2/(π λp))

with the effective scattering length λe and the absorption length λa of the ice on the way.
"""

from __future__ import annotations

import numpy as np

from config.ice import SIN_CHERENKOV

__all__ = [
    "DOM_AREA",
    "MEAN_SENSITIVITY",
    "METRES_PER_GEV",
    "PHOTONS_PER_METRE",
    "RADIATIVE_LOSS",
    "SENSITIVITY_SLOPE",
    "acceptance",
    "track_density",
    "track_yield",
]

PHOTONS_PER_METRE = 2450.0
"""Cherenkov photons of a bare track, weighted with a module's efficiency by wavelength, as its photocathode
would count them if it filled the module's cross-section (the nominal module of IceCube's photon propagation
code, github.com/icecube/ppc)."""
MEAN_SENSITIVITY, SENSITIVITY_SLOPE = 0.34, 0.98
"""A module's sensitivity 0.34 (1 + 0.98 cos) to light from below (cos = 1) and above, relative to its
cross-section. It stands for 0.34 + 0.16 c + 0.88 c³ − 1.05 c⁵ + 0.35 c⁷, which holds behind the hole ice
(SPICE FTP-v3m, github.com/icecube/ppc): equal on average and at both ends, up to 8 % apart between."""
METRES_PER_GEV = 5.21
"""Track length of a shower per energy, m/GeV (L. Rädel & C. Wiebusch, Astropart. Phys. 44 (2013) 102)."""
DOM_AREA = np.pi * 0.1651**2
"""Cross-section of a module's sphere, m²."""
RADIATIVE_LOSS = 3.3e-4
"""Muon's relative radiative energy loss in ice, 1/m (D. Chirkin & W. Rhode, arXiv:hep-ph/0407075)."""


def track_yield(energy: float) -> float:
    """Detectable photons per metre of a muon of `energy` GeV, showers along it included on average."""
    return PHOTONS_PER_METRE * (1.0 + METRES_PER_GEV * RADIATIVE_LOSS * energy)


def track_density(distance: np.ndarray, scattering: np.ndarray, absorption: np.ndarray) -> np.ndarray:
    """Photons per m² for one photon per metre of track; coefficients in 1/m; shapes broadcast."""
    length_e, length_a = 1.0 / scattering, 1.0 / absorption
    diffusion = np.sqrt(length_a * length_e / 3.0)
    memory = length_e / 3.0 * np.exp(length_e / length_a)
    root = memory / SIN_CHERENKOV * np.sqrt(2.0 / (np.pi * diffusion))
    d = np.maximum(distance, 0.3)
    shape = root * np.sqrt(d) * np.tanh(np.sqrt(d) / root)
    return np.exp(-d / diffusion) / (2 * np.pi * SIN_CHERENKOV * shape)


def acceptance(cosine: np.ndarray, scatterings: np.ndarray) -> np.ndarray:
    """A module's relative sensitivity to light that left at `cosine` to the upward axis, 0 … 1.

    The photomultiplier looks down: upward light (cosine 1) meets it. Light that has scattered much comes from
    everywhere; `scatterings` is the path in effective scattering lengths.
    """
    direct = 0.5 * (1.0 + 0.9 * cosine)
    kept = np.exp(-scatterings)
    return kept * direct + (1.0 - kept) * 0.5
