"""IceProd: datasets, configs."""

import pytest

pytestmark = pytest.mark.seed


def body(its_group, **over):
    b = {"description": "d", "jobs_submitted": 10, "tasks_submitted": 20, "tasks_per_job": 2, "group": its_group}
    b.update(over)
    return {k: v for k, v in b.items() if v is not ...}


def get(ip, d):
    return ip.get(f"/datasets/{d}").ok(200).json()






@pytest.mark.parametrize("key", ["description", "jobs_submitted", "tasks_submitted", "tasks_per_job", "group"])
def test_required(ip, group, key):
    ip.post("/datasets", body(group, **{key: ...})).error(400, about=key)


@pytest.mark.parametrize(("key", "val"), [("description", 5), ("jobs_submitted", "10"), ("tasks_submitted", 20.5), ("tasks_per_job", None), ("group", ["users"]), ("debug", "no"), ("jobs_immutable", 1), ("priority", "high"), ("status", 3)])
def test_types(ip, group, key, val):
    ip.post("/datasets", body(group, **{key: val})).error(400, about=key)


def test_unknown_key(ip, group):
    ip.post("/datasets", body(group, colour="red")).error(400)


@pytest.mark.parametrize("over", [{"tasks_submitted": 21}, {"tasks_per_job": 3}, {"tasks_per_job": 0}, {"jobs_submitted": 0, "tasks_submitted": 0, "tasks_per_job": 0}], ids=str)
def test_counts_must_agree(ip, group, over):
    ip.post("/datasets", body(group, **over)).error(400, about="tasks_per_job")


@pytest.mark.beyond_peer
def test_zero_jobs_with_tasks_is_400(ip, group):
    ip.post("/datasets", body(group, jobs_submitted=0)).error(400)


@pytest.mark.beyond_peer
@pytest.mark.parametrize("over", [{"jobs_submitted": -1, "tasks_submitted": -2}, {"jobs_submitted": True, "tasks_submitted": 2}], ids=str)
def test_nonsense_counts(ip, group, over):
    ip.post("/datasets", body(group, **over)).error(400)


def test_empty_dataset_to_fill_later(ip, new_dataset):
    d = new_dataset(jobs=0, per_job=2)
    ip.put(f"/datasets/{d}/jobs_submitted", {"jobs_submitted": 4}).ok(200)
    assert get(ip, d)["tasks_submitted"] == 8


@pytest.mark.beyond_peer
@pytest.mark.parametrize("p", [1, 1.5, 0], ids=str)
def test_priority_may_be_any_number(ip, new_dataset, p):
    assert get(ip, new_dataset(priority=p))["priority"] == p








def test_list_keys(ip, dataset):
    j = ip.get("/datasets", {"keys": "dataset_id|status"}).ok(200).json()
    assert j[dataset] == {"dataset_id": dataset, "status": "processing"}


def test_list_filters(ip, new_dataset, group):
    d = new_dataset()
    ip.put(f"/datasets/{d}/status", {"status": "suspended"}).ok(200)
    q = {"keys": "dataset_id|status"}
    assert d in ip.get("/datasets", {**q, "status": "suspended"}).ok(200).json()
    assert d in ip.get("/datasets", {**q, "status": "suspended|errors"}).ok(200).json()
    assert d not in ip.get("/datasets", {**q, "status": "processing"}).ok(200).json()
    assert d in ip.get("/datasets", {**q, "groups": group}).ok(200).json()
    assert d not in ip.get("/datasets", {**q, "groups": "no_such_group"}).ok(200).json()
    user = get(ip, d)["username"]
    assert d in ip.get("/datasets", {**q, "users": f"nobody|{user}"}).ok(200).json()
    assert d not in ip.get("/datasets", {**q, "users": "nobody"}).ok(200).json()






# ------------------------------------------------------------------ small updates
def test_description(ip, dataset):
    assert ip.put(f"/datasets/{dataset}/description", {"description": "new"}).ok(200).json() == {}
    assert get(ip, dataset)["description"] == "new"


@pytest.mark.parametrize("b", [{}, {"description": 5}, {"description": None}], ids=str)
def test_description_bad(ip, shared_dataset, b):
    ip.put(f"/datasets/{shared_dataset}/description", b).error(400, about="description")


def test_jobs_submitted(ip, dataset):
    p = f"/datasets/{dataset}/jobs_submitted"
    assert ip.put(p, {"jobs_submitted": 15}).ok(200).json() == {}
    j = get(ip, dataset)
    assert j["jobs_submitted"] == 15
    assert j["tasks_submitted"] == 30
    ip.put(p, {"jobs_submitted": 14}).error(400, about="larger")
    ip.put(p, {"jobs_submitted": 15}).ok(200)
    assert get(ip, dataset)["jobs_submitted"] == 15




