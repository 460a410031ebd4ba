"""Reading what clients write: dates, conditions on candidates, distances, throttling."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from astropy_healpix import healpix_to_lonlat
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Desk
from server.common.errors import BadRequest, TooManyRequests
from server.desk.common.dates import parse_date
from server.desk.common.positions import galactic_many, hpix29, hpix29_many
from server.desk.common.throttle import Throttle
from server.desk.judgement import candidate_routes
from server.desk.judgement.candidate_query import AnnotationTest, Period, Search, read_search
from server.desk.objects.distances import Distance, distance

NAMES = sorted(set(re.findall(r'"(\w+)"', Path(candidate_routes.__file__).read_text().split("given = {")[1]
                              .split("}")[0])))


def search(**given_: str) -> Search:
    return read_search({**dict.fromkeys(NAMES), **given_})


# -- dates


@pytest.mark.parametrize(("text", "moment"), [
    ("2023-03-14", datetime(2023, 3, 14)), ("2023-03-14T05:06:07", datetime(2023, 3, 14, 5, 6, 7)),
    ("2023-03-14T05:06:07.1239", datetime(2023, 3, 14, 5, 6, 7, 123000)), ("2023", datetime(2023, 1, 1)),
    ("2023-03-14 05:06:07+02:00", datetime(2023, 3, 14, 3, 6, 7)), ("2023-3-4", datetime(2023, 3, 4)),
    ("2023/03/14", datetime(2023, 3, 14)), ("2023-03", datetime(2023, 3, 1)),
    ("20230314T050607Z", datetime(2023, 3, 14, 5, 6, 7))])
def test_dates(text: str, moment: datetime) -> None:
    assert parse_date(text, "x") == moment


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))
def test_any_zone_becomes_utc(moment: datetime) -> None:
    found = parse_date(moment.isoformat(), "x")
    wanted = moment.astimezone(UTC).replace(tzinfo=None)
    assert found == wanted.replace(microsecond=wanted.microsecond // 1000 * 1000)


@given(st.text())
def test_any_text_is_a_date_or_refused(text: str) -> None:
    try:
        found = parse_date(text, "x")
    except BadRequest as error:
        refusal = error.reason
    else:
        refusal = "x: "
        assert found.tzinfo is None
    assert refusal.startswith("x: ")


# -- conditions


def test_nothing_asked_is_plain() -> None:
    assert search().is_plain
    assert search(startDate="2023-01-01", filterIDs="1,2").is_plain
    assert search(startDate="2023-01-01").passed == Period(datetime(2023, 1, 1))


@pytest.mark.parametrize(("name", "value"), [
    ("minRedshift", "0.1"), ("savedStatus", "savedToAnySelected"), ("classifications", "Blazar"),
    ("listName", "x"), ("listNameReject", "x"), ("annotationExcludeOrigin", "x"), ("numberDetections", "2"),
    ("localizationDateobs", "2023-01-01"), ("photometryAnnotationsFilter", "drb"),
    ("firstDetectionAfter", "2023-01-01"), ("sortByAnnotationOrigin", "x"),
    ("annotationFilterList", '{"origin": "x", "key": "y", "value": 1}')])
def test_what_asks_more_is_not_plain(name: str, value: str) -> None:
    assert not search(**{name: value}).is_plain


@given(st.dictionaries(st.sampled_from(NAMES), st.one_of(st.text(max_size=30), st.from_regex(
    r'\A(\{"origin": ?"a", ?"key": ?"b"(, ?"(value|min|max)": ?(1|"x"|null|1e999|\[\]))*\},?)+\Z'))))
def test_any_query_is_read_or_refused(given_: dict[str, str]) -> None:
    try:
        found = search(**given_)
    except BadRequest:
        return
    assert msgspec.json.encode(found)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
       st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=2)))
def test_values_of_annotations(found: Any, wanted: Any) -> None:
    by_value = AnnotationTest("o", "k", wanted, by_value=True)
    same_kind = isinstance(found, bool) == isinstance(wanted, bool)
    assert by_value.holds({"k": found}) is (same_kind and found == wanted)
    assert not by_value.holds({})
    bounds = AnnotationTest("o", "k", least=-1, most=1)
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    assert bounds.holds({"k": found}) is (is_number and -1 <= found <= 1)


# -- places


@given(st.floats(0, 360, exclude_max=True), st.floats(-90, 90))
def test_the_pixel_holds_the_place(ra: float, dec: float) -> None:
    pixel = hpix29(ra, dec)
    assert 0 <= pixel < 12 * 4**29
    assert hpix29_many([ra], [dec]).tolist() == [pixel]
    lon, lat = healpix_to_lonlat(pixel, 1 << 29, order="nested")
    assert float(lat.deg) == pytest.approx(dec, abs=1e-6)
    away = np.sin(np.radians(float(lon.deg) - ra) / 2) * np.cos(np.radians(dec))
    assert away == pytest.approx(0, abs=1e-7)


def test_galactic_coordinates_of_the_crab() -> None:
    lon, lat = galactic_many([83.6331], [22.0145])
    assert (lon[0], lat[0]) == (pytest.approx(184.5575, abs=1e-3), pytest.approx(-5.7844, abs=1e-3))


@pytest.mark.parametrize(("altdata", "redshift", "mpc"), [
    ({"dm": 30.0}, 0.5, 10.0), ({"parallax": 0.001}, None, 1e-3), ({"dist_kpc": 5}, None, 5e-3),
    ({"dist_pc": 5e6}, None, 5.0), ({"dist_Mpc": 7}, None, 7.0), ({"dist_cm": 3.08567758e24}, None, 1),
    (None, 0.05, 229.88), ({}, 1.0, 6791.0), (None, 0.0011, None), (None, None, None),
    ({"dm": "x"}, None, None),
    ("text", None, None), ({"parallax": 0}, None, None), ({"dist_Mpc": -1}, None, None), (None, -0.1, None)])
def test_distances(altdata: Any, redshift: float | None, mpc: float | None) -> None:
    found = distance(altdata, redshift)
    if mpc is None:
        assert found == Distance(None, None, None)
        return
    assert found.luminosity_distance == pytest.approx(mpc, rel=2e-3)
    assert found.dm == pytest.approx(5 * np.log10(mpc) + 25, abs=0.01)
    assert found.angular_diameter_distance == pytest.approx(mpc / (1 + (redshift or 0)) ** 2, rel=2e-3)


# -- how often


def test_a_bucket_per_token() -> None:
    clock = [100.0]
    settings = Desk(requests_per_second=5, burst=10, exempt_addresses=["::1"])
    throttle = Throttle(settings, clock=lambda: clock[0])

    def asked(key: str = "a", address: str = "192.0.2.1") -> bool:
        try:
            throttle.check(key, address)
        except TooManyRequests:
            return False
        return True

    assert [asked() for _ in range(12)] == [True] * 10 + [False] * 2
    assert asked("b")
    assert asked("a", "::1")
    clock[0] += 1
    assert [asked() for _ in range(7)] == [True] * 5 + [False] * 2
    clock[0] += 60
    assert sum(asked() for _ in range(20)) == 10
