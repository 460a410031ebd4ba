"""SkyDriver's rules: what tests of them share."""

from __future__ import annotations

import uuid
from typing import Any

import requests

__all__ = ["EVENT", "GONE", "HEAVY", "MANIFEST", "MAP", "PROGRESS", "REQUEST", "UNKNOWN", "WORKFLOW", "body",
           "new", "refused"]

UNKNOWN = "0000000000axbbbbbbbbbbbbbbbbbbbb"
MANIFEST = [
    "scan_id", "timestamp", "is_deleted", "scanner_server_args", "ewms_workflow_id", "ewms_address",
    "ewms_task", "priority", "classifiers", "i3_event_id", "event_i3live_json_dict",
    "event_i3live_json_dict__hash", "event_metadata", "scan_metadata", "progress", "replaced_by_scan_id",
    "last_updated"]
REQUEST = [
    "scan_id", "rescan_ids", "docker_tag", "scanner_server_memory_bytes", "reco_algo", "nsides",
    "real_or_simulated_event", "predictive_scanning_threshold", "classifiers", "request_clusters",
    "worker_memory_bytes", "worker_disk_bytes", "max_pixel_reco_time", "priority", "debug_mode",
    "i3_event_id", "scanner_server_env_from_user"]
HEAVY = {"ewms_task", "event_i3live_json_dict", "event_i3live_json_dict__hash"}
PROGRESS: dict[str, Any] = {
    "summary": "s", "epilogue": "e", "tallies": {"overall": {"done": 1}},
    "processing_stats": {"start": {}, "runtime": {}}, "predictive_scanning_threshold": 1.0,
    "last_updated": "now"}
EVENT = {"run_id": 1, "event_id": 2, "event_type": "neutrino", "mjd": 55000.5, "is_real_event": False}
MAP = {"nside-1": {"columns": ["index", "llh"], "metadata": {"nside": 1}, "data": [[0, 1.5]]}}
WORKFLOW = {"workflow_id": "W", "ewms_address": "http://e"}


class _Gone:
    """The same in every process, so that tests of it have one name."""

    def __repr__(self) -> str:
        return "gone"


GONE = _Gone()


def body(**changes: Any) -> dict[str, Any]:
    """A request for an outside scanner, far down in the backlog."""
    made = {"docker_tag": "latest", "reco_algo": "elsewhere", "nsides": {"1": 0, "2": 12},
            "real_or_simulated_event": "simulated", "max_pixel_reco_time": 60,
            "request_clusters": {"osg": 1}, "event_i3live_json": {"run_id": 1, "mark": uuid.uuid4().hex},
            "priority": -1000, **changes}
    return {name: value for name, value in made.items() if value is not GONE}


def new(user: requests.Session, **changes: Any) -> dict[str, Any]:
    answer = user.post("/scan", json=body(**changes))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refused(answer: requests.Response, code: int, *texts: str) -> None:
    """An error with the four keys, all with one text that holds what it should."""
    assert answer.status_code == code, answer.text
    said = answer.json()
    assert said["code"] == code
    assert said["error"] == said["reason"] == said["message"]
    for text in texts:
        assert text in said["error"], said
