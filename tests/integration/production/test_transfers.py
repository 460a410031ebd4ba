"""Files of real tasks on real storage: S3 by addresses that the server signs, an output that had to wait."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iceprod.cli.main import main
from tests.integration.production.test_pilots import complete, pilot
from tests.support.api import Api, Session, running_server
from tests.support.scans import wait_for
from tests.support.storage.s3 import Bucket, bucket
from tests.support.storage.web import Storage, status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Bucket]:
    with bucket(tmp_path / "s3") as running:
        yield running


def config(*data: dict[str, Any], script: str) -> dict[str, Any]:
    return {"version": 3.2, "description": "files", "tasks": [{
        "name": "gen", "requirements": {"cpu": 1, "memory": 0.1, "disk": 0.1, "time": 1.0},
        "data": [{"type": "permanent", **item} for item in data],
        "trays": [{"modules": [{"src": "/bin/sh", "args": ["-c", script]}]}]}]}


def submit(user: Session, jobs: int, document: dict[str, Any]) -> str:
    dataset = {"description": "files", "group": "users", "jobs_submitted": jobs, "tasks_per_job": 1,
               "tasks_submitted": jobs, "status": "suspended"}
    dataset_id = str(user.post("/datasets", json=dataset).json()["result"])
    answer = user.put(f"/config/{dataset_id}", json=document)
    assert answer.status_code == 200, answer.text
    user.put(f"/datasets/{dataset_id}/status", json={"status": "processing"})
    return dataset_id


def test_a_dataset_reads_and_writes_s3_with_its_users_keys(
        api: Api, storage: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = api.session("user", username="alice")
    document = config({"remote": "s3://data/common", "local": "in"},
                      {"movement": "output", "remote": "s3://data/out/$(job)", "local": "out"},
                      script="cat in > out; env > env; ! grep -r -e a-secret-key -e X-Amz .")
    path, token = tmp_path / "config.json", api.token("user", username="alice")
    path.write_text(json.dumps(document))
    words = ["submit", str(path), "--jobs", "8", "--dry-run", "--server", api.url, "--token", token]
    assert main(words) != 0
    assert "no stored credential covers the bucket 'data'" in capsys.readouterr().err
    assert user.post("/users/alice/credentials", json=storage.credential()).status_code == 200
    (storage.folder / "common").write_bytes(b"x" * 300_000)
    with pilot(api, tmp_path, "--cores", "2", "--memory", "2", "--site", "here"):
        dataset_id = submit(user, 8, document)
        wait_for(lambda: complete(user, dataset_id) == 8, "the tasks", 120)
        assert main(words) == 0
    said = capsys.readouterr().out
    assert "reads s3://data/common: at here; credential: keys of user alice for http://127.0.0.1:" in said
    assert [(storage.folder / "out" / str(job)).stat().st_size for job in range(8)] == [300_000] * 8
    rows = [json.loads(line)["stats"]["steps"] for line in
            user.get(f"/datasets/{dataset_id}/bulk/task_stats").text.splitlines()]
    assert sum(row["fetch"]["bytes"] for row in rows) == 300_000  # once for this host
    assert {row["store"]["bytes"] for row in rows} == {300_000}


def test_an_output_waits_for_storage_and_nothing_runs_again(api: Api, tmp_path: Path) -> None:
    user, web = api.session("user", username="alice"), Storage()
    web.faults["PUT", "/o/0"] = [status(503), status(503)]
    document = config({"movement": "output", "remote": f"{web.url}/o/$(job)", "local": "out"},
                      script="echo done > out")
    try:
        with pilot(api, tmp_path, "--cores", "1", "--memory", "2"):
            dataset_id = submit(user, 1, document)
            wait_for(lambda: complete(user, dataset_id) == 1, "the task", 120)
    finally:
        web.close()
    assert web.files == {"/o/0": b"done\n"}
    (row,) = user.get(f"/datasets/{dataset_id}/bulk/task_stats").text.splitlines()  # of the only attempt
    assert json.loads(row)["stats"]["steps"]["store"]["retries"] == 2
    (task,) = user.get(f"/datasets/{dataset_id}/tasks").json().values()
    assert (task["failures"], task["evictions"]) == (0, 0)


def test_only_a_lease_is_lent_anything(api: Api, storage: Bucket) -> None:
    user, pilots = api.session("user", username="alice"), api.session("pilot")
    user.post("/users/alice/credentials", json=storage.credential())
    submit(user, 1, config({"remote": "s3://data/x", "local": "in"}, script="true"))
    offer = {"num": 1, "requirements": {"cpu": 1, "memory": 1.0, "disk": 1.0, "time": 2.0}, "wait": 20}
    (task,) = pilots.post("/task_actions/queue_many", json=offer).json()
    assert "X-Amz-Signature" in task["payload"]["access"]["signed"]["s3://data/x"]["get"]
    lease = {"task_id": task["task_id"], "instance_id": task["instance_id"]}
    anew = pilots.post("/task_actions/access", json=lease)
    assert (anew.status_code, [*anew.json()["signed"]]) == (200, ["s3://data/x"])
    for body, code in (({**lease, "instance_id": "x"}, 404), ({"task_id": task["task_id"]}, 400),
                       ({**lease, "instance_id": ""}, 400)):
        assert pilots.post("/task_actions/access", json=body).status_code == code
    assert user.post("/task_actions/access", json=lease).status_code == 403
