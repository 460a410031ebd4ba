"""Path averages of the layered ice: tables of the coefficients and of their integrals over z.

Light from a track crosses many layers. The mean of a coefficient over a path between two heights is the
difference of the integral at both ends over the difference in height, so one table of the integral replaces
a walk through the layers. Between nodes the coefficient is linear and its integral the exact parabola.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from config.ice import ice_layers

__all__ = ["GRID_BOTTOM", "GRID_STEP", "Z_LIMIT", "IceTable", "ice_table", "local_ice",
           "mean_coefficients"]

Z_LIMIT = 840.0
"""Heights are clamped to ±Z_LIMIT m: beyond, there is bedrock below and no detector above."""
GRID_STEP = 2.0
GRID_BOTTOM = -842.0
_NODES = 843


@dataclass(frozen=True)
class IceTable:
    """Coefficients (1/m) and their integrals at ``GRID_BOTTOM + k GRID_STEP``; arrays of shape (843,)."""

    scattering: np.ndarray
    scattering_integral: np.ndarray
    absorption: np.ndarray
    absorption_integral: np.ndarray

    def astype(self, dtype: type) -> IceTable:
        """The same table in another precision."""
        return IceTable(*(getattr(self, name).astype(dtype) for name in self.__dataclass_fields__))


def _integral(values: np.ndarray) -> np.ndarray:
    """Trapezoidal running integral, zero in the middle of the grid to keep float32 differences exact."""
    total = np.concatenate([[0.0], np.cumsum(0.5 * (values[1:] + values[:-1]) * GRID_STEP)])
    return total - total[len(total) // 2]


@cache
def ice_table() -> IceTable:
    """The table in float64; outside the measured depths the outermost layer continues."""
    layers = ice_layers()
    z = GRID_BOTTOM + GRID_STEP * np.arange(_NODES)
    scattering = np.interp(z, layers.z, layers.scattering)
    absorption = np.interp(z, layers.z, layers.absorption)
    return IceTable(scattering, _integral(scattering), absorption, _integral(absorption))


def mean_coefficients(from_z: np.ndarray, to_z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean scattering and absorption coefficients (1/m) between heights (m); shapes broadcast."""
    table = ice_table()
    z = GRID_BOTTOM + GRID_STEP * np.arange(_NODES)
    low, high = np.clip(from_z, -Z_LIMIT, Z_LIMIT), np.clip(to_z, -Z_LIMIT, Z_LIMIT)
    middle = 0.5 * (low + high)
    level = np.abs(high - low) < 0.5
    gap = np.where(level, 1.0, high - low)
    means = []
    for values, integrals in ((table.scattering, table.scattering_integral),
                              (table.absorption, table.absorption_integral)):
        mean = (np.interp(high, z, integrals) - np.interp(low, z, integrals)) / gap
        means.append(np.where(level, np.interp(middle, z, values), mean))
    return means[0], means[1]


def local_ice(height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scattering, its integral, absorption, its integral at heights (m), as the kernels interpolate them."""
    table = ice_table()
    position = (height - GRID_BOTTOM) / GRID_STEP
    k = position.astype(np.int64)
    f = position - k

    def at(values: np.ndarray, integrals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rise = values[k + 1] - values[k]
        return values[k] + f * rise, integrals[k] + GRID_STEP * f * (values[k] + 0.5 * f * rise)

    return (*at(table.scattering, table.scattering_integral),
            *at(table.absorption, table.absorption_integral))
