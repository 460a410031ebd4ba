"""IceProd: endpoints that only the newest version has and that today's users and sites rely on."""
import itertools
import time

import pytest
from kit import unique

pytestmark = [pytest.mark.newest, pytest.mark.beyond_peer]
_prio = itertools.count(int(time.time()) * 1000)


def get(ip, t):
    return ip.get(f"/tasks/{t}").ok(200).json()


@pytest.fixture
def three(ip, dataset, new_job, new_task):
    """dataset, [processing, failed, complete] tasks of one job, job."""
    j = new_job(dataset)
    ids = [new_task(dataset, j, task_index=i, name=f"t{i}") for i in range(3)]
    for t, s in zip(ids, ("processing", "failed", "complete")):
        ip.patch(f"/tasks/{t}", {"status": s, "failures": 4, "site": "S", "instance_id": "i1"}).ok(200)
    return dataset, ids, j


def states(ip, ids):
    return [get(ip, t)["status"] for t in ids]




def test_waiting_limit(ip):
    ip.post("/task_actions/waiting", {"task_ids": ["x"] * 101}).error(400)


def test_queue_lease_form(ip, dataset, new_task):
    t = new_task(dataset)
    b = {"requirements": {"cpu": 1, "memory": 4.0, "disk": 10, "time": 8, "site": "S9"}, "query_params": {"dataset_id": dataset}}
    got = ip.post("/task_actions/queue", b).ok(200).json()
    assert got["task_id"] == t
    assert got["status"] == "queued"
    assert got["instance_id"]
    assert got["site"] == "S9"
    ip.post("/task_actions/queue", b).error(404)


@pytest.mark.parametrize("params", [{"$where": "1"}, {"name": "x"}, {"status": "idle"}, {"dataset_id": {"$ne": "x"}}, {"site": ["a"]}], ids=str)
def test_queue_lease_params(ip, params):
    ip.post("/task_actions/queue", {"requirements": {}, "query_params": params}).error(400)


def test_queue_many(ip, dataset, new_job, new_task):
    j = new_job(dataset)
    ids = {new_task(dataset, j, task_index=i) for i in range(4)}
    b = {"num": 3, "requirements": {"cpu": 1, "memory": 4.0, "disk": 10, "time": 8}, "dataset_deprio": [], "query_params": {"dataset_id": dataset}}
    r = ip.post("/task_actions/queue_many", b)
    assert not r.route_missing(), "ENDPOINT MISSING"
    rows = r.ok(200).json()
    rows = rows if isinstance(rows, list) else list(rows.values())
    got = {x["task_id"] for x in rows}
    assert len(got) == 3
    assert got <= ids
    assert all(x["status"] == "queued" for x in rows)
    assert len({x["instance_id"] for x in rows}) == 1
    assert len(ip.post("/task_actions/queue_many", b).ok(200).json()) == 1
    ip.post("/task_actions/queue_many", b).error(404)


def test_queue_many_prefers_other_datasets(ip, new_dataset, new_task):
    a, b = new_dataset(), new_dataset()
    site = unique("site")
    ta, tb = new_task(a, requirements={"site": site}), new_task(b, requirements={"site": site})
    ip.patch(f"/tasks/{ta}", {"priority": float(next(_prio))})
    ip.patch(f"/tasks/{tb}", {"priority": float(next(_prio))})
    req = {"num": 1, "requirements": {"site": site}, "dataset_deprio": [b], "query_params": {"requirements.site": site}}
    assert [x["task_id"] for x in ip.post("/task_actions/queue_many", req).ok(200).json()] == [ta]
    assert [x["task_id"] for x in ip.post("/task_actions/queue_many", req).ok(200).json()] == [tb]


def test_processing_action(ip, task):
    _d, t = task
    ip.patch(f"/tasks/{t}", {"status": "queued", "instance_id": "i1"}).ok(200)
    ip.post(f"/tasks/{t}/task_actions/processing", {}).error(400, about="instance_id")
    ip.post(f"/tasks/{t}/task_actions/processing", {"instance_id": "other"}).error(404)
    ip.post(f"/tasks/{t}/task_actions/processing", {"instance_id": "i1", "site": "S3"}).ok(200)
    assert get(ip, t)["status"] == "processing"
    assert get(ip, t)["site"] == "S3"




def test_bulk_suspend(ip, three):
    d, ids, _ = three
    ip.post(f"/datasets/{d}/task_actions/bulk_suspend", {}).ok(200)
    assert states(ip, ids) == ["suspended", "failed", "complete"]


def test_bulk_reset(ip, three):
    d, ids, _ = three
    ip.post(f"/datasets/{d}/task_actions/bulk_reset", {}).ok(200)
    s = states(ip, ids)
    assert s[0] in ("idle", "waiting")
    assert s[1] == s[0]
    assert s[2] == "complete"
    assert get(ip, ids[1])["failures"] == 4


