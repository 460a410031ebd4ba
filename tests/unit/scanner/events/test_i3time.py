"""Times of IceCube: years, ticks, leap seconds."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.common.errors import EventError
from scanner.events.i3time import I3Time

SECOND = 10**10
DAY = 86_400 * SECOND


@given(st.floats(min_value=52_000, max_value=70_000))
def test_round_trip(mjd: float) -> None:
    assert I3Time.from_mjd(mjd).mjd == mjd


@pytest.mark.parametrize(
    ("time", "iso"),
    [
        (I3Time(2022, 0), "2022-01-01T00:00:00"),
        (I3Time(2022, 123_828_921_853_524_946), "2022-05-24T07:41:32.185352"),
        (I3Time(2015, 180 * DAY + 86_399 * SECOND), "2015-06-30T23:59:59"),
        (I3Time(2015, 181 * DAY + SECOND), "2015-07-01T00:00:00"),  # a leap second lies between the two
        (I3Time(2015, 181 * DAY + 11 * SECOND), "2015-07-01T00:00:10"),
        (I3Time(2016, 366 * DAY - SECOND), "2016-12-31T23:59:59"),  # the leap second at its end is no matter
        (I3Time(2017, 5 * SECOND), "2017-01-01T00:00:05"),
    ],
)
def test_dates(time: I3Time, iso: str) -> None:
    days = datetime.fromisoformat(iso) - datetime(1858, 11, 17)
    assert abs(time.mjd - days.total_seconds() / 86_400) < 2e-11


def test_a_leap_second_stands_still() -> None:
    midnight = I3Time(2012, 182 * DAY).mjd
    assert I3Time(2012, 182 * DAY + SECOND // 2).mjd == midnight == I3Time(2012, 182 * DAY + SECOND).mjd


@pytest.mark.parametrize(("year", "ticks"), [(1900, 0), (2500, 0), (2020, -1), (2020, 400 * DAY)])
def test_there_is_no_such_time(year: int, ticks: int) -> None:
    with pytest.raises(EventError, match=f"year {year}"):
        I3Time(year, ticks)


@pytest.mark.parametrize("mjd", [float("nan"), float("inf"), -1e9, 0.0, 1e9])
def test_there_is_no_such_date(mjd: float) -> None:
    with pytest.raises(EventError):
        I3Time.from_mjd(mjd)
