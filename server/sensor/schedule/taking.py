"""What the scheduler does to an entry, each step one conditional update that only one server can win.

A due run is *taken*: the entry moves on and remembers the run as pending, in one step. Then its acquisition
is stored, whose key is unique: whoever stores it runs it. A server that dies in between leaves a pending run,
which another server goes on with. So no run is lost and none happens twice.
"""

from __future__ import annotations

from typing import Any

import msgspec
from pymongo import ReturnDocument

from server.rest.context import Context
from server.sensor.schedule.entries import Entry, Pending, find, look_at
from server.sensor.schedule.times import Look, Times

__all__ = ["clear", "deactivate", "give_up_failing", "pass_by", "realign", "renumber", "skip", "take",
           "take_asked"]

PENDING_SECONDS = 10.0


def _moved(entry: Entry, found: Look) -> dict[str, Any]:
    after = Times(entry.start, entry.stop, entry.interval, found.next_time)
    return {"next_time": found.next_time, "is_active": found.is_active, "look_at": look_at(after)}


def _seen(entry: Entry) -> dict[str, Any]:
    """The entry as it was seen: active, with the same times."""
    return {"_id": entry.name, "is_active": True, "next_time": entry.next_time, "changed": entry.changed}


async def _take(ctx: Context, query: dict[str, Any], entry: Entry, run: Pending,
                fields: dict[str, Any]) -> Entry | None:
    free = {**query, "next_task_id": entry.next_task_id, "pending": {"$exists": False}}
    update: dict[str, Any] = {"$set": {"pending": msgspec.to_builtins(run), "skipped": 0, **fields},
                              "$inc": {"next_task_id": 1}}
    if entry.asked is not None:
        update["$unset"] = {"asked": ""}
    document = await ctx.db.schedule.find_one_and_update(free, update, return_document=ReturnDocument.AFTER)
    return None if document is None else msgspec.convert(document, Entry)


async def take(ctx: Context, entry: Entry, found: Look, now: float) -> Entry | None:
    """Take the run that is due; the entry then, or None when somebody else was quicker."""
    assert found.run_at is not None
    run = Pending(task_id=entry.next_task_id, time=found.run_at, missed=found.missed, skipped=entry.skipped,
                  until=now + PENDING_SECONDS, asked_by=entry.asked or "")
    return await _take(ctx, _seen(entry), entry, run, _moved(entry, found))


async def take_asked(ctx: Context, entry: Entry, now: float) -> Entry | None:
    """Take a run that somebody asked for, besides the entry's times."""
    run = Pending(task_id=entry.next_task_id, time=int(now), skipped=entry.skipped,
                  until=now + PENDING_SECONDS, asked_by=entry.asked or "")
    return await _take(ctx, {"_id": entry.name, "asked": entry.asked}, entry, run, {})


async def skip(ctx: Context, entry: Entry, found: Look) -> None:
    """Let due times pass, since the run before is at work; they are counted."""
    await ctx.db.schedule.update_one(
        _seen(entry), {"$set": _moved(entry, found), "$inc": {"skipped": found.missed + 1}})


async def pass_by(ctx: Context, entry: Entry, found: Look) -> None:
    """Let due times pass, since there is nothing to do."""
    await ctx.db.schedule.update_one(_seen(entry), {"$set": _moved(entry, found)})


async def deactivate(ctx: Context, entry: Entry) -> None:
    """No time remains."""
    await ctx.db.schedule.update_one(_seen(entry), {"$set": {"is_active": False}})


async def realign(ctx: Context, entry: Entry, next_time: int) -> None:
    """Bring the next time back into reach after the clock was set back."""
    times = Times(entry.start, entry.stop, entry.interval, next_time)
    await ctx.db.schedule.update_one(
        _seen(entry), {"$set": {"next_time": next_time, "look_at": look_at(times)}})


async def clear(ctx: Context, name: str, task_id: int) -> None:
    """The pending run has its acquisition."""
    await ctx.db.schedule.update_one(
        {"_id": name, "pending.task_id": task_id}, {"$unset": {"pending": ""}})


async def renumber(ctx: Context, entry: Entry, next_task_id: int) -> None:
    """Go on with a higher id."""
    await ctx.db.schedule.update_one(
        {"_id": entry.name, "next_task_id": entry.next_task_id}, {"$set": {"next_task_id": next_task_id}})


async def give_up_failing(ctx: Context, name: str, failures: int, detail: str, *, may_stop: bool) -> bool:
    """Note how many runs in a row failed; too many deactivate the entry. Whether they did."""
    entry = await find(ctx, name)
    if entry is None or (failures == entry.failures == 0):
        return False
    fields: dict[str, Any] = {"failures": failures}
    stops = may_stop and failures >= entry.max_failures
    if failures == 0:
        fields["notice"] = ""
    elif stops:
        fields |= {"is_active": False,
                   "notice": f"deactivated after {failures} failed runs in a row; the last: {detail}; "
                             "activate it again when the cause is gone"}
    elif failures >= entry.max_failures:
        fields["notice"] = f"{failures} runs in a row failed; the last: {detail}"
    same = {"_id": name, "forgiven": entry.forgiven}
    await ctx.db.schedule.update_one(same, {"$set": fields})
    return stops
