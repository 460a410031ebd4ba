"""What messages say: real notices and events, made-up ones, and whatever else may come."""

from __future__ import annotations

import contextlib
import gzip
import io
import json

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from server.alerts.incoming.reading import read
from server.common.errors import BadRequest
from tests.support.alerts import event_bytes
from tests.support.data import EVENTS, TEST_DATA
from tests.support.scans import simulated_event

NOTICES = TEST_DATA / "data" / "notices"
needs_notices = pytest.mark.skipif(not NOTICES.exists(), reason=f"no real notices: {NOTICES}")
needs_events = pytest.mark.skipif(not EVENTS.is_dir(), reason=f"no real events: {EVENTS}")


def test_an_event_with_truth_is_a_test() -> None:
    content = read(event_bytes())
    assert (content.kind, content.title, content.is_test) == ("event", "run 7 event 11", True)
    assert content.facts["truth"] is not None
    assert content.facts["event_key"] == "7_11"


def test_the_shell_around_an_event_does_not_matter() -> None:
    document = simulated_event()
    again = {**document, "insert_time": "2026-01-01 00:00:00", "_id": "x"}
    assert read(json.dumps(document, indent=1).encode()).key == read(json.dumps(again).encode()).key
    assert read(event_bytes(1)).key != read(event_bytes(2)).key


@needs_events
def test_real_events() -> None:
    content = read((EVENTS / "138632_31747601.json").read_bytes())
    assert (content.kind, content.stream, content.is_test) == ("event", "neutrino", False)
    assert content.facts["event_key"] == "138632_31747601"
    online = content.facts["online"]
    assert online["name"] == "l2_online_SplineMPE"
    assert (online["ra_deg"], online["dec_deg"]) == pytest.approx((138.6, 0.14), abs=0.5)
    assert read((EVENTS / "hese_event_00.json").read_bytes()).stream == "heseEvent"


@needs_notices
@pytest.mark.parametrize(("name", "kind", "stream"), [
    ("icecube__single_neutrino_alerts.gold_bronze_track_alerts.example.json", "notice", "IceCube"),
    ("km3net__alert.example.json", "notice", "KM3NeT"), ("EP240508.json", "notice", "WXT"),
    ("svom__eclairs__trigger.slewing.example.json", "notice", "ECLAIRs"), ("AMON.xml", "notice", "voevent"),
    ("GW190425_initial.xml", "notice", "voevent"), ("sample_astrotrack_alert.xml", "notice", "voevent"),
])  # fmt: skip
def test_real_notices(name: str, kind: str, stream: str) -> None:
    content = read((NOTICES / name).read_bytes())
    assert (content.kind, content.stream) == (kind, stream)
    assert content.body is not None
    assert content.title


def sky_map(**header: object) -> bytes:
    uniq = np.arange(4 * 64, 4 * 64 + 768, dtype=np.int64)
    table = fits.BinTableHDU.from_columns([
        fits.Column("UNIQ", "K", array=uniq),
        fits.Column("PROBDENSITY", "D", array=np.full(768, 1 / (4 * np.pi)))])
    table.header.update({"ORDERING": "NUNIQ", "COORDSYS": "C", **header})
    file = io.BytesIO()
    table.writeto(file)
    return file.getvalue()


def test_a_sky_map_of_an_event() -> None:
    data = sky_map(**{"DATE-OBS": "2026-01-02T03:04:05", "OBJECT": "S260102a"})
    for packed in (data, gzip.compress(data)):
        content = read(packed)
        assert (content.kind, content.title) == ("map", "S260102a")
        assert content.body is not None
        assert content.body.dateobs == "2026-01-02T03:04:05"


@pytest.mark.parametrize(("message", "says"), [
    (b"", "neither"), (b"hello", "neither JSON"), (b"{", "not JSON"), (b"{}", "neither an event"),
    (b"<a/>", "not a VOEvent"), (b"<", "well formed"), (b"\x1f\x8bxx", "FITS"), (b"SIMPLE = T", "FITS"),
    (b'{"value": {"data": 5}}', "frames"), (b'{"$schema": "x"}', "trigger_time"), (b"<\xff>", "UTF-8"),
    (b'<!DOCTYPE x><VOEvent/>', "entities"),
    (sky_map(), "DATE-OBS"), (b'{"value": {"data": [["P", "bm9uc2Vuc2U="]]}}', "message"),
])  # fmt: skip
def test_messages_that_are_refused(message: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        read(message)


_NAMES = ["value", "data", "frames", "$schema", "trigger_time", "ra", "id", "x", "healpix_file",
          "healpix_url", "event_name", "mission", "truth"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4))


@given(st.binary(max_size=60) | _JSON.map(lambda value: json.dumps(value).encode())
       | st.binary(max_size=30).map(lambda tail: b"<VOEvent>" + tail))
def test_nothing_else_is_an_error_of_ours(message: bytes) -> None:
    with contextlib.suppress(BadRequest):
        read(message)
