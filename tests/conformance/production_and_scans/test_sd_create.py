"""SkyDriver: POST /scan – argument rules, defaults, what gets stored."""
import json
import time

import pytest
from kit import NULL, unique

pytestmark = pytest.mark.seed

MANIFEST_KEYS = ["scan_id", "timestamp", "is_deleted", "scanner_server_args", "ewms_workflow_id", "ewms_address", "ewms_task", "priority", "classifiers", "i3_event_id", "event_i3live_json_dict", "event_i3live_json_dict__hash", "event_metadata", "scan_metadata", "progress", "replaced_by_scan_id", "last_updated"]
REQUEST_KEYS = ["scan_id", "rescan_ids", "docker_tag", "scanner_server_memory_bytes", "reco_algo", "nsides", "real_or_simulated_event", "predictive_scanning_threshold", "classifiers", "request_clusters", "worker_memory_bytes", "worker_disk_bytes", "max_pixel_reco_time", "priority", "debug_mode", "i3_event_id", "scanner_server_env_from_user"]


def test_manifest_has_every_field(shared_scan):
    missing = [k for k in MANIFEST_KEYS if k not in shared_scan]
    assert not missing, f"manifest lacks {missing}"


def test_manifest_starting_values(shared_scan):
    m = shared_scan
    assert m["is_deleted"] is False
    assert m["progress"] is None
    assert m["event_metadata"] is None
    assert m["scan_metadata"] is None
    assert m["replaced_by_scan_id"] is None
    assert m["classifiers"] == {"conformance": True}
    assert m["priority"] == -1000
    assert abs(m["timestamp"] - time.time()) < 3600
    assert m["last_updated"] >= m["timestamp"] - 1
    assert isinstance(m["i3_event_id"], str)
    assert m["i3_event_id"]




def test_scan_ids_are_unique_words_in_time_order(new_scan):
    a = new_scan()["scan_id"]
    time.sleep(0.02)
    b = new_scan()["scan_id"]
    assert a != b and a < b, "scan ids should sort by creation time"
    assert a.replace("_", "").isalnum()




def test_scan_request_defaults(sd_user, new_scan):
    req = sd_user.get(f"/scan-request/{new_scan(priority=None)['scan_id']}").ok(200).json()
    assert int(req["scanner_server_memory_bytes"]) == 1024000000
    assert int(req["worker_memory_bytes"]) == 8 * 10**9
    assert int(req["worker_disk_bytes"]) == 10**9
    assert req["predictive_scanning_threshold"] == 1.0
    assert req["debug_mode"] == []
    assert req["priority"] == 0
    assert req["scanner_server_env_from_user"] == {}


@pytest.mark.parametrize("key", ["docker_tag", "reco_algo", "nsides", "real_or_simulated_event", "max_pixel_reco_time"])
def test_required_argument(sd_user, scan_args, key):
    sd_user.post("/scan", scan_args(**{key: None})).error(400, about=key)




@pytest.mark.parametrize("alias", ["cluster", "request_clusters"])
def test_either_cluster_name_works(sd_user, new_scan, pytestconfig, alias):
    c = pytestconfig.getoption("--cluster")
    over = {"request_clusters": None}
    over[alias] = {c: 3}
    req = sd_user.get(f"/scan-request/{new_scan(**over)['scan_id']}").ok(200).json()
    pairs = req["request_clusters"].items() if isinstance(req["request_clusters"], dict) else req["request_clusters"]
    assert [list(p) for p in pairs] == [[c, 3]]


def test_clusters_as_list_of_pairs(sd_user, new_scan, pytestconfig):
    c = pytestconfig.getoption("--cluster")
    req = sd_user.get(f"/scan-request/{new_scan(request_clusters=[[c, 1], [c, 2]])['scan_id']}").ok(200).json()
    assert sum(n for _, n in (req["request_clusters"].items() if isinstance(req["request_clusters"], dict) else req["request_clusters"])) == 3


