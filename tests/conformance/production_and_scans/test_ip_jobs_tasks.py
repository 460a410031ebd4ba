"""IceProd: jobs, tasks, their status machines, bulk actions."""

import pytest

pytestmark = pytest.mark.seed
NO = "0" * 32




@pytest.mark.parametrize("b", [{}, {"job_index": 0}, {"dataset_id": "x"}, {"dataset_id": "x", "job_index": "0"}, {"dataset_id": 5, "job_index": 0}], ids=str)
def test_job_bad_body(ip, b):
    ip.post("/jobs", b).error(400)




@pytest.mark.beyond_peer
def test_job_index_is_unique(ip, dataset):
    ip.post("/jobs", {"dataset_id": dataset, "job_index": 5}).ok(201)
    ip.post("/jobs", {"dataset_id": dataset, "job_index": 5}).error(400, 409)








def test_no_jobs(ip, dataset):
    for p in ("jobs", "job_summaries/status", "job_counts/status", "tasks", "task_summaries/status", "task_counts/status", "task_counts/name_status"):
        assert ip.get(f"/datasets/{dataset}/{p}").ok(200).json() == {}


def test_job_of_other_dataset_is_404(ip, new_dataset, new_job):
    a, b = new_dataset(), new_dataset()
    ip.get(f"/datasets/{b}/jobs/{new_job(a)}").error(404)


@pytest.mark.parametrize("b", [{}, {"status": "nonsense"}, {"status": None}], ids=str)
def test_job_status_bad(ip, dataset, new_job, b):
    ip.put(f"/datasets/{dataset}/jobs/{new_job(dataset)}/status", b).error(400, about="status")


JOBS = ["processing", "suspended", "errors", "complete"]
JOB_LEGAL = [("processing", "suspended"), ("processing", "errors"), ("processing", "complete"), ("suspended", "processing"), ("errors", "processing")]


@pytest.mark.parametrize(("a", "b"), JOB_LEGAL)
def test_job_legal_transition(ip, dataset, new_job, a, b):
    j = new_job(dataset)
    ip.patch(f"/jobs/{j}", {"status": a}).ok(200)
    assert ip.put(f"/datasets/{dataset}/jobs/{j}/status", {"status": b}).ok(200).json() == {}
    assert ip.get(f"/jobs/{j}").json()["status"] == b


@pytest.mark.newest
@pytest.mark.beyond_peer
@pytest.mark.parametrize(("a", "b"), [(a, b) for a in JOBS for b in JOBS if a != b and (a, b) not in JOB_LEGAL])
def test_job_illegal_transition(ip, dataset, new_job, a, b):
    j = new_job(dataset)
    ip.patch(f"/jobs/{j}", {"status": a}).ok(200)
    ip.put(f"/datasets/{dataset}/jobs/{j}/status", {"status": b}).error(400, about="transition")
    assert ip.get(f"/jobs/{j}").json()["status"] == a






GOOD = {"dataset_id": "x", "job_id": "y", "task_index": 0, "job_index": 0, "name": "n", "depends": [], "requirements": {}}




@pytest.mark.parametrize(("key", "val"), [("dataset_id", 1), ("job_id", None), ("task_index", "0"), ("job_index", 1.5), ("name", 5), ("depends", "x"), ("requirements", [])])
def test_task_types(ip, key, val):
    ip.post("/tasks", {**GOOD, key: val}).error(400)










@pytest.mark.newest
@pytest.mark.beyond_peer
def test_tasks_by_name(ip, dataset, new_task):
    a = new_task(dataset, name="gen")
    new_task(dataset, name="hits")
    assert set(ip.get(f"/datasets/{dataset}/tasks", {"name": "gen"}).ok(200).json()) == {a}


def test_task_of_other_dataset_is_404(ip, new_dataset, new_task):
    a, b = new_dataset(), new_dataset()
    ip.get(f"/datasets/{b}/tasks/{new_task(a)}").error(404)


def test_task_counts(ip, dataset, new_job, new_task):
    j = new_job(dataset)
    a = new_task(dataset, j, name="one")
    b = new_task(dataset, j, name="two", task_index=1)
    c = new_task(dataset, j, name="two", task_index=1, job_index=7, status="suspended")
    assert ip.get(f"/datasets/{dataset}/task_counts/status").ok(200).json() == {"waiting": 2, "suspended": 1}
    s = ip.get(f"/datasets/{dataset}/task_summaries/status").ok(200).json()
    assert {k: set(v) for k, v in s.items()} == {"waiting": {a, b}, "suspended": {c}}
    n = ip.get(f"/datasets/{dataset}/task_counts/name_status").ok(200).json()
    assert n == {"one": {"waiting": 1}, "two": {"waiting": 1, "suspended": 1}}
    assert list(n) == ["one", "two"]


