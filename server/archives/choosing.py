"""Which datasets a command means: those named, or those that ended long ago; and which are archived."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import msgspec
from pymongo.database import Database

from iceprod.ids import now, timestamp
from server.archives.archiving import ENDED
from server.archives.files import ArchiveError
from server.production.common.archived import REMOVING, WRITING, Stub

__all__ = ["Archived", "all_archived", "ended_before", "interrupted", "named", "read_age"]

_UNITS = {"d": 1.0, "w": 7.0, "h": 1 / 24}

Documents = dict[str, Any]


class Archived(msgspec.Struct, frozen=True):
    """A dataset in a file, or on its way there or back."""

    dataset: int
    dataset_id: str
    description: str
    state: str
    since: str
    file: str
    documents: int


def read_age(text: str) -> timedelta:
    """An age such as 90d, 12w or 36h. Raises ArchiveError."""
    found = re.fullmatch(r"(\d{1,5})([dwh])", text)
    if not found:
        raise ArchiveError(f"--ended-before: {text[:40]!r} is no age; give one such as 90d, 12w or 36h")
    return timedelta(days=int(found[1]) * _UNITS[found[2]])


def named(db: Database[Documents], word: str) -> Documents:
    """The dataset with that number or id, or the one whose id begins so. Raises ArchiveError."""
    if word.isdecimal() and len(word) < 16 and (found := db.datasets.find_one({"dataset": int(word)})):
        return found
    rows = list(db.datasets.find({"dataset_id": {"$gte": word, "$lt": word + "\U0010ffff"}}, limit=2))
    if len(word) < 4 or not rows:
        raise ArchiveError(f"there is no dataset {word!r}; `iceprod list` has all")
    if len(rows) > 1 and rows[0]["dataset_id"] != word:
        raise ArchiveError(f"several datasets begin with {word!r}; give more of the id")
    return rows[0]


def ended_before(db: Database[Documents], age: timedelta) -> list[Documents]:
    """Datasets that ended so long ago and are not archived, the oldest first."""
    query = {"status": {"$in": list(ENDED)}, "ended": {"$lt": timestamp(now() - age)},
             "archive": {"$exists": False}}
    return list(db.datasets.find(query, sort=[("dataset", 1)]))


def interrupted(db: Database[Documents]) -> list[Documents]:
    """Datasets whose archiving somebody began and nobody ended."""
    return list(db.datasets.find({"archive.state": {"$in": [WRITING, REMOVING]}}, sort=[("dataset", 1)]))


def all_archived(db: Database[Documents]) -> list[Archived]:
    """What is archived, by number."""
    found = []
    for row in db.datasets.find({"archive": {"$exists": True}}, sort=[("dataset", 1)]):
        stub = msgspec.convert(row["archive"], Stub)
        found.append(Archived(row["dataset"], row["dataset_id"], row["description"], stub.state, stub.since,
                              stub.file, sum(stub.documents.values())))
    return found
