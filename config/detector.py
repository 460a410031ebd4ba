"""Positions of IceCube's optical modules (DOMs), read once from ``config/data/icecube86.csv``."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

__all__ = ["DOMS_PER_STRING", "FIRST_DEEPCORE_STRING", "STRINGS", "SURFACE_Z", "dom_positions"]

STRINGS = 86
DOMS_PER_STRING = 60
FIRST_DEEPCORE_STRING = 79
SURFACE_Z = 1948.07
"""Height of the ice surface above the origin of IceCube's coordinates, m."""

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
