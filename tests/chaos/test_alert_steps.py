"""A server that is killed at any single step of an alert's way loses nothing, and tells nothing twice.

The steps are writes, not times: a process of its own dies by SIGKILL right before or after the one, and
another server goes on. At some steps the pilot dies, too, with a batch in its hands.
"""

from __future__ import annotations

import contextlib
import json
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import requests

from tests.support.alerts import event_bytes
from tests.support.api import Api, start_server
from tests.support.scans import PixelPilot, wait_for
from tests.support.store import embedded_store
from tests.unit.alerts.outgoing.test_targets import Receiver, receiving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STEPS = {
    "message kept": "desk_blobs.update_one:1",
    "stored": "alerts.insert_one:1",
    "revision made": "alert_revisions.update_one:1",
    "read": "alerts.find_one_and_update:1",
    "scan begun": "alert_revisions.find_one_and_update:1",
    "scan asked for": "scan_requests.replace_one:1",
    "in the backlog": "scan_backlog.update_one:1",
    "scan made": "manifests.insert_one:1",
    "scan started": "alert_revisions.find_one_and_update:2",
    "first batch": "pixel_batches.update_one:1",
    "final map": "results.find_one_and_update:1",
    "judged": "alert_revisions.find_one_and_update:3",
    "named": "alert_names.insert_one:1",
    "map of the notice": "desk_blobs.update_one:2",
    "notice": "alert_notices.insert_one:1",
    "queued": "alert_outbox.insert_one:1",
    "event named": "alerts.find_one_and_update:2",
    "published": "alert_revisions.find_one_and_update:4",
    "about to send": "alert_outbox.find_one_and_update:1",
    "sent and noted": "alert_outbox.update_one:1",
    "done": "alerts.find_one_and_update:3",
}
ALWAYS = {("scan made", "after"), ("notice", "after"), ("sent and noted", "before")}  # others are nightly
RULES = {"one": {"steps": [{"reco": "track_mpe", "nsides": "4:0", "refine": False}],
                 "gate": {"max_failed_share": 0, "max_area_deg2": 0, "online_deg": 0, "compatible": 0}}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_store(tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


class Place:
    """One database with its inbox and target, and servers that come and go."""

    def __init__(self, root: Path, store: str, receiver: Receiver) -> None:
        self.root, self.store, self.inbox = root, store, root / "inbox"
        self.inbox.mkdir()
        self.name = f"t{uuid.uuid4().hex[:12]}"
        self.settings = {
            "ALERTS__SOURCES": json.dumps({"inbox": {"kind": "folder", "address": str(self.inbox)}}),
            "ALERTS__TARGETS": json.dumps({"world": {"kind": "http", "address": receiver.url}}),
            "ALERTS__RULES": json.dumps(RULES), "SCANS__FIRST_BATCH_PIXELS": "60"}

    @contextlib.contextmanager
    def server(self, *step: str) -> Iterator[Api]:
        module = "tests.support.alerts.deadly" if step else "server"
        api = start_server(self.root / "server", self.store, self.name, self.settings, *step, module=module)
        try:
            yield api
        finally:
            api.close()
            if api.process.poll() is None:
                api.stop()

    @contextlib.contextmanager
    def db(self) -> Iterator[Any]:
        with pymongo.MongoClient(self.store) as client:
            yield client[self.name]

    def time_passes(self) -> None:
        """What the dead process held is over: leases of tasks, of services and of deliveries."""
        with self.db() as db:
            db.leases.delete_many({})
            db.scan_backlog.update_many({}, {"$set": {"pending_timestamp": 0.0}})
            db.tasks.update_many({"status": {"$in": ["queued", "processing"]}}, {"$set": {"due": "2000"}})
            db.alert_outbox.update_many({"state": "sending"}, {"$set": {"due": 0.0}})


@pytest.fixture
def place(tmp_path: Path, store: str, receiver: Receiver) -> Place:
    return Place(tmp_path, store, receiver)


def work_until(api: Api, over: Callable[[], bool], what: str, *, loses: bool = False) -> None:
    """Be a pilot until then; one that loses its first batch is gone with it, and another comes."""
    pilot = PixelPilot(api.session("pilot", "system"))
    lost = not loses

    def is_over() -> bool:
        nonlocal lost
        with contextlib.suppress(requests.RequestException):
            if not pilot.pilot_id:
                pilot.register()
            if not lost and pilot.claim():
                lost, pilot.pilot_id = True, ""
                return over()
            pilot.work()
        return over()

    wait_for(is_over, what, 300)


def told(api: Api) -> bool:
    """Whether all is done and every delivery is noted."""
    found = api.session("user").get("/alerts").json()["alerts"]
    if not found or found[0]["state"] != "done":
        return False
    rows = api.session("user").get(f"/alerts/{found[0]['alert_id']}").json()["deliveries"]
    return bool(rows) and all(row["state"] == "sent" for row in rows)


def points() -> Iterator[Any]:
    for name in STEPS:
        for when in ("before", "after"):
            marks = [] if (name, when) in ALWAYS else [pytest.mark.nightly]
            yield pytest.param(name, when, id=f"{when} {name}", marks=marks)


@pytest.mark.parametrize(("name", "when"), [*points()])
def test_killed_at_a_step(place: Place, receiver: Receiver, name: str, when: str) -> None:
    receiver.got.clear()
    with place.server(f"{STEPS[name]}:{when}") as api:
        (place.inbox / "event.json").write_bytes(event_bytes(3))
        work_until(api, lambda: api.process.poll() is not None, f"the death at {name}")
        assert api.process.returncode == -signal.SIGKILL
    place.time_passes()
    with place.server() as api:
        work_until(api, lambda: told(api), "the notice", loses=name in ("scan started", "first batch"))
    assert_told_once(place, receiver)


def assert_told_once(place: Place, receiver: Receiver) -> None:
    """One alert, one scan, one notice, under one key, in the same words whenever it was sent."""
    with place.db() as db:
        alert, = db.alerts.find({})
        notice, = db.alert_notices.find({})
        row, = db.alert_outbox.find({})
        assert (notice["alert_id"], notice["record_number"], row["state"]) == (alert["_id"], 1, "sent")
        assert db.manifests.count_documents({}) == 1, "a scan was made twice"
        assert db.results.count_documents({"is_final": True}) == 1
    assert {key for key, _ in receiver.got} == {row["_id"]}
    assert len({json.dumps(document, sort_keys=True) for _, document in receiver.got}) == 1
    assert not [path for path in place.inbox.iterdir() if path.is_file()], "the source keeps nothing back"
