"""When to point at which field: by probability, where it is dark and the airmass allows; pure functions.

The sky is looked at in steps of five minutes or more: airmass is that of the altitude without refraction
(astropy), dark is the Sun 12 degrees below the horizon. An instrument without a place on the ground sees
everything always.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_sun
from astropy.time import Time
from astropy.utils import iers
from astropy.utils.exceptions import AstropyWarning
from erfa import ErfaWarning

from server.desk.plans.payloads import PlanPayload, Window
from server.desk.plans.tiling import Tile

__all__ = ["OVERHEAD", "Sky", "Visit", "place_of", "schedule", "sky_over"]

OVERHEAD = 30.0  # seconds between exposures
DARK = -12.0  # degrees
_STEP = 300.0  # seconds
_MOST_STEPS = 576
_SLEW = 1.0  # degrees a second


@dataclass(frozen=True)
class Visit:
    """One exposure: of which tile (by place in the list), when, through which filter, at which airmass."""

    tile: int
    start: datetime
    band: str
    airmass: float | None


@dataclass(frozen=True)
class Sky:
    """Airmass of each tile at each step (infinite below the horizon or by day), and the steps' seconds."""

    airmass: np.ndarray
    step: float


def place_of(telescope: Mapping[str, Any]) -> EarthLocation | None:
    """Where a telescope stands; None when it does not stand anywhere."""
    lat, lon = telescope.get("lat"), telescope.get("lon")
    if lat is None or lon is None or telescope.get("fixed_location") is False:
        return None
    height = (telescope.get("elevation") or 0) * units.m
    return EarthLocation.from_geodetic(lon * units.deg, lat * units.deg, height)


def sky_over(place: EarthLocation | None, tiles: Sequence[Tile], window: Window) -> Sky:
    """What is to be seen of the tiles."""
    length = (window[1] - window[0]).total_seconds()
    step = max(_STEP, length / _MOST_STEPS)
    count = max(math.ceil(length / step), 1)
    airmass = np.full((len(tiles), count), math.inf if place is not None else 1.0)
    if place is None or not tiles:
        return Sky(airmass, step)
    centres = SkyCoord([one.ra for one in tiles], [one.dec for one in tiles], unit="deg")
    with warnings.catch_warnings(), iers.conf.set_temp("auto_download", False), \
            iers.conf.set_temp("auto_max_age", None), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        warnings.simplefilter("ignore", ErfaWarning)  # the future: no leap seconds,
        warnings.simplefilter("ignore", AstropyWarning)  # and no motion of the poles
        times = Time(window[0], scale="utc") + (np.arange(count) + 0.5) * step * units.s
        sun = get_sun(times).transform_to(AltAz(obstime=times, location=place)).alt.deg
        dark = np.nonzero(sun <= DARK)[0]
        if len(dark):
            frame = AltAz(obstime=times[dark][None, :], location=place)
            altitude = centres[:, None].transform_to(frame).alt.deg
            with np.errstate(divide="ignore"):
                airmass[:, dark] = np.where(altitude > 1, 1 / np.sin(np.radians(altitude)), math.inf)
    return Sky(airmass, step)


def schedule(tiles: Sequence[Tile], sky: Sky, plan: PlanPayload, window: Window, *,
             is_on_ground: bool = True) -> list[Visit]:
    """Exposures one after the other: at each moment the best field that is up and due.

    `block` takes all fields through the first filter before the second; `integrated` takes a field through
    all its filters, as soon as the time between its exposures allows.
    """
    state = _State(tiles, sky, plan, window)
    visits: list[Visit] = []
    seconds, length = 0.0, (window[1] - window[0]).total_seconds()
    while seconds + plan.exposure_time <= length and state.is_open:
        at = min(int(seconds / sky.step), sky.airmass.shape[1] - 1)
        chosen = state.best(at, seconds)
        if chosen is None:
            seconds = (int(seconds / sky.step) + 1) * sky.step
            continue
        airmass = round(float(sky.airmass[chosen, at]), 3) if is_on_ground else None
        start, band = window[0] + timedelta(seconds=seconds), plan.bands[state.passes[chosen]]
        visits.append(Visit(chosen, start, band, airmass))
        state.visited(chosen, seconds)
        seconds += plan.exposure_time + OVERHEAD
    return visits


class _State:
    """What was observed so far."""

    def __init__(self, tiles: Sequence[Tile], sky: Sky, plan: PlanPayload, window: Window) -> None:
        self.sky, self.plan = sky, plan
        self.passes = np.zeros(len(tiles), dtype=int)
        self.due = np.zeros(len(tiles))  # seconds from which a tile may be observed again
        self.probability = np.array([one.probability for one in tiles])
        self.places = SkyCoord([one.ra for one in tiles], [one.dec for one in tiles], unit="deg")
        self.slew = np.zeros(len(tiles))

    @property
    def is_open(self) -> bool:
        return bool((self.passes < len(self.plan.bands)).any())

    def best(self, at: int, seconds: float) -> int | None:
        airmass = self.sky.airmass[:, at]
        is_due = (self.passes < len(self.plan.bands)) & (self.due <= seconds)
        rows = np.nonzero(is_due & (airmass <= self.plan.maximum_airmass))[0]
        if not len(rows):
            return None
        passes = self.passes[rows] if self.plan.filter_strategy == "block" else -self.passes[rows]
        return int(rows[np.lexsort([rows, -self._score(rows, airmass[rows]), passes])[0]])

    def _score(self, rows: np.ndarray, airmass: np.ndarray) -> np.ndarray:
        match self.plan.schedule_type:
            case "airmass_weighted":
                return self.probability[rows] / airmass
            case "greedy_slew":
                return self.probability[rows] / (self.plan.exposure_time + OVERHEAD + self.slew[rows])
        return self.probability[rows]

    def visited(self, tile: int, seconds: float) -> None:
        self.passes[tile] += 1
        self.due[tile] = seconds + 60 * self.plan.minimum_time_difference
        if self.plan.schedule_type == "greedy_slew":
            self.slew = self.places[tile].separation(self.places).deg / _SLEW
