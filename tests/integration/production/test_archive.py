"""An archived dataset, as clients and people see it: it says where the rest is, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest

from iceprod.states import TASK
from server.archives.archiving import archive
from server.archives.restoring import restore
from tests.support.api import Api, Session, running_server


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("api")) as server:
        yield server


@dataclass
class Made:
    """A dataset of two tasks, which is over and archived."""

    api: Api
    db: Any
    dataset_id: str
    task_id: str
    file: Path


@pytest.fixture
def made(api: Api, tmp_path: Path) -> Iterator[Made]:
    session = api.session()
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(api.database_url) as client:
        db = client[api.database_name]
        dataset_id, task_id = over(session)
        yield Made(api, db, dataset_id, task_id, Path(archive(db, dataset_id, tmp_path).file))


def over(session: Session) -> tuple[str, str]:
    """A dataset with a complete and a failed task of one job; its id, and that of the first."""
    dataset_id = said(session.post("/datasets", json={
        "description": "old", "group": "users", "jobs_submitted": 1, "tasks_submitted": 2,
        "tasks_per_job": 2}))
    job_id = said(session.post("/jobs", json={"dataset_id": dataset_id, "job_index": 0}))
    tasks = [said(session.post("/tasks", json={
        "dataset_id": dataset_id, "job_id": job_id, "task_index": index, "job_index": 0, "name": name,
        "depends": [], "requirements": {}, "status": "waiting"}))
        for index, name in enumerate(("gen", "sim"))]
    for task_id, end in zip(tasks, ("complete", "failed"), strict=True):
        for status in ("queued", "processing", end):
            session.put(f"/tasks/{task_id}/status", json={"status": status}).raise_for_status()
    assert session.get(f"/datasets/{dataset_id}").json()["status"] == "errors"
    return dataset_id, tasks[0]


def said(answer: Any) -> str:
    answer.raise_for_status()
    return str(answer.json()["result"])


def test_the_dataset_says_where_the_rest_is(made: Made) -> None:
    session, path = made.api.session(), f"/datasets/{made.dataset_id}"
    told = session.get(path).json()
    assert (told["archived"], told["archive"]["file"], told["description"]) == (True, str(made.file), "old")
    assert session.get(f"{path}/task_counts/status").json() == {"complete": 1, "failed": 1}
    assert session.get(f"{path}/task_counts/name_status").json() == {"gen": {"complete": 1},
                                                                     "sim": {"failed": 1}}
    assert session.get(f"{path}/job_counts/status").json() == {"errors": 1}
    assert made.dataset_id in session.get("/dataset_summaries/status").json()["errors"]


@pytest.mark.parametrize("path", ["tasks", "tasks/{t}", "jobs", "task_summaries/status",
                                  "job_summaries/status", "task_stats", "tasks/{t}/logs", "files"])
def test_what_lies_in_the_file_is_gone(made: Made, path: str) -> None:
    answer = made.api.session().get(f"/datasets/{made.dataset_id}/{path.replace('{t}', made.task_id)}")
    assert answer.status_code == 410
    assert str(made.file) in answer.json()["error"]
    assert "iceprod archive restore" in answer.json()["error"]


def test_nobody_changes_it_until_it_is_back(made: Made) -> None:
    session, path = made.api.session(), f"/datasets/{made.dataset_id}"
    for answer in (session.put(f"{path}/status", json={"status": "processing"}),
                   session.put(f"{path}/jobs_submitted", json={"jobs_submitted": 9}),
                   session.put(f"/config/{made.dataset_id}", json={}),
                   session.post("/actions/dataset_status", json={"dataset_id": made.dataset_id,
                                                                 "action": "hard_reset"})):
        assert answer.status_code == 409
        assert "archived in" in answer.json()["error"]
    restore(made.db, made.file)
    assert "archived" not in session.get(path).json()
    assert {task["status"] for task in session.get(f"{path}/tasks").json().values()} == {"complete", "failed"}
    session.put(f"{path}/description", json={"description": "new"}).raise_for_status()


def test_the_numbers_of_all_are_of_what_is_here(made: Made) -> None:
    session = made.api.session()
    here = {status: made.db.tasks.count_documents({"status": status}) for status in TASK.states}
    here = {status: number for status, number in here.items() if number}
    assert session.get("/task_counts/status").json() == here


def test_its_page_says_so(made: Made) -> None:
    session = made.api.session()
    session.cookies.set("iceprod_session", made.api.token())
    page = session.get(f"/web/datasets/{made.dataset_id}")
    assert page.status_code == 200
    assert str(made.file) in page.text
    assert "Hard reset" not in page.text
    assert session.get("/web/datasets").status_code == 200
    tasks = session.get(f"/web/datasets/{made.dataset_id}/tasks")
    assert tasks.status_code == 410
    assert "iceprod archive restore" in tasks.text
