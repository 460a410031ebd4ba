"""Options and fixtures for the black-box conformance suite (see README.md).

Nothing here knows how tokens are made or what the database looks like: everything goes through HTTP.
"""
import contextlib
import os

import pytest
from kit import Client, unique

OPTIONS = [
    # name, default, help
    ("--iceprod-url", None, "base URL of the IceProd API (IceProd tests are skipped without it)"),
    ("--skydriver-url", None, "base URL of the SkyDriver API (SkyDriver tests are skipped without it)"),
    ("--token", None, "bearer token with every role (IceProd admin, SkyDriver user + system)"),
    ("--user-token", None, "lower-privileged token: plain user of both APIs (permission checks are skipped without it)"),
    ("--system-token", None, "service token: SkyDriver system role, IceProd system role"),
    ("--nobody-token", None, "valid token without any role"),
    ("--skydriver-user-token", None, "overrides --user-token/--token for SkyDriver calls made as a user"),
    ("--skydriver-system-token", None, "overrides --system-token/--token for SkyDriver calls made as the system"),
    ("--iceprod-admin-token", None, "overrides --token for IceProd"),
    ("--iceprod-user-token", None, "overrides --user-token for IceProd"),
    ("--pilot-token", None, "IceProd pilot token (defaults to the admin token)"),
    ("--docker-tag", "latest", "an image tag that POST /scan accepts"),
    ("--cluster", "osg", "a cluster name that POST /scan accepts"),
    ("--group", "users", "an IceProd group that exists or may be created"),
    ("--ldap-user", None, "user name for a successful POST /ldap"),
    ("--ldap-password", None, "password for a successful POST /ldap"),
    ("--http-timeout", "30", "seconds to wait for one response"),
]


def pytest_addoption(parser):
    group = parser.getgroup("conformance")
    for name, default, text in OPTIONS:
        env = "CONF_" + name.strip("-").replace("-", "_").upper()
        group.addoption(name, default=os.environ.get(env, default), help=f"{text} [env {env}]")


def pytest_configure(config):
    for line in (
        "seed: behaviour promised by the seed documents",
        "newest: endpoint or rule that only the newest peer has",
        "beyond_peer: we ask for more than the peer code does (seed promise the peer breaks, or a known peer bug)",
        "permission: role / access control",
    ):
        config.addinivalue_line("markers", line)


def pick(config, *names):
    for n in names:
        v = config.getoption(n)
        if v:
            return v
    return None


def need(value, what):
    if not value:
        pytest.skip(f"{what} not given")
    return value


# ------------------------------------------------------------------ SkyDriver clients
@pytest.fixture(scope="session")
def sd_url(pytestconfig):
    return need(pytestconfig.getoption("--skydriver-url"), "--skydriver-url")


@pytest.fixture(scope="session")
def sd_user(pytestconfig, sd_url):
    tok = need(pick(pytestconfig, "--skydriver-user-token", "--user-token", "--token"), "a token for SkyDriver")
    return Client(sd_url, tok, pytestconfig)


@pytest.fixture(scope="session")
def sd_sys(pytestconfig, sd_url):
    tok = need(pick(pytestconfig, "--skydriver-system-token", "--system-token", "--token"), "a system token for SkyDriver")
    return Client(sd_url, tok, pytestconfig)


@pytest.fixture(scope="session")
def sd_pure_user(pytestconfig, sd_url):
    """A caller that is a user and surely not the system."""
    tok = need(pick(pytestconfig, "--skydriver-user-token", "--user-token"), "--user-token")
    return Client(sd_url, tok, pytestconfig)


@pytest.fixture(scope="session")
def sd_pure_sys(pytestconfig, sd_url):
    tok = need(pick(pytestconfig, "--skydriver-system-token", "--system-token"), "--system-token")
    return Client(sd_url, tok, pytestconfig)


@pytest.fixture(scope="session")
def sd_anon(pytestconfig, sd_url):
    return Client(sd_url, None, pytestconfig)


@pytest.fixture(scope="session")
def sd_nobody(pytestconfig, sd_url):
    return Client(sd_url, need(pick(pytestconfig, "--nobody-token"), "--nobody-token"), pytestconfig)


@pytest.fixture(scope="session")
def scan_args(pytestconfig):
    """Build a valid POST /scan body; keyword None removes a key (use JSON null via kit.NULL)."""
    from kit import NULL

    def make(**over):
        body = {
            "docker_tag": pytestconfig.getoption("--docker-tag"),
            "reco_algo": "dummy",
            "nsides": {"1": 0, "2": 12},
            "real_or_simulated_event": "simulated",
            "max_pixel_reco_time": 60,
            "request_clusters": {pytestconfig.getoption("--cluster"): 1},
            "event_i3live_json": {"run_id": 1, "event_id": 2, "mark": unique("ev")},
            "priority": -1000,  # keep out of the launcher's way
            "classifiers": {"conformance": True},
        }
        body.update(over)
        return {k: (None if v is NULL else v) for k, v in body.items() if v is not None}

    return make


