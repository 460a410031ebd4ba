"""IceProd: every seed endpoint exists, refuses strangers, and says 404 for unknown things."""
import pytest

pytestmark = pytest.mark.seed

NO = "0" * 32
# method, path, body, who: u = dataset readers/writers (user role), a = admin or services only, x = any token, o = open
OPS = [
    ("GET", "/datasets", None, "x"),
    ("POST", "/datasets", {}, "x"),
    ("GET", "/datasets/{d}", None, "u"),
    ("PUT", "/datasets/{d}/status", {"status": "processing"}, "u"),
    ("PUT", "/datasets/{d}/description", {"description": "x"}, "u"),
    ("PUT", "/datasets/{d}/jobs_submitted", {"jobs_submitted": 100}, "u"),
    ("GET", "/dataset_summaries/status", None, "x"),
    ("GET", "/config/{d}", None, "u"),
    ("PUT", "/config/{d}", {"tasks": []}, "u"),
    ("GET", "/datasets/{d}/jobs", None, "u"),
    ("GET", "/datasets/{d}/jobs/{n}", None, "u"),
    ("PUT", "/datasets/{d}/jobs/{n}/status", {"status": "processing"}, "u"),
    ("GET", "/datasets/{d}/job_summaries/status", None, "u"),
    ("GET", "/datasets/{d}/job_counts/status", None, "u"),
    ("POST", "/jobs", {}, "a"),
    ("GET", "/jobs/{n}", None, "a"),
    ("PATCH", "/jobs/{n}", {"status": "processing"}, "a"),
    ("GET", "/datasets/{d}/tasks", None, "u"),
    ("GET", "/datasets/{d}/tasks/{n}", None, "u"),
    ("PUT", "/datasets/{d}/tasks/{n}/status", {"status": "waiting"}, "u"),
    ("GET", "/datasets/{d}/task_summaries/status", None, "u"),
    ("GET", "/datasets/{d}/task_counts/status", None, "u"),
    ("GET", "/datasets/{d}/task_counts/name_status", None, "u"),
    ("POST", "/datasets/{d}/task_actions/bulk_status/waiting", {"tasks": [NO]}, "u"),
    ("PATCH", "/datasets/{d}/task_actions/bulk_requirements/nope", {"memory": 1.0}, "u"),
    ("GET", "/datasets/{d}/task_stats", None, "u"),
    ("GET", "/datasets/{d}/files", None, "u"),
    ("POST", "/datasets/{d}/files", {}, "u"),
    ("GET", "/datasets/{d}/files/{n}", None, "u"),
    ("POST", "/datasets/{d}/files/{n}", {}, "u"),
    ("DELETE", "/datasets/{d}/files/{n}", None, "u"),
    ("POST", "/tasks", {}, "a"),
    ("GET", "/tasks/{n}", None, "a"),
    ("PATCH", "/tasks/{n}", {"site": "x"}, "a"),
    ("POST", "/tasks/{n}/task_actions/reset", {"instance_id": "x"}, "a"),
    ("POST", "/tasks/{n}/task_actions/complete", {"instance_id": "x"}, "a"),
    ("POST", "/task_actions/queue", {"num_tasks": 0}, "a"),
    ("POST", "/task_actions/process", {"requirements": {}, "query_params": {"dataset_id": "none"}}, "a"),
    ("GET", "/datasets/{d}/tasks/{n}/task_stats", None, "u"),
    ("GET", "/datasets/{d}/tasks/{n}/task_stats/{n}", None, "u"),
    ("POST", "/tasks/{n}/task_stats", {}, "a"),
    ("POST", "/datasets/{d}/logs", {}, "u"),
    ("GET", "/datasets/{d}/logs/{n}", None, "u"),
    ("GET", "/datasets/{d}/tasks/{n}/logs", None, "u"),
    ("POST", "/logs", {}, "a"),
    ("GET", "/logs/{n}", None, "a"),
    ("GET", "/grids", None, "a"),
    ("POST", "/grids", {}, "a"),
    ("GET", "/grids/{n}", None, "a"),
    ("GET", "/pilots", None, "a"),
    ("POST", "/pilots", {}, "a"),
    ("GET", "/pilots/{n}", None, "a"),
    ("PATCH", "/pilots/{n}", {"site": "x"}, "a"),
    ("DELETE", "/pilots/{n}", None, "a"),
    ("GET", "/roles", None, "a"),
    ("PUT", "/roles/conf_role", {"name": "conf_role"}, "a"),
    ("GET", "/roles/conf_role_none", None, "a"),
    ("DELETE", "/roles/conf_role", None, "a"),
    ("GET", "/groups", None, "a"),
    ("POST", "/groups", {}, "a"),
    ("GET", "/groups/conf_none", None, "a"),
    ("DELETE", "/groups/conf_none", None, "a"),
    ("GET", "/users", None, "a"),
    ("POST", "/users", {}, "a"),
    ("GET", "/users/{n}", None, "a"),
    ("DELETE", "/users/{n}", None, "a"),
    ("GET", "/users/{n}/groups", None, "a"),
    ("POST", "/users/{n}/groups", {}, "a"),
    ("PUT", "/users/{n}/groups", {}, "a"),
    ("PUT", "/users/{n}/roles", {}, "a"),
    ("POST", "/ldap", {}, "o"),
    ("POST", "/create_token", {}, "x"),
    ("PUT", "/auths/{d}", {}, "a"),
    ("GET", "/auths/{d}", None, "a"),
    ("GET", "/auths/{d}/actions/read", None, "x"),
    ("GET", "/auths/{d}/actions/write", None, "x"),
]
IDS = [f"{m} {p}" for m, p, *_ in OPS]


