"""SkyDriver's rules of POST /scan and of finding scans: every argument, right and wrong."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.api import Api, running_server
from tests.support.skydriver import GONE, HEAVY, MANIFEST, REQUEST, body, new, refused


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("rules"), {"SCANS__BACKGROUND_SECONDS": 3600}) as server:
        yield server


@pytest.fixture(scope="module")
def user(api: Api) -> requests.Session:
    return api.session("user")


# -- POST /scan


REQUIRED = ["docker_tag", "reco_algo", "nsides", "real_or_simulated_event", "max_pixel_reco_time"]


@pytest.mark.parametrize("name", REQUIRED)
def test_required_arguments(user: requests.Session, name: str) -> None:
    refused(user.post("/scan", json=body(**{name: GONE})), 400, f"'{name}' is a required property")


def test_all_that_is_missing_is_named(user: requests.Session) -> None:
    answer = user.post("/scan", json={})
    refused(answer, 400, "; ", *(f"'{name}' is a required property" for name in REQUIRED))
    refused(user.post("/scan", json=body(request_clusters=GONE)), 400,
            "'request_clusters' is a required property")
    refused(user.post("/scan", json=body(foo=1)), 400,
            "Additional properties are not allowed ('foo' was unexpected)")


XOR = "Must provide either 'event_i3live_json' or 'i3_event_id' (xor)"
LONG, MANY = "x" * 26, {f"k{number}": number for number in range(26)}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"docker_tag": " "}, "'docker_tag': must match the pattern '\\\\S'"),
    ({"docker_tag": ""}, "'docker_tag': must be at least 1 characters long"),
    ({"docker_tag": 5}, "'docker_tag': must be type 'string'"),
    ({"docker_tag": None}, "'docker_tag': must be type 'string'"),
    ({"docker_tag": "nope"}, "argument docker_tag: image not found"),
    ({"docker_tag": "3.1"}, "argument docker_tag: Image tag is older than the minimum supported tag"),
    ({"reco_algo": " \t"}, "'reco_algo': must match the pattern"),
    ({"reco_algo": ["x"]}, "'reco_algo': must be type 'string'"),
    ({"nsides": "1:0"}, "'nsides': must be type 'object' (dict)"),
    ({"nsides": [[1, 0]]}, "'nsides': must be type 'object' (dict)"),
    ({"nsides": None}, "'nsides': must be type 'object' (dict)"),
    ({"real_or_simulated_event": "fake"},
     "must be one of: 'real', 'real_event', 'sim', 'simulated', 'simulated_event'"),
    ({"real_or_simulated_event": True}, "'real_or_simulated_event': must be"),
    ({"max_pixel_reco_time": 0}, "'max_pixel_reco_time': must be at least 1"),
    ({"max_pixel_reco_time": -3}, "'max_pixel_reco_time': must be at least 1"),
    ({"max_pixel_reco_time": 1.5}, "'max_pixel_reco_time': must be type 'integer' (int)"),
    ({"max_pixel_reco_time": "60"}, "'max_pixel_reco_time': must be type 'integer' (int)"),
    ({"max_pixel_reco_time": True}, "'max_pixel_reco_time': must be type 'integer' (int)"),
    ({"max_pixel_reco_time": None}, "'max_pixel_reco_time': must be type 'integer' (int)"),
    ({"request_clusters": "osg"}, "'request_clusters': must match one of the accepted types"),
    ({"request_clusters": {}}, "'request_clusters'"),
    ({"request_clusters": []}, "'request_clusters'"),
    ({"request_clusters": None}, "'request_clusters'"),
    ({"request_clusters": {"osg": 0}}, "'request_clusters'"),
    ({"request_clusters": {"osg": 1.5}}, "'request_clusters'"),
    ({"request_clusters": {"osg": True}}, "'request_clusters'"),
    ({"request_clusters": [["osg"]]}, "'request_clusters'"),
    ({"request_clusters": [["osg", 1, 2]]}, "'request_clusters'"),
    ({"request_clusters": [["osg", "1"]]}, "'request_clusters'"),
    ({"request_clusters": [[1, "osg"]]}, "'request_clusters'"),
    ({"request_clusters": GONE, "cluster": 5}, "'cluster': must match one of the accepted types"),
    ({"request_clusters": {"foo": 1}}, "requested unknown cluster: foo (available: "),
    ({"request_clusters": [["osg", 1], ["foo", 1]]}, "requested unknown cluster: foo"),
    ({"event_i3live_json": GONE}, XOR),
    ({"event_i3live_json": {}}, XOR),
    ({"event_i3live_json": "{}"}, XOR),
    ({"i3_event_id": "x"}, XOR),
    ({"event_i3live_json": GONE, "i3_event_id": ""}, XOR),
    ({"event_i3live_json": GONE, "i3_event_id": "x"}, "i3 event not found"),
    ({"event_i3live_json": GONE, "i3_event_id": 5}, "'i3_event_id': must be type 'string'"),
    ({"event_i3live_json": GONE, "i3_event_id": None}, "'i3_event_id': must be type 'string'"),
    ({"event_i3live_json": "[1]"}, "'event_i3live_json'"),
    ({"event_i3live_json": "{nope}"}, "'event_i3live_json'"),
    ({"event_i3live_json": "text"}, "'event_i3live_json'"),
    ({"event_i3live_json": [1]}, "'event_i3live_json'"),
    ({"event_i3live_json": None}, "'event_i3live_json'"),
    ({"worker_memory_bytes": "foo"}, "invalid size: foo"),
    ({"worker_memory_bytes": -1}, "'worker_memory_bytes'"),
    ({"worker_memory_bytes": 1.5}, "'worker_memory_bytes'"),
    ({"worker_memory_bytes": " "}, "'worker_memory_bytes'"),
    ({"worker_memory_bytes": ""}, "'worker_memory_bytes'"),
    ({"worker_memory_bytes": True}, "'worker_memory_bytes'"),
    ({"worker_memory_bytes": None}, "'worker_memory_bytes'"),
    ({"worker_memory": "8 bananas"}, "invalid size"),
    ({"worker_disk": "-1"}, "invalid size"),
    ({"worker_disk_bytes": "lots"}, "invalid size: lots"),
    ({"scanner_server_memory": "1e3"}, "invalid size"),
    ({"scanner_server_memory_bytes": [1]}, "'scanner_server_memory_bytes'"),
    ({"memory": "8G"}, "argument 'memory' is deprecated -- use 'worker_memory_bytes'"),
    ({"memory": 1}, "argument 'memory' is deprecated -- use 'worker_memory_bytes'"),
    ({"predictive_scanning_threshold": 1.1}, "'predictive_scanning_threshold': must be no more than 1"),
    ({"predictive_scanning_threshold": -0.1}, "'predictive_scanning_threshold': must be at least 0"),
    ({"predictive_scanning_threshold": "1"}, "'predictive_scanning_threshold': must be type 'number'"),
    ({"predictive_scanning_threshold": None}, "'predictive_scanning_threshold': must be type 'number'"),
    ({"predictive_scanning_threshold": True}, "'predictive_scanning_threshold': must be type 'number'"),
    ({"debug_mode": "verbose"}, "'debug_mode'"), ({"debug_mode": None}, "'debug_mode'"),
    ({"debug_mode": ["client-logs", "x"]}, "'debug_mode'"), ({"debug_mode": 1}, "'debug_mode'"),
    ({"debug_mode": "client-logs", "request_clusters": {"osg": 101}},
     "Too many workers: Cluster 'osg' can only have 100 workers when 'debug_mode' includes 'client-logs'"),
    ({"debug_mode": ["client-logs"], "request_clusters": [["local", 3], ["local", 3]]},
     "Too many workers: Cluster 'local' can only have 5 workers"),
    ({"classifiers": "x"}, "'classifiers': must be type 'object' (dict)"),
    ({"classifiers": None}, "'classifiers': must be type 'object' (dict)"),
    ({"classifiers": MANY}, "'classifiers': must have no more than 25 entries"),
    ({"classifiers": {LONG: 1}}, "'classifiers': must be no more than 25 characters long"),
    ({"classifiers": {"a": LONG}}, "must be no more than 25 characters long"),
    ({"classifiers": {"a": [1]}}, "classifiers"), ({"classifiers": {"a": {}}}, "classifiers"),
    ({"classifiers": {"rescan": True}}, "classifier cannot contain 'rescan' sub-field"),
    ({"classifiers": {"origin_scan_id": "x"}}, "classifier cannot contain 'origin_scan_id' sub-field"),
    ({"priority": "5"}, "'priority': must be type 'integer' (int)"),
    ({"priority": 1.5}, "'priority': must be type 'integer' (int)"),
    ({"priority": None}, "'priority': must be type 'integer' (int)"),
    ({"priority": 1 << 70}, "'priority'"),
    ({"priority": 1e300}, "'priority': must be type 'integer' (int)"),
    ({"max_pixel_reco_time": 1e300}, "'max_pixel_reco_time': must be type 'integer' (int)"),
    ({"worker_memory": 1e300}, "'worker_memory': must match one of the accepted types"),
    ({"request_clusters": {"osg": 1e300}}, "'request_clusters'"),
    ({"scanner_server_env": "A=1"}, "'scanner_server_env': must be type 'object' (dict)"),
    ({"scanner_server_env": {"A": {}}}, "scanner_server_env"),
    ({"scanner_server_env": {"A": None}}, "scanner_server_env"),
    ({"scanner_server_env": {"A": "x" * 4097}}, "must be no more than 4096 characters long"),
    ({"scanner_server_env": {"x" * 129: 1}}, "must be no more than 128 characters long"),
    ({"scanner_server_env_from_user": MANY}, "must have no more than 25 entries"),
    ({"manifest_projection": "scan_id"}, "'manifest_projection': must match one of the accepted types"),
    ({"manifest_projection": ["scan_id", "scan_id"]}, "'manifest_projection'"),
    ({"manifest_projection": [1]}, "'manifest_projection'"),
    ({"manifest_projection": None}, "'manifest_projection'"),
]


@pytest.mark.parametrize(("changes", "text"), WRONG,
                         ids=[f"{number}-{next(iter(case[0]))}" for number, case in enumerate(WRONG)])
def test_wrong_arguments(user: requests.Session, changes: dict[str, Any], text: str) -> None:
    refused(user.post("/scan", json=body(**changes)), 400, text)


def test_several_faults_are_told_together(user: requests.Session) -> None:
    answer = user.post("/scan", json=body(nsides=1, max_pixel_reco_time=0, reco_algo=GONE))
    refused(answer, 400, "'nsides': must be type", "'max_pixel_reco_time': must be at least 1",
            "'reco_algo' is a required property", "; ")


def test_values_that_must_not_be_repeated_are_not(user: requests.Session) -> None:
    for changes in ({"event_i3live_json": '{"secret": "s3cr3t'}, {"scanner_server_env": {"K": ["s3cr3t"]}},
                    {"event_i3live_json": ["s3cr3t"]}, {"scanner_server_env": {"K": "s3cr3t" * 1000}}):
        answer = user.post("/scan", json=body(**changes))
        assert answer.status_code == 400
        assert "s3cr3t" not in answer.text


def test_what_is_stored_by_default(user: requests.Session) -> None:
    manifest = new(user, priority=GONE)
    assert list(manifest) == MANIFEST
    assert manifest["ewms_workflow_id"] == "not-yet-requested"
    assert manifest["ewms_task"] == "use 'ewms_workflow_id'"
    assert manifest["event_i3live_json_dict"] == "use 'i3_event_id'"
    assert isinstance(manifest["event_i3live_json_dict__hash"], str)
    assert manifest["ewms_address"] is manifest["progress"] is manifest["event_metadata"] is None
    assert manifest["scan_metadata"] is manifest["replaced_by_scan_id"] is None
    assert manifest["is_deleted"] is False
    assert manifest["priority"] == 0
    assert manifest["classifiers"] == {}
    assert isinstance(manifest["timestamp"], float)
    assert isinstance(manifest["last_updated"], float)
    assert len(manifest["scan_id"]) == 32
    assert manifest["scan_id"][11] == "x"
    request = user.get(f"/scan-request/{manifest['scan_id']}").json()
    assert list(request) == REQUEST
    assert request["docker_tag"] == "v4.0.0"
    assert request["scanner_server_memory_bytes"] == 1024000000
    assert request["worker_memory_bytes"] == 8 * 10**9
    assert request["worker_disk_bytes"] == 10**9
    assert request["predictive_scanning_threshold"] == 1.0
    assert request["request_clusters"] == [["osg", 1]]
    assert request["rescan_ids"] == request["debug_mode"] == []
    for text in ("--reco-algo elsewhere", "--nsides 1:0 2:12", "--simulated-event",
                 "--predictive-scanning-threshold 1.0"):
        assert text in manifest["scanner_server_args"]


@pytest.mark.parametrize(("changes", "stored"), [
    ({"max_pixel_reco_time": 60.0}, {"max_pixel_reco_time": 60}),
    ({"priority": -5.0}, {"priority": -5}),
    ({"nsides": {"1": 2, "3": 4}}, {"nsides": {"1": 2, "3": 4}}),
    ({"nsides": {}}, {"nsides": {}}),
    ({"nsides": {"a": "b"}}, {"nsides": {"a": "b"}}),
    ({"docker_tag": "v4"}, {"docker_tag": "v4.0.0"}),
    ({"docker_tag": " latest "}, {"docker_tag": "v4.0.0"}),
    ({"request_clusters": GONE, "cluster": {"sub-2": 3}}, {"request_clusters": [["sub-2", 3]]}),
    ({"cluster": {"sub-2": 3}}, {"request_clusters": [["osg", 1]]}),
    ({"request_clusters": [["osg", 1], ["osg", 2]]}, {"request_clusters": [["osg", 1], ["osg", 2]]}),
    ({"request_clusters": {"osg": 2.0, "local": 1}}, {"request_clusters": [["osg", 2], ["local", 1]]}),
    ({"worker_memory": "8G"}, {"worker_memory_bytes": 8 * 10**9}),
    ({"worker_memory": "8GiB"}, {"worker_memory_bytes": 8 << 30}),
    ({"worker_memory": "1.5 GB", "worker_memory_bytes": 7}, {"worker_memory_bytes": 7}),
    ({"worker_memory_bytes": 0}, {"worker_memory_bytes": 8 * 10**9}),
    ({"worker_disk": 0}, {"worker_disk_bytes": 10**9}),
    ({"worker_disk": "0"}, {"worker_disk_bytes": 10**9}),
    ({"worker_disk_bytes": "512 M"}, {"worker_disk_bytes": 512 * 10**6}),
    ({"scanner_server_memory": 5.0}, {"scanner_server_memory_bytes": 5}),
    ({"memory": None}, {}), ({"memory": 0}, {}), ({"memory": ""}, {}),
    ({"predictive_scanning_threshold": 0}, {"predictive_scanning_threshold": 0}),
    ({"predictive_scanning_threshold": 1}, {"predictive_scanning_threshold": 1}),
    ({"debug_mode": "client-logs"}, {"debug_mode": ["client-logs"]}),
    ({"debug_mode": ["client-logs", "client-logs"]}, {"debug_mode": ["client-logs", "client-logs"]}),
    ({"debug_mode": []}, {"debug_mode": []}),
    ({"debug_mode": "client-logs", "request_clusters": {"osg": 100}}, {}),
    ({"classifiers": {"a": None, "b": True, "c": 1.5, "d": "x" * 25, "k" * 25: 0}},
     {"classifiers": {"a": None, "b": True, "c": 1.5, "d": "x" * 25, "k" * 25: 0}}),
    ({"scanner_server_env": {"A": "1", "B": 2, "C": True, "D.E": "x"}},
     {"scanner_server_env_from_user": {"A": "1", "B": 2, "C": True, "D.E": "x"}}),
    ({"scanner_server_env_from_user": {"A": "x" * 4096}}, {}),
])
def test_what_is_accepted(user: requests.Session, changes: dict[str, Any], stored: dict[str, Any]) -> None:
    request = user.get(f"/scan-request/{new(user, **changes)['scan_id']}").json()
    assert {name: request[name] for name in stored} == stored


@pytest.mark.parametrize(("projection", "keys"), [
    (GONE, set(MANIFEST)), ("*", set(MANIFEST)), ([], set(MANIFEST)), (["*"], set(MANIFEST)),
    (["scan_id", "*"], set(MANIFEST)), (["nope"], set()), (["priority", "nope"], {"priority"}),
    (["ewms_task", "event_i3live_json_dict"], {"ewms_task", "event_i3live_json_dict"})])
def test_projections_of_manifests(user: requests.Session, projection: Any, keys: set[str]) -> None:
    assert set(new(user, manifest_projection=projection)) == keys
    scan_id = new(user)["scan_id"]
    sent = {} if projection is GONE else {"manifest_projection": projection}
    assert set(user.post(f"/scan/{scan_id}/actions/rescan", json=sent).json()) == keys
    assert set(user.delete(f"/scan/{scan_id}", json=sent).json()["manifest"]) == keys


def test_events_are_stored_once(user: requests.Session) -> None:
    event = {"run_id": 7, "mark": uuid.uuid4().hex, "deep": {"b": 1, "a": [1, 2.5, None]}}
    first = new(user, event_i3live_json=event)
    again = new(user, event_i3live_json=json.dumps(event, indent=1))
    named = new(user, event_i3live_json=GONE, i3_event_id=first["i3_event_id"])
    beside = new(user, event_i3live_json={}, i3_event_id=first["i3_event_id"])
    for other in (again, named, beside):
        assert other["i3_event_id"] == first["i3_event_id"]
        assert other["event_i3live_json_dict__hash"] == first["event_i3live_json_dict__hash"]
    assert user.get(f"/scan/{named['scan_id']}/i3-event").json() == {"i3_event": event}


# -- find


def find(user: requests.Session, query: Any, **more: Any) -> list[dict[str, Any]]:
    answer = user.post("/scans/find", json={"filter": query, **more})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["manifests"])


def test_finding(user: requests.Session) -> None:
    mark = uuid.uuid4().hex[:20]
    ids = [new(user, classifiers={"mark": mark, "n": number})["scan_id"] for number in range(4)]
    user.delete(f"/scan/{ids[3]}")
    query = {"classifiers.mark": mark}
    assert [one["scan_id"] for one in find(user, query)] == ids[:3]
    assert [one["scan_id"] for one in find(user, query, include_deleted=True)] == ids
    assert [one["scan_id"] for one in find(user, query, include_deleted="True")] == ids
    assert [one["scan_id"] for one in find(user, query, include_deleted="false")] == ids[:3]
    assert [one["scan_id"] for one in find(user, {**query, "is_deleted": True})] == ids[3:]
    assert [one["scan_id"] for one in find(user, {**query, "is_deleted": False}, include_deleted=True)] \
        == ids[:3]
    either = {"$and": [query, {"$or": [{"is_deleted": True}, {"classifiers.n": 0}]}]}
    assert [one["scan_id"] for one in find(user, either)] == [ids[0], ids[3]]
    assert [one["scan_id"] for one in find(user, {"scan_id": {"$in": ids[:2]}})] == ids[:2]
    assert [one["scan_id"] for one in find(user, query, limit=1, skip=1)] == ids[1:2]
    for shown in find(user, query):
        assert set(shown) == set(MANIFEST) - HEAVY
    assert set(find(user, query, manifest_projection="*")[0]) == set(MANIFEST) - HEAVY
    assert find(user, query, manifest_projection=["priority", "nope"])[0] == {"priority": -1000}
    assert find(user, query, manifest_projection=["nope"])[0] == {}


@pytest.mark.parametrize(("sent", "text"), [
    ({}, "'filter' is a required property"), ({"filter": "x"}, "'filter': must be type 'object' (dict)"),
    ({"filter": None}, "'filter'"), ({"filter": [1]}, "'filter'"), ({"filter": {}, "x": 1}, "'x'"),
    ({"filter": {}, "include_deleted": "maybe"}, "'include_deleted'"),
    ({"filter": {}, "include_deleted": 1}, "'include_deleted'"),
    ({"filter": {}, "include_deleted": None}, "'include_deleted'"),
    ({"filter": {}, "manifest_projection": "scan_id"}, "'manifest_projection'"),
    ({"filter": {}, "manifest_projection": ["ewms_task"]}, "ewms_task"),
    ({"filter": {}, "manifest_projection": ["scan_id", "event_i3live_json_dict__hash"]},
     "event_i3live_json_dict__hash"),
    ({"filter": {"$where": "1"}}, "$where"), ({"filter": {"$expr": {}}}, "$expr"),
    ({"filter": {"a": {"$not": {"$where": "1"}}}}, "$where"),
    ({"filter": {"$or": [{"$function": {}}]}}, "$function"),
    ({"filter": {"scan_id": {"$accumulator": {}}}}, "$accumulator"),
    ({"filter": {"scan_id": {"$nonsense": 1}}}, "filter"), ({"filter": {"$or": 1}}, "filter"),
    ({"filter": {"$or": []}}, "filter"), ({"filter": {"scan_id": {"$in": 1}}}, "filter"),
    ({"filter": {"scan_id": {"$regex": "("}}}, "filter"), ({"filter": {"scan_id": {"$gt": 1, "x": 2}}}, "")])
def test_filters_that_cannot_be_asked(user: requests.Session, sent: dict[str, Any], text: str) -> None:
    answer = user.post("/scans/find", json=sent)
    if text:
        refused(answer, 400, text)
    assert answer.status_code < 500
