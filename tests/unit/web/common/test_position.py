"""How directions and times are written for astronomers."""

from __future__ import annotations

import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from server.web.common import position


@given(st.floats(0, 360), st.floats(-90, 90))
def test_astropy_reads_what_is_written(ra: float, dec: float) -> None:
    written = position.sexagesimal(ra, dec).replace("\u2212", "-").translate(str.maketrans("°′″", "dms"))
    read = SkyCoord(written, frame="icrs")
    assert read.separation(SkyCoord(ra * units.deg, dec * units.deg)).arcsec < 1.5


@pytest.mark.parametrize(("ra", "dec", "text"), [
    (0.0, 0.0, "00h 00m 00.0s +00° 00′ 00″"), (359.99999, -0.00001, "00h 00m 00.0s +00° 00′ 00″"),
    (77.3582, -5.69314, "05h 09m 26.0s \u221205° 41′ 35″"), (180.0, 90.0, "12h 00m 00.0s +90° 00′ 00″")])
def test_sexagesimal(ra: float, dec: float, text: str) -> None:
    assert position.sexagesimal(ra, dec) == text


@pytest.mark.parametrize(("plus", "minus", "text"), [
    (1.141, 1.314, "77.43° (+1.14/\u22121.31)"), (0.0123, 0.02, "77.430° (+0.012/\u22120.020)"),
    (18.54, 12.0, "77.43° (+18.54/\u221212.00)"), (0.0, 0.0, "77.4300° (+0.0000/\u22120.0000)"),
    (None, None, "77.43°")])
def test_errors_choose_the_digits(plus: float | None, minus: float | None, text: str) -> None:
    assert position.with_errors(77.43, plus, minus) == text
    assert position.with_errors(-77.43, plus, minus, signed=True).startswith("\u221277.43")


@given(st.floats(41317, 60000))
def test_times_are_those_of_astropy(mjd: float) -> None:
    read = Time(position.utc_of_mjd(mjd), scale="utc")
    assert abs(read.mjd - mjd) < 1.2 / 86400  # a leap second's day is longer


@pytest.mark.parametrize("mjd", [0.0, -1.0, float("nan"), 1e9])
def test_what_is_no_time_is_not_written(mjd: float) -> None:
    assert position.utc_of_mjd(mjd) == ""


def test_a_page_says_the_level_set_beside_every_area() -> None:
    view = {"best_fit": {"ra_deg": 10.0, "dec_deg": -5.0, "llh": 1.0}, "energy": None, "level_set": "wilks",
            "area_50_deg2": 1.0, "area_90_deg2": 3.0, "area_50_limits": "", "area_90_limits": "cut",
            "errors_90": {"ra_plus": None, "ra_minus": None, "dec_plus": 1.0, "dec_minus": 2.0},
            "compared": [{"kind": "online", "distance_deg": 0.5, "within": 0.9}]}
    found = position.texts(view)
    assert (found["note50"], found["note90"]) == ("wilks", "wilks, cut")
    assert found["ra"] == "10.00°"
    assert found["compared-online"] == "0.5° from the best fit, inside the 90 % region"
    empty = position.texts({**view, "best_fit": None, "compared": [], "level_set": None})
    assert empty["ra"] == empty["sexagesimal"] == "–"
