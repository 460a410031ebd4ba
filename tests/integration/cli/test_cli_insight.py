"""The commands that tell how work is: why, logs, sites, pilots, list and show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iceprod.cli.main import main
from tests.support.api import Api, running_server

CONFIG = {"version": 3, "tasks": [
    {"name": "gen", "requirements": {"memory": 4.0}, "trays": []},
    {"name": "sim", "requirements": {"memory": 64.0}, "depends": ["gen"], "trays": []}]}
OFFER = {"cpu": 1, "memory": 8.0, "disk": 10.0, "time": 10.0}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("insight"), {"SERVICES__REPAIR_SECONDS": 1}) as api:
        yield api


@pytest.fixture
def told(api: Api, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command against the server; what it printed, or its JSON."""
    def run(*words: str) -> Any:
        capsys.readouterr()
        assert main([*words, "--server", api.url, "--token", api.token()]) == 0
        out = capsys.readouterr().out
        return json.loads(out) if "--json" in words else out

    return run


def test_a_tasks_story(api: Api, told: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    dataset_id = told("submit", str(path)).strip()
    session = api.session()
    session.post("/actions/materialization", json={"dataset_id": dataset_id, "num": 1})
    gen, sim = _tasks(session, dataset_id)
    assert "no pilot was heard of" in told("why", gen["task_id"])
    assert "gen of job 0" in told("why", sim["task_id"])

    pilot = {"queue_host": "h", "queue_version": "1", "resources": OFFER, "site": "S", "host": "node1"}
    pilot_id = session.post("/pilots", json=pilot).json()["result"]
    assert "1 of 1 pilots could take it" in told("why", gen["task_id"])
    got = session.post("/task_actions/queue_many",
                       json={"requirements": OFFER, "pilot_id": pilot_id, "start": True}).json()[0]
    assert "on node1, last heard of" in told("why", gen["task_id"])
    session.post("/task_actions/report_many", json={"reports": [{
        "task_id": got["task_id"], "instance_id": got["instance_id"], "outcome": "complete", "time_used": 36,
        "resources": {"memory": 1.5}, "logs": {"stdout": "all is well\n"}, "stats": {"host": "node1"}}]})

    assert told("logs", gen["task_id"]) == "all is well\n"
    starts = [gen["task_id"][:length] for length in range(4, 33)]
    start = next(one for one in starts if not sim["task_id"].startswith(one))
    assert told("logs", start) == "all is well\n"
    _strangers_find_nothing(api, gen["task_id"])
    assert "nobody offers memory 64.0; the most is 8.0" in told("why", sim["task_id"])
    shown = told("show", dataset_id)
    assert "gen: 1 complete" in shown
    assert "gen uses memory 1.5, 95 % at most 1.5, and asks for 4.0" in shown
    assert dataset_id in told("list")
    assert "node1" in told("pilots")
    [site] = told("sites", "--json")["sites"]
    assert (site["site"], site["pilots"], site["offered"]["memory"]) == ("S", 1, 8.0)


def _strangers_find_nothing(api: Api, task_id: str) -> None:
    """Only who may read the dataset learns of a task by how its id begins."""
    path = f"/task_ids/{task_id[:30]}"
    [found] = api.session("user", username="tester").get(path).json()["tasks"]
    assert set(found) == {"task_id", "dataset_id", "job_id", "job_index", "task_index", "name", "status"}
    assert api.session("user", username="stranger", groups=()).get(path).json() == {"tasks": []}
    for wrong in ("abc", "a" * 65):
        refused = api.session().get(f"/task_ids/{wrong}")
        assert (refused.status_code, "4 to 64" in refused.json()["reason"]) == (400, True)


def _tasks(session: Any, dataset_id: str) -> list[dict[str, Any]]:
    from tests.support.scans import wait_for

    found: list[dict[str, Any]] = []

    def made() -> bool:
        found[:] = session.get(f"/datasets/{dataset_id}/tasks").json().values()
        return len(found) == 2

    wait_for(made, "two tasks")
    return sorted(found, key=lambda task: task["task_index"])


def test_a_place_is_barred_by_hand_and_told_why(api: Api, told: Callable[..., Any]) -> None:
    admin = api.session("admin")
    assert admin.put("/quarantine/site/S2", json={"reason": "power cut"}).status_code == 200
    refused = admin.post("/task_actions/queue_many", json={"requirements": {**OFFER, "site": "S2"}})
    assert refused.status_code == 404
    assert "the site S2 is quarantined until" in refused.json()["reason"]
    assert "site S2: quarantined" in told("sites")
    assert api.session("user").delete("/quarantine/site/S2").status_code == 403
    assert admin.delete("/quarantine/site/S2").status_code == 200
    assert admin.delete("/quarantine/site/S2").status_code == 404


def test_the_failure_policy_is_shown_and_edited_by_admins(api: Api) -> None:
    user, admin = api.session("user"), api.session("admin")
    rules = user.get("/failure_policy").json()["rules"]
    assert rules[-1]["pattern"] == ""
    assert user.put("/failure_policy", json={"rules": rules}).status_code == 403
    refused = admin.put("/failure_policy", json={"rules": [{**rules[0], "pattern": "("}, rules[-1]]})
    assert (refused.status_code, "rules[0].pattern" in refused.json()["reason"]) == (400, True)
    assert admin.put("/failure_policy", json={"rules": rules[1:]}).json()["is_default"] is False
    assert admin.delete("/failure_policy").json()["rules"] == rules
