"""What clients of IceProd do, with the client that they use: wipac-rest-tools' RestClient.

The server's repair passes are put off for an hour: what happens here happens in the requests themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from rest_tools.client import RestClient

from server.production.submission.materialisation import BUFFER_JOBS
from tests.support.api import Api, running_server

CONFIG = {"version": 3.2, "description": "c", "tasks": [
    {"name": "gen", "requirements": {"cpu": 1, "memory": 1.0},
     "trays": [{"modules": [{"src": "gen.py", "args": "--seed $(job)"}]}]},
    {"name": "hits", "depends": ["gen"], "requirements": {"cpu": 1, "memory": 2.0},
     "trays": [{"modules": [{"src": "hits.py"}]}]}]}
OFFER = {"cpu": 8, "gpu": 0, "memory": 32.0, "disk": 100.0, "time": 24.0, "site": "north"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = {"SERVICES__REPAIR_SECONDS": 3600, "LEASES__SWEEP_SECONDS": 3600}
    with running_server(tmp_path_factory.mktemp("api"), settings) as server:
        yield server


def client(api: Api, *roles: str, **options: Any) -> RestClient:
    return RestClient(api.url, token=api.token(*roles, **options), timeout=30, retries=0)


@pytest.fixture
def submitter(api: Api) -> Iterator[RestClient]:
    rest = client(api, "user", username="alice")
    yield rest
    rest.close()


@pytest.fixture
def site(api: Api) -> Iterator[RestClient]:
    rest = client(api, "system", username="north")
    yield rest
    rest.close()


def submit(rest: RestClient, jobs: int) -> str:
    """As the command line client of IceProd does it; the dataset's id."""
    per_job = len(CONFIG["tasks"])
    answer = rest.request_seq("POST", "/datasets", {
        "description": "d", "group": "users", "jobs_submitted": jobs, "tasks_submitted": jobs * per_job,
        "tasks_per_job": per_job})
    dataset_id = str(answer["result"])
    rest.request_seq("PUT", f"/config/{dataset_id}", CONFIG)
    return dataset_id


def make_jobs(rest: RestClient, dataset_id: str, num: int) -> None:
    """Ask for jobs, and wait until they are there."""
    path = f"/actions/materialization/datasets/{dataset_id}"
    request = rest.request_seq("POST", path, {"num": num})["result"]
    while (state := rest.request_seq("GET", f"/actions/materialization/{request}"))["status"] in (
            "queued", "processing"):
        pass
    assert state["status"] == "complete", state


def lease(rest: RestClient, dataset_id: str, num: int = 1) -> list[dict[str, Any]]:
    return list(rest.request_seq("POST", "/task_actions/queue_many", {
        "num": num, "requirements": OFFER, "query_params": {"dataset_id": dataset_id}, "wait": 20}))


def run(rest: RestClient, task: dict[str, Any]) -> None:
    """What a site does with a task."""
    path, mine = f"/tasks/{task['task_id']}", {"instance_id": task["instance_id"]}
    rest.request_seq("POST", f"{path}/task_actions/processing", {**mine, "site": "north"})
    rest.request_seq("POST", f"{path}/task_stats", {"dataset_id": task["dataset_id"], "hours": 0.1})
    rest.request_seq("POST", "/logs", {"dataset_id": task["dataset_id"], "task_id": task["task_id"],
                                       "name": "stdout", "data": "done"})
    rest.request_seq("POST", f"{path}/task_actions/complete", {**mine, "time_used": 360, "site": "north"})


def test_a_dataset_from_its_submission_to_its_end(submitter: RestClient, site: RestClient) -> None:
    dataset_id = submit(submitter, 3)
    make_jobs(submitter, dataset_id, 3)
    for name in ("gen", "hits"):
        tasks = lease(site, dataset_id, 10)
        assert {(task["name"], task["status"], task["site"]) for task in tasks} == {(name, "queued", "north")}
        assert len({task["instance_id"] for task in tasks}) == 1
        assert submitter.request_seq("GET", f"/datasets/{dataset_id}")["status"] == "processing"
        for task in tasks:
            run(site, task)
    # nothing but those requests could have done it
    assert submitter.request_seq("GET", f"/datasets/{dataset_id}")["status"] == "complete"
    assert submitter.request_seq("GET", f"/datasets/{dataset_id}/job_counts/status") == {"complete": 3}
    stats = submitter.request_seq("GET", f"/datasets/{dataset_id}/task_stats")
    assert {name: row["count"] for name, row in stats.items()} == {"gen": 3, "hits": 3}
    task_id = tasks[0]["task_id"]
    logs = submitter.request_seq("GET", f"/datasets/{dataset_id}/tasks/{task_id}/logs", {"group": True})
    assert [log["data"] for log in logs["logs"]] == ["done"]


def test_an_answer_that_was_lost_is_asked_for_again(submitter: RestClient, site: RestClient) -> None:
    """RestClient repeats what failed on the way, so the same report twice has to be good."""
    dataset_id = submit(submitter, 1)
    make_jobs(submitter, dataset_id, 1)
    task = lease(site, dataset_id)[0]
    path, mine = f"/tasks/{task['task_id']}/task_actions", {"instance_id": task["instance_id"]}
    for action, body in (("processing", {**mine, "site": "north"}), ("complete", {**mine, "time_used": 360})):
        first, second = (site.request_seq("POST", f"{path}/{action}", body) for _ in range(2))
        assert first["task_id"] == second["task_id"]
    row = submitter.request_seq("GET", f"/datasets/{dataset_id}/tasks/{task['task_id']}")
    assert (row["status"], row["walltime"], row["failures"]) == ("complete", 0.1, 0)


def test_the_reason_stands_in_the_status_line(submitter: RestClient) -> None:
    with pytest.raises(requests.HTTPError) as refused:
        submitter.request_seq("POST", "/datasets", {"description": "d"})
    assert refused.value.response.reason == "missing key: group"
    assert refused.value.response.json()["error"] == "missing key: group"


def test_a_million_jobs_are_accepted_and_made_when_needed(submitter: RestClient, site: RestClient) -> None:
    request = submitter.request_seq("POST", "/actions/submit", {
        "config": json.dumps(CONFIG), "description": "large", "jobs_submitted": 1_000_000})["result"]
    while (state := submitter.request_seq("GET", f"/actions/submit/{request}"))["status"] != "complete":
        assert state["status"] in ("queued", "processing"), state
    dataset_id = state["payload"]["dataset_id"]
    dataset = submitter.request_seq("GET", f"/datasets/{dataset_id}")
    assert (dataset["jobs_submitted"], dataset["tasks_submitted"]) == (1_000_000, 2_000_000)
    while not (made := jobs_of(submitter, dataset_id)):
        pass
    assert made <= 2 * BUFFER_JOBS
    for task in lease(site, dataset_id, 3):
        run(site, task)
    submitter.request_seq("PUT", f"/datasets/{dataset_id}/jobs_submitted", {"jobs_submitted": 2_000_000})
    assert jobs_of(submitter, dataset_id) <= 2 * BUFFER_JOBS


def jobs_of(rest: RestClient, dataset_id: str) -> int:
    return sum(rest.request_seq("GET", f"/datasets/{dataset_id}/job_counts/status").values())