def go(client, op, d=NO):
    m, p, body, _ = op
    return client.call(m, p.format(d=d, n=NO), json=body)


def subset(f):
    ops = [o for o in OPS if f(o)]
    return pytest.mark.parametrize("op", ops, ids=[f"{m} {p}" for m, p, *_ in ops])






@pytest.mark.permission
@subset(lambda o: o[3] != "o" and not (o[0] == "POST" and o[1] == "/groups"))
def test_no_token_is_refused(ip_anon, op):
    go(ip_anon, op).denied()




@pytest.mark.permission
@subset(lambda o: o[3] == "a" and not (o[0] == "POST" and o[1] == "/groups"))
def test_plain_user_cannot_use_internal_endpoint(ip_user, shared_dataset, op):
    go(ip_user, op, shared_dataset).denied()


@pytest.mark.permission
@pytest.mark.parametrize("bad", ["Bearer nonsense", "Bearer a.b.c", "Basic Zm9vOmJhcg=="])
def test_bad_token_is_refused(ip_anon, bad):
    r = ip_anon.s.get(ip_anon.base + "/datasets", headers={"Authorization": bad}, timeout=ip_anon.timeout)
    assert r.status_code in (401, 403)


NOT_FOUND = [
    ("GET", "/datasets/{n}", None), ("PUT", "/datasets/{n}/status", {"status": "suspended"}), ("PUT", "/datasets/{n}/description", {"description": "x"}),
    ("PUT", "/datasets/{n}/jobs_submitted", {"jobs_submitted": 5}), ("GET", "/config/{n}", None),
    ("GET", "/datasets/{d}/jobs/{n}", None), ("PUT", "/datasets/{d}/jobs/{n}/status", {"status": "suspended"}), ("GET", "/jobs/{n}", None), ("PATCH", "/jobs/{n}", {"status": "suspended"}),
    ("GET", "/datasets/{d}/tasks/{n}", None), ("PUT", "/datasets/{d}/tasks/{n}/status", {"status": "suspended"}), ("GET", "/tasks/{n}", None), ("PATCH", "/tasks/{n}", {"site": "x"}),
    ("POST", "/tasks/{n}/task_actions/reset", {"instance_id": "x"}), ("POST", "/tasks/{n}/task_actions/complete", {"instance_id": "x"}),
    ("POST", "/datasets/{d}/task_actions/bulk_status/waiting", {"tasks": ["{n}"]}), ("PATCH", "/datasets/{d}/task_actions/bulk_requirements/nope", {"memory": 1.0}),
    ("GET", "/datasets/{d}/tasks/{n}/task_stats/{n}", None), ("GET", "/datasets/{d}/logs/{n}", None), ("GET", "/datasets/{d}/tasks/{n}/logs", None), ("GET", "/logs/{n}", None),
    ("GET", "/grids/{n}", None), ("GET", "/pilots/{n}", None), ("PATCH", "/pilots/{n}", {"site": "x"}), ("DELETE", "/pilots/{n}", None),
    ("GET", "/roles/conf_none", None), ("GET", "/groups/conf_none", None), ("GET", "/users/{n}", None), ("GET", "/users/{n}/groups", None), ("GET", "/auths/{n}", None),
]




@pytest.mark.parametrize(("m", "p"), [("DELETE", "/datasets"), ("PUT", "/dataset_summaries/status"), ("DELETE", "/grids"), ("PUT", "/ldap")])
def test_wrong_method_is_405(ip, m, p):
    ip.call(m, p, json={}).ok(405)


def test_unknown_route_is_404(ip):
    ip.get("/no_such_route").ok(404)




