"""SkyDriver: what happens to a scan – workflow id, progress, results, deletion, rescans, redirects."""
import copy

import pytest
from kit import unique

pytestmark = pytest.mark.seed

PROGRESS = {
    "summary": "scanning", "epilogue": "more to come", "tallies": {"overall": {"done": 1}},
    "processing_stats": {"start": {"scanner start": "now"}, "runtime": {"elapsed": "1 s"}, "rate": {}, "end": "", "finished": False, "predictions": {}},
    "predictive_scanning_threshold": 1.0, "last_updated": "2026-01-01 00:00:00", "start": 1, "end": None,
}
EVENT = {"run_id": 1, "event_id": 2, "event_type": "neutrino", "mjd": 55000.5, "is_real_event": False}
RESULT = {"nside-1": {"columns": ["index", "llh"], "metadata": {"nside": 1}, "data": [[0, 1.5]]}}


def with_rate():
    p = copy.deepcopy(PROGRESS)
    p["processing_stats"]["rate"] = {"all recos": {"wall time": "3 s"}}
    return p


def state(c, sid):
    return c.get(f"/scan/{sid}/status").ok(200).json()["scan_state"]


@pytest.fixture
def started(sd_sys, sd_user, scan):
    """A scan with a workflow id (assigned by us unless the server was faster)."""
    sid = scan["scan_id"]
    if not sd_user.get(f"/scan/{sid}/ewms/workflow-id").ok(200).json()["requested_ewms_workflow"]:
        sd_sys.post(f"/scan/{sid}/ewms/workflow-id", {"workflow_id": unique("WF"), "ewms_address": "http://ewms.example"}).ok(200)
    return sid


@pytest.fixture
def final(sd_sys, started):
    sd_sys.patch(f"/scan/{started}/manifest", {"progress": with_rate()}).ok(200)
    sd_sys.put(f"/scan/{started}/result", {"skyscan_result": RESULT, "is_final": True}).ok(200)
    return started




@pytest.mark.parametrize("body", [{}, {"workflow_id": "W"}, {"ewms_address": "http://e"}, {"workflow_id": "", "ewms_address": "http://e"}, {"workflow_id": "W", "ewms_address": " "}, {"workflow_id": 5, "ewms_address": "http://e"}], ids=str)
def test_workflow_id_bad_body(sd_sys, shared_scan, body):
    sd_sys.post(f"/scan/{shared_scan['scan_id']}/ewms/workflow-id", body).error(400)


def test_workflow_id_of_deleted_scan(sd_sys, sd_user, scan):
    sid = scan["scan_id"]
    sd_user.delete(f"/scan/{sid}").ok(200)
    sd_sys.post(f"/scan/{sid}/ewms/workflow-id", {"workflow_id": "W", "ewms_address": "http://e"}).error(404)






def test_deleted_scan_status(sd_user, started):
    sd_user.delete(f"/scan/{started}").ok(200)
    j = sd_user.get(f"/scan/{started}/status").ok(200).json()
    assert j["is_deleted"] is True
    assert j["scan_complete"] is False




def test_patch_progress_is_stored_and_replaced(sd_sys, sd_user, scan):
    sid = scan["scan_id"]
    m = sd_sys.patch(f"/scan/{sid}/manifest", {"progress": PROGRESS}).ok(200).json()
    assert m["scan_id"] == sid
    assert m["progress"]["summary"] == "scanning"
    assert m["progress"]["start"] == 1
    assert m["last_updated"] >= scan["last_updated"]
    sd_sys.patch(f"/scan/{sid}/manifest", {"progress": {**PROGRESS, "summary": "later", "tallies": {}}}).ok(200)
    p = sd_user.get(f"/scan/{sid}/manifest").ok(200).json()["progress"]
    assert p["summary"] == "later"
    assert p["tallies"] == {}


def test_patch_progress_fills_defaults(sd_sys, scan):
    p = copy.deepcopy(PROGRESS)
    p["processing_stats"] = {"start": {}, "runtime": {}}
    got = sd_sys.patch(f"/scan/{scan['scan_id']}/manifest", {"progress": p}).ok(200).json()["progress"]["processing_stats"]
    assert got["rate"] == {}
    assert got["end"] == ""
    assert got["finished"] is False
    assert got["predictions"] == {}


@pytest.mark.parametrize("drop", ["summary", "epilogue", "tallies", "processing_stats", "predictive_scanning_threshold", "last_updated"])
def test_patch_incomplete_progress(sd_sys, shared_scan, drop):
    sd_sys.patch(f"/scan/{shared_scan['scan_id']}/manifest", {"progress": {k: v for k, v in PROGRESS.items() if k != drop}}).error(400)




def test_event_metadata_is_write_once(sd_sys, scan):
    p = f"/scan/{scan['scan_id']}/manifest"
    got = sd_sys.patch(p, {"event_metadata": EVENT}).ok(200).json()["event_metadata"]
    assert {k: got[k] for k in EVENT} == EVENT
    sd_sys.patch(p, {"event_metadata": EVENT}).ok(200)
    sd_sys.patch(p, {"event_metadata": {**EVENT, "run_id": 99}}).error(400, about="event_metadata")
    assert sd_sys.get(p).json()["event_metadata"]["run_id"] == 1


