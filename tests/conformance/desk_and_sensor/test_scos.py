"""SCOS Sensor API: the 12 operations of the seed."""
import io
import json
import re
import tarfile
import time
import uuid

import pytest
from client import until

scos_ = pytest.mark.scos
ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def S(name=""):
    return f"/api/v1/schedule/{name + '/' if name else ''}"


def A(name, tid=None, tail=""):
    return f"/api/v1/acquisitions/{name}/" + (f"{tid}/{tail}" if tid is not None else "")


def expect(a, status):
    assert a.status == status, f"expected HTTP {status}: {a!r}"
    return a.json


def field_error(a, *fields):
    body = expect(a, 400)
    assert isinstance(body, dict) and body, a
    for f in fields:
        assert isinstance(body.get(f), list) and body[f], f"no error list for {f!r}: {a!r}"


def unique():
    return "cf-" + uuid.uuid4().hex[:12]


FAR = 4_000_000_000


@pytest.fixture(scope="module")
def actions(scos):
    return {x["name"]: x for x in expect(scos.op(2, "GET", "/api/v1/capabilities/"), 200)["actions"]}


@pytest.fixture(scope="module")
def action(actions, pytestconfig):
    chosen = pytestconfig.getoption("--scos-action")
    if chosen:
        return chosen
    return next((n for n in ("mock_acquire", "test_acquisition", "logger") if n in actions), next(iter(actions)))


@pytest.fixture
def entry(scos, action):
    """Makes entries and removes them (with their acquisitions) afterwards."""
    made = []

    def make(status=201, **over):
        body = {"name": unique(), "action": action, "start": FAR, **over}
        body = {k: v for k, v in body.items() if v != "ABSENT"}
        made.append(body.get("name"))
        return expect(scos.op(4, "POST", S(), json=body), status)

    yield make
    for name in made:
        scos.send("PATCH", S(name), json={"is_active": False})
        scos.send("DELETE", A(name))
        scos.send("DELETE", S(name))


@pytest.fixture(scope="module")
def run(scos, action, pytestconfig):
    """A one-shot entry that has run once."""
    name = unique()
    expect(scos.op(4, "POST", S(), json={"name": name, "action": action}), 201)

    def ready():
        a = scos.send("GET", A(name))
        return a.json if a.status == 200 and a.json and a.json[0].get("status", "success") != "in-progress" else None

    rows = until(ready, pytestconfig.getoption("--scos-wait"), what=f"first run of {name} ({action})")
    yield name, rows
    scos.send("DELETE", A(name))
    scos.send("DELETE", S(name))


# root, capabilities, status, authentication ------------------------------------------------

@scos_(1)
def test_root_links(scos):
    body = expect(scos.op(1, "GET", "/api/v1/"), 200)
    for key in ("schedule", "acquisitions", "status", "capabilities"):
        assert str(body.get(key, "")).startswith("http"), f"{key}: absolute link expected in {body}"
    assert expect(scos.send("GET", body["schedule"]), 200) is not None
    assert "scheduler" in expect(scos.send("GET", body["status"]), 200)


@scos_(1, 2, 3, 4, 5)
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/"), ("GET", "/api/v1/capabilities/"), ("GET", "/api/v1/status"), ("GET", "/api/v1/schedule/"), ("POST", "/api/v1/schedule/")])
@pytest.mark.parametrize("header", [None, "Token 0000000000000000000000000000000000000000"], ids=["none", "wrong"])
def test_token_is_required(scos, method, path, header):
    client = scos.with_headers({"Authorization": header} if header else None)
    body = expect(client.send(method, path, json={} if method == "POST" else None), 401)
    assert "detail" in body




@scos_(2)
def test_capabilities(actions):
    assert actions
    for name, a in actions.items():
        assert isinstance(a["description"], str), name
        assert a["summary"] == (a["description"].strip().splitlines() or [None])[0] or a["summary"] in (None, ""), f"{name}: summary is the first line of the description"


