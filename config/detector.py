"""Positions of IceCube's optical modules (DOMs), read once from ``config/data/icecube86.csv``."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

__all__ = ["DOMS_PER_STRING", "FIRST_DEEPCORE_STRING", "STRINGS", "SURFACE_Z", "dom_positions",
           "relative_efficiency"]

STRINGS = 86
DOMS_PER_STRING = 60
FIRST_DEEPCORE_STRING = 79
SURFACE_Z = 1948.07
"""Height of the ice surface above the origin of IceCube's coordinates, m."""

HIGH_EFFICIENCY = 1.34
"""Of a module with a photocathode of high quantum efficiency beside a standard one, for Cherenkov light.

IceCube measured 1.35 near 400 nm (Astropart. Phys. 35 (2012) 615); over all wavelengths it is 1.34 (wv.rde of
SPICE FTP-v3m, github.com/icecube/ppc)."""
_HIGH_EFFICIENCY = {36: ((44, 44), (46, 46), (48, 59)), 43: ((55, 55),),
                    79: ((30, 31), (33, 40), (42, 42), (44, 44)), 80: ((30, 43),), 81: ((1, 60),),
                    82: ((1, 60),), 83: ((1, 60),), 84: ((1, 60),), 85: ((1, 60),), 86: ((1, 26), (29, 60))}
"""Modules of high efficiency, string → first and last of a run (eff-f2k, same source)."""
_HEADER_LINES = 5


@cache
def dom_positions() -> np.ndarray:
    """Positions of all in-ice DOMs, float64 of shape (86, 60, 3) in metres, index [string-1, om-1].

    The array is shared and read-only. Source: see the head of ``config/data/icecube86.csv``.
    """
    with resources.files("config").joinpath("data/icecube86.csv").open(encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=_HEADER_LINES)
    positions = np.empty((STRINGS, DOMS_PER_STRING, 3))
    positions[table[:, 0].astype(int) - 1, table[:, 1].astype(int) - 1] = table[:, 2:]
    positions.setflags(write=False)
    return positions


@cache
def relative_efficiency() -> np.ndarray:
    """Photon detection efficiency of all modules beside a standard one, shape (86, 60), read-only."""
    efficiency = np.ones((STRINGS, DOMS_PER_STRING))
    for string, runs in _HIGH_EFFICIENCY.items():
        for first, last in runs:
            efficiency[string - 1, first - 1 : last] = HIGH_EFFICIENCY
    efficiency.setflags(write=False)
    return efficiency
