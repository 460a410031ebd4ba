"""Every page and list is asked for once: what does the server ask its database for that?"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymongo
import pytest

from server.app import INDEXES, ROUTES
from server.sharding import ALL_SHARDS, SHARD_KEYS, asks_one_shard, fields_of
from tests.support.api import Api, Session, running_server
from tests.support.databases import chosen, database
from tests.support.mongo.advice import scans
from tests.support.mongo.recorder import Recorder

pytestmark = pytest.mark.slow


@dataclass
class Walked:
    """What the walk leaves."""

    recorder: Recorder
    answers: dict[str, int]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    folder = tmp_path_factory.mktemp("walk")
    settings = {"LEASES__MAX_WAIT_SECONDS": 0.1, "CATALOGS__TIMEOUT_SECONDS": 0.2, "CATALOGS__TRIES": 1,
                "SERVICES__REPAIR_SECONDS": 1}
    with chosen("embedded", folder) as recorder, running_server(folder, settings) as api:
        yield Walked(recorder, walk(api))


def walk(api: Api) -> dict[str, int]:
    """Ask for all that can be asked for without a body; the statuses."""
    session = api.session()
    names = something(session)
    answers = {}
    for route in ROUTES:
        if "get" in route.methods():
            path = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "1"), route.openapi_path)
            with session.get(path, timeout=60, allow_redirects=False) as answer:
                answers[path] = answer.status_code
    return answers


def something(session: Session) -> dict[str, str]:
    """A dataset with a job and a task; the ids to ask for, by their names in paths."""
    dataset = {"description": "walk", "group": "users", "jobs_submitted": 1, "tasks_per_job": 1,
               "tasks_submitted": 1}
    dataset_id = session.post("/datasets", json=dataset).json()["result"]
    job_id = session.post("/jobs", json={"dataset_id": dataset_id, "job_index": 0}).json()["result"]
    task = {"dataset_id": dataset_id, "job_id": job_id, "task_index": 0, "job_index": 0, "name": "a",
            "depends": [], "requirements": {}}
    task_id = session.post("/tasks", json=task).json()["result"]
    log = {"dataset_id": dataset_id, "task_id": task_id, "name": "stdlog", "data": "a line"}
    log_id = session.post("/logs", json=log).json()["result"]
    return {"dataset_id": dataset_id, "job_id": job_id, "task_id": task_id, "log_id": log_id,
            "beginning": task_id[:8], "username": "tester"}


def test_the_walk_meets_no_error(walked: Walked) -> None:
    assert len(walked.answers) > 200
    assert {path: status for path, status in walked.answers.items() if status == 500} == {}


def test_no_query_reads_all_of_what_grows(walked: Walked) -> None:
    found = walked.recorder
    assert scans(found.shapes, found.store_url, found.database) == []


def test_the_comparison_database_finds_an_index_for_the_same(walked: Walked, tmp_path: Path) -> None:
    """Its planner is another one, and every index of ours is there, though hardly any document."""
    with database("documentdb", tmp_path) as url, pymongo.MongoClient(url) as client:
        name = f"shapes_{uuid.uuid4().hex[:12]}"
        db = client[name]
        asked = {query.collection for query in walked.recorder.shapes.values()}
        try:
            for index in INDEXES:
                if index.collection in asked:
                    db[index.collection].create_index(index.keys, name=index.name, **index.options)
            for collection in asked:
                db[collection].insert_one({})
            assert scans(walked.recorder.shapes, url, name) == []
        finally:
            client.drop_database(name)


def test_queries_that_ask_all_shards_are_written_down(walked: Walked) -> None:
    """Whoever adds one decides whether that is right."""
    asking_all = {shape for shape, query in dict(walked.recorder.shapes).items()
                  if query.collection in SHARD_KEYS and not asks_one_shard(query.collection, query.filter)
                  and (fields := fields_of(query.filter))  # of all there is one asks all
                  and fields.isdisjoint(ALL_SHARDS.get(query.collection, ()))}
    assert asking_all == set()
