"""Short names of datasets, tasks and scans."""

from __future__ import annotations

from typing import Any

import pytest

from iceprod.cli.common.errors import CommandError
from iceprod.cli.common.naming import Selection, dataset_of, scan_of, selection_of, task_of

ONE, OTHER = "ab" + "0" * 30, "ac" + "0" * 30
SCAN = "0190aabbccdxaaaaaaaaaaaaaaaaaaaa"


class Server:
    """Knows two datasets, of numbers 5 and 6, and one scan, of number 12."""

    def get(self, path: str, query: dict[str, Any] | None = None, **how: Any) -> Any:
        query = query or {}
        if path == "/datasets":
            rows = [{"dataset_id": ONE, "dataset": 5}, {"dataset_id": OTHER, "dataset": 6}]
            return {row["dataset_id"]: row for row in rows
                    if query.get("dataset") in (None, str(row["dataset"]))}
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
    with pytest.raises(CommandError, match="several datasets begin with 'a'"):
        dataset_of(SERVER, "a")
    with pytest.raises(CommandError, match=r"no dataset '7'; `iceprod list`"):
        dataset_of(SERVER, "7")


def test_scans() -> None:
    assert scan_of(SERVER, "12") == scan_of(SERVER, SCAN[:6]) == scan_of(SERVER, SCAN) == SCAN
    for name in ("13", "ff"):
        with pytest.raises(CommandError, match="there is no scan"):
            scan_of(SERVER, name)
    with pytest.raises(CommandError, match="is no scan"):
        scan_of(SERVER, ".*")


def test_jobs_and_tasks() -> None:
    assert selection_of(SERVER, "5") == Selection(ONE)
    assert selection_of(SERVER, "ab.17") == Selection(ONE, range(17, 18))
    assert selection_of(SERVER, "5.0-99") == Selection(ONE, range(100))
    assert selection_of(SERVER, "5.17.1") == Selection(ONE, range(17, 18), 1)
    assert task_of(SERVER, "5.17.0") == "t0"
    assert task_of(SERVER, "5.17.1") == "t1"
    assert task_of(SERVER, "some-id") == "some-id"
    with pytest.raises(CommandError, match="there is no task"):
        task_of(SERVER, "5.17.2")
    for name in ("5.9-1", "5.0-99999", "5.1.2.3", "5.-1", ""):
        with pytest.raises(CommandError):
            selection_of(SERVER, name)