def test_jobs_immutable(ip, new_dataset):
    ip.put(f"/datasets/{new_dataset(jobs_immutable=True)}/jobs_submitted", {"jobs_submitted": 50}).error(400, about="immutable")


def test_priority_update(ip, dataset):
    assert ip.put(f"/datasets/{dataset}/priority", {"priority": 0.7}).ok(200).json() == {}
    assert get(ip, dataset)["priority"] == 0.7
    for b in ({}, {"priority": "x"}):
        ip.put(f"/datasets/{dataset}/priority", b).error(400, about="priority")




LEGAL = [("processing", "suspended"), ("processing", "errors"), ("processing", "complete"), ("suspended", "processing"), ("errors", "processing"), ("errors", "suspended")]
ALL = ["processing", "suspended", "errors", "complete"]
ILLEGAL = [(a, b) for a in ALL for b in ALL if a != b and (a, b) not in LEGAL]


def reach(ip, d, s):
    if s != "processing":
        ip.put(f"/datasets/{d}/status", {"status": s}).ok(200)
    assert get(ip, d)["status"] == s


@pytest.mark.parametrize(("a", "b"), LEGAL)
def test_legal_transition(ip, dataset, a, b):
    reach(ip, dataset, a)
    assert ip.put(f"/datasets/{dataset}/status", {"status": b}).ok(200).json() == {}
    assert get(ip, dataset)["status"] == b




@pytest.mark.parametrize("s", ALL)
def test_same_status_again_is_fine(ip, dataset, s):
    reach(ip, dataset, s)
    ip.put(f"/datasets/{dataset}/status", {"status": s}).ok(200)


# ------------------------------------------------------------------ config
CONFIG = {
    "version": 3.1, "description": "conf", "options": {}, "steering": {"parameters": {"seed": 7}},
    "tasks": [{"name": "gen", "depends": [], "requirements": {"cpu": 1, "memory": 2.0},
               "trays": [{"name": "", "iterations": 1, "modules": [{"name": "m", "src": "run.py", "args": "--seed $steering(seed) --job $(job)"}]}]}],
}




def test_config_is_replaced_not_merged(ip, dataset):
    ip.put(f"/config/{dataset}", {**CONFIG, "options": {"x": 1}}).ok(200)
    ip.put(f"/config/{dataset}", {**CONFIG, "description": "second"}).ok(200)
    got = ip.get(f"/config/{dataset}").json()
    assert got["description"] == "second"
    assert "x" not in got.get("options", {})


def test_config_with_its_own_dataset_id(ip, dataset):
    ip.put(f"/config/{dataset}", {**CONFIG, "dataset_id": dataset}).ok(200)




@pytest.mark.newest
@pytest.mark.beyond_peer
def test_config_of_another_dataset(ip, dataset):
    ip.put(f"/config/{dataset}", {**CONFIG, "dataset_id": "other"}).error(400, about="dataset_id")


@pytest.mark.newest
@pytest.mark.beyond_peer
@pytest.mark.parametrize("bad", [{"tasks": "x"}, {"tasks": [{"name": "a", "trays": []}]}, {"tasks": [{"trays": [{"modules": [{}]}]}]}, {"tasks": [{"name": 5, "trays": [{"modules": [{}]}]}]}], ids=["tasks", "no-trays", "no-name", "bad-name"])
def test_config_schema(ip, dataset, bad):
    ip.put(f"/config/{dataset}", {**CONFIG, **bad}).error(400)




@pytest.mark.permission
def test_user_reads_group_dataset(ip_user, dataset):
    ip_user.get(f"/datasets/{dataset}").ok(200)
    assert dataset in ip_user.get("/datasets", {"keys": "dataset_id"}).ok(200).json()




@pytest.mark.permission
@pytest.mark.parametrize(("path", "b"), [("description", {"description": "mine"}), ("status", {"status": "suspended"}), ("jobs_submitted", {"jobs_submitted": 99})])
def test_user_cannot_change_foreign_dataset(ip, ip_user, dataset, path, b):
    ip.put(f"/auths/{dataset}", {"read_groups": ["users"], "write_groups": ["admin"]})
    ip_user.put(f"/datasets/{dataset}/{path}", b).denied()
    j = get(ip, dataset)
    assert j["status"] == "processing"
    assert j["jobs_submitted"] == 10
    assert j["description"] != "mine"


@pytest.mark.permission
def test_user_cannot_change_foreign_config(ip, ip_user, dataset):
    ip.put(f"/auths/{dataset}", {"read_groups": ["users"], "write_groups": ["admin"]})
    ip_user.put(f"/config/{dataset}", CONFIG).denied()
