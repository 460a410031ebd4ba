"""GCN's unified schema for neutrino alerts, version 7.2.1: its names, types, words and units, told anew.

The facts are those of github.com/nasa-gcn/gcn-schema: gcn/notices/neutrino/Alert, the parts of
gcn/notices/core that it is made of (Event, Alert, Reporter, Statistics, Localization, DateTime),
AdditionalInfo, and the two names of gcn/notices/icecube/single_neutrino_alerts that we use. The repository
names no licence, so none of its files are here. It requires no field and permits any further name; here what
is neither published nor declared as ours is refused, numbers must be possible in their units, and each kind
of notice must have what makes it one.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ALERT", "OURS", "PUBLISHED", "SCHEMA", "VERSION", "notice_schema"]

VERSION = "7.2.1"
SCHEMA = f"https://gcn.nasa.gov/schema/v{VERSION}/gcn/notices/neutrino/Alert.schema.json"

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_TIME: dict[str, Any] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"}
_TEXT_OR_TEXTS: dict[str, Any] = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_SHARE: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
_NOT_NEGATIVE: dict[str, Any] = {"type": "number", "minimum": 0}
_DEGREES: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 180}
_PAIR: dict[str, Any] = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_NUMBERED: dict[str, Any] = {"type": "object", "additionalProperties": _NUMBER}

_EVENT = {"event_name": _TEXT_OR_TEXTS, "id": _TEXT_OR_TEXTS, "data_archive_page": _TEXT}
_ALERT = {
    "alert_datetime": _TIME,
    "alert_tense": {"enum": ["current", "archival", "planned", "injection", "commanded", "test"]},
    "alert_type": {"enum": ["initial", "subsequent", "update", "retraction"]}}
_REPORTER = {
    "mission": _TEXT, "instrument": _TEXT, "record_number": {"type": "number", "minimum": 1},
    "messenger": {"enum": ["EM", "GW", "Neutrino"]},
    "spectral_band": _PAIR, "spectral_band_units": {"enum": ["keV", "nm", "MHz"]}}
_STATISTICS = {
    "far": _NOT_NEGATIVE,  # Hz
    "p_astro": _SHARE, "trigger_type": {"enum": ["rate", "image"]},
    **dict.fromkeys(("net_count_rate", "background_count_rate", "rate_snr", "rate_duration", "image_snr",
                     "image_duration"), _NUMBER),
    "rate_energy_range": _PAIR, "image_energy_range": _PAIR, "classification": _NUMBERED,
    "properties": _NUMBERED}
_LOCALIZATION = {
    "ra": {"type": "number", "minimum": 0, "exclusiveMaximum": 360},  # degrees, ICRS
    "dec": {"type": "number", "minimum": -90, "maximum": 90},
    "ra_dec_error": {"anyOf": [_DEGREES, {"type": "array", "items": _NUMBER, "minItems": 1, "maxItems": 3}]},
    "containment_probability": _SHARE, "systematic_included": {"type": "boolean"},
    **dict.fromkeys(("instrument_phi", "instrument_theta", "instrument_semimajor_angle"), _NUMBER),
    "healpix_url": {"type": "string", "format": "uri"},
    "healpix_file": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/fits"}}
_DATE_TIME = {
    "trigger_time": _TIME,
    "trigger_time_error": {"oneOf": [_NUMBER, {"type": "array", "items": _NUMBER, "maxItems": 2}]},
    "observation_start": _TIME, "observation_stop": _TIME, "observation_livetime": _NOT_NEGATIVE}
_NEUTRINO = {"number_of_events": _NUMBER, "alert_topology": {"enum": ["Track", "Shower", "Multiplet"]}}
_INFORMATION = {"additional_info": _TEXT}
_ICECUBE = {"nu_energy": {"type": "number", "exclusiveMinimum": 0}, "pipeline": _TEXT}  # TeV

PUBLISHED: dict[str, Any] = {
    **_EVENT, **_ALERT, **_REPORTER, **_STATISTICS, **_LOCALIZATION, **_DATE_TIME, **_NEUTRINO,
    **_INFORMATION, **_ICECUBE}
"""Every name that is published, with what it may hold."""

_POSITIVE: dict[str, Any] = {"type": ["number", "null"], "exclusiveMinimum": 0}
_ENERGY: dict[str, Any] = {
    "type": "object", "additionalProperties": False, "required": ["kind", "gev", "text"],
    "properties": {"kind": {"enum": ["muon", "shower", "losses"]}, "gev": _POSITIVE, "low_gev": _POSITIVE,
                   "high_gev": _POSITIVE, "text": _TEXT, "neutrino": {
                       "type": ["object", "null"], "additionalProperties": False,
                       "properties": dict.fromkeys(("gev", "low_gev", "high_gev", "spectrum"), _POSITIVE),
                       "required": ["gev", "low_gev", "high_gev", "spectrum"]}}}
OURS: dict[str, Any] = {
    "levels": _TEXT, "complete": {"type": "boolean"}, "area_50_deg2": _NOT_NEGATIVE,
    "area_90_deg2": _NOT_NEGATIVE, "reco_algo": _TEXT, "reconstruction": _TEXT, "event_energy": _ENERGY}
"""Names that only we use; none may become one of the schema's unseen."""

_SAID = ["$schema", "mission", "messenger", "id", "alert_datetime", "alert_tense"]
_PLACED = ["ra", "dec", "ra_dec_error", "containment_probability", "systematic_included", "levels"]


def _closed(required: list[str], **narrower: Any) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"$schema": {"const": SCHEMA}, **PUBLISHED, **OURS, **narrower},
            "additionalProperties": False, "required": required}


ALERT: dict[str, Any] = _closed([*_SAID, *_PLACED])
"""A position in the terms of the schema, though no notice."""


def notice_schema(alert_type: str, *, is_test: bool) -> dict[str, Any]:
    """What a notice of a kind must be."""
    required = [*_SAID, "instrument", "pipeline", "record_number", "event_name", "alert_type"]
    if alert_type != "retraction":
        required += [*_PLACED, "trigger_time", "area_50_deg2", "area_90_deg2"]
    forbidden = dict.fromkeys((*_LOCALIZATION, *OURS), False) if alert_type == "retraction" else {}
    tenses = ["test"] if is_test else ["current", "archival"]
    return _closed(required, alert_type={"const": alert_type}, alert_tense={"enum": tenses},
                   messenger={"const": "Neutrino"}, **forbidden)
