"""Every kind of notice says what GCN's published schema has, in its words and units."""

from __future__ import annotations

import base64
import gzip
import io
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from astropy.io import fits
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from scanner.maps.energy import EventEnergy, NeutrinoEnergy
from server.alerts.outgoing import drafts
from server.alerts.outgoing.drafts import Draft, Subject
from server.alerts.outgoing.notices import Notice, sent_document
from tests.support.alerts import finished_map
from tests.support.gcn_schema import OURS, PUBLISHED, SCHEMA, notice_schema

MAP_URL = "https://maps.example.org/alerts"
SUBJECT = Subject("IceCube-230225A", "138632_31747601", "initial", 1, "IceCube", "IC86", "neutrino", False,
                  True, {"p_astro": 0.62, "far": 3.2e-8}, 60000.25)
RESULT = replace(finished_map(), energy=EventEnergy(
    "muon", 6e4, 3.6e4, 1.01e5, NeutrinoEnergy(1.2e5, 5e4, 2e6, 2.19)))


def drafted(alert_type: str, *, is_test: bool = False, is_live: bool = True) -> Draft:
    number = {"initial": 1, "update": 2, "retraction": 3}[alert_type]
    subject = replace(SUBJECT, alert_type=alert_type, is_test=is_test, is_live=is_live, record_number=number)
    if alert_type == "retraction":
        return drafts.of_retraction(subject, "a flasher run")
    return drafts.of_map(RESULT, subject)


def sent(draft: Draft, most_bytes: int = 10 << 20, map_url: str = MAP_URL) -> dict[str, Any]:
    """What a target gets of a draft, as the bytes on the wire say it."""
    told = draft.document
    notice = Notice(notice_id="x", scope="x", alert_id="x", revision=1, alert_type=told["alert_type"],
                    record_number=told["record_number"], event_name=told["event_name"][0], is_test=False,
                    created=0.0, document={name.removeprefix("$"): value for name, value in told.items()},
                    circular=draft.circular)
    encoded = msgspec.json.encode(sent_document(notice, draft.skymap, most_bytes, map_url))
    found: dict[str, Any] = msgspec.json.decode(encoded)
    return found


def check(document: dict[str, Any], *, is_test: bool = False) -> None:
    schema = notice_schema(document["alert_type"], is_test=is_test)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(document)


@pytest.mark.parametrize("is_test", [False, True], ids=["real", "test"])
@pytest.mark.parametrize("alert_type", ["initial", "update", "retraction"])
def test_each_kind(alert_type: str, is_test: bool) -> None:
    document = sent(drafted(alert_type, is_test=is_test))
    check(document, is_test=is_test)
    assert document["$schema"] == SCHEMA
    assert document["alert_tense"] == ("test" if is_test else "current")


def test_an_old_event_is_archival() -> None:
    document = sent(drafted("initial", is_live=False))
    check(document)
    assert document["alert_tense"] == "archival"


def test_units() -> None:
    document = sent(drafted("initial"))
    assert document["nu_energy"] == 120.0, "TeV"
    assert document["event_energy"]["neutrino"]["gev"] == 120_000, "ours is in GeV, and says so"
    assert document["far"] == 3.2e-8, "Hz"
    assert (document["p_astro"], document["containment_probability"]) == (0.62, 0.9)
    circle = 2 * np.pi * (1 - np.cos(np.radians(document["ra_dec_error"]))) * np.degrees(1) ** 2
    assert circle == pytest.approx(document["area_90_deg2"], rel=1e-3), "a radius in degrees"
    assert document["trigger_time"] == "2023-02-25T00:00:00.000000Z"


def test_the_map_inside_is_fits_and_says_the_same() -> None:
    document = sent(drafted("update"))
    data = gzip.decompress(base64.b64decode(document["healpix_file"], validate=True))
    with fits.open(io.BytesIO(data)) as units:
        header = units[1].header
    assert (header["ORDERING"], header["OBJECT"], header["RECORD"]) == ("NUNIQ", "IceCube-230225A", 2)
    assert document["healpix_url"] == f"{MAP_URL}/IceCube-230225A-02-update.fits.gz"


def test_a_large_map_is_only_linked_to() -> None:
    document = sent(drafted("initial"), most_bytes=10)
    check(document)
    assert "healpix_file" not in document
    assert "healpix_url" in document
    assert not {"healpix_file", "healpix_url"} & set(sent(drafted("initial"), 10, ""))


def test_our_names_are_not_the_schemas() -> None:
    assert not set(OURS) & set(PUBLISHED)


@pytest.mark.parametrize("change", [
    {"alert_type": "final"}, {"alert_tense": "live"}, {"messenger": "neutrino"}, {"ra": 360.0},
    {"dec": -91}, {"ra_dec_error": "1"}, {"p_astro": 1.2}, {"far": -1}, {"alert_datetime": "yesterday"},
    {"alert_topology": "track"}, {"event_names": ["x"]}, {"healpix_url": 5}, {"record_number": 0},
])  # fmt: skip
def test_what_the_schema_does_not_have_is_found(change: dict[str, Any]) -> None:
    document = {**sent(drafted("initial")), **change}
    with pytest.raises(ValidationError):
        Draft202012Validator(notice_schema("initial", is_test=False)).validate(document)
