"""Shape and rate of the delay of a track's light: the layered-ice Pandel parameters, for arrays.

The likelihood has the same formulas inside its compiled loop, with their derivatives; a test holds the two
together.
"""

from __future__ import annotations

import numpy as np

from config.ice import C_VACUUM, N_GROUP
from scanner.recos.track.likelihood import BULK_LAMBDA, DISTANCE_SLOPE, SCATTERING_RATE

__all__ = ["delay_shape"]


def delay_shape(distance: np.ndarray, cosine: np.ndarray, scattering: np.ndarray,
                absorption: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ξ and ρ (1/ns) at `distance` m from a track; its light meets the module at `cosine` to the upward axis.

    `scattering` and `absorption` are the mean coefficients on the way, 1/m (AMANDA, NIM A524 (2004) 169, with
    lengths in units of the local scattering length).
    """
    near = (3.094 - 3.946 * cosine + 4.636 * cosine**2) / BULK_LAMBDA
    rate = SCATTERING_RATE * scattering + C_VACUUM / N_GROUP * absorption
    return near + DISTANCE_SLOPE * distance * scattering, rate
