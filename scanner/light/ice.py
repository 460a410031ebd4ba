"""Path averages of the layered ice: tables of the coefficients and of their integrals over z.

Light from a track crosses many layers. The mean of a coefficient over a path between two heights is the
difference of the integral at both ends over the difference in height, so one table of the integral replaces
a walk through the layers. Between nodes the coefficient is linear and its integral the exact parabola.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from config.ice import ICE_MODELS, LayerTilt, ice_layers, layer_tilt
from scanner.machine.tables import kept

__all__ = [
    "GRID_BOTTOM",
    "GRID_STEP",
    "TILT_BOTTOM",
    "TILT_EDGE",
    "TILT_HEIGHT",
    "TILT_SHAPE",
    "TILT_STEP",
    "Z_LIMIT",
    "IceTable",
    "ice_table",
    "levelled",
    "local_ice",
    "mean_coefficients",
    "tilt_table",
]

Z_LIMIT = 840.0
"""Heights are clamped to ±Z_LIMIT m: beyond, there is bedrock below and no detector above."""
GRID_STEP = 2.0
GRID_BOTTOM = -842.0
_NODES = 843
TILT_EDGE, TILT_STEP = -700.0, 50.0
"""The tilt is tabulated on a square around the detector's axis from this coordinate on, every so many m."""
TILT_BOTTOM, TILT_HEIGHT = -520.0, 20.0
"""And from this height on, every so many m."""
TILT_SHAPE = (29, 29, 57)
"""Nodes in x, y and z."""


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
def ice_table(model: str = ICE_MODELS[0]) -> IceTable:
    """The table in float64; outside the measured depths the outermost layer continues."""
    layers = ice_layers(model)
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


@cache
def tilt_table(model: str = ICE_MODELS[0]) -> np.ndarray:
    """How much higher than in the table the layers lie, m, of TILT_SHAPE; beyond the map as at its edge."""
    tilt = layer_tilt(model)
    if tilt is None:
        return np.zeros(TILT_SHAPE)
    return kept(f"tilt_{model}", lambda: _tabulated(tilt))


def _tabulated(tilt: LayerTilt) -> np.ndarray:
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

    x, y = (TILT_EDGE + TILT_STEP * np.arange(n) for n in TILT_SHAPE[:2])
    places = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    known = np.stack([tilt.x, tilt.y], axis=1)
    rise = LinearNDInterpolator(known, tilt.rise.T)(places)
    outside = np.isnan(rise[..., 0])
    rise[outside] = NearestNDInterpolator(known, tilt.rise.T)(places[outside])
    heights = TILT_BOTTOM + TILT_HEIGHT * np.arange(TILT_SHAPE[2])
    return np.apply_along_axis(lambda column: np.interp(heights, tilt.z, column), 2, rise)


def levelled(position: np.ndarray, model: str = ICE_MODELS[0]) -> np.ndarray:
    """Heights (m) at which the table of the ice holds for positions (n, 3), as the kernels interpolate."""
    if layer_tilt(model) is None:
        return position[:, 2]
    table = tilt_table(model)
    firsts, steps = (TILT_EDGE, TILT_EDGE, TILT_BOTTOM), (TILT_STEP, TILT_STEP, TILT_HEIGHT)
    nodes, shares = [], []
    for axis, (first, step, count) in enumerate(zip(firsts, steps, TILT_SHAPE, strict=True)):
        inside = np.clip(position[:, axis], first, first + step * (count - 1))
        node = np.minimum(((inside - first) / step).astype(np.int64), count - 2)
        nodes.append(node)
        shares.append((inside - (first + step * node)) / step)
    rise = np.zeros(len(position))
    for corner in product((0, 1), repeat=3):
        weights = [share if above else 1 - share for share, above in zip(shares, corner, strict=True)]
        at = tuple(node + above for node, above in zip(nodes, corner, strict=True))
        rise = rise + table[at] * (weights[0] * weights[1] * weights[2])
    return position[:, 2] - rise


def local_ice(height: np.ndarray, model: str = ICE_MODELS[0],
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scattering, its integral, absorption, its integral at heights (m), as the kernels interpolate them."""
    table = ice_table(model)
    position = (height - GRID_BOTTOM) / GRID_STEP
    k = position.astype(np.int64)
    f = position - k

    def at(values: np.ndarray, integrals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rise = values[k + 1] - values[k]
        return values[k] + f * rise, integrals[k] + GRID_STEP * f * (values[k] + 0.5 * f * rise)

    return (*at(table.scattering, table.scattering_integral),
            *at(table.absorption, table.absorption_integral))
