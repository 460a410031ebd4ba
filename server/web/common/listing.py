"""Pages of long lists: read from an index on, a page at a time, and never counted through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from iceprod.tokens import Caller
from server.production.common import access
from server.production.common.documents import Document
from server.rest.context import Context

__all__ = ["PER_PAGE", "Found", "Wanted", "datasets"]

PER_PAGE = 50
AT_ONCE = 100
MOST_LOOKED_AT = 20_000  # datasets of others, or without the text, that one page reads past

_SHOWN = {"_id": 0, "dataset_id": 1, "dataset": 1, "description": 1, "status": 1, "username": 1, "group": 1,
          "materialisation_error": 1, "jobs_submitted": 1, "tasks_submitted": 1, "tasks_per_job": 1,
          "start_date": 1, "truncated": 1, "priority": 1}


@dataclass(frozen=True)
class Wanted:
    """Which datasets: an empty field means any."""

    statuses: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    text: str = ""  # in the description, whatever the case
    scans: bool = True  # those of scans too
    before: int = 0  # only datasets with smaller numbers

    def query(self) -> dict[str, Any]:
        """The filters that the database applies."""
        query: dict[str, Any] = {}
        for name, values in (("status", self.statuses), ("username", self.users), ("group", self.groups)):
            if values:
                query[name] = values[0] if len(values) == 1 else {"$in": list(values)}
        if self.before:
            query["dataset"] = {"$lt": self.before}
        return query


@dataclass(frozen=True)
class Found:
    """Rows of a page; `next` is the number to go on before, 0 at the end."""

    rows: list[Document]
    next: int


async def datasets(ctx: Context, caller: Caller, wanted: Wanted, most: int = PER_PAGE) -> Found:
    """The newest datasets that the caller may read and that are wanted."""
    rows: list[Document] = []
    looked_at = last = 0
    async for chunk in _chunks(ctx, wanted):
        allowed = await _readable(ctx, caller, chunk)
        of_scans = set() if wanted.scans else await _of_scans(ctx, chunk)
        for row in chunk:
            if len(rows) == most:
                return Found(rows, last)
            last = int(row["dataset"])
            if row["dataset_id"] in allowed and row["dataset_id"] not in of_scans and _has(row, wanted.text):
                rows.append(row)
        looked_at += len(chunk)
        if looked_at >= MOST_LOOKED_AT:
            return Found(rows, last)
    return Found(rows, 0)


async def _chunks(ctx: Context, wanted: Wanted) -> AsyncIterator[list[Document]]:
    chunk: list[Document] = []
    cursor = ctx.db.datasets.find(wanted.query(), _SHOWN, sort=[("dataset", -1)], batch_size=AT_ONCE)
    async for row in cursor:
        chunk.append(row)
        if len(chunk) == AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _readable(ctx: Context, caller: Caller, rows: list[Document]) -> set[str]:
    ids = [row["dataset_id"] for row in rows]
    if caller.bypasses_datasets:
        return set(ids)
    return {rules["dataset_id"] async for rules in ctx.db.auths.find({"dataset_id": {"$in": ids}})
            if access.is_allowed(rules, caller, "read")}


async def _of_scans(ctx: Context, rows: list[Document]) -> set[str]:
    ids = [row["dataset_id"] for row in rows]
    found = ctx.db.scan_runs.find({"dataset_id": {"$in": ids}}, {"_id": 0, "dataset_id": 1})
    return {run["dataset_id"] async for run in found}


def _has(row: Document, text: str) -> bool:
    return not text or text.casefold() in f"{row['dataset']} {row['description']}".casefold()
