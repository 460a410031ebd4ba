"""Schedule entries: what is stored of each, and the changes that people make.

An entry is one document, and each change of it one conditional update, so any server may make it. What the
scheduler does to an entry is in `taking`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from iceprod.ids import timestamp
from server.common.errors import Conflict, NotFound
from server.rest.context import Context
from server.sensor.common.bodies import DEFAULT_PRIORITY, Changes
from server.sensor.common.errors import FieldErrors, Protected
from server.sensor.schedule.times import Times
from server.store.database import Index

__all__ = ["DEFAULT_FAILURES", "INDEXES", "SYSTEM", "Entry", "Pending", "all_entries", "ask", "change",
           "changed", "create", "delete", "drafted", "find", "get", "look_at", "utc"]

INDEXES = [
    Index("schedule", "look", [("is_active", 1), ("look_at", 1)]),
    Index("schedule", "asked", [("asked", 1)], options={"sparse": True}),
    Index("schedule", "pending", [("pending.until", 1)], options={"sparse": True}),
    Index("schedule", "created", [("created", 1)]),
    Index("schedule", "owner", [("owner", 1), ("created", 1)]),
]

SYSTEM = "system"
"""Who owns the entries that the system makes itself."""
DEFAULT_FAILURES = 5
_UNKNOWN = "Not found."


class Pending(msgspec.Struct, kw_only=True):
    """A run that was taken from an entry and has no acquisition yet."""

    task_id: int
    time: int  # for which it is
    missed: int = 0
    skipped: int = 0
    asked_by: str = ""
    until: float  # whoever took it has until then; afterwards another server goes on with it


class Entry(msgspec.Struct, kw_only=True):
    """One entry; `start`, `stop` and times in seconds since 1970, `created` and `modified` as ISO 8601."""

    name: str = msgspec.field(name="_id")
    action: str
    owner: str
    start: int
    next_time: int
    created: str
    modified: str
    priority: int = DEFAULT_PRIORITY
    interval: int | None = None
    stop: int | None = None
    is_active: bool = True
    next_task_id: int = 1
    look_at: int = 0  # when the scheduler has to look at it, while it is active
    asked: str | None = None  # who wants it to run now
    pending: Pending | None = None
    skipped: int = 0  # due times since the last run that passed while an earlier run was at work
    failures: int = 0  # runs in a row that failed
    forgiven: int = 0  # failures of runs with lower ids do not count any more
    max_failures: int = DEFAULT_FAILURES
    notice: str = ""  # what its owner should know
    changed: int = 0  # how often people changed it
    is_vital: bool = False  # the system's own, which must go on
    callback_url: str | None = None  # is told how each run ends
    callback_origin: str = ""  # how the one who set it reaches us
    default_interval: int | None = None  # of the system's own: as the settings say

    @property
    def times(self) -> Times:
        return Times(self.start, self.stop, self.interval, self.next_time)


def utc() -> str:
    """The present time as the API writes it."""
    return timestamp() + "Z"


def look_at(times: Times) -> int:
    """When the scheduler must look at an active entry: at its next time, or at once when there is none."""
    return 0 if times.is_over else times.next_time


# -- reading


async def find(ctx: Context, name: str) -> Entry | None:
    document = await ctx.db.schedule.find_one({"_id": name})
    return None if document is None else msgspec.convert(document, Entry)


async def get(ctx: Context, name: str) -> Entry:
    """One entry. Raises NotFound."""
    found = await find(ctx, name)
    if found is None:
        raise NotFound(_UNKNOWN)
    return found


async def all_entries(ctx: Context, query: dict[str, Any] | None = None, most: int = 0) -> list[Entry]:
    """Entries, the oldest first; at most so many, unless that is 0."""
    cursor = ctx.db.schedule.find(query or {}, sort=[("created", 1)], limit=most)
    return [msgspec.convert(document, Entry) async for document in cursor]


# -- what people do


async def drafted(ctx: Context, asked: Changes, owner: str, now: float, origin: str = "") -> Entry:
    """What a new entry would be. Raises FieldErrors for a name that is taken.

    `origin` is how the caller reaches us: callbacks name addresses of ours.
    """
    name = str(asked.name)
    if await ctx.db.schedule.find_one({"_id": name}, {"_id": 1}):
        raise FieldErrors.of("name", "schedule entry with this name already exists.")
    moment = utc()
    start = int(now) + 1 if asked.start is msgspec.UNSET else asked.start
    entry = Entry(name=name, action=str(asked.action), owner=owner, start=start, next_time=start,
                  created=moment, modified=moment, stop=_stop(asked, start, None))
    for field in ("interval", "priority", "max_failures"):
        if (value := getattr(asked, field)) is not msgspec.UNSET:
            setattr(entry, field, value)
    if asked.callback_url:
        entry.callback_url, entry.callback_origin = str(asked.callback_url), origin
    entry.look_at = look_at(entry.times)
    return entry


async def create(ctx: Context, asked: Changes, owner: str, now: float, origin: str = "") -> Entry:
    """A new entry. Raises FieldErrors for a name that is taken, Conflict when two come at once."""
    entry = await drafted(ctx, asked, owner, now, origin)
    try:
        await ctx.db.schedule.insert_one(_document(entry))
    except DuplicateKeyError:
        raise Conflict(f"a schedule entry with the name {entry.name!r} was made at the same time") from None
    ctx.signals.notify("schedule")
    return entry


def _document(entry: Entry) -> dict[str, Any]:
    """What is stored: absent rather than null where an index holds only what is there."""
    document = msgspec.to_builtins(entry)
    return {name: value for name, value in document.items()
            if value is not None or name not in ("asked", "pending")}


def _stop(asked: Changes, start: int, present: int | None) -> int | None:
    """The absolute stop that a request means."""
    if not isinstance(asked.relative_stop, bool):
        return start + asked.relative_stop
    if asked.stop is msgspec.UNSET or asked.stop is None:
        return present if asked.stop is msgspec.UNSET else None
    return start + asked.stop if asked.relative_stop else asked.stop


async def change(ctx: Context, name: str, asked: Changes, now: float, origin: str = "") -> Entry:
    """Change an entry as a PUT or PATCH asks; what it is then. Raises NotFound, FieldErrors."""
    while True:  # until nobody else changes it between reading and writing
        entry = await get(ctx, name)
        fields = _changed_fields(entry, asked, now, origin)
        same = {"_id": name, "changed": entry.changed, "next_time": entry.next_time,
                "is_active": entry.is_active}
        document = await ctx.db.schedule.find_one_and_update(
            same, {"$set": fields, "$inc": {"changed": 1}}, return_document=ReturnDocument.AFTER)
        if document is not None:
            ctx.signals.notify("schedule")
            return msgspec.convert(document, Entry)


def changed(entry: Entry, asked: Changes, now: float, origin: str = "") -> Entry:
    """What an entry would be after a change. Raises FieldErrors."""
    return msgspec.structs.replace(entry, **_changed_fields(entry, asked, now, origin))


def _changed_fields(entry: Entry, asked: Changes, now: float, origin: str) -> dict[str, Any]:
    """A new start or interval moves the next time; nothing else does. Raises FieldErrors."""
    if asked.name not in (msgspec.UNSET, entry.name):
        raise FieldErrors.of("name", "This field cannot be changed.")
    names = ("action", "priority", "interval", "start", "is_active", "max_failures")
    fields = {field: value for field in names
              if (value := getattr(asked, field)) is not msgspec.UNSET}
    if asked.callback_url is not msgspec.UNSET:
        fields |= {"callback_url": asked.callback_url, "callback_origin": origin}
    start, interval = fields.get("start", entry.start), fields.get("interval", entry.interval)
    next_time = entry.next_time
    if (start, interval) != (entry.start, entry.interval):
        next_time = max(start, int(now) + 1)
    stop = _stop(asked, start, entry.stop)
    fields |= {"stop": stop, "next_time": next_time, "modified": utc(),
               "look_at": look_at(Times(start, stop, interval, next_time))}
    if fields.get("is_active") and not entry.is_active:
        fields |= {"failures": 0, "forgiven": entry.next_task_id, "notice": ""}
    return fields


async def ask(ctx: Context, name: str, username: str) -> Entry:
    """Let an entry run now, besides its times, even when it is not active. Raises NotFound."""
    document = await ctx.db.schedule.find_one_and_update(
        {"_id": name}, {"$set": {"asked": username}}, return_document=ReturnDocument.AFTER)
    if document is None:
        raise NotFound(_UNKNOWN)
    ctx.signals.notify("schedule")
    return msgspec.convert(document, Entry)


async def delete(ctx: Context, name: str, acquisitions: Iterable[tuple[str, int]], seen: Entry) -> None:
    """Delete an entry as it was `seen`, when it has no acquisitions. Raises Protected, NotFound."""
    kept = list(acquisitions)
    if kept:
        raise Protected(name, kept)
    gone = await ctx.db.schedule.delete_one(
        {"_id": name, "next_task_id": seen.next_task_id, "pending": {"$exists": False}})
    if not gone.deleted_count:
        present = await get(ctx, name)  # a run was taken meanwhile
        raise Protected(name, [(name, max(1, present.next_task_id - 1))])
