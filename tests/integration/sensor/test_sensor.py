"""The sensor API, the pages and the command of the schedule, asked of a real server."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
import sigmf

from tests.support.api import REPOSITORY, Api, Session, running_server
from tests.support.installation import wait_until

FAR = 4_000_000_000
ROOT = "/api/v1"
SCHEDULE, RUNS = f"{ROOT}/schedule/", f"{ROOT}/acquisitions/"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("sensor")) as server:
        yield server


@pytest.fixture(scope="module")
def alice(api: Api) -> Session:
    return api.session("user", username="alice")


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.session("user", "admin", username="root")


def a_name() -> str:
    return f"e-{uuid.uuid4().hex[:10]}"


def make(session: Session, **fields: Any) -> dict[str, Any]:
    body = {"name": a_name(), "action": "logger", "start": FAR, **fields}
    answer = session.post(SCHEDULE, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def ran(session: Session, name: str, number: int = 1) -> dict[str, Any]:
    """The run with this number, once it has ended."""

    def ended() -> dict[str, Any] | None:
        answer = session.get(f"{RUNS}{name}/{number}/")
        document = answer.json()
        return document if answer.status_code == 200 and document["status"] != "in-progress" else None

    return dict(wait_until(ended))


# -- tokens, addresses, methods


@pytest.mark.parametrize("headers", [
    {"Authorization": "Token {}"}, {"Authorization": "token {}"}, {"Authorization": "Bearer {}"},
    {"Token": "{}"}, {"Token": "Token {}"}])
def test_ways_to_send_a_token(api: Api, headers: dict[str, str]) -> None:
    token = api.token("user")
    sent = {name: value.format(token) for name, value in headers.items()}
    assert requests.get(api.url + ROOT + "/", headers=sent, timeout=60).status_code == 200


@pytest.mark.parametrize(("headers", "text"), [
    ({}, "Authentication credentials were not provided."), ({"Token": "nonsense"}, "Invalid token."),
    ({"Authorization": "Basic abc"}, "Authentication credentials were not provided."),
    ({"Authorization": "Token nonsense"}, "Invalid token."), ({"Authorization": "Token"}, "Invalid token.")])
def test_without_a_good_token(api: Api, headers: dict[str, str], text: str) -> None:
    for path in ("/", "/status", "/capabilities/", "/schedule/", "/schedule/x/", "/acquisitions/",
                 "/acquisitions/x/", "/acquisitions/x/1/", "/acquisitions/x/1/archive"):
        answer = requests.get(api.url + ROOT + path, headers=headers, timeout=60)
        assert (answer.status_code, answer.json()) == (401, {"detail": text})
        assert answer.headers["WWW-Authenticate"] == "Token"


def test_addresses_are_as_the_caller_reaches_us(alice: Session) -> None:
    sent = {"Host": "sensor.example.org", "X-Forwarded-Proto": "https"}
    assert alice.get(ROOT + "/", headers=sent).json()["status"] == "https://sensor.example.org/api/v1/status"
    name = make(alice)["name"]
    shown = alice.get(SCHEDULE + name, headers=sent).json()
    assert shown["url"] == f"https://sensor.example.org/api/v1/schedule/{name}/"
    assert alice.get(ROOT + "/", headers={"X-Forwarded-Proto": "gopher"}).json()["status"].startswith("http:")


@pytest.mark.parametrize("path", ["", "/capabilities", "/status", "/schedule", "/acquisitions"])
def test_a_slash_at_the_end_is_all_the_same(alice: Session, path: str) -> None:
    for ending in ("", "/"):
        assert alice.get(ROOT + path + ending, allow_redirects=False).status_code == 200


def test_unknown_methods_are_named(alice: Session) -> None:
    answer = alice.post(f"{ROOT}/status")
    assert (answer.status_code, answer.json()) == (405, {"detail": 'Method "POST" not allowed.'})
    assert answer.headers["Allow"] == "GET"
    assert alice.delete(SCHEDULE).headers["Allow"] == "GET, POST"
    answer = alice.request("BREW", SCHEDULE)
    assert (answer.status_code, answer.json()) == (405, {"detail": 'Method "BREW" not allowed.'})
    assert answer.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("body", [b"{", b"\xff", b"{'a': 1}"])
def test_what_is_no_json_is_told(alice: Session, body: bytes) -> None:
    answer = alice.post(SCHEDULE, data=body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("JSON parse error - ")


@pytest.mark.parametrize("body", [[], 1, "x", None])
def test_a_body_is_an_object(alice: Session, body: Any) -> None:
    answer = alice.post(SCHEDULE, data=json.dumps(body))
    assert answer.status_code == 400
    assert list(answer.json()) == ["non_field_errors"]


# -- entries


@pytest.mark.parametrize(("fields", "wrong"), [
    ({"name": "ü"}, ["name"]), ({"name": 5}, ["name"]), ({"name": None}, ["name"]),
    ({"action": ""}, ["action"]),
    ({"action": "housekeeping"}, ["action"]), ({"interval": True}, ["interval"]),
    ({"interval": "60"}, ["interval"]),
    ({"interval": 10**20}, ["interval"]), ({"priority": 32768}, ["priority"]),
    ({"priority": 1.5}, ["priority"]),
    ({"start": "2026-13-01"}, ["start"]), ({"start": -10**30}, ["start"]), ({"stop": []}, ["stop"]),
    ({"stop": FAR}, ["stop"]), ({"relative_stop": True}, ["relative_stop"]),
    ({"relative_stop": "yes", "interval": 0}, ["interval", "relative_stop"]),
    ({"relative_stop": 60, "stop": FAR + 1}, ["relative_stop"]),
    ({"relative_stop": True, "stop": 0}, ["stop"])])
def test_refused_entries_name_the_fields(alice: Session, fields: dict[str, Any], wrong: list[str]) -> None:
    answer = alice.post(SCHEDULE, json={"name": "refused", "action": "logger", "start": FAR, **fields})
    assert answer.status_code == 400
    assert sorted(answer.json()) == wrong
    assert alice.get(SCHEDULE + "refused/").status_code == 404


@pytest.mark.parametrize(("fields", "stop"), [
    ({"stop": FAR + 5}, FAR + 5), ({"stop": 60, "relative_stop": True}, FAR + 60), ({"stop": None}, None),
    ({"relative_stop": 60}, FAR + 60), ({"stop": FAR + 5, "relative_stop": False}, FAR + 5), ({}, None)])
def test_ways_to_say_when_to_stop(alice: Session, fields: dict[str, Any], stop: int | None) -> None:
    entry = make(alice, interval=5, **fields)
    assert entry["stop"] == stop
    assert "relative_stop" not in entry


def test_null_means_the_default(alice: Session) -> None:
    entry = make(alice, interval=None, priority=None, stop=None, relative_stop=None)
    assert (entry["interval"], entry["priority"], entry["stop"]) == (None, 10, None)


def test_put_keeps_what_it_does_not_mention(alice: Session) -> None:
    entry = make(alice, interval=60, stop=FAR + 1000, priority=3)
    body = {"name": entry["name"], "action": "mock_acquire", "start": None, "next_task_id": 9, "owner": "bob"}
    changed = alice.put(SCHEDULE + entry["name"] + "/", json=body).json()
    kept = ("interval", "stop", "priority", "start", "next_task_time", "next_task_id", "owner", "created")
    assert {name: changed[name] for name in kept} == {name: entry[name] for name in kept}
    assert changed["action"] == "mock_acquire"
    body |= {"interval": None, "stop": None, "is_active": False}
    changed = alice.put(SCHEDULE + entry["name"] + "/", json=body).json()
    assert (changed["interval"], changed["stop"], changed["is_active"]) == (None, None, False)


def test_patch_and_relative_stop(alice: Session) -> None:
    path = SCHEDULE + make(alice, interval=60)["name"] + "/"
    assert alice.patch(path, json={"stop": 600, "relative_stop": True}).json()["stop"] == FAR + 600
    assert alice.patch(path, json={"start": FAR + 10}).json()["next_task_time"] == FAR + 10
    before = alice.get(path).json()
    after = alice.patch(path, json={}).json()
    assert after.pop("modified") > before.pop("modified")
    assert after == before
    answer = alice.patch(path, json={"name": "other"})
    assert (answer.status_code, answer.json()) == (400, {"name": ["This field cannot be changed."]})
    assert alice.patch(path, json={"relative_stop": True}).status_code == 400


def test_a_name_is_taken_once(alice: Session, admin: Session) -> None:
    name = make(alice)["name"]
    answer = admin.post(SCHEDULE, json={"name": name, "action": "logger"})
    assert answer.json() == {"name": ["schedule entry with this name already exists."]}


def test_lists_are_windowed_searched_and_ordered(alice: Session) -> None:
    word = uuid.uuid4().hex[:8]
    names = [f"{word}-{letter}" for letter in "abc"]
    for name, priority in zip(names, (5, 1, 3), strict=True):
        make(alice, name=name, priority=priority)

    def listed(**query: Any) -> list[str]:
        return [entry["name"] for entry in alice.get(SCHEDULE, params={"search": word, **query}).json()]

    assert listed() == names
    assert listed(limit=1, offset=1) == names[1:2]
    assert listed(ordering="priority") == [names[1], names[2], names[0]]
    assert listed(ordering="-priority") == [names[0], names[2], names[1]]
    assert listed(offset=9) == []
    for query in ({"limit": "x"}, {"offset": "-1"}, {"ordering": "owner"}):
        assert alice.get(SCHEDULE, params=query).status_code == 400


def test_who_may_do_what(api: Api, alice: Session, admin: Session) -> None:
    bob, nobody = api.session("user", username="bob"), api.session("nobody", username="nobody")
    bound = api.session("pilot", "system", username="alice", site="here")
    path = SCHEDULE + make(alice)["name"] + "/"
    for session in (bob, nobody, bound):
        assert session.get(path).status_code == 200
        for answer in (session.patch(path, json={}), session.delete(path), session.post(path + "run/")):
            assert (answer.status_code, list(answer.json())) == (403, ["detail"])
    for session in (nobody, bound):
        assert session.post(SCHEDULE, json={"name": a_name(), "action": "logger"}).status_code == 403
    assert admin.patch(path, json={"priority": 1}).json()["owner"].endswith("/users/alice")
    answer = alice.post(SCHEDULE, json={"name": a_name(), "action": "housekeeping/clean_logs"})
    assert answer.status_code == 403
    assert admin.delete(path).status_code == 204
    assert alice.get(path).json() == {"detail": "Not found."}


# -- housekeeping


def test_what_must_go_on_cannot_be_stopped(admin: Session) -> None:
    path = SCHEDULE + "housekeeping-repair-tasks/"
    for body in ({"is_active": False}, {"stop": FAR}, {"relative_stop": 5}, {"interval": None},
                 {"interval": 10**6}, {"action": "logger"}, {"start": FAR}):
        answer = admin.patch(path, json=body)
        assert answer.status_code == 400, body
        assert "cannot do without" in str(answer.json())
    assert admin.patch(path, json={"priority": -11}).status_code == 200
    assert admin.delete(path).status_code == 403
    assert admin.get(path).json()["is_vital"]


def test_housekeeping_can_be_paused_and_asked_for(alice: Session, admin: Session) -> None:
    name = "housekeeping-clean-logs"
    assert alice.patch(SCHEDULE + name, json={"is_active": False}).status_code == 403
    assert admin.patch(SCHEDULE + name, json={"is_active": False}).json()["is_active"] is False
    before = admin.get(SCHEDULE + name).json()["next_task_id"]
    assert admin.post(SCHEDULE + name + "/run/").status_code == 202
    run = ran(admin, name, before)
    assert (run["status"], run["asked_by"]) == ("success", "root")
    assert admin.get(SCHEDULE + name).json()["is_active"] is False
    assert admin.patch(SCHEDULE + name, json={"is_active": True}).json()["is_active"]


# -- runs and archives


def test_a_run_and_its_archive(alice: Session) -> None:
    name = make(alice, action="mock_acquire", start=None)["name"]
    run = ran(alice, name)
    assert (run["status"], run["task_id"], run["data"][0]["recording_id"]) == ("success", 1, 1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{6}", run["duration"])
    answer = alice.get(run["archive"])
    assert answer.headers["Content-Type"] == "application/x-tar"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}_1.sigmf"'
    assert len(answer.content) % 10240 == 0
    read = sigmf.archivereader.SigMFArchiveReader(archive_buffer=io.BytesIO(answer.content)).sigmffile
    read.validate()
    assert np.array_equal(read.read_samples(), np.arange(1024, dtype=np.float32))
    described = run["sigmf_metadata"]["global"]
    assert {key: read.get_global_info()[key] for key in described if key != "core:version"} == {
        key: value for key, value in described.items() if key != "core:version"}
    assert read.get_captures()[0]["core:datetime"] == run["started"]


def test_runs_are_listed_and_deleted(alice: Session, admin: Session) -> None:
    name = make(alice)["name"]
    assert alice.get(f"{RUNS}{name}/").json() == {"detail": "Not found."}
    for number in (1, 2):
        assert alice.post(SCHEDULE + name + "/run/").status_code == 202
        ran(alice, name, number)

    def numbers(**query: Any) -> list[int]:
        return [run["task_id"] for run in alice.get(f"{RUNS}{name}/", params=query).json()]

    assert (numbers(), numbers(ordering="-task_id"), numbers(limit=1, offset=1), numbers(offset=5)) == (
        [1, 2], [2, 1], [2], [])
    rows = {row["schedule_entry"].split("/")[-2]: row for row in alice.get(RUNS).json()}
    assert rows[name]["acquisitions_available"] == 2
    refused = alice.delete(SCHEDULE + name)
    assert refused.status_code == 400
    assert [url.split("/")[-2] for url in refused.json()["protected_objects"]] == ["1", "2"]
    assert admin.get(f"{RUNS}{name}/x/").status_code == admin.get(f"{RUNS}{name}/3/").status_code == 404
    assert alice.delete(f"{RUNS}{name}/1/").status_code == 204
    assert numbers() == [2]
    assert alice.get(f"{RUNS}{name}/1/archive").status_code == 404
    assert alice.delete(f"{RUNS}{name}/").status_code == alice.delete(SCHEDULE + name).status_code == 204


def test_the_status_tells_what_comes(alice: Session) -> None:
    soon = int(time.time()) + 20
    name = make(alice, start=soon, interval=7, stop=soon + 21, priority=-3)["name"]
    told = alice.get(f"{ROOT}/status").json()
    mine = [row["time"] for row in told["task_queue"] if row["schedule_entry"].endswith(f"/{name}/")]
    assert mine == [soon, soon + 7, soon + 14]
    assert len(told["task_queue"]) <= 50
    assert (told["scheduler"], told["healthy"]) == ("running", True)
    assert alice.delete(SCHEDULE + name).status_code == 204


def test_stored_actions(alice: Session, admin: Session) -> None:
    path = f"{ROOT}/actions/submit_dataset:nightly/"
    config = {"version": 3.2, "description": "c", "tasks": [
        {"name": "gen", "requirements": {}, "trays": [{"modules": [{"src": "a.py"}]}]}]}
    body = {"arguments": {"config": config, "description": "nightly"}}
    assert alice.put(path, json=body).status_code == 403
    empty = {"config": {}, "description": "x"}
    for wrong in ({}, [], {"arguments": 1}, {"arguments": {}}, {"arguments": empty}):
        answer = admin.put(path, json=wrong)
        assert (answer.status_code, list(answer.json())) == (400, ["detail"])
    assert admin.put(path, json=body).json()["kind"] == "grid"
    assert "submit_dataset:nightly" in {
        action["name"] for action in alice.get(f"{ROOT}/capabilities/").json()["actions"]}
    name = make(alice, action="submit_dataset:nightly")["name"]
    assert admin.delete(path).status_code == 409
    assert alice.delete(SCHEDULE + name).status_code == admin.delete(path).status_code == 204
    assert {kind["kind"] for kind in alice.get(f"{ROOT}/action_kinds/").json()} == {
        "submit_dataset", "rescan_event"}


# -- pages and command


@pytest.fixture(scope="module")
def browser(api: Api) -> Session:
    session = api.anonymous()
    session.cookies.set("iceprod_session", api.token("user", "admin", username="root"))
    return session


def test_pages(browser: Session) -> None:
    name = a_name()
    wrong = browser.post("/web/schedule", data={"name": "a b", "action": "logger"})
    assert wrong.status_code == 400
    assert "slug" in wrong.text
    answer = browser.post("/web/schedule", data={"name": name, "action": "logger", "interval": "3600",
                                                 "start": "2096-02-29T12:00", "priority": "4"})
    assert answer.status_code == 200
    assert "2096-02-29 13:00:00" in answer.text, "the second time"
    for do, word in (("run", "runs as soon"), ("pause", "is paused"), ("resume", "active again")):
        assert word in browser.post(f"/web/schedule/{name}/change", data={"do": do, "from": "entry"}).text
    wait_until(lambda: "asked for by root" in browser.get(f"/web/schedule/{name}?part=now").text)
    page = browser.get("/web/schedule").text
    assert name in page
    assert "cannot be paused" in page
    vital = browser.post("/web/schedule/housekeeping-repair-tasks/change", data={"do": "pause"})
    assert vital.status_code == 400
    assert "cannot do without" in vital.text
    assert browser.get("/web/schedule/none").status_code == 404
    assert browser.post(f"/web/schedule/{name}/change", data={"do": "dance"}).status_code == 400


def command(api: Api, *words: str, status: int = 0) -> str:
    token = api.token("user", username="carol")
    done = subprocess.run(
        [sys.executable, "-m", "iceprod", "schedule", *words, "--server", api.url], timeout=120, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "ICEPROD_TOKEN": token, "COLUMNS": "200"},
        capture_output=True, cwd=api.data)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + (done.stderr if status else "")


def test_command(api: Api, alice: Session) -> None:
    name = a_name()
    made = json.loads(command(
        api, "create", name, "mock_acquire", "--every", "1d", "--start", "2096-02-29T12:00", "--json"))
    assert (made["interval"], made["start"]) == (86400, 3981355200)
    assert name in command(api, "list")
    assert "housekeeping-clean-logs" in command(api, "list", "--all")
    assert "every 86400 s, active" in command(api, "show", name)
    assert "it has not run yet" in command(api, "history", name)
    assert "Not found" in command(api, "history", "nobody", status=2)
    command(api, "run", name)
    ran(alice, name)
    rows = json.loads(command(api, "history", name, "--json"))["runs"]
    assert [row["task_id"] for row in rows] == [1]
    assert f"{name}_1.sigmf" in command(api, "history", name, "--archive", "1")
    sigmf.fromfile(str(api.data / f"{name}_1.sigmf")).validate()
    assert "paused" in command(api, "pause", name)
    assert "active" in command(api, "resume", name)
    assert "acquisitions" in command(api, "delete", name, status=2)
    assert "is deleted" in command(api, "delete", name, "--history")
    assert "Not found" in command(api, "show", name, status=2)
    assert "action:" in command(api, "create", name, "nonsense", status=2)
    assert "span of time" in command(api, "create", name, "logger", "--every", "often", status=2)
    assert "mock_acquire" in command(api, "actions")


def test_what_is_no_resource(alice: Session) -> None:
    for path in ("/nothing", "/schedule/a/b/c", "/acquisitions/a/1/archive/x", "/users/nobody-knows"):
        answer = alice.get(ROOT + path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})
