"""Real pilots with a real server: what they are given, and how many tasks they run at once."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import REPOSITORY, Api, Session, running_server
from tests.support.scans import scan_body, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_server(tmp_path) as server:
        yield server


@contextlib.contextmanager
def pilot(api: Api, work: Path, *more: str) -> Iterator[None]:
    """A pilot without workers for pixels, whose tasks may write into one folder, whoever they run as."""
    for name in ("pilot", "shared"):
        (work / name).mkdir()
    (work / "shared").chmod(0o777)
    token = work / "token"
    token.write_text(api.token("pilot"))
    command = [sys.executable, "-m", "grid.pilot", "--server", api.url, "--token-file", str(token),
               "--disk", "5", "--heartbeat", "0.5", "--no-pixels", "--directory", str(work / "pilot"),
               "--writable", str(work / "shared"), *more]
    with (work / "pilot.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def submit(admin: Session, jobs: int, tasks: list[dict[str, Any]]) -> str:
    """A dataset of so many jobs; its id."""
    dataset = {"description": "pilots", "group": "users", "jobs_submitted": jobs, "tasks_per_job": len(tasks),
               "tasks_submitted": jobs * len(tasks), "status": "suspended"}
    dataset_id = str(admin.post("/datasets", json=dataset).json()["result"])
    admin.put(f"/config/{dataset_id}", json={"version": 3, "tasks": tasks})
    admin.put(f"/datasets/{dataset_id}/status", json={"status": "processing"})
    return dataset_id


def complete(admin: Session, dataset_id: str) -> int:
    return int(admin.get(f"/datasets/{dataset_id}/task_counts/status").json().get("complete", 0))


def task(name: str, script: str, **requirements: float) -> dict[str, Any]:
    return {"name": name, "requirements": {"cpu": 1, "memory": 0.1, "disk": 0.1, "time": 1.0, **requirements},
            "trays": [{"modules": [{"src": "/bin/sh", "args": ["-c", script]}]}]}


def test_a_pilot_without_pixels_is_never_offered_any(api: Api, tmp_path: Path) -> None:
    """It runs a program after the scan's batches were waiting, and these were never touched."""
    admin = api.session()
    scan_id = admin.post("/scan", json=scan_body(priority=100)).json()["scan_id"]
    wait_for(lambda: bool(admin.get(f"/scan/{scan_id}/progress").json()["levels"]), "the batches", 60)
    with pilot(api, tmp_path, "--cores", "2", "--memory", "4"):
        dataset_id = submit(admin, 20, [task("a", "true")])
        wait_for(lambda: complete(admin, dataset_id) == 20, "the programs", 120)
    batches = [row for row in admin.get("/tasks").json()["tasks"] if row["dataset_id"] != dataset_id]
    assert batches
    assert Counter((row["status"], row["evictions"], row["site"]) for row in batches) == {
        ("waiting", 0, ""): len(batches)}


def test_tasks_share_a_pilot_and_never_exceed_it(api: Api, tmp_path: Path) -> None:
    """Tasks of one and two cores, and one of much memory, on a pilot of three cores."""
    admin = api.session()
    notes = tmp_path / "shared/notes"
    note = f"echo {{0}} >> {notes}; sleep 0.3; echo -{{0}} >> {notes}"
    with pilot(api, tmp_path, "--cores", "3", "--memory", "3"):
        dataset_id = submit(admin, 5, [task("one", note.format("1")), task("two", note.format("2"), cpu=2),
                                       task("large", note.format("1"), memory=2.5),
                                       task("also", note.format("1"))])
        wait_for(lambda: complete(admin, dataset_id) == 20, "the tasks", 240)
    used, most = 0, 0
    for line in notes.read_text().split():
        used += int(line)
        most = max(most, used)
    assert used == 0
    assert most == 3
    tasks = admin.get(f"/datasets/{dataset_id}/tasks").json().values()
    assert {row["failures"] for row in tasks} == {0}


def test_large_memory_goes_one_at_a_time(api: Api, tmp_path: Path) -> None:
    admin = api.session()
    held = tmp_path / "shared/held"
    alone = f"mkdir {held} && sleep 0.2 && rmdir {held}"
    with pilot(api, tmp_path, "--cores", "4", "--memory", "4"):
        dataset_id = submit(admin, 6, [task("large", alone, memory=2.5)])
        wait_for(lambda: complete(admin, dataset_id) == 6, "the tasks", 240)
    tasks = admin.get(f"/datasets/{dataset_id}/tasks").json().values()
    assert {row["failures"] for row in tasks} == {0}
