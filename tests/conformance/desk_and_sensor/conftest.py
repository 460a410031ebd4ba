from __future__ import annotations

import json
import pathlib
import uuid

import loopback
import pytest
from client import Scos, SkyPortal, ok, until

HERE = pathlib.Path(__file__).parent
SP_OPS = {o["n"]: o for o in json.loads((HERE / "skyportal_ops.json").read_text())}
SCOS_OPS = {o["n"]: o for o in json.loads((HERE / "scos_ops.json").read_text())}
SkyPortal.ops = SP_OPS


def pytest_addoption(parser):
    g = parser.getgroup("conformance")
    g.addoption("--skyportal-url", default=None, help="base address, e.g. http://127.0.0.1:5000")
    g.addoption("--skyportal-token", default=None, help="token with all ACLs (provisioned admin)")
    g.addoption("--skyportal-view-token", default=None, help="token of a member of the test group without any ACL (view only)")
    g.addoption("--skyportal-fixtures", default=None, help="JSON file with ids that already exist (see README)")
    g.addoption("--skyportal-rate-limit", action="store_true", help="also provoke HTTP 429 (needs a limit active for this client)")
    g.addoption("--skyportal-stubs", action="store_true", help="the server's catalogue adaptors point at stubs that know a star at RA 150 Dec 2.2")
    g.addoption("--scos-url", default=None, help="base address, e.g. http://127.0.0.1:8000")
    g.addoption("--scos-token", default=None)
    g.addoption("--scos-other-token", default=None, help="token of a second, non-admin user")
    g.addoption("--scos-action", default=None, help="cheap action that leaves data (default: mock_acquire, else the first offered)")
    g.addoption("--scos-wait", default=20.0, type=float, help="seconds to wait for scheduled runs")
    g.addoption("--loopback-host", default="127.0.0.1", help="address under which the server reaches this test process")


def pytest_configure(config):
    config._ops_seen = {"op": set(), "scos": set()}


def pytest_collection_modifyitems(config, items):
    for item in items:
        for kind in ("op", "scos"):
            for m in item.iter_markers(kind):
                config._ops_seen[kind].update(m.args)
    config._files_seen = {item.path.name for item in items}


def need(config, option, what):
    value = config.getoption(option)
    if not value:
        pytest.skip(f"{what}: no {option} given")
    return value


@pytest.fixture(scope="session")
def sp(pytestconfig):
    url = need(pytestconfig, "--skyportal-url", "SkyPortal checks")
    token = need(pytestconfig, "--skyportal-token", "SkyPortal checks")
    return SkyPortal(url, {"Authorization": f"token {token}"})


@pytest.fixture(scope="session")
def sp_anon(sp):
    return sp.with_headers(None)


@pytest.fixture(scope="session")
def sp_view(sp, pytestconfig):
    token = need(pytestconfig, "--skyportal-view-token", "permission checks")
    return sp.with_headers({"Authorization": f"token {token}"})


@pytest.fixture(scope="session")
def scos(pytestconfig):
    url = need(pytestconfig, "--scos-url", "SCOS checks")
    token = need(pytestconfig, "--scos-token", "SCOS checks")
    return Scos(url, {"Authorization": f"Token {token}"})


@pytest.fixture(scope="session")
def scos_other(scos, pytestconfig):
    token = need(pytestconfig, "--scos-other-token", "permission checks")
    return scos.with_headers({"Authorization": f"Token {token}"})


@pytest.fixture(scope="session")
def lb(pytestconfig):
    """Loopback facility and analysis service inside the test process."""
    server = loopback.start(pytestconfig.getoption("--loopback-host"))
    yield server
    server.stop()


def tag(prefix="cf"):
    return f"{prefix}{uuid.uuid4().hex[:10]}"


