"""The light's ways from a track to sixteen modules, and the ice on them: what both likelihoods begin with.

Places are projected in double precision, since times and places along a track are large; what is left,
distances and delays, goes on in single precision.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from config.ice import C_VACUUM, COS_CHERENKOV, N_GROUP, SIN_CHERENKOV
from scanner.common.compiled import inlined
from scanner.common.fastmath import F
from scanner.common.lanes import LANES
from scanner.light.ice import GRID_BOTTOM, GRID_STEP, Z_LIMIT, IceTable

__all__ = ["COSINE", "DISTANCE", "FRACTION", "INSIDE", "LATE", "MIN_DISTANCE2", "NU", "NV", "PATH_FACTOR",
           "PATH_ROWS", "PER_D", "PER_DROP", "SCALE", "Frame", "follow_light", "ice_rows", "path_mean",
           "split"]

PATH_FACTOR = N_GROUP / SIN_CHERENKOV - COS_CHERENKOV / SIN_CHERENKOV
"""Delay of the unscattered light per metre of distance from the track, in units of 1/c: 0.917."""
MIN_DISTANCE2 = 0.04
_MIN_HEIGHT = 1.0  # below this difference in height (m) the path average goes over to the local value
_ICE_ROW = np.int32(8)
_LAST_NODE = np.int32(-2 * GRID_BOTTOM / GRID_STEP - 1)

(NU, NV, PER_D, DISTANCE, COSINE, LATE, FRACTION, PER_DROP, SCALE, INSIDE) = range(10)
"""Rows of `lane` that `follow_light` fills in."""
PATH_ROWS = 10


class Frame(NamedTuple):
    """A direction: unit vector p of the flight and e1, e2 across it (e2 is horizontal)."""

    px: float
    py: float
    pz: float
    e1x: float
    e1y: float
    e1z: float
    e2x: float
    e2y: float


@inlined
def follow_light(first: np.uint64, doms: Any, frame: Frame, a: float, b: float, t0: float,
                 lane: np.ndarray, node: np.ndarray) -> None:
    """Fill in the rows of sixteen modules from number `first` on, and where the ice's row of each begins.

    The modules are those of either likelihood: both have their places, times and nodes of the ice.
    """
    px, py, pz, e1x, e1y, e1z, e2x, e2y = frame
    for j in range(LANES):
        k = np.uint64(j)
        i = first + k
        x, y, z = doms.x[i], doms.y[i], doms.z[i]
        lane[NU, k] = F(x * e1x + y * e1y + z * e1z - a)
        lane[NV, k] = F(x * e2x + y * e2y - b)
        lane[LATE, k] = F(doms.time[i] - t0 - (x * px + y * py + z * pz) * (1 / C_VACUUM))
    rise, climb = F(pz * COS_CHERENKOV), F(e1z * SIN_CHERENKOV)
    for j in range(LANES):
        k = np.uint64(j)
        i = first + k
        across, level = lane[NU, k], lane[NV, k]
        d = np.sqrt(across * across + level * level + F(MIN_DISTANCE2))
        per_d = F(1) / d
        nu = across * per_d
        cosine = rise + nu * climb
        drop_free = cosine * d * F(1 / SIN_CHERENKOV)
        height = doms.height[i]
        drop = min(max(drop_free, height - F(Z_LIMIT)), height + F(Z_LIMIT))
        lane[INSIDE, k] = F(1) if drop == drop_free else F(0)
        lane[SCALE, k] = min(abs(drop), F(_MIN_HEIGHT)) * F(1 / _MIN_HEIGHT)
        drop = np.copysign(max(abs(drop), F(_MIN_HEIGHT)), drop)
        # counted from the module's own node, so that a short way keeps all its digits
        position = doms.fraction[i] - drop * F(1 / GRID_STEP)
        below = np.floor(position)
        node[0, k] = _ICE_ROW * min(max(np.int32(below) + doms.node[i], np.int32(0)), _LAST_NODE)
        lane[NU, k], lane[NV, k], lane[PER_D, k], lane[DISTANCE, k] = nu, level * per_d, per_d, d
        lane[COSINE, k], lane[FRACTION, k], lane[PER_DROP, k] = cosine, position - below, F(1) / drop
        lane[LATE, k] -= F(PATH_FACTOR / C_VACUUM) * d


def ice_rows(ice: IceTable) -> np.ndarray:
    """Scattering, its rise to the next node, its integral in two numbers, and the same of the absorption.

    Eight float32 for each node, flat.
    """
    both = ((ice.scattering, ice.scattering_integral), (ice.absorption, ice.absorption_integral))
    parts = [(values, np.append(np.diff(values), 0.0), *split(integral)) for values, integral in both]
    return np.stack([column for part in parts for column in part], axis=1).astype(np.float32).ravel()


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Doubles as the sum of two float32."""
    upper = values.astype(np.float32)
    return upper, (values - upper).astype(np.float32)


@inlined
def path_mean(here: float, here_integral: float, here_rest: float, low: float, rise: float, integral: float,
              rest: float, f: float, per_drop: float, scale: float) -> tuple[float, float]:
    """Mean of a coefficient from fraction f between two nodes up to a module; its slope with that height.

    Integrals are told as two numbers, of which the second is what single precision leaves of the first.
    """
    there = low + f * rise
    part = F(GRID_STEP) * f * (low + F(0.5) * f * rise)
    mean = ((here_integral - integral) + (here_rest - rest - part)) * per_drop
    slope = here - mean if scale < F(1) else mean - there
    return here + scale * (mean - here), slope * per_drop
