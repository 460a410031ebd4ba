"""The commands that hold work back and let it go on: suspend, resume, reset, wait and logs --follow."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iceprod.cli.main import main
from tests.support.api import Api, running_server
from tests.support.scans import wait_for

CONFIG = {"version": 3, "tasks": [{"name": "gen", "trays": []}]}
OFFER = {"cpu": 1, "memory": 8.0, "disk": 10.0, "time": 10.0}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("control"), {"SERVICES__REPAIR_SECONDS": 1}) as api:
        yield api


@pytest.fixture
def told(api: Api, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command against the server; what it printed, or its JSON."""
    def run(*words: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert main([*words, "--server", api.url, "--token", api.token()]) == status
        out = capsys.readouterr().out
        return json.loads(out) if "--json" in words else out

    return run


@pytest.fixture
def dataset(api: Api, told: Callable[..., Any], tmp_path: Path) -> str:
    """A dataset of three waiting tasks."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    dataset_id = str(told("submit", str(path), "--jobs", "3")).strip()
    session = api.session()
    session.post("/actions/materialization", json={"dataset_id": dataset_id, "num": 3})
    wait_for(lambda: counts(api, dataset_id).get("waiting") == 3, "three tasks")
    return dataset_id


def counts(api: Api, dataset_id: str) -> dict[str, int]:
    found = api.session().get(f"/datasets/{dataset_id}/task_counts/status").json()
    return {status: count for status, count in found.items() if count}


def lease(api: Api) -> dict[str, Any]:
    pilot = {"queue_host": "h", "queue_version": "1", "resources": OFFER, "site": "S", "host": "n"}
    pilot_id = api.session().post("/pilots", json=pilot).json()["result"]
    task = {"requirements": OFFER, "pilot_id": pilot_id, "start": True}
    return api.session().post("/task_actions/queue_many", json=task).json()[0]


def end(api: Api, task: dict[str, Any], outcome: str = "complete", **more: Any) -> None:
    report = {"task_id": task["task_id"], "instance_id": task["instance_id"], "outcome": outcome,
              "time_used": 1, "resources": {}, "stats": {}, **more}
    done = api.session().post("/task_actions/report_many", json={"reports": [report]})
    assert done.status_code == 200, done.text


def finish_all(api: Api, dataset_id: str) -> None:
    while counts(api, dataset_id).get("waiting"):
        end(api, lease(api))


def test_suspend_and_resume(api: Api, told: Callable[..., Any], dataset: str) -> None:
    said = told("suspend", dataset, "--json")
    assert (said["dataset_status"], said["before"]["waiting"]) == ("suspended", 3)
    assert counts(api, dataset) == {"suspended": 3}
    assert "dataset suspended" in told("wait", dataset, status=1)
    assert told("resume", dataset).startswith("dataset processing; tasks 3 suspended -> 3 ")
    wait_for(lambda: counts(api, dataset) == {"waiting": 3}, "tasks that wait")
    assert told("resume", dataset).startswith("nothing was changed, for no task is suspended")
    finish_all(api, dataset)
    assert "dataset complete: 3 complete" in told("wait", dataset)
    assert told("wait", dataset, "--json")["tasks"]["complete"] == 3


def test_reset_of_the_failed_of_one_and_of_all(api: Api, told: Callable[..., Any], dataset: str) -> None:
    assert "no task is failed" in told("reset", dataset)
    tasks = list(api.session().get(f"/datasets/{dataset}/tasks").json())
    api.session().post(f"/datasets/{dataset}/task_actions/bulk_status/failed", json={"tasks": tasks[:2]})
    assert counts(api, dataset) == {"failed": 2, "waiting": 1}
    assert "tasks 1 waiting, 2 failed -> " in told("reset", dataset, "--task", tasks[0])
    wait_for(lambda: counts(api, dataset) == {"waiting": 2, "failed": 1}, "one task more")
    told("reset", dataset)
    wait_for(lambda: counts(api, dataset) == {"waiting": 3}, "all tasks")
    finish_all(api, dataset)
    assert told("reset", dataset, "--all", "--json")["after"]["complete"] == 3
    told("reset", dataset, "--all", "--hard")
    wait_for(lambda: counts(api, dataset) == {"waiting": 3}, "tasks that begin anew")
    finish_all(api, dataset)


def test_tasks_are_listed(api: Api, told: Callable[..., Any], dataset: str) -> None:
    rows = told("tasks", dataset, "--json")["tasks"]
    assert [(row["job_index"], row["name"], row["status"]) for row in rows] == [
        (n, "gen", "waiting") for n in range(3)]
    assert rows[1]["task_id"] in told("tasks", dataset, "--status", "waiting")
    assert told("tasks", dataset, "--status", "failed") == "there is no failed task\n"
    told("reset", dataset, "--all")
    finish_all(api, dataset)


def test_a_dataset_that_does_not_exist(told: Callable[..., Any]) -> None:
    for command in ("suspend", "resume", "reset", "wait"):
        told(command, "none", status=2)


def test_logs_are_followed_to_the_end(api: Api, told: Callable[..., Any], dataset: str) -> None:
    task = lease(api)
    ends = threading.Timer(1.0, end, (api, task), {"logs": {"stdout": "it is done\n"}})
    ends.start()
    assert told("logs", task["task_id"], "--follow", "--name", "stdout") == "it is done\n"
    ends.join()
    finish_all(api, dataset)