@scos_(3)
def test_status(scos, entry, action):
    soon = int(time.time()) + 30
    e = entry(start=soon, interval=5, stop=soon + 60, priority=3)
    def look():
        body = expect(scos.op(3, "GET", "/api/v1/status"), 200)
        assert body["scheduler"] in ("running", "idle", "dead")
        mine = [t for t in body["task_queue"] if t["schedule_entry"].rstrip("/").endswith(e["name"])]
        return (body, mine) if mine else None
    body, mine = until(look, 5, what="upcoming tasks in the queue")
    assert mine[0]["time"] == soon
    assert mine[0]["priority"] == 3
    assert mine[0]["action"] == action
    order = [(t["time"], t["priority"]) for t in body["task_queue"]]
    assert order == sorted(order), "queue sorted by time, then priority"


# create ------------------------------------------------------------------------------------------

@scos_(4, 6)
def test_create_defaults(scos, entry, action):
    before = int(time.time())
    name = unique()
    e = entry(name=name, start="ABSENT", interval=3600, stop=FAR)
    assert e["name"] == name
    assert e["action"] == action
    assert e["priority"] == 10
    assert e["is_active"] is True
    assert before <= e["start"] <= before + 5
    assert e["next_task_id"] in (1, 2)
    assert e["interval"] == 3600
    assert e["stop"] == FAR
    assert "relative_stop" not in e, "write-only"
    assert ISO.match(e["created"])
    assert ISO.match(e["modified"])
    assert e["acquisitions"].startswith("http")
    assert e["acquisitions"].endswith(A(name))
    assert (e.get("url") or e.get("self")).endswith(S(name))
    got = expect(scos.op(6, "GET", S(name)), 200)
    assert got["name"] == name
    assert got["created"] == e["created"]


@scos_(4)
def test_create_null_start_means_now(entry):
    assert abs(entry(start=None, interval=3600)["start"] - time.time()) < 5




@scos_(4)
def test_create_ignores_is_active_and_unknown_fields(entry):
    e = entry(is_active=False, nonsense=1, next_task_id=77)
    assert e["is_active"] is True
    assert e["next_task_id"] == 1
    assert "nonsense" not in e


@scos_(4)
def test_create_location_header(scos, action, entry):
    name = unique()
    a = scos.op(4, "POST", S(), json={"name": name, "action": action, "start": FAR})
    expect(a, 201)
    assert a.headers.get("Location", "").endswith(S(name))
    scos.send("DELETE", S(name))


@scos_(4)
@pytest.mark.parametrize(("over", "field"), [
    ({"name": "ABSENT"}, "name"), ({"action": "ABSENT"}, "action"), ({"name": "has blank"}, "name"), ({"name": "bad!"}, "name"), ({"name": "x" * 51}, "name"), ({"name": ""}, "name"),
    ({"action": "string"}, "action"), ({"interval": 0}, "interval"), ({"interval": -1}, "interval"), ({"interval": 0.5}, "interval"), ({"interval": "soon"}, "interval"),
    ({"priority": "high"}, "priority"), ({"start": "tomorrow"}, "start"), ({"stop": "never"}, "stop"), ({"relative_stop": "maybe"}, "relative_stop"),
], ids=lambda v: json.dumps(v)[:40] if isinstance(v, dict) else v)
def test_create_refused(scos, action, over, field):
    body = {"name": unique(), "action": action, "start": FAR, **over}
    body = {k: v for k, v in body.items() if v != "ABSENT"}
    field_error(scos.op(4, "POST", S(), json=body), field)


@scos_(4)
@pytest.mark.parametrize("over", [{"relative_stop": True}, {"stop": FAR - 10}], ids=["relative_stop without stop", "stop before start"])
def test_create_refused_combinations(scos, action, over):
    expect(scos.op(4, "POST", S(), json={"name": unique(), "action": action, "start": FAR, **over}), 400)






# read, list --------------------------------------------------------------------------------------



@scos_(6, 7, 8, 9)
@pytest.mark.parametrize(("number", "method"), [(6, "GET"), (7, "PUT"), (8, "PATCH"), (9, "DELETE")])
def test_unknown_entry_is_404(scos, action, number, method):
    name = unique()
    body = {"name": name, "action": action} if method in ("PUT", "PATCH") else None
    assert "detail" in expect(scos.op(number, method, S(name), json=body), 404)


# update ------------------------------------------------------------------------------------------



@scos_(7)
@pytest.mark.parametrize("missing", ["name", "action"])
def test_put_needs_name_and_action(scos, entry, action, missing):
    e = entry()
    body = {"name": e["name"], "action": action}
    del body[missing]
    field_error(scos.op(7, "PUT", S(e["name"]), json=body), missing)




