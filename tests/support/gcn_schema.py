"""GCN's unified schema for neutrino alerts, version 6.1.0, as far as positions of scans need it.

Names, types and permitted words of github.com/nasa-gcn/gcn-schema: gcn/notices/neutrino/Alert and what it
includes of gcn/notices/core (Event, Alert, Reporter, Statistics, Localization, DateTime). Fields that have
nothing to do with scans (spectral bands, count rates, classification) are left out, so a file that used them
would be refused here; the published schema itself permits any further name.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ALERT", "VERSION"]

VERSION = "6.1.0"

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_TIME: dict[str, Any] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"}
_TEXT_OR_TEXTS: dict[str, Any] = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]}

_EVENT = {"event_name": _TEXT_OR_TEXTS, "id": _TEXT_OR_TEXTS, "data_archive_page": _TEXT}
_ALERT = {
    "alert_datetime": _TIME,
    "alert_tense": {"enum": ["current", "archival", "planned", "injection", "commanded", "test"]},
    "alert_type": {"enum": ["initial", "subsequent", "update", "retraction"]}}
_REPORTER = {
    "mission": _TEXT, "instrument": _TEXT, "record_number": _NUMBER,
    "messenger": {"enum": ["EM", "GW", "Neutrino"]}}
_STATISTICS = {"far": _NUMBER, "p_astro": _NUMBER}
_LOCALIZATION = {
    "ra": _NUMBER, "dec": _NUMBER,
    "ra_dec_error": {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, "minItems": 1, "maxItems": 3}]},
    "containment_probability": _NUMBER, "systematic_included": {"type": "boolean"},
    "healpix_url": _TEXT, "healpix_file": {"type": "string", "contentEncoding": "base64"}}
_DATE_TIME = {
    "trigger_time": _TIME,
    "trigger_time_error": {"oneOf": [_NUMBER, {"type": "array", "items": _NUMBER, "maxItems": 2}]}}
_NEUTRINO = {"number_of_events": _NUMBER, "alert_topology": {"enum": ["Track", "Shower", "Multiplet"]}}
_INFORMATION = {"additional_info": _TEXT}
_POSITIVE: dict[str, Any] = {"type": ["number", "null"], "exclusiveMinimum": 0}
_ENERGY: dict[str, Any] = {
    "type": "object", "additionalProperties": False, "required": ["kind", "gev", "text"],
    "properties": {"kind": {"enum": ["muon", "shower", "losses"]}, "gev": _POSITIVE, "low_gev": _POSITIVE,
                   "high_gev": _POSITIVE, "text": _TEXT, "neutrino": {
                       "type": ["object", "null"], "additionalProperties": False,
                       "properties": dict.fromkeys(("gev", "low_gev", "high_gev", "spectrum"), _POSITIVE),
                       "required": ["gev", "low_gev", "high_gev", "spectrum"]}}}
_OURS = {"levels": _TEXT, "complete": {"type": "boolean"}, "area_90_deg2": _NUMBER,
         "reco_algo": _TEXT, "reconstruction": _TEXT, "event_energy": _ENERGY}

ALERT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "$schema": {"const": f"https://gcn.nasa.gov/schema/v{VERSION}/gcn/notices/neutrino/Alert.schema.json"},
        **_EVENT, **_ALERT, **_REPORTER, **_STATISTICS, **_LOCALIZATION, **_DATE_TIME, **_NEUTRINO,
        **_INFORMATION, **_OURS},
    "additionalProperties": False,
    "required": ["$schema", "mission", "messenger", "id", "alert_datetime", "alert_tense", "ra", "dec",
                 "ra_dec_error", "containment_probability", "systematic_included", "levels"],
}
