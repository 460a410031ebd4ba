"""What −ln L is worth when a track explains its event badly.

A density of single modules knows nothing of what they share: one large loss, ice that is not as the table
says. Such events show themselves: their mean −ln L per module is larger than simulated tracks of their charge
and size have, and the true direction then lies farther from the best one in 2Δ ln L. So −ln L is taken for
what remains when the common scale of the errors is not known, as in Student's distribution: with r the mean
−ln L per module above its usual value,

    −ln L' / n = usual + r                          for r ≤ 0
                 usual + SCALE ln(1 + r/SCALE)      above, down to a slope of 1/MOST, then straight on

It grows with −ln L, so best fits stay where they are; only the regions of such events widen. The straight
end keeps directions that explain nothing as far away as they are, however few modules there are. Figures:
least squares (`USUAL`) and coverage (`SCALE`, `MOST`) of 300 simulated tracks; see the documentation of the
kernel.
"""

from __future__ import annotations

import numpy as np

__all__ = ["MOST", "SCALE", "USUAL", "usual_llh", "widened"]

USUAL = (5.140, -0.368, 0.344)
"""Mean −ln L per module at the best vertex: USUAL · (1, mean ln N, ln n)."""
SCALE = 0.15
"""Units of ln L per module above `usual_llh` at which a difference counts half."""
MOST = 4.0
"""A difference never counts for less than 1/MOST."""


def usual_llh(charge: np.ndarray) -> float:
    """Mean −ln L per module that tracks with these charges (PE), shape (n,), usually have."""
    constant, with_charge, with_modules = USUAL
    return float(constant + with_charge * np.mean(np.log(charge)) + with_modules * np.log(len(charge)))


def widened(llh: np.ndarray, modules: int, usual: float) -> np.ndarray:
    """−ln L of fits with so many modules, shape (n,), as their regions shall be drawn by."""
    excess = llh / modules - usual
    turn = (MOST - 1.0) * SCALE
    above = np.maximum(excess, 0.0)
    bent = SCALE * np.log1p(np.minimum(above, turn) / SCALE) + np.maximum(above - turn, 0.0) / MOST
    return modules * (usual + np.minimum(excess, 0.0) + bent)