class World:
    """Data the checks need, made on first use through companion operations or given by file."""

    DATEOBS = "2023-03-14T05:06:07"
    CENTER = (150.0, 2.2)
    ERROR = 0.5

    def __init__(self, sp, given, lb):
        self.sp, self.given, self.lb, self.memo = sp, given, lb, {}

    def get(self, key, make):
        if key not in self.memo:
            self.memo[key] = self.given[key] if key in self.given else make()
        return self.memo[key]

    def post(self, path, body, key="id"):
        data = ok(self.sp.companion("POST", path, json=body))
        assert key in data, f"companion POST {path} gave no {key}: {data}"
        return data[key]

    @property
    def group(self):
        return self.get("group_id", lambda: self.post("/api/groups", {"name": tag("group")}))

    @property
    def stream(self):
        def make():
            sid = self.post("/api/streams", {"name": tag("stream"), "altdata": {}})
            ok(self.sp.companion("POST", f"/api/groups/{self.group}/streams", json={"stream_id": sid}))
            return sid

        return self.get("stream_id", make)

    @property
    def filter(self):
        return self.get("filter_id", lambda: ok(self.sp.op(72, json={"name": tag("filter"), "stream_id": self.stream, "group_id": self.group}))["id"])

    @property
    def telescope(self):
        return self.get("telescope_id", lambda: self.post("/api/telescope", {
            "name": tag("tel"), "nickname": self.telescope_nickname, "lat": 33.36, "lon": -116.86, "elevation": 1706.0, "diameter": 1.2}))

    @property
    def telescope_nickname(self):
        return self.get("telescope_nickname", lambda: tag("nick"))

    @property
    def instrument(self):
        return self.get("instrument_id", lambda: self.post("/api/instrument", {
            "name": tag("inst"), "type": "imager", "band": "Optical", "telescope_id": self.telescope, "filters": ["ztfg", "ztfr"],
            "api_classname": "GENERICAPI", "listener_classname": "SEDMListener"}))

    @property
    def plan_instrument(self):
        return self.get("plan_instrument_id", lambda: self.post("/api/instrument", {
            "name": tag("plan"), "type": "imager", "band": "Optical", "telescope_id": self.telescope, "filters": ["ztfr"],
            "api_classname_obsplan": "ZTFMMAAPI"}))

    def allocation_body(self, **over):
        return {"group_id": self.group, "instrument_id": self.instrument, "pi": "C. Payne", "proposal_id": tag("P"), "hours_allocated": 100,
                "start_date": "2023-01-01T00:00:00", "end_date": "2033-01-01T00:00:00", **over}

    @property
    def allocation(self):
        return self.get("allocation_id", lambda: ok(self.sp.op(6, json=self.allocation_body()))["id"])

    @property
    def remote_allocation(self):
        """Allocation whose facility is the loopback server of this process."""
        secret = json.dumps({"endpoint": self.lb.url + "/facility", "api_token": "loopback-secret"})
        return self.get("remote_allocation_id", lambda: ok(self.sp.op(6, json=self.allocation_body(_altdata=secret)))["id"])

    @property
    def plan_allocation(self):
        return self.get("plan_allocation_id", lambda: ok(self.sp.op(6, json=self.allocation_body(instrument_id=self.plan_instrument)))["id"])

    @property
    def taxonomy(self):
        tree = {"class": "Alert counterpart", "subclasses": [{"class": "Blazar"}, {"class": "TDE"}, {"class": "Supernova", "subclasses": [{"class": "SN Ia"}]}]}
        return self.get("taxonomy_id", lambda: self.post("/api/taxonomy", {
            "name": tag("tax"), "version": "1.0", "hierarchy": tree, "group_ids": [self.group]}, key="taxonomy_id"))

    @property
    def run(self):
        return self.get("run_id", lambda: self.post("/api/observing_run", {
            "instrument_id": self.instrument, "pi": "C. Payne", "observers": "A. B.", "group_id": self.group, "calendar_date": "2031-03-15"}))

    def obj(self, ra=150.0, dec=2.2, name=None, **extra):
        """New object through operation 41."""
        name = name or tag("obj")
        ok(self.sp.op(41, json={"id": name, "ra": ra, "dec": dec, "filter_ids": [self.filter], "passed_at": "2023-03-20T00:00:00", **extra}))
        return name

    def saved(self, ra=150.0, dec=2.2, **extra):
        name = tag("src")
        ok(self.sp.companion("POST", "/api/sources", json={"id": name, "ra": ra, "dec": dec, "group_ids": [self.group], **extra}))
        return name

    @property
    def localization(self):
        """(dateobs, name, id): sky map of 0.5 deg Gaussian error at RA 150 Dec 2.2."""
        def make():
            ra, dec = self.CENTER
            ok(self.sp.companion("POST", "/api/gcn_event", json={"dateobs": self.DATEOBS, "skymap": {"ra": ra, "dec": dec, "error": self.ERROR}}))
            name = f"{ra:.5f}_{dec:.5f}_{self.ERROR:.5f}"

            def ready():
                a = self.sp.companion("GET", f"/api/localization/{self.DATEOBS}/name/{name}")
                return a.json["data"] if a.status == 200 else None

            data = until(ready, 60, what="localization of the test event")
            return [self.DATEOBS, name, data["id"]]

        return self.get("localization", make)

    def service(self, **over):
        body = {"name": tag("svc"), "display_name": "loopback", "description": "conformance service", "version": "1.0", "contact_name": "V. Rubin",
                "url": self.lb.url + "/analysis", "optional_analysis_parameters": json.dumps({"mode": ["success", "failure"]}),
                "authentication_type": "none", "analysis_type": "lightcurve_fitting", "input_data_types": ["redshift"], "timeout": 60,
                "group_ids": [self.group], **over}
        return self.post("/api/analysis_service", body)

    def payload(self, **over):
        return {"observation_choices": ["ztfr"], "exposure_time": 300, "exposure_counts": 1, "maximum_airmass": 2, "minimum_lunar_distance": 30,
                "priority": 1, "start_date": "2031-03-15", "end_date": "2031-03-17", **over}

    def request(self, obj=None, **over):
        body = {"obj_id": obj or self.obj(), "allocation_id": self.allocation, "payload": self.payload(), "target_group_ids": [self.group], **over}
        return ok(self.sp.op(85, json=body))["id"]


@pytest.fixture(scope="session")
def world(sp, pytestconfig, lb):
    path = pytestconfig.getoption("--skyportal-fixtures")
    given = json.loads(pathlib.Path(path).read_text()) if path else {}
    return World(sp, given, lb)


@pytest.fixture
def uniq():
    return tag()