@scos_(8)
def test_patch_start_moves_the_next_time(scos, entry):
    e = entry(interval=60)
    assert expect(scos.op(8, "PATCH", S(e["name"]), json={"start": FAR + 1000}), 200)["next_task_time"] == FAR + 1000
    past = expect(scos.op(8, "PATCH", S(e["name"]), json={"is_active": False, "start": 1000}), 200)
    assert abs(past["next_task_time"] - time.time()) < 10, "never before now"






@scos_(7, 8, 9)
def test_only_owner_or_admin_may_write(scos_other, entry, action):
    e = entry()
    expect(scos_other.send("GET", S(e["name"])), 200)
    expect(scos_other.op(8, "PATCH", S(e["name"]), json={"priority": 1}), 403)
    expect(scos_other.op(7, "PUT", S(e["name"]), json={"name": e["name"], "action": action}), 403)
    expect(scos_other.op(9, "DELETE", S(e["name"])), 403)


# delete ------------------------------------------------------------------------------------------



@scos_(9)
@pytest.mark.slow
def test_delete_is_refused_while_acquisitions_exist(scos, run):
    name, _ = run
    body = expect(scos.op(9, "DELETE", S(name)), 400)
    assert body["detail"]
    assert any(u.rstrip("/").endswith(f"{name}/1") for u in body["protected_objects"])
    expect(scos.send("GET", S(name)), 200)


# running ------------------------------------------------------------------------------------------







@scos_(8)
@pytest.mark.slow
def test_inactive_entry_does_not_run(scos, entry):
    e = entry(start=FAR)
    expect(scos.op(8, "PATCH", S(e["name"]), json={"is_active": False, "start": int(time.time()) + 1}), 200)
    time.sleep(3)
    expect(scos.send("GET", A(e["name"])), 404)
    assert expect(scos.send("GET", S(e["name"])), 200)["next_task_id"] == 1




# acquisitions ------------------------------------------------------------------------------------------

@scos_(10)
def test_acquisitions_of_unknown_or_unrun_entry_are_404(scos, entry):
    assert "detail" in expect(scos.op(10, "GET", A(unique())), 404)
    assert "detail" in expect(scos.op(10, "GET", A(entry()["name"])), 404)


@scos_(10, 11)
@pytest.mark.slow
def test_acquisition_list_and_detail(scos, run):
    name, _ = run
    rows = expect(scos.op(10, "GET", A(name)), 200)
    assert isinstance(rows, list)
    one = expect(scos.op(11, "GET", A(name, 1)), 200)
    assert one["task_id"] == 1
    assert ISO.match(one["created"])
    assert one["url"].endswith(A(name, 1))
    assert one["archive"].endswith(A(name, 1, "archive"))
    meta = one["sigmf_metadata"]
    assert set(meta) >= {"global", "captures", "annotations"}
    assert meta["global"]["core:datatype"]
    assert one["url"] == rows[0]["url"]
    expect(scos.op(11, "GET", A(name, 99)), 404)


@scos_(12)
@pytest.mark.slow
def test_archive(scos, run):
    name, _ = run
    a = scos.op(12, "GET", A(name, 1, "archive"))
    assert a.status == 200, a
    assert a.headers["Content-Type"].startswith("application/x-tar")
    disposition = a.headers["Content-Disposition"]
    assert "attachment" in disposition
    assert f"{name}_1.sigmf" in disposition
    assert int(a.headers["Content-Length"]) == len(a.content)
    with tarfile.open(fileobj=io.BytesIO(a.content)) as tar:
        names = [m.name for m in tar.getmembers() if m.isfile()]
        meta = next(n for n in names if n.endswith(".sigmf-meta"))
        data = next(n for n in names if n.endswith(".sigmf-data"))
        assert meta.rsplit(".", 1)[0] == data.rsplit(".", 1)[0]
        assert set(json.load(tar.extractfile(meta))) >= {"global", "captures", "annotations"}
        assert tar.getmember(data).size > 0


@scos_(12)
def test_archive_unknown(scos, entry):
    expect(scos.send("GET", A(entry()["name"], 1, "archive")), 404)
    expect(scos.op(12, "GET", A(unique(), 1, "archive")), 404)