BAD = [
    ("docker_tag", " "), ("docker_tag", ""), ("docker_tag", 5), ("docker_tag", "no-such-tag-" + "z" * 12),
    ("reco_algo", ""), ("reco_algo", 7),
    ("nsides", "1:0"), ("nsides", [[1, 0]]), ("nsides", 8),
    ("real_or_simulated_event", "fake"), ("real_or_simulated_event", ""), ("real_or_simulated_event", True),
    ("max_pixel_reco_time", 0), ("max_pixel_reco_time", -5), ("max_pixel_reco_time", 1.5), ("max_pixel_reco_time", "60"), ("max_pixel_reco_time", True),
    ("request_clusters", {}), ("request_clusters", []), ("request_clusters", {"no-such-cluster": 1}), ("request_clusters", {"osg": 0}),
    ("request_clusters", {"osg": "1"}), ("request_clusters", "osg"), ("request_clusters", [["osg"]]),
    ("predictive_scanning_threshold", 1.1), ("predictive_scanning_threshold", -0.1), ("predictive_scanning_threshold", "1"), ("predictive_scanning_threshold", NULL),
    ("debug_mode", "verbose"), ("debug_mode", ["client-logs", "x"]), ("debug_mode", 1),
    ("worker_memory_bytes", "foo"), ("worker_memory_bytes", -1), ("worker_memory_bytes", 1.5), ("worker_memory_bytes", " "),
    ("worker_disk_bytes", "lots"), ("scanner_server_memory_bytes", "-"), ("worker_memory", "nope"),
    ("classifiers", "x"), ("classifiers", {"a": [1]}), ("classifiers", {"a": {}}), ("classifiers", {"a": "x" * 26}), ("classifiers", {"k" * 26: 1}),
    ("classifiers", {f"k{i}": i for i in range(26)}), ("classifiers", {"rescan": True}), ("classifiers", {"origin_scan_id": "x"}),
    ("priority", "5"), ("priority", 1.5), ("priority", NULL),
    ("scanner_server_env", {"A": {}}), ("scanner_server_env", {"A": "x" * 4097}), ("scanner_server_env", "A=1"), ("scanner_server_env", {f"K{i}": "v" for i in range(26)}),
    ("event_i3live_json", [1]), ("event_i3live_json", "{nope}"), ("event_i3live_json", "not json"), ("event_i3live_json", 5),
    ("manifest_projection", "scan_id"), ("manifest_projection", 5), ("manifest_projection", ["scan_id", "scan_id"]),
]


@pytest.mark.parametrize(("key", "value"), BAD, ids=[f"{k}={str(json.dumps(v) if v is not NULL else 'null')[:24]}" for k, v in BAD])
def test_bad_argument_is_400(sd_user, scan_args, key, value):
    about = key if key in ("classifiers", "nsides", "docker_tag", "reco_algo", "real_or_simulated_event", "max_pixel_reco_time", "priority") else None
    if value == {"rescan": True} or value == {"origin_scan_id": "x"}:
        about = ["classifier"]
    sd_user.post("/scan", scan_args(**{key: value})).error(400, about=about)


@pytest.mark.beyond_peer
@pytest.mark.parametrize("value", ["8 bananas", "8Q", "1e"])
def test_odd_size_units_are_refused(sd_user, scan_args, value):
    sd_user.post("/scan", scan_args(worker_memory_bytes=value)).error(400)




@pytest.mark.parametrize(("value", "expect"), [("real", None), ("real_event", None), ("sim", None), ("simulated", None), ("simulated_event", None)])
def test_event_kind_spellings(new_scan, value, expect):
    args = new_scan(real_or_simulated_event=value)["scanner_server_args"]
    assert ("--real-event" in args) == value.startswith("real")
    assert ("--simulated-event" in args) == value.startswith("sim")


SIZES = [("8G", 8 * 10**9), ("8GB", 8 * 10**9), ("1GiB", 2**30), ("512M", 512 * 10**6), (123456789, 123456789), ("1.5 GB", 1500000000)]










@pytest.mark.beyond_peer
def test_debug_mode_caps_workers(sd_user, scan_args, pytestconfig):
    c = pytestconfig.getoption("--cluster")
    sd_user.post("/scan", scan_args(debug_mode="client-logs", request_clusters={c: 100000})).error(400)


@pytest.mark.parametrize("x", [1, 0.5, 0.1, 1.0])
def test_threshold_range(sd_user, new_scan, x):
    assert sd_user.get(f"/scan-request/{new_scan(predictive_scanning_threshold=x)['scan_id']}").ok(200).json()["predictive_scanning_threshold"] == x


def test_env_from_user(sd_user, new_scan):
    req = sd_user.get(f"/scan-request/{new_scan(scanner_server_env={'MY_FLAG': 'yes'})['scan_id']}").ok(200).json()
    assert req["scanner_server_env_from_user"]["MY_FLAG"] == "yes"






def test_event_xor(sd_user, scan_args, shared_scan):
    sd_user.post("/scan", scan_args(i3_event_id=shared_scan["i3_event_id"])).error(400, about="event")






def test_event_as_json_text(sd_user, new_scan):
    ev = {"run_id": 6, "mark": unique("text")}
    sid = new_scan(event_i3live_json=json.dumps(ev))["scan_id"]
    assert sd_user.get(f"/scan/{sid}/i3-event").ok(200).json()["i3_event"] == ev


@pytest.mark.beyond_peer
def test_same_event_is_stored_once(new_scan):
    ev = {"run_id": 7, "mark": unique("dup"), "deep": {"b": 1, "a": [1, 2]}}
    a = new_scan(event_i3live_json=ev)
    b = new_scan(event_i3live_json=json.dumps({"deep": {"a": [1, 2], "b": 1}, "mark": ev["mark"], "run_id": 7}))
    assert a["i3_event_id"] == b["i3_event_id"]






def test_unknown_projection_is_ignored(new_scan):
    assert set(new_scan(manifest_projection=["scan_id", "nope"])) == {"scan_id"}
