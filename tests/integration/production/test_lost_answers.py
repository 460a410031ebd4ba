"""A claim's answer that does not get out whole: its tasks wait again at once, for whoever comes next."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.api import Api, Session, running_server

LARGE = 12_000_000  # bytes of one task's arguments: more than any system keeps for who does not read


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture
def task_id(api: Api) -> str:
    """A task whose answer is large."""
    admin = api.session()
    config = {"version": 3.1, "description": "x", "tasks": [{"name": "a", "trays": [{"modules": [
        {"name": "m", "src": "", "running_class": "true", "args": "x" * LARGE}]}]}]}
    dataset_id = admin.post("/datasets", json={
        "description": "x", "group": "users", "jobs_submitted": 1, "tasks_submitted": 1,
        "tasks_per_job": 1}).json()["result"]
    answer = admin.put(f"/config/{dataset_id}", json=config)
    assert answer.status_code == 200, answer.text
    job = {"dataset_id": dataset_id, "job_index": 0}
    job_id = admin.post("/jobs", json=job).json()["result"]
    task = {**job, "job_id": job_id, "task_index": 0, "name": "a", "depends": [], "requirements": {"cpu": 1},
            "status": "waiting"}
    return str(admin.post("/tasks", json=task).json()["result"])


def claim_and_leave(api: Api, path: str, body: dict[str, object], pilot: Session) -> None:
    """Read the beginning of an answer; then say, as pilots do, that nothing more will come; read no more."""
    address = urlsplit(api.url)
    text = json.dumps(body).encode()
    with socket.create_connection((address.hostname, address.port)) as line:
        head = (f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {pilot.headers['Authorization']}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n")
        line.sendall(head.encode() + text)
        assert line.recv(12) == b"HTTP/1.1 200"
        line.shutdown(socket.SHUT_WR)
        time.sleep(0.5)


@pytest.mark.parametrize("way", ["exchange", "queue_many"])
def test_a_claim_that_nobody_heard_of_is_taken_back(api: Api, task_id: str, way: str) -> None:
    pilot = api.session("pilot")
    pilot_id = pilot.post("/pilots", json={"queue_host": "q", "queue_version": "1",
                                           "resources": {"cpu": 1}}).json()["result"]
    claim = {"num": 1, "requirements": {"cpu": 1}, "start": True}
    path, body = {"exchange": (f"/pilots/{pilot_id}/exchange", {"claim": claim}),
                  "queue_many": ("/task_actions/queue_many", {**claim, "pilot_id": pilot_id})}[way]
    claim_and_leave(api, path, body, pilot)
    until = time.monotonic() + 20
    while api.session().get(f"/tasks/{task_id}").json()["status"] != "waiting" and time.monotonic() < until:
        time.sleep(0.1)
    told = api.session().get(f"/tasks/{task_id}/explain").json()
    assert (told["status"], told.get("evictions", 0)) == ("waiting", 0)
    [again] = pilot.post("/task_actions/queue_many", json=claim).json()
    assert again["task_id"] == task_id
    assert api.session().put(f"/tasks/{task_id}/status", json={"status": "suspended"}).status_code == 200
