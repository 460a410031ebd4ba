"""Nights at a telescope: when the Sun is down, where objects stand, when they can be observed.

Places and times are those of astropy; here they are only sampled every five minutes, which is as good as an
observer needs. Tables of the Earth's rotation are those that came with astropy: nothing is downloaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body
from astropy.time import Time
from astropy.utils import iers

__all__ = ["HORIZON", "Night", "Sky", "coming_night", "moon_phases", "night_of", "place_of", "sky_of"]

iers.conf.auto_download = False
iers.conf.auto_max_age = None
iers.conf.iers_degraded_accuracy = "ignore"  # far in the future a second of time is no matter

STEP = timedelta(minutes=5)
HORIZON = 30.0  # degrees; lower an object is not worth observing
_SUNSET, _NAUTICAL, _ASTRONOMICAL = -0.833, -12.0, -18.0  # degrees of the Sun's centre
_NOON = 12.0  # hours


def place_of(telescope: Mapping[str, Any]) -> EarthLocation | None:
    """Where a telescope stands; None when nobody said, or it is in space."""
    if None in (telescope.get("lat"), telescope.get("lon")) or not telescope.get("fixed_location", True):
        return None
    return EarthLocation.from_geodetic(telescope["lon"] * units.deg, telescope["lat"] * units.deg,
                                       (telescope.get("elevation") or 0.0) * units.m)


@dataclass(frozen=True)
class Sky:
    """The sky over a place at times (UTC, without zone) of equal steps; angles in degrees."""

    place: EarthLocation
    moments: Sequence[datetime]

    @cached_property
    def frame(self) -> AltAz:
        return AltAz(obstime=self._times, location=self.place)

    @cached_property
    def _times(self) -> Time:
        return Time(list(self.moments), scale="utc")

    @cached_property
    def sun(self) -> np.ndarray:
        """Altitude of the Sun; shape (times,)."""
        return self._altitude("sun")

    @cached_property
    def moon(self) -> np.ndarray:
        """Altitude of the Moon; shape (times,)."""
        return self._altitude("moon")

    def _altitude(self, body: str) -> np.ndarray:
        with _quiet():
            return np.asarray(get_body(body, self._times, self.place).transform_to(self.frame).alt.deg)

    def altitude(self, ra: Sequence[float], dec: Sequence[float]) -> np.ndarray:
        """Altitude of objects (ICRS); shape (objects, times)."""
        with _quiet():
            objects = SkyCoord(np.asarray(ra)[:, None] * units.deg, np.asarray(dec)[:, None] * units.deg)
            return np.asarray(objects.transform_to(self.frame).alt.deg)

    def hour_angle(self, ra: Sequence[float]) -> np.ndarray:
        """Hour angle of objects in hours from −12 to 12; shape (objects, times)."""
        with _quiet():
            sidereal = self._times.sidereal_time("apparent", self.place.lon).hour
        return (sidereal[None, :] - np.asarray(ra)[:, None] / 15.0 + 12.0) % 24.0 - 12.0

    def from_moon(self, ra: Sequence[float], dec: Sequence[float]) -> np.ndarray:
        """Distance of objects from the Moon; shape (objects, times)."""
        with _quiet():
            moon = get_body("moon", self._times, self.place).transform_to("icrs")
            objects = SkyCoord(np.asarray(ra)[:, None] * units.deg, np.asarray(dec)[:, None] * units.deg)
            there = SkyCoord(moon.ra, moon.dec)
            return np.asarray(there[None, :].separation(objects).deg)

    def moon_phase(self) -> float:
        """Lit share of the Moon in the middle of the times (Meeus 1998, chapter 48)."""
        return moon_phases([self.moments[len(self.moments) // 2]])[0]


def moon_phases(moments: Sequence[datetime]) -> list[float]:
    """Lit share of the Moon at times (UTC, without zone), from 0 to 1."""
    if not moments:
        return []
    with _quiet():
        times = Time(list(moments), scale="utc")
        moon, sun = get_body("moon", times), get_body("sun", times)
        apart = sun.separation(moon)
        angle = np.arctan2(sun.distance * np.sin(apart), moon.distance - sun.distance * np.cos(apart))
    return [float(each) for each in np.atleast_1d((1 + np.cos(angle)) / 2)]


def _quiet() -> warnings.catch_warnings:
    """astropy warns of dates beyond its tables at every call."""
    return warnings.catch_warnings(action="ignore")


def sky_of(place: EarthLocation, first: datetime, last: datetime) -> Sky:
    """The sky over a place between two times, both within."""
    steps = int((last - first) / STEP) + 1
    return Sky(place, [first + number * STEP for number in range(steps)])


@dataclass(frozen=True)
class Night:
    """A night at a place, from one local noon to the next."""

    sky: Sky

    @cached_property
    def is_dark(self) -> np.ndarray:
        return self.sky.sun < _SUNSET

    def windows(self, ra: Sequence[float], dec: Sequence[float]) -> list[tuple[datetime, datetime] | None]:
        """Of each object when it rises above 30° and sets below within the night; None when it does not."""
        if not len(ra):
            return []
        up = (self.sky.altitude(ra, dec) > HORIZON) & self.is_dark[None, :]
        return [self._span(row) for row in up]

    def _span(self, row: np.ndarray) -> tuple[datetime, datetime] | None:
        at = np.flatnonzero(row)
        return None if len(at) < 2 else (self.sky.moments[int(at[0])], self.sky.moments[int(at[-1])])

    def ephemeris(self) -> dict[str, Any]:
        """When Sun and twilights begin and end, and how much of the Moon is lit."""
        names = {"sunset_utc": ("sunrise_utc", _SUNSET),
                 "twilight_evening_nautical_utc": ("twilight_morning_nautical_utc", _NAUTICAL),
                 "twilight_evening_astronomical_utc": ("twilight_morning_astronomical_utc", _ASTRONOMICAL)}
        found: dict[str, Any] = {}
        for evening, (morning, limit) in names.items():
            span = self._span(self.sky.sun < limit)
            found[evening], found[morning] = span or (None, None)
        return {**found, "moon_illumination": round(self.sky.moon_phase(), 3)}


def night_of(place: EarthLocation, day: date) -> Night:
    """The night that begins on a local day."""
    minutes = round(60 * (_NOON - place.lon.deg / 15.0))
    noon = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)
    return Night(sky_of(place, noon, noon + timedelta(days=1)))


def coming_night(place: EarthLocation, moment: datetime) -> Night:
    """The night that is now, or the next one; `moment` in UTC without zone."""
    local = moment + timedelta(hours=place.lon.deg / 15.0)
    return night_of(place, (local - timedelta(hours=_NOON)).date())
