"""Light curves as pictures: where points are, and that nothing in a name becomes markup."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.web.desk.light_curve import HEIGHT, WIDTH, curves
from server.web.desk.object_view import place

ANY = st.one_of(st.none(), st.integers(-9, 9), st.floats())


def point(mjd: float, **more: Any) -> dict[str, Any]:
    return {"mjd": mjd, "filter": "ztfr", "mag": None, "magerr": None, "flux": None, "fluxerr": None, **more}


def test_the_bright_side_of_magnitudes_is_up() -> None:
    curve, = curves("a", [point(60000.0, mag=18.0, magerr=0.1), point(60001.0, mag=20.0, magerr=0.1)])
    (_, bright), (_, faint) = circles(curve.picture)
    assert bright < faint
    assert [(one.name, one.style, one.count) for one in curve.legend] == [("ztfr", "band-red", 2)]
    assert "magnitude (mag)" in curve.picture
    assert ">2023-02-25<" in curve.picture, "MJD 60000"


def test_bands_keep_their_colours_and_marks_tell_the_rest_apart() -> None:
    names = ("sdssu", "ztfg", "gaia::g", "ps1::i", "who knows 8")
    rows = [point(1.0, filter=name, mag=18.0) for name in names]
    legend = {one.name: one for one in curves("a", rows)[0].legend}
    assert [legend[name].style for name in ("sdssu", "ztfg", "gaia::g", "ps1::i")] == [
        "band-purple", "band-green", "band-green", "band-orange"]
    assert legend["ztfg"].mark != legend["gaia::g"].mark
    alone, = curves("a", rows[1:2])[0].legend
    assert alone.style == legend["ztfg"].style


def test_x_rays_are_rates() -> None:
    rows = [point(1.0, filter="swiftxrt", flux=0.1, fluxerr=0.01), point(1.0, flux=50.0, fluxerr=1.0)]
    density, rate = curves("a", rows)
    assert ("flux density (µJy)" in density.picture, "rate (counts/s)" in rate.picture) == (True, True)
    assert not density.has_limits


def test_more_flux_is_up_and_limits_are_arrows() -> None:
    curve, = curves("a", [point(1.0, flux=10.0, fluxerr=1.0), point(2.0, flux=50.0, fluxerr=1.0),
                          point(3.0, flux=1.0, fluxerr=1.0)])
    (_, low), (_, high) = circles(curve.picture)
    assert high < low
    assert curve.has_limits
    assert len(re.findall("v13M-3.5 9", curve.picture)) == 1
    limit = re.search(r'translate\(\S+ (\S+)\)"><path class="line band-red" d="M-5', curve.picture)
    assert limit
    assert high < float(limit[1]) < HEIGHT


def test_magnitudes_and_fluxes_are_two_pictures() -> None:
    found = curves("a", [point(1.0, mag=10.0), point(2.0, flux=5.0, fluxerr=0.1)])
    assert [curve.title for curve in found] == ["magnitude", "flux density"]
    assert curves("a", []) == curves("a", [point(1.0)]) == []


def test_names_are_not_markup() -> None:
    curve, = curves('<b>"', [point(1.0, mag=10.0)])
    assert "<b>" not in curve.picture


ROW = st.fixed_dictionaries({"filter": st.text(max_size=3), **dict.fromkeys(
    ("mjd", "mag", "magerr", "flux", "fluxerr"), ANY)})


@given(st.lists(ROW, max_size=5))
def test_whatever_is_stored_can_be_drawn(rows: list[dict[str, Any]]) -> None:
    for curve in curves("a", rows):
        assert "nan" not in curve.picture
        for x, y in circles(curve.picture):
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT


def circles(picture: str) -> list[tuple[float, float]]:
    """Where seen points stand."""
    return [(float(x), float(y)) for x, y in re.findall(r'translate\((\S+) (\S+)\)"><circle', picture)]


@pytest.mark.parametrize(("ra", "dec", "text"), [
    (0.0, 0.0, "00:00:00.00 +00:00:00.0"), (83.63308, 22.0145, "05:34:31.94 +22:00:52.2"),
    (359.999999, -0.0001, "24:00:00.00 -00:00:00.4"),
])  # fmt: skip
def test_places_in_sixties(ra: float, dec: float, text: str) -> None:
    found = place({"ra": ra, "dec": dec})
    assert found
    assert found.sexagesimal == text


def test_no_place() -> None:
    assert place({"ra": None, "dec": None}) is None
