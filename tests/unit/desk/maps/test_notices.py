"""Notices of other observatories, and what their errors contain."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from scanner.maps import healpix
from server.common.errors import BadRequest
from server.desk.maps.notices import is_gcn, of_gcn, of_voevent
from server.desk.maps.skymaps import cone_name, of_cone, of_ellipse
from server.desk.maps.tiles import SkymapError
from tests.support.data import TEST_DATA

NOTICES = TEST_DATA / "data" / "notices"
real = pytest.mark.skipif(not NOTICES.exists(), reason=f"no real notices: {NOTICES}")

ICECUBE = "icecube__single_neutrino_alerts.gold_bronze_track_alerts.example.json"


@real
def test_icecube_notices_give_90_percent() -> None:
    notice = of_voevent((NOTICES / "AMON.xml").read_text())
    assert notice.dateobs == "2022-08-22T20:26:30.03"
    assert notice.skymap == {"ra": 273.4834, "dec": 22.1648, "error": 1.2755, "containment_probability": 0.9}
    assert "13697328816141" in notice.aliases
    document = json.loads((NOTICES / ICECUBE).read_text())
    assert is_gcn(document)
    found = of_gcn(document)
    assert found.aliases == ["IceCube-230416A", "137840_57034692"]
    assert found.tags == ["IceCube", "IC86", "Neutrino"]
    assert found.skymap == {"ra": 345.82, "dec": 9.01, "error": 0.5, "containment_probability": 0.9}


@real
def test_a_notice_without_a_place() -> None:
    notice = of_voevent((NOTICES / "GW190425_initial.xml").read_text())
    assert notice.skymap is None
    assert "S190425z" in notice.aliases


@real
@pytest.mark.parametrize("name", [
    "EP240508", "km3net__alert.example", "svom__eclairs__trigger.slewing.example"])
def test_other_notices(name: str) -> None:
    text = (NOTICES / f"{name}.json").read_text()
    found = of_gcn(text)
    assert found.skymap is not None
    assert found.skymap["error"] == json.loads(text)["ra_dec_error"]  # type: ignore[index]


@pytest.mark.parametrize(("document", "reason"), [
    ("{", "not JSON"), ("[]", "an object"), ({"$schema": "x"}, "trigger_time"),
    ({"trigger_time": "2024-01-01", "event_name": [5]}, "event_name"),
])  # fmt: skip
def test_json_that_is_no_notice(document: Any, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        of_gcn(document)


@pytest.mark.parametrize(("text", "reason"), [
    ("<", "not well formed"), ("<a/>", "not a VOEvent"), ("<VOEvent/>", "no ISOTime"),
    ('<!DOCTYPE a [<!ENTITY b "c">]><VOEvent/>', "document types"),
    ("<VOEvent><WhereWhen><ISOTime>2024-01-01</ISOTime><C1>x</C1></WhereWhen></VOEvent>", "C1 is no number"),
])  # fmt: skip
def test_xml_that_is_no_notice(text: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        of_voevent(text)


@pytest.mark.parametrize("containment", [0.5, 0.6827, 0.9])
def test_a_radius_holds_what_it_says(containment: float) -> None:
    tiles = of_cone(100.0, -40.0, 0.5, containment)
    assert tiles.area[tiles.chosen(containment)].sum() == pytest.approx(np.pi * 0.25, rel=0.01)


@pytest.mark.parametrize("axes", [(1.0, 0.25), (0.5, 0.4), (2.0, 0.2)])
def test_an_ellipse_holds_what_it_says(axes: tuple[float, float]) -> None:
    tiles = of_ellipse(30.0, 10.0, (*axes, 0.0), 0.9)
    assert tiles.area[tiles.chosen(0.9)].sum() == pytest.approx(np.pi * axes[0] * axes[1], rel=0.02)


def test_the_position_angle_goes_from_north_through_east() -> None:
    tiles = of_ellipse(30.0, 0.0, (2.0, 0.4, 90.0), 0.9)
    inside = tiles.chosen(0.9)

    def holds(ra: float, dec: float) -> bool:
        return bool(inside[row]) if (row := int(tiles.rows_at(
            healpix.nested_at(healpix.MAX_ORDER, ra, dec)))) >= 0 else False

    assert holds(31.9, 0.0)
    assert not holds(30.0, 0.5)
    tilted = of_ellipse(30.0, 0.0, (2.0, 0.4, 45.0), 0.9)
    inside, tiles = tilted.chosen(0.9), tilted
    assert holds(31.2, 1.2)
    assert not holds(28.8, 1.2)


@pytest.mark.parametrize(("error", "containment"), [
    ((1.0, 0.05, 0.0), 0.9), ((1.0, 1.0, float("nan")), 0.9), ((1.0, 1.0, 0.0), 1.0), ((1.0, 1.0, 0.0), 0.0),
])  # fmt: skip
def test_errors_that_are_none(error: tuple[float, float, float], containment: float) -> None:
    with pytest.raises(SkymapError, match="skymap"):
        of_ellipse(0.0, 0.0, error, containment)


def test_the_name_says_what_the_error_contains() -> None:
    assert cone_name(1.0, 2.0, 0.5, containment=0.9) == "1.00000_2.00000_0.50000_0.9"
