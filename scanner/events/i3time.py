"""Time as IceCube stores it: a year and tenths of nanoseconds since it began, leap seconds counted.

``I3Time`` of icecube/icetray-public. A Modified Julian Date (UTC) has days of 86400 s; so the leap
seconds that the year has already seen are taken out on the way to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import erfa

from scanner.common.errors import EventError

__all__ = ["I3Time"]

_MJD_OF_DAY_ZERO = date(1858, 11, 17).toordinal()
_TICKS_PER_SECOND = 10**10
_TICKS_PER_DAY = 86400 * _TICKS_PER_SECOND
_JULY = 7
_YEARS = range(1972, 2100)  # from the first leap second on, as far as directions are computed


@dataclass(frozen=True)
class I3Time:
    """An instant, UTC; ``ticks`` are 0.1 ns since 1 January 00:00."""

    year: int
    ticks: int

    def __post_init__(self) -> None:
        if self.year not in _YEARS or not 0 <= self.ticks < 367 * _TICKS_PER_DAY:
            raise EventError(f"there is no time of year {self.year}, {self.ticks} tenths of nanoseconds")

    @property
    def mjd(self) -> float:
        """Modified Julian Date, UTC."""
        first, change = _year(self.year)
        ticks = self.ticks
        if change is not None and ticks > change:
            ticks = max(change, ticks - _TICKS_PER_SECOND)
        return first + ticks / _TICKS_PER_DAY

    @classmethod
    def from_mjd(cls, mjd: float) -> I3Time:
        """The instant of a Modified Julian Date (UTC), to 0.1 ns."""
        if not -678575 < mjd < 2973483:
            raise EventError(f"there is no date of MJD {mjd}")
        year = date.fromordinal(int(mjd // 1) + _MJD_OF_DAY_ZERO).year
        first, change = _year(year)
        ticks = round((mjd - first) * _TICKS_PER_DAY)
        if change is not None and ticks >= change:
            ticks += _TICKS_PER_SECOND
        return cls(year, ticks)


@lru_cache
def _year(year: int) -> tuple[int, int | None]:
    """MJD of a year's first day, and the tick at which a leap second begins in the middle of it, if one does.

    A leap second at the very end of a year shifts nothing within that year.
    """
    first = date(year, 1, 1).toordinal() - _MJD_OF_DAY_ZERO
    changes = erfa.leap_seconds.get()
    if any((changes["year"] == year) & (changes["month"] == _JULY)):
        return first, (date(year, _JULY, 1) - date(year, 1, 1)).days * _TICKS_PER_DAY
    return first, None