@pytest.fixture(scope="session")
def _scan_bin(sd_user):
    ids = []
    yield ids
    for i in ids:
        with contextlib.suppress(Exception):
            sd_user.delete(f"/scan/{i}", {"delete_completed_scan": True})


@pytest.fixture(scope="session")
def new_scan(sd_user, scan_args, _scan_bin):
    """Create a scan; it is deleted at the end of the session. Returns the manifest."""

    def make(**over):
        m = sd_user.post("/scan", scan_args(**over)).ok(200).json()
        assert "scan_id" in m, f"POST /scan did not return a manifest: {m}"
        _scan_bin.append(m["scan_id"])
        return m

    return make


@pytest.fixture(scope="session")
def shared_scan(new_scan):
    """One untouched scan for read-only tests."""
    return new_scan()


@pytest.fixture
def scan(new_scan):
    return new_scan()


# ------------------------------------------------------------------ IceProd clients
@pytest.fixture(scope="session")
def ip_url(pytestconfig):
    return need(pytestconfig.getoption("--iceprod-url"), "--iceprod-url")


@pytest.fixture(scope="session")
def ip(pytestconfig, ip_url):
    tok = need(pick(pytestconfig, "--iceprod-admin-token", "--token"), "an admin token for IceProd")
    return Client(ip_url, tok, pytestconfig)


@pytest.fixture(scope="session")
def ip_user(pytestconfig, ip_url):
    tok = need(pick(pytestconfig, "--iceprod-user-token", "--user-token"), "--user-token")
    return Client(ip_url, tok, pytestconfig)


@pytest.fixture(scope="session")
def ip_pilot(pytestconfig, ip_url, ip):
    tok = pick(pytestconfig, "--pilot-token")
    return Client(ip_url, tok, pytestconfig) if tok else ip


@pytest.fixture(scope="session")
def ip_anon(pytestconfig, ip_url):
    return Client(ip_url, None, pytestconfig)


@pytest.fixture(scope="session")
def ip_nobody(pytestconfig, ip_url):
    return Client(ip_url, need(pick(pytestconfig, "--nobody-token"), "--nobody-token"), pytestconfig)


@pytest.fixture(scope="session")
def group(pytestconfig, ip):
    """Name of a usable group, created where groups are mutable."""
    name = pytestconfig.getoption("--group")
    rows = ip.get("/groups").json_or({}).get("results", [])
    for n in {name, "admin"} - {r.get("name") if isinstance(r, dict) else r for r in rows}:
        ip.put(f"/groups/{n}", {"name": n})
    return name


@pytest.fixture(scope="session")
def new_dataset(ip, group):
    """Create a dataset, return its id."""
    made = []

    def make(client=None, jobs=10, per_job=2, **over):
        body = {
            "description": unique("conformance"),
            "jobs_submitted": jobs,
            "tasks_submitted": jobs * per_job,
            "tasks_per_job": per_job,
            "group": group,
            **over,
        }
        r = (client or ip).post("/datasets", body).ok(201)
        made.append(r.new_id())
        return made[-1]

    yield make
    for d in made:
        with contextlib.suppress(Exception):
            ip.put(f"/datasets/{d}/status", {"status": "suspended"})


@pytest.fixture
def dataset(new_dataset):
    return new_dataset()


@pytest.fixture(scope="session")
def shared_dataset(new_dataset):
    return new_dataset()


@pytest.fixture(scope="session")
def new_job(ip):
    count = {}

    def make(dataset_id, **over):
        i = over.pop("job_index", count.get(dataset_id, 0))
        count[dataset_id] = i + 1
        return ip.post("/jobs", {"dataset_id": dataset_id, "job_index": i, **over}).ok(201).new_id()

    return make


@pytest.fixture(scope="session")
def new_task(ip, new_job):
    """Create a task (with its job); returns the task id."""

    def make(dataset_id, job_id=None, status="waiting", **over):
        job_index = over.get("job_index", 0)
        if job_id is None:
            job_id = new_job(dataset_id)
            job_index = ip.get(f"/jobs/{job_id}").ok(200).json()["job_index"]
        body = {
            "dataset_id": dataset_id,
            "job_id": job_id,
            "task_index": 0,
            "job_index": job_index,
            "name": "gen",
            "depends": [],
            "requirements": {"cpu": 1, "memory": 2.0, "disk": 3.0, "time": 1.0},
        }
        body.update(over)
        if status:
            body["status"] = status
        t = ip.post("/tasks", body).ok(201).new_id()
        if status and ip.get(f"/tasks/{t}").ok(200).json().get("status") != status:
            ip.patch(f"/tasks/{t}", {"status": status}).ok(200)
        return t

    return make


@pytest.fixture
def task(dataset, new_task):
    """(dataset_id, task_id) of a fresh waiting task."""
    return dataset, new_task(dataset)
