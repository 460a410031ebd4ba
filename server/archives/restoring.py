"""Bringing an archived dataset back: what its file holds is stored again, in slices.

What is there already stays as it is, so a run that was killed is simply repeated. The file stays, too.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from iceprod.ids import timestamp
from server.archives import files
from server.archives.archiving import Done
from server.archives.files import ArchiveError, Contents
from server.production.common import archived
from server.production.common.archived import COLLECTIONS, RESTORING, WRITING, Stub
from server.store.duplicates import are_duplicates

__all__ = ["restore"]

SLICE = 1000  # documents that are stored at once

Documents = dict[str, Any]


def restore(db: Database[Documents], path: Path) -> Done:
    """Store what a file holds, and let the dataset be changed again.

    Raises ArchiveError for a damaged file and for a dataset that is here and not archived; OSError,
    PyMongoError.
    """
    told = files.verified(path)
    _marked(db, told, path)
    for name in (*reversed(COLLECTIONS), "auths", "configs"):
        for batch in files.documents(path, name, SLICE):
            started = time.monotonic()
            _store(db, name, batch)
            time.sleep(time.monotonic() - started)
    fresh = {"jobs": 0, "whole": 0, "tasks": {}, "open": {}, "version": 0, "proven": "", "doubt": True}
    db.task_totals.replace_one({"_id": told.dataset_id}, fresh, upsert=True)
    db.datasets.update_one({"dataset_id": told.dataset_id}, {"$unset": {"archive": "", "archived": ""}})
    documents = {name: told.parts[name].documents for name in COLLECTIONS}
    return Done(told.dataset, told.dataset_id, str(path), path.stat().st_size, documents)


def _marked(db: Database[Documents], told: Contents, path: Path) -> None:
    """Have the dataset say that it is being restored."""
    found = db.datasets.find_one({"dataset_id": told.dataset_id})
    stub = Stub(RESTORING, str(path), timestamp())
    if found is None:
        [[dataset]] = files.documents(path, "datasets", 1)
        if other := db.datasets.find_one({"dataset": told.dataset}, {"dataset_id": 1}):
            raise ArchiveError(f"the number {told.dataset} is that of another dataset here, "
                               f"{other['dataset_id']}: the file is of another installation")
        db.datasets.insert_one({**dataset, **archived.fields(stub)})
        return
    if "archive" not in found or found["archive"]["state"] == WRITING:
        raise ArchiveError(f"the dataset {told.dataset} is here and not archived; nothing was changed")
    kept = msgspec.structs.replace(msgspec.convert(found["archive"], Stub), state=RESTORING, file=str(path))
    db.datasets.update_one({"dataset_id": told.dataset_id}, {"$set": archived.fields(kept)})


def _store(db: Database[Documents], collection: str, batch: list[RawBSONDocument]) -> None:
    """Store those documents that are not there."""
    try:
        db[collection].insert_many(batch, ordered=False)
    except BulkWriteError as error:
        if not are_duplicates(error):
            raise
