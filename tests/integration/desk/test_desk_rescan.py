"""Follow-up on our own grid: a request rescans an event with real pilots, and its map comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.desk import ok, refused
from tests.support.installation import Installed, installation, wait_until
from tests.support.scans import scan_body, simulated_event

pytestmark = pytest.mark.slow


class Desk:
    """The desk of an installation, with an allocation of computing time."""

    def __init__(self, here: Installed) -> None:
        self.url = json.loads((here.data / "up.json").read_text())["url"]
        token = here.iceprod("token", "--data", here.data, "--user", "ada", "--roles", "admin,user").strip()
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.group = self.post("groups", name="rescanners")
        telescope = self.post("telescope", name="IceCube", nickname="IC")
        self.instrument = self.post("instrument", name="Skymap scanner", telescope_id=telescope,
                                    api_classname="GRIDSCANAPI")
        self.allocation = self.post("allocation", group_id=self.group, instrument_id=self.instrument,
                                    hours_allocated=50)
        ok(self.call("post", "sources", json={"id": "Alpha", "ra": 10, "dec": 5, "group_ids": [self.group]}))

    def call(self, method: str, path: str, **how: Any) -> requests.Response:
        return self.session.request(method, f"{self.url}/api/{path}", timeout=60, **how)

    def post(self, path: str, **body: Any) -> int:
        return int(ok(self.call("post", path, json=body))["id"])

    def ask(self, **payload: Any) -> int:
        return self.post("followup_request", obj_id="Alpha", allocation_id=self.allocation, payload=payload)

    def read(self, request: int) -> dict[str, Any]:
        row: dict[str, Any] = ok(self.call("get", f"followup_request/{request}"))
        return row

    def scan(self, scan_id: str) -> dict[str, Any]:
        url = f"{self.url}/scan/{scan_id}/manifest?include_deleted=true"
        found: dict[str, Any] = self.session.get(url, timeout=60).json()
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root: Path = tmp_path_factory.mktemp("rescan")
    with installation(root, pilots=1, PILOTS__COUNT=1, SERVICES__REPAIR_SECONDS=2) as here:
        yield Desk(here)


@pytest.fixture(scope="module")
def first(desk: Desk) -> str:
    """A scan of the event that exists already; it need not run."""
    body = scan_body(nsides={"1": 0}, event_i3live_json=simulated_event())
    answer = desk.session.post(f"{desk.url}/scan", json=body, timeout=60)
    return str(answer.json()["scan_id"])


def test_a_rescan_from_request_to_product(desk: Desk, first: str) -> None:
    number = desk.ask(event=first, priority=5, nsides={"1": 0, "2": 2})
    row = desk.read(number)
    scan_id = row["grid"]["scan_id"]
    manifest = desk.scan(scan_id)
    assert manifest["i3_event_id"] == desk.scan(first)["i3_event_id"]
    assert manifest["priority"] == 80
    done = wait_until(lambda: (row := desk.read(number))["phase"] != "open" and row)
    assert done["status"] == "completed"
    product = done["products"][0]
    assert product["scan_id"] == scan_id
    assert 0 < product["area_50"] <= product["area_90"]
    page = wait_until(lambda: (found := ok(desk.call("get", f"allocation/{desk.allocation}")))["hours_used"]
                      and found)
    assert 0 < page["hours_used"] < 1
    assert page["hours_left"] == pytest.approx(50 - page["hours_used"])
    again = ok(desk.call("get", f"photometry_request/{number}"))
    assert (again["status"], again["products"][0]["scan_id"]) == ("completed", scan_id)
    chart = desk.call("get", f"allocation/report/{desk.instrument}", params={"output_format": "png"})
    assert chart.content.startswith(b"\x89PNG")
    gantt = desk.call("get", f"followup_request/schedule/{desk.instrument}", params={"status": "completed"})
    assert str(number) in gantt.text
    ok(desk.call("delete", f"followup_request/{number}"))
    assert not desk.scan(scan_id)["is_deleted"]  # what is finished stays


def test_priority_and_abortion(desk: Desk, first: str) -> None:
    number = desk.ask(event=first, nsides={"64": 0})
    row = desk.read(number)
    scan_id = row["grid"]["scan_id"]
    refused(desk.call("get", f"photometry_request/{number}"), 400, "not over yet")
    change = {"payload": {"event": first, "nsides": {"64": 0}, "priority": 4}}
    ok(desk.call("put", f"followup_request/{number}", json=change))
    assert desk.scan(scan_id)["priority"] == 60
    other = {"payload": {"event": first, "nsides": {"32": 0}, "priority": 4}}
    refused(desk.call("put", f"followup_request/{number}", json=other), 400, "only the priority")
    ok(desk.call("delete", f"followup_request/{number}"))
    assert desk.scan(scan_id)["is_deleted"]
    assert desk.read(number)["status"] == "deleted"


@pytest.mark.parametrize("payload", [
    {}, {"event": "nobody"}, {"event": 7}, {"event": "", "priority": 1}, {"priority": 3},
    {"event": "FIRST", "priority": 0}, {"event": "FIRST", "nsides": {"3": 0}}, {"event": "FIRST", "x": 1},
    {"event": "FIRST", "reco_algo": "\x00"}, {"event": "FIRST", "request_clusters": {"moon": 1}}])
def test_bad_rescans(desk: Desk, first: str, payload: dict[str, Any]) -> None:
    asked = {**payload, **({"event": first} if payload.get("event") == "FIRST" else {})}
    body = {"obj_id": "Alpha", "allocation_id": desk.allocation, "payload": asked}
    refused(desk.call("post", "followup_request", json=body))


def test_no_hours_no_scan(desk: Desk, first: str) -> None:
    poor = desk.post("allocation", group_id=desk.group, instrument_id=desk.instrument, hours_allocated=0)
    body = {"obj_id": "Alpha", "allocation_id": poor, "payload": {"event": first}}
    refused(desk.call("post", "followup_request", json=body), 400, "hours left")
