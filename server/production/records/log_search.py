"""Searching the logs of a dataset: the lines that tell of errors, or hold a text, the same ones together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from server.production.common.documents import Document
from server.production.records import log_text, logs
from server.rest.context import Context

__all__ = ["errors", "search"]

MOST_LOGS = 50_000  # whose error lines are looked at
MOST_SEARCHED = 2_000  # whose whole text is looked at
MOST_GROUPS = 200
EXAMPLES = 5
MOST_TEXT = 400_000_000  # characters of these; a long log has eight millions
AT_ONCE = 10


@dataclass
class _Group:
    """One line, but for what varies, and where it stands."""

    example: str
    tasks: set[str] = field(default_factory=set)
    logs: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    count: int = 0

    def add(self, log: Document) -> None:
        self.count += 1
        self.tasks.add(log.get("task_id", ""))
        self.names.add(log["name"])
        if len(self.logs) < EXAMPLES:
            self.logs.append(log["log_id"])

    def shown(self, text: str) -> Document:
        tasks = sorted(self.tasks - {""})
        return {"error": text, "count": len(tasks) or self.count, "logs": self.count, "example": self.example,
                "names": sorted(self.names), "tasks": tasks[:EXAMPLES], "log_ids": self.logs}


class _Groups:
    """Lines of many logs."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def add(self, log: Document, lines: dict[str, str]) -> None:
        for text, example in lines.items():
            self._groups.setdefault(text, _Group(example)).add(log)

    def shown(self) -> list[Document]:
        rows = [group.shown(text) for text, group in self._groups.items()]
        return sorted(rows, key=lambda row: (-row["count"], row["error"]))[:MOST_GROUPS]


async def errors(ctx: Context, dataset_id: str, name: str | None = None) -> Document:
    """The error lines of the newest logs, the most frequent first; `count` is in how many tasks."""
    groups, searched = _Groups(), 0
    query = {"dataset_id": dataset_id} | ({"name": name} if name else {})
    async for row in ctx.db.log_errors.find(query, {"_id": 0}, sort=[("timestamp", -1)], limit=MOST_LOGS):
        groups.add(row, {line["form"]: line["line"] for line in row["lines"]})
        searched += 1
    return {"errors": groups.shown(), "logs_with_errors": searched, "all": searched < MOST_LOGS}


async def search(ctx: Context, dataset_id: str, text: str, name: str | None = None) -> Document:
    """The lines of the newest logs that hold a text, most frequent first; `all`: were these all logs?"""
    groups, searched, left = _Groups(), 0, MOST_TEXT
    query = {"dataset_id": dataset_id} | ({"name": name} if name else {})
    cursor = ctx.db.logs.find(query, {"_id": 0, "log_id": 1}, sort=[("timestamp", -1)], limit=MOST_SEARCHED)
    ids = [row["log_id"] async for row in cursor]
    for start in range(0, len(ids), AT_ONCE):
        chosen = {"log_id": {"$in": ids[start:start + AT_ONCE]}}
        found = await logs.find(ctx, chosen, None, limit=AT_ONCE)
        for log, lines in await asyncio.to_thread(_lines_of, found, text, log_text.matching_lines):
            groups.add(log, lines)
        searched += len(found)
        left -= sum(len(log["data"]) for log in found)
        if left < 0:
            break
    return {"matches": groups.shown(), "searched": searched, "all": left >= 0 and len(ids) < MOST_SEARCHED}


def _lines_of(found: list[Document], text: str,
              matching: Callable[[str, str], dict[str, str]]) -> list[tuple[Document, dict[str, str]]]:
    return [(log, matching(log["data"], text)) for log in found]
