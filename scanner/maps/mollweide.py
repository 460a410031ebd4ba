"""Mollweide's equal-area picture of the whole sky, as astronomers draw it: RA 180° in the middle, east left.

The sky fills the ellipse |x| ≤ 2√2, |y| ≤ √2 (Snyder 1987, USGS PP 1395, section 31).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["HEIGHT", "WIDTH", "cut_at_seam", "from_plane", "to_plane"]

WIDTH = 2 * np.sqrt(2.0)  # half the ellipse's width
HEIGHT = np.sqrt(2.0)  # half its height
_CENTRE = 180.0


def to_plane(ra: ArrayLike, dec: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Position in the plane of directions in degrees (RA 0 … 360: 0 is the right edge, 360 the left)."""
    lon = np.radians(_CENTRE - np.asarray(ra, dtype=float))
    theta = _auxiliary(np.radians(np.asarray(dec, dtype=float)))
    return WIDTH / np.pi * lon * np.cos(theta), HEIGHT * np.sin(theta)


def from_plane(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination in degrees of positions in the plane; NaN outside the ellipse."""
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    within = np.square(x / WIDTH) + np.square(y / HEIGHT) < 1
    theta = np.arcsin(np.where(within, y, 0) / HEIGHT)
    lon = np.where(within, x, 0) * np.pi / (WIDTH * np.cos(theta))
    dec = np.degrees(np.arcsin((2 * theta + np.sin(2 * theta)) / np.pi))
    return np.where(within, _CENTRE - np.degrees(lon), np.nan), np.where(within, dec, np.nan)


def cut_at_seam(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A path in degrees with a gap (NaN) wherever it crosses RA 0, drawn up to the edge on both sides."""
    jump = np.flatnonzero(np.abs(np.diff(ra)) > 180)
    if not len(jump):
        return ra, dec
    before = np.where(ra[jump] > 180, 360.0, 0.0)  # the edge the path leaves by
    reach, rest = np.abs(before - ra[jump]), np.abs(360.0 - before - ra[jump + 1])
    share = reach / np.maximum(reach + rest, 1e-12)
    crossing = dec[jump] + share * (dec[jump + 1] - dec[jump])
    gap = np.full(len(jump), np.nan)
    places = np.repeat(jump + 1, 3)
    cut_ra = np.column_stack([before, gap, 360.0 - before]).ravel()
    cut_dec = np.column_stack([crossing, gap, crossing]).ravel()
    return np.insert(ra, places, cut_ra), np.insert(dec, places, cut_dec)


def _auxiliary(dec: np.ndarray) -> np.ndarray:
    """The angle θ with 2θ + sin 2θ = π sin δ; Newton's steps from a start that also serves the poles."""
    target = np.pi * np.sin(dec)
    # Near a pole 2θ + sin 2θ ≈ π − (2/3)(π − 2θ)³/2 …; this start is exact there and good elsewhere.
    near = np.cbrt(np.maximum(6 * (np.pi - np.abs(target)), 0.0))
    double = np.sign(target) * np.where(np.abs(target) > 2.5, np.pi - near, np.abs(target) / 2)
    for _ in range(6):
        slope = 1 + np.cos(double)
        step = (double + np.sin(double) - target) / np.where(slope > 1e-9, slope, 1.0)
        double = np.where(slope > 1e-9, double - step, double)
    return np.clip(double / 2, -np.pi / 2, np.pi / 2)
