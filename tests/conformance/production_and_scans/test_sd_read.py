"""SkyDriver: finding and reading scans."""
import pytest
from kit import unique
from test_sd_create import MANIFEST_KEYS

pytestmark = pytest.mark.seed
HEAVY = {"ewms_task", "event_i3live_json_dict", "event_i3live_json_dict__hash"}


def find(client, **body):
    return client.post("/scans/find", body).ok(200).json()["manifests"]




def test_find_default_projection_is_light(sd_user, shared_scan):
    m = find(sd_user, filter={"scan_id": shared_scan["scan_id"]})[0]
    assert set(m) == set(MANIFEST_KEYS) - HEAVY, f"unexpected difference {set(m) ^ (set(MANIFEST_KEYS) - HEAVY)}"


@pytest.mark.parametrize("field", sorted(HEAVY))
def test_find_refuses_heavy_fields(sd_user, field):
    sd_user.post("/scans/find", {"filter": {"scan_id": "x"}, "manifest_projection": ["scan_id", field]}).error(400)




def test_find_nothing(sd_user):
    assert find(sd_user, filter={"scan_id": unique()}) == []






@pytest.mark.parametrize("body", [{}, {"filter": "x"}, {"filter": [1]}, {"filter": None}, {"filter": {}, "include_deleted": "maybe"}, {"filter": {}, "manifest_projection": "scan_id"}], ids=str)
def test_find_bad_body(sd_user, body):
    sd_user.post("/scans/find", body).error(400)


@pytest.mark.beyond_peer
@pytest.mark.parametrize("flt", [{"$where": "1"}, {"scan_id": {"$nonsense": 1}}], ids=str)
def test_find_bad_query_is_400_not_500(sd_user, flt):
    sd_user.post("/scans/find", {"filter": flt}).error(400)




def test_get_manifest(sd_user, shared_scan):
    j = sd_user.get(f"/scan/{shared_scan['scan_id']}/manifest").ok(200).json()
    assert set(j) >= set(MANIFEST_KEYS)


@pytest.mark.parametrize(("proj", "keys"), [("scan_id|priority|classifiers", {"scan_id", "priority", "classifiers"}), ("scan_id", {"scan_id"}), ("nope", set()), ("scan_id|nope", {"scan_id"})])
def test_manifest_projection(sd_user, shared_scan, proj, keys):
    assert set(sd_user.get(f"/scan/{shared_scan['scan_id']}/manifest", {"projection": proj}).ok(200).json()) == keys


def test_manifest_projection_star(sd_user, shared_scan):
    assert set(sd_user.get(f"/scan/{shared_scan['scan_id']}/manifest", {"projection": "*"}).ok(200).json()) >= set(MANIFEST_KEYS)


def test_system_reads_the_event_from_the_manifest(sd_pure_sys, sd_pure_user, new_scan):
    ev = {"run_id": 8, "mark": unique("sys")}
    sid = new_scan(event_i3live_json=ev)["scan_id"]
    q = {"projection": "event_i3live_json_dict|i3_event_id"}
    assert sd_pure_sys.get(f"/scan/{sid}/manifest", q).ok(200).json()["event_i3live_json_dict"] == ev
    assert sd_pure_user.get(f"/scan/{sid}/manifest", q).ok(200).json()["event_i3live_json_dict"] != ev




def test_no_result_yet(sd_user, shared_scan):
    assert sd_user.get(f"/scan/{shared_scan['scan_id']}/result").ok(200).json() == {}








def test_backlog_hides_the_pickled_job(sd_user, new_scan):
    new_scan()
    for e in sd_user.get("/scans/backlog").ok(200).json()["entries"]:
        assert not e.get("pickled_k8s_job")
        assert "_id" not in e


def test_workflow_id_before_assignment(sd_user, scan):
    j = sd_user.get(f"/scan/{scan['scan_id']}/ewms/workflow-id").ok(200).json()
    assert set(j) == {"workflow_id", "requested_ewms_workflow", "eligible_for_ewms", "ewms_address"}
    if j["requested_ewms_workflow"]:
        pytest.skip("the server's launcher already assigned one")
    assert j["eligible_for_ewms"] is True
    assert j["ewms_address"] is None


def test_workforce_before_assignment(sd_user, scan):
    j = sd_user.get(f"/scan/{scan['scan_id']}/ewms/workforce").ok(200).json()
    assert isinstance(j, dict)
    assert j.get("n_running", 0) == 0 or sd_user.get(f"/scan/{scan['scan_id']}/ewms/workflow-id").json()["requested_ewms_workflow"]




@pytest.mark.parametrize("path", ["", "/manifest", "/result", "/i3-event", "/status", "/logs", "/ewms/workflow-id", "/ewms/workforce", "/ewms/taskforces"])
def test_reads_do_not_leak_mongo_ids(sd_user, shared_scan, path):
    assert '"_id"' not in sd_user.get(f"/scan/{shared_scan['scan_id']}{path}").ok(200).text
