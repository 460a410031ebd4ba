"""A kind of event and actions for tests of rules, and a database that crashes after so many writes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest, Unavailable
from server.rest.context import Context
from server.rules import conditions, events
from server.rules.decisions import Event, Rule
from server.rules.kinds import Action, Firing, Kind, Source, register_action, register_kind

__all__ = ["ACTION", "COLLECTION", "KIND", "Crash", "crashing", "done", "happen", "rule"]

COLLECTION = "test_rows"


async def _event(ctx: Context, row: Mapping[str, Any]) -> Event:
    facts = {"word": row["word"], "number": row["number"], "tags": row["tags"]}
    return events.made(KIND.name, row["_id"], row["modified"], facts, row.get("group_ids"))


KIND = register_kind(Kind("test", {"word": "a word", "number": "a number", "tags": "words"},
                          Source(COLLECTION, _event)))


async def _do(ctx: Context, firing: Firing) -> dict[str, Any]:
    """Write a line, once for each firing."""
    if (reason := firing.rule.settings.get("refused")) is not None:
        raise BadRequest(reason)
    if firing.rule.settings.get("away"):
        raise Unavailable("nobody answers")
    with contextlib.suppress(DuplicateKeyError):
        await ctx.db.test_done.insert_one({"_id": firing.key, "word": firing.event.facts["word"]})
    return {"line": firing.key}


ACTION = register_action(Action("test", _do))


def rule(number: int = 1, **changes: Any) -> Rule:
    """A rule that fires for everything, unless changed."""
    base = Rule(f"test:{number}", "test", f"rule {number}", "test", conditions.always, {}, 1, None, 10, now(),
                number=number)
    return dataclasses.replace(base, **changes)


async def happen(ctx: Context, number: int, word: str = "a", at: datetime | None = None, **more: Any) -> None:
    """A row is written and logged, as families do it."""
    row = {"_id": number, "word": word, "number": float(number), "tags": [], "modified": at or now(),
           "unlogged": True, **more}
    await ctx.db[COLLECTION].insert_one(row)
    await events.log_row(ctx, KIND, row)


async def done(ctx: Context) -> list[str]:
    """The keys of what was done, sorted."""
    return sorted([row["_id"] async for row in ctx.db.test_done.find({})])


class Crash(BaseException):
    """The process is gone; nothing catches it."""


_WRITES = {"insert_one", "insert_many", "update_one", "update_many", "find_one_and_update", "delete_one",
           "delete_many", "replace_one"}


class _Collection:
    def __init__(self, real: Any, budget: list[int], is_before: bool) -> None:
        self._real, self._budget, self._is_before = real, budget, is_before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._counted(found) if name in _WRITES else found

    def _counted(self, write: Any) -> Any:
        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._budget[0] -= 1
            if self._budget[0] < 0:
                raise Crash
            if self._budget[0] == 0 and self._is_before:
                raise Crash
            result = await write(*args, **kwargs)
            if self._budget[0] == 0:
                self._budget[0] = -1
                raise Crash
            return result

        return counted


class _Database:
    def __init__(self, real: Any, budget: list[int], is_before: bool) -> None:
        self._real, self._budget, self._is_before = real, budget, is_before

    def __getattr__(self, name: str) -> Any:
        return self._real.command if name == "command" else self[name]

    def __getitem__(self, name: str) -> Any:
        return _Collection(self._real[name], self._budget, self._is_before)


def crashing(ctx: Context, writes: int, *, is_before: bool = False) -> Context:
    """A server that dies right after (or before) its so-many-th write; from 1."""
    fragile: Any = _Database(ctx.db, [writes], is_before)
    return dataclasses.replace(ctx, db=fragile, server_id=f"crash-{writes}")
