"""SkyDriver: endpoints exist, who may call them, error body, OpenAPI document."""
import pytest
from kit import unique

# method, path, body, who (u=user, s=system, b=both)
OPS = [
    ("GET", "/", None, "u"),
    ("POST", "/scans/find", {"filter": {"scan_id": "none"}}, "u"),
    ("GET", "/scans/backlog", None, "u"),
    ("POST", "/scan", {}, "u"),
    ("GET", "/scan-request/{id}", None, "u"),
    ("POST", "/scan/{id}/actions/rescan", {}, "b"),
    ("POST", "/scan/{id}/actions/add-workers", {"n_workers": 1, "cluster_location": "osg"}, "u"),
    ("GET", "/scan/{id}", None, "b"),
    ("DELETE", "/scan/{id}", {}, "u"),
    ("GET", "/scan/{id}/manifest", None, "b"),
    ("PATCH", "/scan/{id}/manifest", {}, "s"),
    ("GET", "/scan/{id}/i3-event", None, "b"),
    ("GET", "/scan/{id}/result", None, "u"),
    ("PUT", "/scan/{id}/result", {"skyscan_result": {}, "is_final": False}, "s"),
    ("GET", "/scan/{id}/status", None, "b"),
    ("GET", "/scan/{id}/logs", None, "u"),
    ("GET", "/scan/{id}/ewms/workflow-id", None, "b"),
    ("POST", "/scan/{id}/ewms/workflow-id", {"workflow_id": "W", "ewms_address": "http://e"}, "s"),
    ("GET", "/scan/{id}/ewms/workforce", None, "b"),
    ("GET", "/scan/{id}/ewms/taskforces", None, "b"),
]
IDS = [f"{m} {p}" for m, p, *_ in OPS]
UNKNOWN = "0000000000axbbbbbbbbbbbbbbbbbbbb"

pytestmark = pytest.mark.seed


def go(client, op, scan_id):
    m, p, body, _ = op
    return client.call(m, p.format(id=scan_id), json=body)




@pytest.mark.permission
@pytest.mark.parametrize("op", OPS, ids=IDS)
def test_no_token_is_refused(sd_anon, op):
    go(sd_anon, op, UNKNOWN).denied()






@pytest.mark.permission
@pytest.mark.parametrize("op", [o for o in OPS if o[3] == "s"], ids=[i for i, o in zip(IDS, OPS) if o[3] == "s"])
def test_user_cannot_use_system_endpoint(sd_pure_user, shared_scan, op):
    go(sd_pure_user, op, shared_scan["scan_id"]).denied()


@pytest.mark.permission
@pytest.mark.parametrize("op", [o for o in OPS if o[3] == "u" and o[1] != "/"], ids=[i for i, o in zip(IDS, OPS) if o[3] == "u" and o[1] != "/"])
def test_system_cannot_use_user_endpoint(sd_pure_sys, shared_scan, op):
    go(sd_pure_sys, op, shared_scan["scan_id"]).denied()


@pytest.mark.permission
@pytest.mark.parametrize("op", [o for o in OPS if o[3] == "b" and o[0] == "GET"], ids=[i for i, o in zip(IDS, OPS) if o[3] == "b" and o[0] == "GET"])
def test_system_may_read(sd_sys, shared_scan, op):
    go(sd_sys, op, shared_scan["scan_id"]).ok(200)


@pytest.mark.parametrize("op", [o for o in OPS if "{id}" in o[1] and "result" not in o[1]], ids=[i for i, o in zip(IDS, OPS) if "{id}" in o[1] and "result" not in o[1]])
def test_unknown_scan_is_404(sd_user, sd_sys, op):
    go(sd_sys if op[3] == "s" else sd_user, op, UNKNOWN).error(404)




@pytest.mark.beyond_peer
def test_put_result_of_unknown_scan_is_404(sd_sys):
    sd_sys.put(f"/scan/{UNKNOWN}/result", {"skyscan_result": {"n": 1}, "is_final": False}).error(404)








@pytest.mark.beyond_peer
@pytest.mark.parametrize("case", ["404", "400", "422", "403"])
def test_error_body_has_the_three_seed_keys(sd_user, sd_anon, new_scan, case):
    if case == "404":
        r = sd_user.get(f"/scan/{UNKNOWN}").error(404)
    elif case == "400":
        r = sd_user.post("/scans/find", {}).error(400)
    elif case == "403":
        r = sd_anon.get("/scans/backlog").denied()
    else:
        sid = new_scan()["scan_id"]
        sd_user.delete(f"/scan/{sid}").ok(200)
        r = sd_user.post(f"/scan/{sid}/actions/add-workers", {"n_workers": 1, "cluster_location": "osg"}).error(422)
    j = r.json()
    for k in ("error", "reason", "message"):
        assert isinstance(j.get(k), str) and j[k], f"key {k!r} missing in error body {j}"


# ------------------------------------------------------------------ openapi
@pytest.fixture(scope="module")
def openapi(sd_user):
    return sd_user.get("/openapi.json").ok(200).json()


@pytest.mark.beyond_peer
def test_openapi_is_an_openapi_document(openapi):
    assert str(openapi.get("openapi", "")).startswith("3"), openapi.get("openapi")
    assert openapi.get("info", {}).get("title")
    assert openapi.get("info", {}).get("version")
    assert isinstance(openapi.get("paths"), dict)


@pytest.mark.beyond_peer
@pytest.mark.parametrize("op", OPS, ids=IDS)
def test_openapi_describes_operation(openapi, op):
    m, p, *_ = op
    want = p.replace("{id}", "{scan_id}")
    paths = {k.replace("/v1", "", 1): v for k, v in openapi["paths"].items()}
    assert want in paths, f"{want} not in openapi paths {sorted(paths)}"
    entry = {k.lower(): v for k, v in paths[want].items()}
    assert m.lower() in entry, f"{m} {want} not described"
    assert entry[m.lower()].get("responses"), f"{m} {want} has no responses"


# ------------------------------------------------------------------ malformed bodies
POSTS = [o for o in OPS if o[0] in ("POST", "PUT", "PATCH") and o[1] in ("/scan", "/scans/find")]


@pytest.mark.parametrize("path", ["/scan", "/scans/find"])
@pytest.mark.parametrize("raw", ["{bad", "[1]", '"text"', "12"], ids=["broken", "list", "string", "number"])
def test_body_must_be_a_json_object(sd_user, path, raw):
    sd_user.call("POST", path, data=raw).error(400)


@pytest.mark.parametrize("path", ["/scan", "/scans/find"])
def test_empty_body_is_400(sd_user, path):
    sd_user.call("POST", path, data="").error(400)


def test_unknown_keys_are_refused_everywhere(sd_user, sd_sys, shared_scan, scan_args):
    sid = shared_scan["scan_id"]
    odd = unique("odd")
    sd_user.post("/scan", {**scan_args(), odd: 1}).error(400, about=odd)
    sd_user.post("/scans/find", {"filter": {}, odd: 1}).error(400, about=odd)
    sd_sys.patch(f"/scan/{sid}/manifest", {odd: 1}).error(400, about=odd)
    sd_sys.put(f"/scan/{sid}/result", {"skyscan_result": {}, "is_final": False, odd: 1}).error(400, about=odd)
    sd_user.post(f"/scan/{sid}/actions/add-workers", {"n_workers": 1, "cluster_location": "osg", odd: 1}).error(400, about=odd)
    sd_sys.post(f"/scan/{sid}/ewms/workflow-id", {"workflow_id": "W", "ewms_address": "http://e", odd: 1}).error(400, about=odd)
