"""Which block of exposures comes when in a night: the highest priority first, each where it stands best.

A block gets the free span in which its target stands highest of all that its constraints allow. That is the
greedy scheduler that observatories use for targets of opportunity; places on the sky are astropy's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from server.desk.observing.nights import STEP, Sky

__all__ = ["Block", "Placed", "place"]

_LOWEST = 20.0  # degrees of altitude
_AIRMASS = 2.5
_NAUTICAL = -12.0  # degrees of the Sun
_HOUR_ANGLE = 5.5
_MOON = 10.0  # degrees


@dataclass(frozen=True)
class Block:
    """Exposures of one target with one filter; seconds, degrees. `request_id` is None for a standard star."""

    request_id: int | None
    obj_id: str
    ra: float
    dec: float
    priority: float
    filter: str
    exposure_time: float
    exposure_counts: int = 1
    maximum_airmass: float = _AIRMASS
    minimum_lunar_distance: float = _MOON
    first: datetime | None = None
    last: datetime | None = None
    status: str = ""

    @property
    def steps(self) -> int:
        """How many of the sky's time steps it takes."""
        return max(1, math.ceil(self.exposure_time * self.exposure_counts / STEP.total_seconds()))


@dataclass(frozen=True)
class Placed:
    """A block with its time."""

    block: Block
    start: datetime
    end: datetime
    airmass: float


def place(sky: Sky, blocks: Sequence[Block]) -> list[Placed]:
    """Those blocks that fit into the sky's time, by time."""
    if not blocks:
        return []
    ra, dec = [block.ra for block in blocks], [block.dec for block in blocks]
    altitude = sky.altitude(ra, dec)
    allowed = _allowed(sky, blocks, altitude)
    free = np.ones(len(sky.moments), dtype=bool)
    found: list[Placed] = []
    for index in sorted(range(len(blocks)), key=lambda one: (-blocks[one].priority, one)):
        at = _best(allowed[index] & free, altitude[index], blocks[index].steps)
        if at is not None:
            free[at:at + blocks[index].steps] = False
            found.append(_placed(sky, blocks[index], at, altitude[index]))
    return sorted(found, key=lambda one: one.start)


def _allowed(sky: Sky, blocks: Sequence[Block], altitude: np.ndarray) -> np.ndarray:
    """When each block may be observed; bool, shape (blocks, times)."""
    ra, dec = [block.ra for block in blocks], [block.dec for block in blocks]
    airmass = np.array([min(block.maximum_airmass, _AIRMASS) for block in blocks])[:, None]
    moon = np.array([max(block.minimum_lunar_distance, _MOON) for block in blocks])[:, None]
    is_clear_of_moon = (sky.from_moon(ra, dec) >= moon) | (sky.moon < 0)[None, :]
    high = (altitude >= _LOWEST) & (airmass_of(altitude) <= airmass)
    near = np.abs(sky.hour_angle(ra)) <= _HOUR_ANGLE
    return high & near & is_clear_of_moon & (sky.sun < _NAUTICAL)[None, :] & _in_time(sky, blocks)


def airmass_of(altitude: np.ndarray) -> np.ndarray:
    """Airmass by altitude in degrees: the secant of the zenith angle, as astropy's AltAz.secz."""
    return 1.0 / np.sin(np.radians(np.maximum(altitude, 0.1)))


def _in_time(sky: Sky, blocks: Sequence[Block]) -> np.ndarray:
    return np.array([[(block.first is None or moment >= block.first)
                      and (block.last is None or moment <= block.last) for moment in sky.moments]
                     for block in blocks])


def _best(allowed: np.ndarray, altitude: np.ndarray, steps: int) -> int | None:
    """Where a span of so many steps stands highest; None when there is none."""
    if steps > len(allowed):
        return None
    window = np.ones(steps)
    is_whole = np.convolve(allowed, window, "valid") > steps - 0.5
    if not is_whole.any():
        return None
    height = np.where(is_whole, np.convolve(altitude, window, "valid"), -np.inf)
    return int(np.argmax(height))


def _placed(sky: Sky, block: Block, at: int, altitude: np.ndarray) -> Placed:
    start = sky.moments[at]
    middle = altitude[at:at + block.steps].mean(keepdims=True)
    return Placed(block, start, start + block.steps * STEP, float(airmass_of(middle)[0]))
