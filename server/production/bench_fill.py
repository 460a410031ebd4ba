"""Tasks for benchmarks, written straight to a database: as many as there would be after months of production.

A server makes jobs late, so most of those that a large dataset has are over: of each dataset the last
`BUFFER_JOBS` jobs are half over and half at work, all before them are complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymongo

from iceprod.ids import new_id, timestamp
from server.production.common.access import default_rules
from server.production.submission.materialisation import BUFFER_JOBS
from server.production.tasks.task_store import NewTask, new_task

__all__ = ["fill", "filled"]

NAMES = ("generate", "propagate", "detector", "filter", "analyse")
STATES = ("complete", "complete", "complete", "waiting", "waiting", "idle", "idle", "processing", "queued",
          "failed")
JOBS_AT_ONCE = 1000


def fill(db: Any, tasks: int, datasets: int) -> Iterator[tuple[str, str]]:
    """Write the tasks; the id of each dataset and of one of its tasks."""
    per_job = len(NAMES)
    jobs = max(1, tasks // datasets // per_job)
    for number in range(1, datasets + 1):
        dataset_id = new_id()
        amidst = ""
        for start in range(0, jobs, JOBS_AT_ONCE):
            first = _fill_jobs(db, dataset_id, range(start, min(jobs, start + JOBS_AT_ONCE)), jobs)
            amidst = first if start <= jobs // 2 else amidst
        db.auths.insert_one({"dataset_id": dataset_id, **default_rules("users", "bench")})
        db.datasets.insert_one({
            "dataset_id": dataset_id, "dataset": number, "description": "bench", "group": "users",
            "jobs_submitted": jobs, "tasks_submitted": jobs * per_job, "tasks_per_job": per_job,
            "priority": 0.5, "debug": False, "jobs_immutable": False, "always_active": False,
            "status": "processing", "truncated": False, "start_date": timestamp(), "username": "bench"})
        yield dataset_id, amidst


def filled(db: Any) -> list[tuple[str, str]]:
    """What `fill` wrote at an earlier time: the id of each dataset and of one of its tasks."""
    found = []
    for dataset in db.datasets.find({}, {"dataset_id": 1}, sort=[("dataset", 1)]):
        task = db.tasks.find_one({"dataset_id": dataset["dataset_id"]}, {"task_id": 1})
        found.append((str(dataset["dataset_id"]), str(task["task_id"])))
    return found


def _fill_jobs(db: Any, dataset_id: str, indexes: range, jobs_of_it: int) -> str:
    jobs, rows = [], []
    for index in indexes:
        job_id, over = new_id(), index < jobs_of_it - BUFFER_JOBS or index % 2 == 1
        jobs.append({"job_id": job_id, "dataset_id": dataset_id, "job_index": index,
                     "status": "complete" if over else "processing", "status_changed": timestamp()})
        for number, name in enumerate(NAMES):
            spec = NewTask(index, name, {"cpu": 1, "memory": 2.0 + number, "time": 4.0}, number,
                           priority=(index * 7919 % 1000) / 1000,
                           status="complete" if over else STATES[(index + number) % len(STATES)])
            rows.append(new_task(dataset_id, job_id, spec))
    db.jobs.insert_many(jobs)
    db.tasks.insert_many(rows, ordered=False)
    db.task_classes.bulk_write([
        pymongo.UpdateOne({"_id": f"{dataset_id} {key}"}, {"$set": {
            "dataset_id": dataset_id, "class_key": key, "used": timestamp()}}, upsert=True)
        for key in {row["class_key"] for row in rows}])
    return str(rows[0]["task_id"])
