"""QuakeML: what is read, and what is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.desk.maps.quakeml import Quake, read_quakeml

TEXT = """<?xml version="1.0"?>
<!-- a comment -->
<q:quakeml xmlns="http://quakeml.org/xmlns/bed/1.2" xmlns:q="http://quakeml.org/xmlns/quakeml/1.2"
           xmlns:catalog="http://anss.org/xmlns/catalog/0.1">
 <eventParameters>
  <event publicID="quakeml:example.org/event/us7000abcd" %s>
   <origin><time><value>2023-03-14T05:00:00.5Z</value></time><latitude><value>-65.5</value></latitude>
     <longitude><value>0.0</value></longitude><depth><value>10000</value></depth></origin>
   <magnitude><mag><value>6.1</value></mag></magnitude>
  </event>
 </eventParameters>
</q:quakeml>"""


def test_an_event_is_read() -> None:
    expected = Quake("us7000abcd", "2023-03-14T05:00:00.5Z", -65.5, 0.0, 10.0, 6.1)
    assert read_quakeml(TEXT % "") == expected
    assert read_quakeml(TEXT % 'catalog:eventid="7000abcd"').event_id == "7000abcd"


@pytest.mark.parametrize(("before", "after", "why"), [
    ("<latitude><value>-65.5</value></latitude>", "", "origin/latitude/value"),
    ("-65.5", "south", "is no number"), ("</q:quakeml>", "", "not well formed"),
    ('publicID="quakeml:example.org/event/us7000abcd"', "", "neither eventid"),
    ("<!-- a comment -->", '<!DOCTYPE a [<!ENTITY b "c">]>', "not accepted")])
def test_what_is_wrong_is_said(before: str, after: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        read_quakeml((TEXT % "").replace(before, after))


@given(st.integers(0, len(TEXT)), st.text(max_size=5))
def test_any_text_is_read_or_refused(place: int, text: str) -> None:
    damaged = (TEXT % "")[:place] + text + (TEXT % "")[place + 3:]
    with contextlib.suppress(BadRequest):
        assert read_quakeml(damaged).event_id
