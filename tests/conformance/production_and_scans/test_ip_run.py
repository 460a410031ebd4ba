"""IceProd: queueing, leasing, resets with growing requirements, completion, statistics, logs, files, grids, pilots."""
import itertools
import re
import time

import pytest
from kit import unique

pytestmark = pytest.mark.seed
NO = "0" * 32
_prio = itertools.count(int(time.time()) * 1000)


def get(ip, t):
    return ip.get(f"/tasks/{t}").ok(200).json()


def top(ip, t):
    """Make a task the most urgent of the whole system."""
    ip.patch(f"/tasks/{t}", {"priority": float(next(_prio))}).ok(200)




def test_queue_never_takes_suspended(ip, dataset, new_task):
    t = new_task(dataset, status="suspended")
    top(ip, t)
    ip.post("/task_actions/queue", {"num_tasks": 3}).ok(200)
    assert get(ip, t)["status"] == "suspended"




# ------------------------------------------------------------------ process (lease)
@pytest.fixture
def queued(ip, task):
    ip.patch(f"/tasks/{task[1]}", {"status": "queued"}).ok(200)
    return task


def lease(c, d, **req):
    return c.post("/task_actions/process", {"requirements": req, "query_params": {"dataset_id": d}})


OFFER = {"cpu": 1, "memory": 4.0, "disk": 10, "time": 8}


def test_process_returns_a_processing_task(ip, ip_pilot, queued):
    d, t = queued
    got = lease(ip_pilot, d, **OFFER).ok(200).json()
    assert got["task_id"] == t
    assert got["dataset_id"] == d
    assert got["status"] == "processing"
    assert get(ip, t)["status"] == "processing"
    lease(ip_pilot, d, **OFFER).error(404)


def test_process_highest_priority_first(ip, ip_pilot, dataset, new_job, new_task):
    j = new_job(dataset)
    ids = [new_task(dataset, j, task_index=i) for i in range(3)]
    for t, p in zip(ids, (0.2, 0.9, 0.5)):
        ip.patch(f"/tasks/{t}", {"status": "queued", "priority": p}).ok(200)
    assert [lease(ip_pilot, dataset, **OFFER).ok(200).json()["task_id"] for _ in ids] == [ids[1], ids[2], ids[0]]










def test_process_cannot_override_the_status_filter(ip_pilot):
    ip_pilot.post("/task_actions/process", {"requirements": {}, "query_params": {"status": "complete"}}).error(400)


@pytest.mark.beyond_peer
@pytest.mark.parametrize("params", [{"$where": "1"}, {"dataset_id": {"$ne": ""}}, {"name": "gen"}], ids=str)
def test_process_refuses_free_queries(ip_pilot, params):
    ip_pilot.post("/task_actions/process", {"requirements": {}, "query_params": params}).error(400)




# ------------------------------------------------------------------ reset
@pytest.fixture
def running(ip, task):
    ip.patch(f"/tasks/{task[1]}", {"status": "processing", "instance_id": "inst1"}).ok(200)
    return task


def reset(c, t, **b):
    return c.post(f"/tasks/{t}/task_actions/reset", {"instance_id": "inst1", **b})


def test_reset(ip, ip_pilot, running):
    _d, t = running
    assert reset(ip_pilot, t).ok(200).json()["task_id"] == t
    j = get(ip, t)
    assert j["status"] in ("reset", "waiting", "idle")
    assert j["failures"] == 1








@pytest.mark.parametrize(("used", "want"), [(3.7, 2), (1.05, 1), (50, 1)])
def test_reset_grows_cpu_one_at_a_time(ip, ip_pilot, running, used, want):
    reset(ip_pilot, running[1], resources={"cpu": used}).ok(200)
    assert get(ip, running[1])["requirements"]["cpu"] == want










# ------------------------------------------------------------------ complete
def test_complete(ip, ip_pilot, running):
    _d, t = running
    ip_pilot.post(f"/tasks/{t}/task_actions/complete", {"instance_id": "inst1", "time_used": 7200, "site": "S2"}).ok(200)
    j = get(ip, t)
    assert j["status"] == "complete"
    assert j["walltime"] == 2.0
    assert j["site"] == "S2"
    assert j["failures"] == 0




def test_whole_life(ip, ip_pilot, task):
    d, t = task
    top(ip, t)
    ip.post("/task_actions/queue", {"num_tasks": 1}).ok(200)
    got = lease(ip_pilot, d, **OFFER).ok(200).json()
    inst = {"instance_id": got["instance_id"]} if got.get("instance_id") else {}
    ip_pilot.post(f"/tasks/{t}/task_actions/reset", {**inst, "reason": "killed"}).ok(200)
    ip.patch(f"/tasks/{t}", {"status": "queued"}).ok(200)
    got = lease(ip_pilot, d, **OFFER).ok(200).json()
    inst = {"instance_id": got["instance_id"]} if got.get("instance_id") else {}
    ip_pilot.post(f"/tasks/{t}/task_actions/complete", {**inst, "time_used": 60}).ok(200)
    j = get(ip, t)
    assert j["status"] == "complete"
    assert j["failures"] == 1














def test_log_default_name(ip):
    l = ip.post("/logs", {"data": "x"}).ok(201).new_id()
    assert ip.get(f"/logs/{l}").json()["name"] == "log"