# ------------------------------------------------------------------ task status
@pytest.mark.parametrize("b", [{}, {"status": "nonsense"}, {"status": None}], ids=str)
def test_task_status_bad(ip, task, b):
    ip.put(f"/datasets/{task[0]}/tasks/{task[1]}/status", b).error(400, about="status")


TASKS = ["idle", "waiting", "queued", "processing", "suspended", "failed", "complete"]
NEXT = {"idle": "waiting suspended", "waiting": "queued idle suspended", "queued": "processing idle waiting suspended failed complete",
        "processing": "idle waiting queued suspended failed complete", "suspended": "idle waiting", "failed": "idle waiting", "complete": ""}
TASK_LEGAL = [(a, b) for a in TASKS for b in NEXT[a].split()]


@pytest.mark.parametrize(("a", "b"), TASK_LEGAL)
def test_task_legal_transition(ip, task, a, b):
    d, t = task
    ip.patch(f"/tasks/{t}", {"status": a}).ok(200)
    assert ip.put(f"/datasets/{d}/tasks/{t}/status", {"status": b}).ok(200).json() == {}
    assert ip.get(f"/tasks/{t}").json()["status"] == b


@pytest.mark.newest
@pytest.mark.beyond_peer
@pytest.mark.parametrize(("a", "b"), [(a, b) for a in TASKS for b in TASKS if a != b and (a, b) not in TASK_LEGAL])
def test_task_illegal_transition(ip, task, a, b):
    d, t = task
    ip.patch(f"/tasks/{t}", {"status": a}).ok(200)
    ip.put(f"/datasets/{d}/tasks/{t}/status", {"status": b}).error(400, about="transition")
    assert ip.get(f"/tasks/{t}").json()["status"] == a


@pytest.mark.parametrize("s", TASKS)
def test_task_same_status_again(ip, task, s):
    d, t = task
    ip.patch(f"/tasks/{t}", {"status": s}).ok(200)
    ip.put(f"/datasets/{d}/tasks/{t}/status", {"status": s}).ok(200)


def test_status_change_is_dated(ip, task):
    d, t = task
    before = ip.get(f"/tasks/{t}").json()["status_changed"]
    ip.put(f"/datasets/{d}/tasks/{t}/status", {"status": "suspended"}).ok(200)
    assert ip.get(f"/tasks/{t}").json()["status_changed"] > before






def test_bulk_status_bad_status(ip, task):
    ip.post(f"/datasets/{task[0]}/task_actions/bulk_status/nonsense", {"tasks": [task[1]]}).error(400, about="status")


def test_bulk_status_limit(ip, shared_dataset):
    ip.post(f"/datasets/{shared_dataset}/task_actions/bulk_status/suspended", {"tasks": ["x"] * 100001}).error(400, about="too many")


def test_bulk_status_stays_inside_the_dataset(ip, new_dataset, new_task):
    a, b = new_dataset(), new_dataset()
    t = new_task(a)
    ip.post(f"/datasets/{b}/task_actions/bulk_status/suspended", {"tasks": [t]}).error(404)
    assert ip.get(f"/tasks/{t}").json()["status"] == "waiting"


def test_bulk_requirements(ip, dataset, new_job, new_task):
    j = new_job(dataset)
    a = new_task(dataset, j, name="gen", requirements={"memory": 2.0, "cpu": 1})
    b = new_task(dataset, j, name="hits", task_index=1, requirements={"memory": 2.0})
    p = f"/datasets/{dataset}/task_actions/bulk_requirements/gen"
    assert ip.patch(p, {"memory": 4.5, "gpu": 1, "os": ["RHEL_7_x86_64"]}).ok(200).json() == {}
    ra = ip.get(f"/tasks/{a}").json()["requirements"]
    assert ra["memory"] == 4.5
    assert ra["gpu"] == 1
    assert ra["cpu"] == 1
    assert ra["os"] == ["RHEL_7_x86_64"]
    assert ip.get(f"/tasks/{b}").json()["requirements"] == {"memory": 2.0}




@pytest.mark.newest
@pytest.mark.beyond_peer
def test_bulk_requirements_odd_name(ip, dataset, new_task):
    t = new_task(dataset, name="step 1.a-b", requirements={})
    ip.patch(f"/datasets/{dataset}/task_actions/bulk_requirements/step%201.a-b", {"disk": 11}).ok(200)
    assert ip.get(f"/tasks/{t}").json()["requirements"]["disk"] == 11