def test_bulk_hard_reset(ip, three):
    d, ids, _ = three
    ip.post(f"/datasets/{d}/task_actions/bulk_hard_reset", {"tasks": ids[1:]}).ok(200)
    s = states(ip, ids)
    assert s[0] == "processing"
    assert s[1] in ("idle", "waiting")
    assert s[2] == s[1]
    assert get(ip, ids[2])["failures"] == 0
    assert get(ip, ids[2])["site"] == ""


def test_bulk_by_jobs(ip, three, new_job):
    d, ids, j = three
    ip.post(f"/datasets/{d}/task_actions/bulk_suspend", {"jobs": [new_job(d)]}).ok(200)
    assert states(ip, ids)[0] == "processing"
    ip.post(f"/datasets/{d}/task_actions/bulk_suspend", {"jobs": [j]}).ok(200)
    assert states(ip, ids)[0] == "suspended"








def test_dataset_hard_reset(ip, dataset):
    ip.put(f"/datasets/{dataset}/status", {"status": "complete"}).ok(200)
    ip.post(f"/datasets/{dataset}/dataset_actions/hard_reset", {}).ok(200)
    assert ip.get(f"/datasets/{dataset}").json()["status"] == "processing"


def test_dataset_truncate(ip, dataset):
    ip.post(f"/datasets/{dataset}/dataset_actions/truncate", {}).ok(200)
    assert ip.get(f"/datasets/{dataset}").json()["truncated"] is True
    ip.put(f"/datasets/{dataset}/status", {"status": "complete"}).ok(200)
    ip.post(f"/datasets/{dataset}/dataset_actions/truncate", {}).error(400, about="complete")


def test_bulk_requirements_replace(ip, dataset, new_task):
    t = new_task(dataset, name="gen", requirements={"memory": 2.0, "gpu": 1})
    ip.post(f"/datasets/{dataset}/task_actions/bulk_requirements/gen", {"memory": 3.0}).ok(200)
    assert get(ip, t)["requirements"] == {"memory": 3.0}








def test_internal_task_status(ip, task):
    t = task[1]
    ip.put(f"/tasks/{t}/status", {"status": "queued"}).ok(200)
    ip.put(f"/tasks/{t}/status", {"status": "nonsense"}).error(400)
    ip.put(f"/tasks/{t}/status", {}).error(400)
    assert get(ip, t)["status"] == "queued"


def test_delete_task_logs(ip, task):
    d, t = task
    ip.post("/logs", {"data": "x", "dataset_id": d, "task_id": t}).ok(201)
    ip.delete(f"/datasets/{d}/tasks/{t}/logs").ok(200)
    ip.get(f"/datasets/{d}/tasks/{t}/logs").error(404)


def test_bulk_task_stats_stream(ip, task):
    import json

    d, t = task
    for n in (1, 2):
        ip.post(f"/tasks/{t}/task_stats", {"dataset_id": d, "n": n}).ok(201)
        time.sleep(0.005)
    lines = ip.get(f"/datasets/{d}/bulk/task_stats").ok(200).text.splitlines()
    assert sorted(json.loads(x)["stats"]["n"] for x in lines) == [1, 2]
    lines = ip.get(f"/datasets/{d}/bulk/task_stats", {"last": "true"}).ok(200).text.splitlines()
    assert [json.loads(x)["stats"]["n"] for x in lines] == [2]


def test_user_priority(ip):
    name = unique("user")
    ip.put(f"/users/{name}", {}).ok(200)
    try:
        ip.put(f"/users/{name}", {}).error(409)
        ip.put(f"/users/{name}/priority", {"priority": 0.9}).ok(200)
        assert ip.get(f"/users/{name}").json()["priority"] == 0.9
        ip.put(f"/users/{name}/priority", {"priority": 1.5}).error(400, about="priority")
        ip.put(f"/users/{name}/priority", {}).error(400, about="priority")
    finally:
        ip.delete(f"/users/{name}")




# ------------------------------------------------------------------ asynchronous actions
CONFIG = {"version": 3.2, "description": "conf", "options": {}, "steering": {}, "tasks": [{"name": "gen", "trays": [{"modules": [{"src": "run.py"}]}]}]}


def wait(ip, name, i, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        j = ip.get(f"/actions/{name}/{i}").ok(200).json()
        assert j["id"] == i
        assert j["status"] in ("queued", "processing", "error", "complete")
        if j["status"] in ("error", "complete"):
            return j
        time.sleep(0.5)
    pytest.fail(f"action {name} {i} did not finish in {seconds} s: {j}")






@pytest.mark.parametrize("name", ["submit", "edit_config", "dataset_status", "job_status", "task_status", "materialization"])
def test_action_unknown_request(ip, name):
    ip.get(f"/actions/{name}/{'0' * 32}").error(404)


def test_dataset_status_action(ip, three):
    d, ids, _j = three
    ip.put(f"/config/{d}", CONFIG).ok(200)
    r = wait(ip, "dataset_status", ip.post("/actions/dataset_status", {"dataset_id": d, "action": "suspend"}).ok(201).new_id())
    assert r["status"] == "complete", r
    assert ip.get(f"/datasets/{d}").json()["status"] == "suspended"
    assert states(ip, ids)[0] == "suspended"


