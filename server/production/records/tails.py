"""What running tasks print, for those who watch: the end of it, sent by the pilot while somebody does.

Who reads a task's tail is a watcher for half a minute. A pilot hears with the answer to its heartbeat which
of its tasks are watched, sends the ends of their files with its next ones, and beats faster meanwhile. So
what nobody looks at costs nothing, and what is looked at a few kilobytes every two seconds. The tail is no
record: the logs come with the end of the attempt.

    watched    a task that somebody looks at: {_id: task_id, until}
    log_tails  {_id: task_id, instance_id, time, texts: {stdout: {size, text}, …}}
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from iceprod.ids import now, timestamp
from server.common.errors import BadRequest
from server.production.common.documents import Document
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "MOST_BYTES", "MOST_TASKS", "NAMES", "Tail", "keep", "read", "read_tails", "watch",
           "watched"]

INDEXES = [Index("watched", "until", [("until", 1)], options={"expireAfterSeconds": 0}),
           Index("log_tails", "until", [("until", 1)], options={"expireAfterSeconds": 0})]

NAMES = ("stdout", "stderr")
MOST_BYTES = 16 << 10  # of one text
MOST_TASKS = 4  # of one pilot at once
WATCHED_SECONDS = 30.0
AGAIN_SECONDS = 10.0  # a watcher is written down again not before
FRESH_SECONDS = 1.0  # how long a process believes what it read
KEPT_MINUTES = 60.0  # a tail, after it came
MOST_WATCHED = 500


class Tail(msgspec.Struct, frozen=True):
    """The end of what a task has printed so far: how many bytes that is in all, and the last of them."""

    size: int
    text: str


@dataclass
class _Watched:
    """What one process knows of watched tasks."""

    ids: frozenset[str] = frozenset()
    read_at: float = -1e9
    written: OrderedDict[str, float] = field(default_factory=OrderedDict)


_known: WeakKeyDictionary[AsyncDatabase, _Watched] = WeakKeyDictionary()


async def watch(ctx: Context, task_id: str) -> None:
    """Somebody looks at a task now."""
    known, moment = _known.setdefault(ctx.db, _Watched()), time.monotonic()
    if moment - known.written.get(task_id, -1e9) < AGAIN_SECONDS:
        return
    known.written[task_id] = moment
    while len(known.written) > MOST_WATCHED:
        known.written.popitem(last=False)
    until = now() + timedelta(seconds=WATCHED_SECONDS)
    await ctx.db.watched.update_one({"_id": task_id}, {"$set": {"until": until}}, upsert=True)


async def watched(ctx: Context, task_ids: Iterable[str]) -> list[str]:
    """Which of a pilot's tasks somebody looks at, a few at most."""
    known = _known.setdefault(ctx.db, _Watched())
    if time.monotonic() - known.read_at > FRESH_SECONDS:
        known.read_at = time.monotonic()
        rows = ctx.db.watched.find({"until": {"$gt": now()}}, {"_id": 1}, limit=MOST_WATCHED)
        known.ids = frozenset([row["_id"] async for row in rows])
    return [task_id for task_id in task_ids if task_id in known.ids][:MOST_TASKS] if known.ids else []


def read_tails(body: Any) -> dict[str, dict[str, Tail]]:
    """What a pilot sends: tails by task and by name of the text. Raises BadRequest."""
    try:
        found = msgspec.convert(body, dict[str, dict[str, Tail]])
    except msgspec.ValidationError as error:
        raise BadRequest(f"tails: {error}") from None
    texts = [(name, tail) for tails in found.values() for name, tail in tails.items()]
    if len(found) > MOST_TASKS or any(name not in NAMES for name, _ in texts):
        raise BadRequest(f"tails: of at most {MOST_TASKS} tasks, named {', '.join(NAMES)}")
    if any(tail.size < 0 or tail.size >= 1 << 62 or len(tail.text.encode()) > 3 * MOST_BYTES
           for _, tail in texts):
        raise BadRequest(f"tails: a text has at most {MOST_BYTES} bytes, its size is no less than 0")
    return found


async def keep(ctx: Context, held: Mapping[str, str], tails: Mapping[str, Mapping[str, Tail]]) -> None:
    """Keep tails of tasks that the pilot holds (id → instance_id) and that somebody looks at."""
    wanted = await watched(ctx, [task_id for task_id in tails if task_id in held])
    wanted = [task_id for task_id in wanted if await _is_held(ctx, task_id, held[task_id])]
    until = now() + timedelta(minutes=KEPT_MINUTES)
    writes = [UpdateOne({"_id": task_id}, {"$set": {
        "instance_id": held[task_id], "time": timestamp(), "until": until,
        "texts": {name: msgspec.to_builtins(tail) for name, tail in tails[task_id].items()}}}, upsert=True)
        for task_id in wanted]
    if writes:
        await ctx.db.log_tails.bulk_write(writes, ordered=False)


async def _is_held(ctx: Context, task_id: str, instance_id: str) -> bool:
    mine = {"task_id": task_id, "instance_id": instance_id, "status": {"$in": ["queued", "processing"]}}
    return await ctx.db.tasks.find_one(mine, {"_id": 1}) is not None


async def read(ctx: Context, task: Document) -> dict[str, Tail]:
    """The tails of a task's present attempt, by name; nothing before some came. Whoever reads watches."""
    await watch(ctx, task["task_id"])
    mine = {"_id": task["task_id"], "instance_id": task.get("instance_id")}
    row = await ctx.db.log_tails.find_one(mine, {"texts": 1})
    return msgspec.convert(row["texts"], dict[str, Tail]) if row else {}
