"""A server behind a router of a sharded cluster: it starts, and makes the indexes that shards can see to."""

from __future__ import annotations

from pathlib import Path

import pymongo
import pytest

from tests.support.api import running_server
from tests.support.mongo.router import routing
from tests.support.store import embedded_store

pytestmark = pytest.mark.slow


def test_a_server_starts_behind_a_router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded_store(tmp_path) as url, routing(url) as router:
        monkeypatch.setenv("ICEPROD_TEST_DATABASE", router.url)
        with running_server(tmp_path) as api, pymongo.MongoClient(url) as client:
            indexes = client[api.database_name]["tasks"].index_information()
            assert not indexes["task_id"].get("unique")
            assert indexes["dataset_job_task"]["unique"]
            answer = api.session().get("/task_counts/status")
            assert (answer.status_code, answer.json()) == (200, {})
