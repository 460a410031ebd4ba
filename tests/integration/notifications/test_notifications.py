"""Notifications on a real server: API, command line, mail, and a server that is killed while it sends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iceprod.cli.main import main
from iceprod.tokens import ROLES
from server.app import ROUTES
from tests.support.api import Api, Session, running_server, start_server
from tests.support.installation import wait_until
from tests.support.notifications.receivers import Mailbox, Poster, mailbox, poster

READERS = {"admin", "system", "user"}
HOOK = "https://hooks.example.org/T/B/very-secret"
QUICK = {"NOTIFY__GATHER_SECONDS": 0.5, "NOTIFY__RETRY_SECONDS": 0.2, "NOTIFY__MESSAGES_PER_HOUR": 1000}


@pytest.fixture(scope="module")
def box() -> Iterator[Mailbox]:
    with mailbox() as one:
        yield one


@pytest.fixture(scope="module")
def receiver() -> Iterator[Poster]:
    with poster() as one:
        yield one


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, box: Mailbox, receiver: Poster) -> Iterator[Api]:
    settings = {**QUICK, "NOTIFY__ALLOWED_HOSTS": json.dumps([receiver.host]),
                "NOTIFY__ALLOWED_RECIPIENTS": '["*@example.org"]',
                "NOTIFY__SMTP": json.dumps({"address": box.address, "sender": "iceprod@example.org"})}
    with running_server(tmp_path_factory.mktemp("notifications"), settings) as server:
        yield server


@pytest.fixture(scope="module")
def ada(api: Api) -> Session:
    return api.session("user", username="ada")


def add(session: Session, address: str, event: str = "dataset_errors", kind: str = "webhook",
        **more: Any) -> dict[str, Any]:
    answer = session.post("/notification_rules", json={
        "event": event, "kind": kind, "address": address, "pause_minutes": 0, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def fail(session: Session, description: str = "muons") -> str:
    """A dataset that ends in errors."""
    made = session.post("/datasets", json={"description": description, "group": "users", "jobs_submitted": 1,
                                           "tasks_submitted": 1, "tasks_per_job": 1})
    assert made.status_code == 201, made.text
    dataset_id = made.json()["result"].rpartition("/")[2]
    assert session.put(f"/datasets/{dataset_id}/status", json={"status": "errors"}).status_code == 200
    return str(dataset_id)


def log_of(session: Session, **query: str) -> list[dict[str, Any]]:
    return list(session.get("/notifications", params=query).json()["notifications"])


def test_roles_and_routes(api: Api) -> None:
    mine = [(route, name) for route in ROUTES for name in route.methods()
            if route.handler.__module__.startswith("server.notifications")]
    assert len(mine) == 10
    for route, name in mine:
        path = route.openapi_path.replace("{rule_id}", "none").replace("{key}", "none")
        for role in ROLES:
            answer = api.session(role, username=f"{role}-roles").request(name, path, json={})
            assert (answer.status_code == 403) == (role not in READERS), (name, path, role, answer.text)
        assert api.anonymous().request(name, path, json={}).status_code == 403


def test_one_reaches_ones_own(api: Api, ada: Session) -> None:
    rule = add(ada, HOOK)
    path = f"/notification_rules/{rule['rule_id']}"
    eve, admin = api.session("user", username="eve"), api.session("admin", username="root")
    for method, where, body in (("get", path, None), ("patch", path, {"is_active": False}),
                                ("delete", path, None), ("post", f"{path}/actions/test", {})):
        assert eve.request(method, where, json=body).status_code == 404, where
    assert eve.get("/notification_rules?all=true").json()["rules"] == []
    assert rule["rule_id"] in admin.get("/notification_rules?all=true").text
    assert admin.patch(path, json={"name": "mine now"}).status_code == 404, "rights are the owner's"
    assert admin.delete(path).status_code == 200
    assert ada.get(path).status_code == 404


def test_secrets_are_told_once(ada: Session) -> None:
    rule = add(ada, HOOK)
    path = f"/notification_rules/{rule['rule_id']}"
    assert rule["secret"].startswith("whsec_")
    for answer in (ada.get(path), ada.get("/notification_rules"), ada.patch(path, json={"name": "x"})):
        assert rule["secret"] not in answer.text
        assert "very-secret" not in answer.text
    assert ada.patch(path, json={"secret": ""}).json()["secret"] != rule["secret"]
    ada.delete(path)


@pytest.mark.parametrize(("body", "says"), [
    ({}, "event"), ({"event": "x", "kind": "slack", "address": HOOK}, "event"),
    ({"event": "scan_final", "kind": "webhook", "address": "http://127.0.0.1:22/"}, "allowed_hosts"),
    ({"event": "scan_final", "kind": "webhook", "address": "https://169.254.169.254/x"}, "open internet"),
    ({"event": "scan_final", "kind": "email", "address": "victim@elsewhere.org"}, "may not mail"),
    ({"event": "scan_final", "kind": "email", "address": "a@example.org\nBcc: b@c.org"}, "no mail address"),
    ({"event": "site_quarantined", "kind": "slack", "address": HOOK}, "administrators"),
    ({"event": "alert_held", "kind": "slack", "address": HOOK}, "release alerts"),
    ({"event": "scan_final", "kind": "slack", "address": HOOK, "filters": {"$where": 1}}, "\\$"),
    ({"event": "scan_final", "kind": "slack", "address": HOOK, "filters": 1}, "filters"),
    ({"event": "scan_final", "kind": "slack", "address": HOOK, "pause_minutes": 1e300}, "pause_minutes"),
    ({"event": "scan_final", "kind": "slack", "address": HOOK, "name": "a\u0000b"}, "name"),
])  # fmt: skip
def test_hostile_rules(ada: Session, body: dict[str, Any], says: str) -> None:
    before = ada.get("/notification_rules").json()
    answer = ada.post("/notification_rules", json=body)
    assert answer.status_code == 400, answer.text
    assert says.replace("\\", "") in answer.json()["reason"]
    assert ada.get("/notification_rules").json() == before


@pytest.mark.parametrize("query", ["limit=0", "limit=5000", "skip=-1", "state=no", "all=perhaps",
                                   "rule_id=" + "a" * 65])
def test_hostile_searches(ada: Session, query: str) -> None:
    assert ada.get(f"/notifications?{query}").status_code == 400


def test_from_a_failing_dataset_to_a_mail_and_a_post(ada: Session, box: Mailbox, receiver: Poster) -> None:
    rules = [add(ada, "ada@example.org", kind="email", name="mails"), add(ada, receiver.url, name="posts"),
             add(ada, receiver.url, kind="slack", name="slack")]
    dataset_id = fail(ada, "muons\r\nBcc: everybody@example.org <script>")
    wait_until(lambda: box.got and len(receiver.got) >= 2, 60)
    (recipients, mail), = box.got
    assert recipients == ["ada@example.org"]
    assert mail["Subject"].startswith("[IceProd] dataset ")
    assert mail["Bcc"] is None
    assert mail["Auto-Submitted"] == "auto-generated"
    assert f"/web/datasets/{dataset_id}" in mail.as_string()
    bodies = [json.loads(post.body) for post in receiver.got]
    slack = next(body for body in bodies if "text" in body)
    assert list(slack) == ["text"]
    assert "&lt;script&gt;" in slack["text"]
    body = next(body for body in bodies if "items" in body)
    assert body["items"][0]["facts"]["dataset_id"] == dataset_id
    wait_until(lambda: {one["state"] for one in log_of(ada)} == {"sent"}, 60)
    assert [one["key"] for one in log_of(ada, rule_id=rules[1]["rule_id"])] == [body["key"]]
    assert ada.get(f"/notifications/{body['key']}").json()["items"][0]["title"] == body["subject"]
    for rule in rules:
        ada.delete(f"/notification_rules/{rule['rule_id']}")


class Told:
    """Runs a command as Ada; what it printed."""

    def __init__(self, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
        self.api, self.capsys = api, capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        self.capsys.readouterr()
        token = self.api.token("user", username="ada")
        assert main(["notify", *words, "--server", self.api.url, "--token", token]) == status
        printed = self.capsys.readouterr()
        return printed.out + printed.err


def test_the_command_line(api: Api, receiver: Poster, capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(api, capsys)
    assert "no rule" in told("list")
    assert "name one of" in told("add", "scan_final", status=2)
    assert "none of scan_final" in told("add", "scan", "--slack", HOOK, status=2)
    said = told("add", "scan_final", "--webhook", receiver.url, "--area-below", "10", "--reco", "mill*",
                "--others", "--name", "small ones")
    assert "posts are signed with whsec_" in said
    rule, = json.loads(told("list", "--json"))["rules"]
    assert rule["filters"] == {"own": False, "recos": ["mill*"], "area_below_deg2": 10}
    assert "small ones" in told("list")
    receiver.got.clear()
    assert "answered HTTP 202" in told("test", rule["rule_id"][:8])
    assert json.loads(receiver.got[0].body)["is_test"] is True
    receiver.status = 410
    assert "not sent" in told("test", rule["rule_id"][:8], status=1)
    receiver.status = 202
    assert "dead" in told("log")
    assert "Test of the rule small ones" in told("log", "--state", "sent")
    assert "no such rule" in told("remove", "nothing", status=2)
    told("remove", rule["rule_id"][:8])
    assert "no rule" in told("list")


def test_killed_between_sending_and_noting(api: Api, tmp_path: Path) -> None:
    """The receiver has the post and kills the server before it answers; the next one sends the same key."""
    with poster() as receiver:
        settings = {**QUICK, "NOTIFY__ALLOWED_HOSTS": json.dumps([receiver.host]),
                    "SERVER__PUBLIC_URL": "https://iceprod.example.org"}
        name = f"{api.database_name}_killed"
        first = start_server(tmp_path / "server", api.database_url, name, settings)
        ada = first.session("user", username="ada")
        add(ada, receiver.url)
        posted = threading.Event()
        receiver.holds = posted
        fail(ada)
        wait_until(lambda: bool(receiver.got), 60)
        first.kill()
        posted.set()
        receiver.holds = None
        second = start_server(tmp_path / "server", api.database_url, name, settings)
        try:
            ada = second.session("user", username="ada")
            wait_until(lambda: log_of(ada)[0]["state"] == "sent", 120)
            one, = log_of(ada)
            assert one["tries"] == 2
            assert [post.headers["idempotency-key"] for post in receiver.got] == [one["key"]] * 2
            assert len({post.body for post in receiver.got}) == 1
        finally:
            second.stop()
            for api_ in (first, second):
                api_.close()


def test_the_page(api: Api) -> None:
    browser = api.anonymous()
    browser.cookies.set("iceprod_session", api.token("user", username="page"))
    assert 'aria-label="Notifications"' in browser.get("/web/").text
    form = {"event": "scan_final", "kind": "webhook", "address": HOOK, "recos": "mill* track",
            "pause_minutes": "5", "area_below_deg2": "3.5"}
    made = browser.post("/web/notifications", data=form)
    assert "whsec_" in made.text
    page = browser.get("/web/notifications").text
    assert "whsec_" not in page
    assert "very-secret" not in page
    assert "reconstruction mill* or track, 90 % region below 3.5 deg²" in page
    wrong = browser.post("/web/notifications", data={**form, "address": "https://127.0.0.1/"})
    assert wrong.status_code == 400
    assert "cannot be made: address" in wrong.text
    rule, = api.session("user", username="page").get("/notification_rules").json()["rules"]
    for act in ("off", "on", "test", "remove"):
        answer = browser.post(f"/web/notifications/rules/{rule['rule_id']}", data={"do": act})
        assert answer.status_code == 200, answer.text
    assert browser.get("/web/notifications?page=0").status_code == 400
    admin = api.anonymous()
    admin.cookies.set("iceprod_session", api.token("admin", username="root"))
    assert "Test of the rule" in admin.get("/web/notifications?all=true").text


