"""The bodies of the SkyDriver requests, as JSON Schema."""

from __future__ import annotations

from typing import Any

from server.scans.manifests.schema import Body

__all__ = ["ADD_WORKERS", "DELETE", "EVENT_KINDS", "FIND", "PATCH", "RESCAN", "RESULT", "SCAN", "WORKFLOW"]

EVENT_KINDS = ("real", "real_event", "sim", "simulated", "simulated_event")

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1, "pattern": r"\S"}
OBJECT: Schema = {"type": "object"}
COUNT: Schema = {"type": "integer", "minimum": 1}
_TRUE_OR_FALSE = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"
FLAG: Schema = {"default": False,
                "oneOf": [{"type": "boolean"}, {"type": "string", "pattern": _TRUE_OR_FALSE}]}
PROJECTION: Schema = {"default": "*", "oneOf": [
    {"const": "*"}, {"type": "array", "items": {"type": "string"}, "uniqueItems": True}]}
SIZE: Schema = {"oneOf": [{"type": "integer", "minimum": 0}, {**TEXT, "maxLength": 64}],
                "description": "bytes, or text such as '8 GB' (10⁹) or '8 GiB' (2³⁰)"}
CLUSTERS: Schema = {"oneOf": [
    {"type": "object", "minProperties": 1, "maxProperties": 100, "additionalProperties": COUNT},
    {"type": "array", "minItems": 1, "maxItems": 100,
     "items": {"type": "array", "prefixItems": [TEXT, COUNT], "items": False, "minItems": 2}}]}
CLASSIFIERS: Schema = {
    "type": "object", "default": {}, "maxProperties": 25, "propertyNames": {"maxLength": 25},
    "additionalProperties": {"type": ["null", "boolean", "number", "string"], "maxLength": 25}}
ENVIRONMENT: Schema = {
    "type": "object", "default": {}, "maxProperties": 25, "propertyNames": {"maxLength": 128},
    "additionalProperties": {"type": ["string", "number", "boolean"], "maxLength": 4096}}
DEBUG: Schema = {"default": [], "oneOf": [
    {"type": "string", "enum": ["client-logs"]},
    {"type": "array", "maxItems": 100, "items": {"type": "string", "enum": ["client-logs"]}}]}

SCAN = Body({
    "docker_tag": TEXT,
    "scanner_server_memory_bytes": SIZE, "scanner_server_memory": SIZE,
    "worker_memory_bytes": SIZE, "worker_memory": SIZE,
    "memory": {"deprecated": True},
    "worker_disk_bytes": SIZE, "worker_disk": SIZE,
    "request_clusters": CLUSTERS, "cluster": CLUSTERS,
    "reco_algo": TEXT,
    "event_i3live_json": {"oneOf": [OBJECT, {"type": "string", "pattern": r"^\s*\{"}]},
    "i3_event_id": {"type": "string"},
    "nsides": OBJECT,
    "refine": {"type": "boolean", "default": False,
               "description": "go on after the last level, finer and wider, as the regions need"},
    "real_or_simulated_event": {"type": "string", "enum": list(EVENT_KINDS)},
    "predictive_scanning_threshold": {"type": "number", "minimum": 0, "maximum": 1, "default": 1.0},
    "max_pixel_reco_time": COUNT,
    "debug_mode": DEBUG,
    "classifiers": CLASSIFIERS,
    "priority": {"type": "integer", "default": 0},
    "scanner_server_env_from_user": ENVIRONMENT, "scanner_server_env": ENVIRONMENT,
    "manifest_projection": PROJECTION,
}, required=["docker_tag", "reco_algo", "nsides", "real_or_simulated_event", "max_pixel_reco_time"],
    opaque=["event_i3live_json", "memory"])

FIND = Body({
    "filter": OBJECT, "include_deleted": FLAG, "manifest_projection": PROJECTION,
    "limit": COUNT, "skip": {"type": "integer", "minimum": 0, "default": 0},
}, required=["filter"], query="filter")

RESCAN = Body({"no_redirect": FLAG, "abort_first": FLAG, "replace_scan": FLAG,
               "manifest_projection": PROJECTION})

ADD_WORKERS = Body({"no_redirect": FLAG, "n_workers": COUNT, "cluster_location": TEXT},
                   required=["n_workers", "cluster_location"])

DELETE = Body({"no_redirect": FLAG, "delete_completed_scan": FLAG, "manifest_projection": PROJECTION})

_STATS: Schema = {
    "type": "object", "additionalProperties": False, "required": ["start", "runtime"],
    "properties": {"start": OBJECT, "runtime": OBJECT, "rate": OBJECT, "end": {"type": "string"},
                   "finished": {"type": "boolean"}, "predictions": OBJECT}}
_PROGRESS: Schema = {
    "type": "object", "additionalProperties": False,
    "required": ["summary", "epilogue", "tallies", "processing_stats", "predictive_scanning_threshold",
                 "last_updated"],
    "properties": {
        "summary": {"type": "string"}, "epilogue": {"type": "string"}, "tallies": OBJECT,
        "processing_stats": _STATS, "predictive_scanning_threshold": {"type": "number"},
        "last_updated": {"type": "string"},
        "start": {"type": ["integer", "null"]}, "end": {"type": ["integer", "null"]}}}
_EVENT_METADATA: Schema = {
    "type": "object", "required": ["run_id", "event_id", "event_type", "mjd", "is_real_event"],
    "properties": {"run_id": {"type": "integer"}, "event_id": {"type": "integer"},
                   "event_type": {"type": "string"}, "mjd": {"type": "number"},
                   "is_real_event": {"type": "boolean"}}}
_NULL: Schema = {"type": "null"}

PATCH = Body({"progress": {"oneOf": [_PROGRESS, _NULL]},
              "event_metadata": {"oneOf": [_EVENT_METADATA, _NULL]},
              "scan_metadata": {"oneOf": [OBJECT, _NULL]}})

RESULT = Body({"skyscan_result": OBJECT, "is_final": {"type": "boolean"}},
              required=["skyscan_result", "is_final"], opaque=["skyscan_result"])

WORKFLOW = Body({"workflow_id": TEXT, "ewms_address": TEXT}, required=["workflow_id", "ewms_address"])
