"""Short names of datasets, tasks and scans."""

from __future__ import annotations

from typing import Any

import pytest

from iceprod.cli.common.errors import CommandError
from iceprod.cli.common.naming import Selection, dataset_of, job_of, scan_of, selection_of, task_of

ONE, OTHER = "ab" + "0" * 30, "ac" + "0" * 30
SCAN = "0190aabbccdxaaaaaaaaaaaaaaaaaaaa"
TASKS = ["6220" + "a" * 28, "6220" + "b" * 28, "ffff" + "0" * 28]
JOBS = ["1a" + "0" * 30, "1b" + "0" * 30, "2c" + "0" * 30]


class Server:
    """Knows two datasets, of numbers 5 and 6, and one scan, of number 12."""

    def get(self, path: str, query: dict[str, Any] | None = None, **how: Any) -> Any:
        query = query or {}
        if path == "/datasets":
            rows = [{"dataset_id": ONE, "dataset": 5, "description": "one"},
                    {"dataset_id": OTHER, "dataset": 6, "description": "other"}]
            return {row["dataset_id"]: row for row in rows
                    if query.get("dataset") in (None, str(row["dataset"]))}
        if path.startswith("/task_ids/"):
            rows = [{"task_id": one, "name": "work", "job_index": 3, "status": "failed"} for one in TASKS]
            return {"tasks": [row for row in rows if row["task_id"].startswith(path.split("/")[2])]}
        if path == f"/datasets/{ONE}/jobs":
            return {one: {"job_id": one, "job_index": index} for index, one in enumerate(JOBS)}
        assert path == f"/datasets/{ONE}/tasks"
        assert query["job_index"] == 17
        return {"t0": {"task_id": "t0", "task_index": 0}, "t1": {"task_id": "t1", "task_index": 1}}

    def post(self, path: str, body: dict[str, Any], **how: Any) -> Any:
        wanted = body["filter"]
        start = wanted.get("scan_id", {}).get("$regex", "^-")[1:]
        found = wanted.get("number") == 12 or SCAN.startswith(start)
        return {"manifests": [{"scan_id": SCAN}] if found else []}


SERVER: Any = Server()


def test_datasets() -> None:
    assert dataset_of(SERVER, "5") == ONE
    assert dataset_of(SERVER, "ac") == OTHER
    assert dataset_of(SERVER, "ac00…") == OTHER
    assert dataset_of(SERVER, "f" * 32) == "f" * 32
    with pytest.raises(CommandError, match="several datasets begin with 'a'") as caught:
        dataset_of(SERVER, "a")
    assert f"{ONE} (5, one)" in str(caught.value), "each candidate, as a list shows it"
    assert f"{OTHER} (6, other)" in str(caught.value)
    with pytest.raises(CommandError, match=r"no dataset '7'; `iceprod list`"):
        dataset_of(SERVER, "7")


def test_scans() -> None:
    assert scan_of(SERVER, "12") == scan_of(SERVER, SCAN[:6]) == scan_of(SERVER, SCAN) == SCAN
    assert scan_of(SERVER, "0190") == SCAN, "no number begins with 0"
    for name in ("13", "ff"):
        with pytest.raises(CommandError, match="there is no scan"):
            scan_of(SERVER, name)
    with pytest.raises(CommandError, match="is no scan"):
        scan_of(SERVER, ".*")


def test_jobs_of_a_dataset() -> None:
    assert job_of(SERVER, ONE, "2") == job_of(SERVER, ONE, "2c") == job_of(SERVER, ONE, JOBS[2]) == JOBS[2]
    assert job_of(SERVER, ONE, "1a") == JOBS[0]
    assert job_of(SERVER, ONE, "1") == JOBS[1], "a number comes first"
    with pytest.raises(CommandError, match="there is no job '3'"):
        job_of(SERVER, ONE, "3")


def test_jobs_and_tasks() -> None:
    assert selection_of(SERVER, "5") == Selection(ONE)
    assert selection_of(SERVER, "ab.17") == Selection(ONE, range(17, 18))
    assert selection_of(SERVER, "5.0-99") == Selection(ONE, range(100))
    assert selection_of(SERVER, "5.17.1") == Selection(ONE, range(17, 18), 1)
    assert task_of(SERVER, "5.17.0") == "t0"
    assert task_of(SERVER, "5.17.1") == "t1"
    assert task_of(SERVER, "ffff") == task_of(SERVER, TASKS[2]) == TASKS[2]
    assert task_of(SERVER, "6220a…") == TASKS[0]
    with pytest.raises(CommandError, match=r"begin with .6220.: 6220a+ \(work of job 3, failed\), "):
        task_of(SERVER, "6220")
    for name, text in (("fff", "too short"), ("0000", "there is no task '0000'"), ("a/b/cd", "is no task")):
        with pytest.raises(CommandError, match=text):
            task_of(SERVER, name)
    with pytest.raises(CommandError, match="there is no task"):
        task_of(SERVER, "5.17.2")
    for name in ("5.9-1", "5.0-99999", "5.1.2.3", "5.-1", ""):
        with pytest.raises(CommandError):
            selection_of(SERVER, name)
