"""What newer clients of the sensor API ask for: validation alone, callbacks, dates, the owner's page."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.api import Api, Session, running_server
from tests.support.installation import wait_until

ROOT = "/api/v1"
SCHEDULE = f"{ROOT}/schedule/"
pytestmark = pytest.mark.slow


@dataclass
class Receiver:
    """Somebody who wants to know: what came, and with which status to answer the next ones."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # key and body


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    here = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            here.heard.append((self.headers["Idempotency-Key"], body))
            self.send_response(here.answers.pop(0) if here.answers else 204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here.url = f"http://127.0.0.1:{server.server_port}/told"
    yield here
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("sensor"), {"CATALOGS__ALLOWED_HOSTS": "[127.0.0.1]"}) as it:
        yield it


@pytest.fixture(scope="module")
def alice(api: Api) -> Session:
    return api.session("user", username="alice")


def new_name() -> str:
    return f"e-{uuid.uuid4().hex[:10]}"


def run_of(session: Session, name: str) -> dict[str, Any]:
    answer = session.get(f"{ROOT}/acquisitions/{name}/1/")
    return dict(answer.json()) if answer.status_code == 200 else {}


def test_validate_only_makes_nothing(alice: Session) -> None:
    name = new_name()
    body = {"name": name, "action": "logger", "interval": 60, "start": "2040-01-01T00:00:00Z",
            "validate_only": True}
    answer = alice.post(SCHEDULE, json=body)
    assert answer.status_code == 200, answer.text
    would = answer.json()
    assert (would["name"], would["start"], would["next_task_time"]) == (name, 2208988800, 2208988800)
    assert "Location" not in answer.headers
    assert alice.get(f"{SCHEDULE}{name}/").status_code == 404
    made = alice.post(SCHEDULE, json={**body, "validate_only": False})
    assert made.status_code == 201
    assert {**made.json(), "created": 0, "modified": 0} == {**would, "created": 0, "modified": 0}
    for method in (alice.patch, alice.put):
        changed = method(f"{SCHEDULE}{name}/", json={**body, "interval": 90, "is_active": False})
        assert (changed.status_code, changed.json()["interval"], changed.json()["is_active"]) == (
            200, 90, False)
    assert alice.get(f"{SCHEDULE}{name}/").json() == made.json()


@pytest.mark.parametrize(("body", "field"), [
    ({"action": "no such action"}, "action"), ({"action": "logger", "interval": 0}, "interval"),
    ({"action": "logger", "start": "tomorrow"}, "start"),
    ({"action": "logger", "validate_only": 1}, "validate_only"),
    ({"action": "logger", "callback_url": "http://169.254.169.254/"}, "callback_url"),
    ({"action": "logger", "callback_url": "ftp://127.0.0.1/"}, "callback_url"),
    ({"action": "logger", "callback_url": "http://u:p@127.0.0.1/"}, "callback_url"),
    ({"action": "logger", "callback_url": "http://127.0.0.1:x/"}, "callback_url"),
    ({"action": "logger", "callback_url": "x" * 2001}, "callback_url"),
    ({"action": "logger", "callback_url": 7}, "callback_url"),
])  # fmt: skip
def test_validate_only_tells_what_is_wrong(alice: Session, body: dict[str, Any], field: str) -> None:
    answer = alice.post(SCHEDULE, json={"name": new_name(), "validate_only": True, **body})
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == [field]


def test_validate_only_tells_that_a_name_is_taken(alice: Session, api: Api) -> None:
    name = new_name()
    body = {"name": name, "action": "logger", "start": "2040-01-01"}
    assert alice.post(SCHEDULE, json=body).status_code == 201
    answer = alice.post(SCHEDULE, json={**body, "validate_only": True})
    assert answer.json() == {"name": ["schedule entry with this name already exists."]}
    reader = api.session("nobody", username="vera", groups=())
    assert reader.post(SCHEDULE, json={**body, "validate_only": True}).status_code == 403


def test_a_callback_is_told_until_it_listens(alice: Session, receiver: Receiver) -> None:
    name = new_name()
    receiver.answers = [503, 500]  # which are both tried again at once
    body = {"name": name, "action": "mock_acquire", "callback_url": receiver.url}
    assert alice.post(SCHEDULE, json=body).json()["callback_url"] == receiver.url
    wait_until(lambda: (run_of(alice, name).get("callback") or {}).get("status") == "delivered", 60)
    run = run_of(alice, name)
    assert (run["callback"]["tries"], run["callback"]["detail"]) == (2, "")
    assert len({key for key, _ in receiver.heard}) == 1
    assert len(receiver.heard) == 3
    told = receiver.heard[-1][1]
    assert {**told, "callback": 0} == {**run, "callback": 0}
    assert told["status"] == "success"
    assert alice.get(told["archive"].removeprefix(alice.url)).status_code == 200
    time.sleep(6)
    assert len(receiver.heard) == 3, "told once"


def test_nobody_listens(alice: Session, api: Api) -> None:
    name = new_name()
    body = {"name": name, "action": "logger", "callback_url": "http://127.0.0.1:9/"}
    assert alice.post(SCHEDULE, json=body).status_code == 201
    wait_until(lambda: (run_of(alice, name).get("callback") or {}).get("tries", 0) >= 1
               and run_of(alice, name)["callback"]["detail"], 60)
    assert "cannot be reached" in run_of(alice, name)["callback"]["detail"]
    assert run_of(alice, name)["callback"]["status"] == "due"


def test_the_owners_page(alice: Session) -> None:
    name = new_name()
    body = {"name": name, "action": "logger", "start": "2040-01-01"}
    owner = alice.post(SCHEDULE, json=body).json()["owner"]
    answer = alice.get(owner.removeprefix(alice.url))
    assert answer.status_code == 200
    assert answer.json()["username"] == "alice"
    assert f"{alice.url}{SCHEDULE}{name}/" in answer.json()["schedule_entries"]
    assert alice.get(f"{ROOT}/users/nobody%2Fat%20all/").status_code == 404
