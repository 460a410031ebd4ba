"""Archiving a dataset: its file is written, compared and on the disk before the first document is removed.

    writing    nobody changes the dataset; the file is written. What fails here leaves all as it was.
    removing   the file has its name. What is in it, and nothing else, is removed here, in slices.
    archived   the dataset says where the rest is.

The state stands in the dataset, so a run that was killed at any point is gone on with by the next one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import msgspec
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from iceprod.ids import new_id, timestamp
from iceprod.states import JOB, TASK
from server.archives import files
from server.archives.files import ArchiveError, Contents
from server.production.common import archived
from server.production.common.archived import ARCHIVED, COLLECTIONS, REMOVING, WRITING, Stub

__all__ = ["AT_WORK", "ENDED", "Done", "archive", "hindrance"]

ENDED = ("complete", "errors")
AT_WORK = ("waiting", "queued", "processing", "reset")
SLICE = 1000  # documents that are removed at once
_IDS = 5000  # ids in one query
_BATCH_OPEN = "9999"  # the mark of an open batch of `datasets.totals` that nobody takes for dead

Documents = dict[str, Any]


class Done(msgspec.Struct, frozen=True):
    """What came of archiving a dataset."""

    dataset: int
    dataset_id: str
    file: str
    bytes: int
    documents: dict[str, int]


def archive(db: Database[Documents], dataset_id: str, folder: Path) -> Done:
    """Archive a dataset, or go on where an earlier run was stopped.

    Raises ArchiveError for one that cannot be archived, OSError (then nothing was removed), PyMongoError.
    """
    stub = _stub(db, dataset_id)
    if stub is None or stub.state == WRITING:
        stub = _written(db, dataset_id, folder)
    if stub.state == REMOVING:
        _remove(db, dataset_id, stub)
    elif stub.state != ARCHIVED:
        raise ArchiveError(f"the dataset {dataset_id} is being restored; let `iceprod archive restore` go on")
    dataset = _dataset(db, dataset_id)
    path = Path(stub.file)
    return Done(dataset["dataset"], dataset_id, stub.file, path.stat().st_size if path.exists() else 0,
                stub.documents)


def hindrance(db: Database[Documents], dataset: Documents) -> str:
    """Why a dataset cannot be archived; empty when it can."""
    of_it = {"dataset_id": dataset["dataset_id"]}
    if dataset["status"] not in ENDED or dataset.get("always_active"):
        return f"it has not ended: its status is {dataset['status']}"
    if run := db.scan_runs.find_one(of_it, {"scan_id": 1}):
        return f"it belongs to the scan {run['scan_id']}, which later scans learn from"
    if db.tasks.find_one({**of_it, "status": {"$in": list(AT_WORK)}}, {"_id": 1}):
        return "some of its tasks wait or run"
    return ""


def _dataset(db: Database[Documents], dataset_id: str) -> Documents:
    found = db.datasets.find_one({"dataset_id": dataset_id})
    if found is None:
        raise ArchiveError(f"there is no dataset {dataset_id}")
    return found


def _stub(db: Database[Documents], dataset_id: str) -> Stub | None:
    found = _dataset(db, dataset_id).get("archive")
    return msgspec.convert(found, Stub) if found else None


# -- writing


def _written(db: Database[Documents], dataset_id: str, folder: Path) -> Stub:
    """Write the file; the stub that says that it is there."""
    dataset = _dataset(db, dataset_id)
    path = folder.absolute() / f"{dataset['dataset']}-{dataset_id}{files.SUFFIX}"
    stub = _marked(db, dataset, path)
    try:
        told = _write(db, dataset, path)
        if why := hindrance(db, _dataset(db, dataset_id)):
            raise ArchiveError(f"the dataset {dataset['dataset']} changed meanwhile: {why}")
        return _now_removing(db, dataset_id, stub, told)
    except BaseException:
        db.datasets.update_one({"dataset_id": dataset_id, "archive.run": stub.run, "archive.state": WRITING},
                               {"$unset": {"archive": "", "archived": ""}})
        raise


def _marked(db: Database[Documents], dataset: Documents, path: Path) -> Stub:
    """Have the dataset say that it is being archived: from now on nobody changes it."""
    if why := hindrance(db, dataset):
        raise ArchiveError(f"the dataset {dataset['dataset']} cannot be archived: {why}")
    stub = Stub(WRITING, str(path), timestamp(), new_id())
    here = {"dataset_id": dataset["dataset_id"], "status": {"$in": list(ENDED)},
            "archive.state": {"$in": [None, WRITING]}}
    if not db.datasets.update_one(here, {"$set": archived.fields(stub)}).matched_count:
        raise ArchiveError(f"the dataset {dataset['dataset']} changed just now; try again")
    return stub


def _write(db: Database[Documents], dataset: Documents, path: Path) -> Contents:
    with files.writing(path) as file:
        file.add("datasets", [bson.encode(_without_stub(dataset))])
        for name in ("auths", "configs"):
            file.add(name, _batches(db, name, dataset["dataset_id"]))
        for name in COLLECTIONS:
            file.add(name, _batches(db, name, dataset["dataset_id"]))
        file.close(dataset["dataset_id"], dataset["dataset"])
    return files.verified(path)


def _without_stub(dataset: Documents) -> Documents:
    return {name: value for name, value in dataset.items() if name not in ("archive", "archived")}



def _batches(db: Database[Documents], collection: str, dataset_id: str) -> Iterator[bytes]:
    of_it: Documents = {"dataset_id": dataset_id}
    if collection != "log_parts":
        yield from db[collection].find_raw_batches(of_it)
        return
    ids = [log["log_id"] for log in db.logs.find({**of_it, "parts": {"$exists": True}}, {"log_id": 1})]
    for start in range(0, len(ids), _IDS):
        yield from db.log_parts.find_raw_batches({"log_id": {"$in": ids[start:start + _IDS]}})


def _now_removing(db: Database[Documents], dataset_id: str, stub: Stub, told: Contents) -> Stub:
    tasks, jobs = _counted(db, dataset_id)
    documents = {name: told.parts[name].documents for name in COLLECTIONS}
    stub = msgspec.structs.replace(stub, state=REMOVING, tasks=tasks, jobs=jobs, documents=documents)
    ours = {"dataset_id": dataset_id, "archive.run": stub.run, "archive.state": WRITING}
    if not db.datasets.update_one(ours, {"$set": archived.fields(stub)}).matched_count:
        raise ArchiveError(f"another `iceprod archive` is at the dataset {dataset_id}, too")
    return stub


def _counted(db: Database[Documents],
             dataset_id: str) -> tuple[list[tuple[str, dict[str, int]]], dict[str, int]]:
    """What is told of tasks and jobs when they are gone."""
    tasks: dict[str, Counter[str]] = {}
    first: dict[str, int] = {}
    shown = {"_id": 0, "name": 1, "status": 1, "task_index": 1}
    for task in db.tasks.find({"dataset_id": dataset_id}, shown):
        tasks.setdefault(task["name"], Counter())[task["status"]] += 1
        first[task["name"]] = min(task["task_index"], first.get(task["name"], task["task_index"]))
    jobs = Counter(job["status"] for job in db.jobs.find({"dataset_id": dataset_id}, {"_id": 0, "status": 1}))
    rows = [(name, _ordered(tasks[name], TASK.states)) for name in sorted(tasks, key=first.__getitem__)]
    return rows, _ordered(jobs, JOB.states)


def _ordered(numbers: Counter[str], states: tuple[str, ...]) -> dict[str, int]:
    return {state: numbers[state] for state in states if numbers[state]}


# -- removing


def _remove(db: Database[Documents], dataset_id: str, stub: Stub) -> None:
    path = Path(stub.file)
    try:
        told = files.verified(path)
    except FileNotFoundError:
        raise ArchiveError(f"{path} is not there; bring it back: what was removed already is in it alone") \
            from None
    if told.dataset_id != dataset_id:
        raise ArchiveError(f"{path} is the file of another dataset, {told.dataset_id}")
    if why := hindrance(db, _dataset(db, dataset_id)):
        raise _changed(why)
    db.task_totals.update_one({"_id": dataset_id},
                              {"$set": {"open.archive": _BATCH_OPEN}, "$inc": {"version": 1}})
    ours = {"dataset_id": dataset_id, "archive.run": stub.run, "archive.state": REMOVING}
    for name in COLLECTIONS:
        _remove_slices(db, name, path, ours)
    _check_ours(db, ours)
    db.task_totals.delete_one({"_id": dataset_id})
    db.datasets.update_one(ours, {"$set": archived.fields(msgspec.structs.replace(stub, state=ARCHIVED))})


def _changed(why: str) -> ArchiveError:
    return ArchiveError(f"the dataset changed after its file was written: {why}; `iceprod archive restore` "
                        "brings back what was removed, and leaves what changed as it is")


def _remove_slices(db: Database[Documents], collection: str, path: Path, ours: Documents) -> None:
    """Remove what stands in the file, some of it at a time; between slices others have their turn."""
    for batch in files.documents(path, collection, SLICE):
        started = time.monotonic()
        _check_ours(db, ours)
        _remove_slice(db, collection, batch)
        time.sleep(time.monotonic() - started)


def _check_ours(db: Database[Documents], ours: Documents) -> None:
    """Raise ArchiveError when somebody began to restore the dataset, maybe on another machine."""
    if not db.datasets.find_one(ours, {"_id": 1}):
        raise ArchiveError("somebody restores the dataset, or another `iceprod archive` has removed it")


def _remove_slice(db: Database[Documents], collection: str, batch: list[RawBSONDocument]) -> None:
    """Remove documents that are still as they are in the file.

    Raises ArchiveError when some were changed, as by a server of an older program, which refuses no change.
    """
    written = {document["_id"]: document.raw for document in batch}
    there: Any = db.get_collection(collection, CodecOptions(document_class=RawBSONDocument))
    found = there.find({"_id": {"$in": list(written)}})
    if changed := sum(document.raw != written[document["_id"]] for document in found):
        raise _changed(f"{changed} documents of {collection}")
    db[collection].delete_many({"_id": {"$in": list(written)}})