def test_event_metadata_fields(sd_sys, scan):
    p = f"/scan/{scan['scan_id']}/manifest"
    for k in EVENT:
        sd_sys.patch(p, {"event_metadata": {a: b for a, b in EVENT.items() if a != k}}).error(400)










@pytest.mark.parametrize("body", [{}, {"is_final": True}, {"skyscan_result": {"a": 1}}, {"skyscan_result": [1], "is_final": True}, {"skyscan_result": {"a": 1}, "is_final": "yes"}], ids=str)
def test_result_bad_body(sd_sys, shared_scan, body):
    sd_sys.put(f"/scan/{shared_scan['scan_id']}/result", body).error(400)










def test_delete_twice(sd_user, scan):
    for _ in range(2):
        assert sd_user.delete(f"/scan/{scan['scan_id']}").ok(200).json()["manifest"]["is_deleted"] is True




def test_deleted_scan_leaves_backlog_or_is_harmless(sd_user, scan):
    sd_user.delete(f"/scan/{scan['scan_id']}").ok(200)
    sd_user.get("/scans/backlog").ok(200)


def test_delete_completed_needs_consent(sd_user, final):
    sd_user.delete(f"/scan/{final}", {}).error(400, about="delete_completed_scan")
    sd_user.get(f"/scan/{final}").ok(200)
    j = sd_user.delete(f"/scan/{final}", {"delete_completed_scan": True}).ok(200).json()
    assert j["result"]["is_final"] is True
    assert j["manifest"]["is_deleted"] is True


def test_delete_with_only_partial_result(sd_sys, sd_user, scan):
    sid = scan["scan_id"]
    sd_sys.put(f"/scan/{sid}/result", {"skyscan_result": RESULT, "is_final": False}).ok(200)
    assert sd_user.delete(f"/scan/{sid}").ok(200).json()["result"]["skyscan_result"] == RESULT










def test_add_workers(sd_user, started, pytestconfig):
    r = sd_user.post(f"/scan/{started}/actions/add-workers", {"n_workers": 2, "cluster_location": pytestconfig.getoption("--cluster")})
    if r.status == 500:  # allowed by the seed when the workload manager does not know our made-up workflow
        r.error(500, about="workers")
        pytest.skip("workload manager refused the made-up workflow")
    j = r.ok(200).json()
    assert set(j) == {"taskforce_uuid", "n_workers"}
    assert j["n_workers"] == 2












def test_rescan_projection(sd_user, scan, _scan_bin):
    j = sd_user.post(f"/scan/{scan['scan_id']}/actions/rescan", {"manifest_projection": ["scan_id"]}).ok(200).json()
    _scan_bin.append(j["scan_id"])
    assert set(j) == {"scan_id"}




# ------------------------------------------------------------------ redirects
@pytest.fixture(scope="module")
def replaced(sd_pure_user, new_scan, _scan_bin):
    old = new_scan()["scan_id"]
    new = sd_pure_user.post(f"/scan/{old}/actions/rescan", {"replace_scan": True}).ok(200).json()["scan_id"]
    _scan_bin.append(new)
    return old, new


PATHS = ["", "/manifest", "/result", "/i3-event", "/status", "/logs", "/ewms/workflow-id", "/ewms/workforce", "/ewms/taskforces"]


@pytest.mark.parametrize("path", PATHS)
def test_replaced_scan_redirects(sd_pure_user, replaced, path):
    old, new = replaced
    r = sd_pure_user.get(f"/scan/{old}{path}").ok(301, 302, 303, 307, 308)
    where = r.headers["Location"].split("?")[0]
    assert where.endswith(f"/scan/{new}{path}"), where
    sd_pure_user.get(f"/scan/{old}{path}", follow=True).ok(200)




def test_no_redirect_false_still_redirects(sd_pure_user, replaced):
    sd_pure_user.get(f"/scan/{replaced[0]}/manifest", {"no_redirect": "false"}).ok(301, 302, 303, 307, 308)


def test_system_is_never_redirected(sd_pure_sys, replaced):
    assert sd_pure_sys.get(f"/scan/{replaced[0]}/manifest", {"include_deleted": "true"}).ok(200).json()["scan_id"] == replaced[0]




@pytest.mark.beyond_peer
@pytest.mark.parametrize(("method", "path", "body"), [("POST", "/actions/add-workers", {"n_workers": 1, "cluster_location": "osg"}), ("DELETE", "", {})], ids=["add-workers", "delete"])
def test_redirect_keeps_the_method(sd_pure_user, new_scan, _scan_bin, method, path, body):
    old = new_scan()["scan_id"]
    new = sd_pure_user.post(f"/scan/{old}/actions/rescan", {"replace_scan": True}).ok(200).json()["scan_id"]
    _scan_bin.append(new)
    r = sd_pure_user.call(method, f"/scan/{old}{path}", json=body).ok(307, 308)
    assert f"/scan/{new}{path}" in r.headers["Location"]