def test_log_of_other_dataset_is_404(ip, new_dataset, task):
    l = ip.post(f"/datasets/{task[0]}/logs", {"data": "x"}).ok(201).new_id()
    ip.get(f"/datasets/{new_dataset()}/logs/{l}").error(404)


@pytest.fixture
def logged(ip, task):
    d, t = task
    for n, text in (("stdout", "old out"), ("stderr", "old err"), ("stdout", "new out"), ("stdlog", "log")):
        ip.post("/logs", {"data": text, "dataset_id": d, "task_id": t, "name": n}).ok(201)
        time.sleep(0.005)
    return f"/datasets/{d}/tasks/{t}/logs"




def test_task_logs_num(ip, logged):
    assert len(ip.get(logged, {"num": 2}).ok(200).json()["logs"]) == 2


def test_task_logs_grouped(ip, logged):
    rows = ip.get(logged, {"group": "true"}).ok(200).json()["logs"]
    assert {x["name"]: x["data"] for x in rows} == {"stdout": "new out", "stderr": "old err", "stdlog": "log"}


def test_task_logs_keys(ip, logged):
    for x in ip.get(logged, {"keys": "log_id|name"}).ok(200).json()["logs"]:
        assert set(x) == {"log_id", "name"}


@pytest.mark.parametrize("q", [{"num": "x"}, {"order": "sideways"}], ids=str)
def test_task_logs_bad_query(ip, logged, q):
    ip.get(logged, q).error(400, about=list(q))




def test_log_search_and_delete(ip, task):
    d, t = task
    l = ip.post("/logs", {"data": "x", "dataset_id": d, "task_id": t, "name": "stdlog"}).ok(201).new_id()
    assert set(ip.get("/logs", {"dataset_id": d, "name": "stdlog", "keys": "log_id"}).ok(200).json()) == {l}
    assert ip.delete(f"/logs/{l}").ok(200).json() == {}
    ip.get(f"/logs/{l}").error(404)






@pytest.mark.parametrize("b", [{}, {"filename": "a"}, {"movement": "input"}, {"filename": "a", "movement": "sideways"}, {"filename": 5, "movement": "input"}, {"filename": "a", "movement": "input", "local": 5}, {"filename": "a", "movement": "input", "transfer": []}], ids=str)
def test_file_bad_body(ip, task, b):
    ip.post(f"/datasets/{task[0]}/files/{task[1]}", b).error(400)


def test_file_for_no_task(ip, task):
    ip.post(f"/datasets/{task[0]}/files", {"filename": "a", "movement": "input", "job_index": 999, "task_name": "gen"}).error(400, about="task")


# ------------------------------------------------------------------ grids
def test_grid(ip):
    g = ip.post("/grids", {"host": unique("host"), "queues": {"q": "condor"}, "version": "1.0"}).ok(201).new_id()
    j = ip.get(f"/grids/{g}").ok(200).json()
    assert j["grid_id"] == g
    assert j["queues"] == {"q": "condor"}
    assert j["version"] == "1.0"
    assert j["start_date"]
    assert j["last_update"]
    assert j["debug"] is False
    assert ip.get("/grids").ok(200).json()[g]["host"] == j["host"]
    assert ip.patch(f"/grids/{g}", {"version": "1.1"}).ok(200).json()["version"] == "1.1"
    assert ip.get(f"/grids/{g}").json()["last_update"] >= j["last_update"]


@pytest.mark.parametrize("b", [{}, {"host": "h"}, {"host": "h", "queues": []}, {"host": "h", "queues": [], "version": "1"}, {"host": 1, "queues": {}, "version": "1"}], ids=str)
def test_grid_bad(ip, b):
    ip.post("/grids", b).error(400)


# ------------------------------------------------------------------ pilots
PILOT = {"queue_host": "h", "queue_version": "1", "resources": {"cpu": 1, "memory": 4.0}}


@pytest.fixture
def pilot(ip):
    p = ip.post("/pilots", {**PILOT, "queue_host": unique("host")}).ok(201).new_id()
    yield p
    ip.delete(f"/pilots/{p}")


def test_pilot_defaults(ip, ip_pilot, pilot):
    j = ip_pilot.get(f"/pilots/{pilot}").ok(200).json()
    assert j["pilot_id"] == pilot
    assert j["resources"] == {"cpu": 1, "memory": 4.0}
    for k, v in {"tasks": [], "host": "", "site": "", "version": "", "grid_queue_id": "", "start_date": "", "resources_available": {}, "resources_claimed": {}}.items():
        assert j[k] == v, k
    assert re.match(r"\d{4}-", j["submit_date"])
    assert j["last_update"]


@pytest.mark.parametrize("key", list(PILOT))
def test_pilot_required(ip, key):
    ip.post("/pilots", {k: v for k, v in PILOT.items() if k != key}).error(400, about=key)










@pytest.mark.beyond_peer
def test_pilot_filter_by_grid(ip):
    g = unique("grid")
    p = ip.post("/pilots", {**PILOT, "grid_id": g}).ok(201).new_id()
    assert set(ip.get("/pilots", {"grid_id": g}).ok(200).json()) == {p}
    ip.delete(f"/pilots/{p}").ok(200)


