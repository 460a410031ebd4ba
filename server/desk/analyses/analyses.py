"""Analyses: one run of a service on an object, with an end that comes once.

    queued ──→ pending ──→ completed | failure | timed_out | cancelled
       └───────────────────────────↗

Whatever ends an analysis does it by one conditional update, so that of a call-back, a reply, a deadline and a
person's wish only the first counts. What was found lies in a blob beside the row.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest, Forbidden, NotFound, TooManyRequests
from server.desk.analyses import inputs, results, services
from server.desk.analyses.results import Findings
from server.desk.common import blobs
from server.desk.common.access import Document, Visitor, may, own_groups, seen_groups, visible
from server.desk.common.ids import next_id
from server.desk.objects import objs
from server.desk.people.groups import check_groups
from server.production.people.sealing import seal
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "OPEN", "SIGNAL", "Wanted", "by_token", "cancel", "check", "check_in_time", "end",
           "find", "findings_of", "inputs_of", "listed", "move", "objects_like", "of_object", "remove",
           "remove_of_service", "run_again", "shown", "start", "upload"]

INDEXES = [
    Index("desk_analyses", "token", [("token_hash", 1)], unique=True),
    Index("desk_analyses", "key", [("key", 1)], unique=True, options={"sparse": True}),
    Index("desk_analyses", "obj_author", [("obj_id", 1), ("author_id", 1), ("status", 1)]),
    Index("desk_analyses", "open", [("status", 1), ("invalid_after", 1)]),
    Index("desk_analyses", "groups", [("group_ids", 1), ("_id", -1)]),
    Index("desk_analyses", "service", [("analysis_service_id", 1), ("_id", -1)]),
    Index("desk_analyses", "blob", [("blob", 1)]),
    Index("desk_analyses", "summary", [("is_summary", 1), ("_id", -1)]),
]

OPEN = ("queued", "pending")
SIGNAL = "desk_analyses"
MOST_COMPLETED = 50  # of one object and author
MOST_OPEN = 50  # of one author
MESSAGE = 1024  # characters
_HIDDEN = ("_id", "token_hash", "token", "inputs", "blob", "begun", "tries", "is_summary", "username",
           "key", "figures")
_SECRET = re.compile(r"token|secret|password|passwd|api_?key|authorization", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """An analysis that is asked for."""

    service_id: int
    obj_id: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    group_ids: Sequence[int] | None = None  # None: all of the author's
    show_parameters: bool = False
    show_plots: bool = False
    show_corner: bool = False
    key: str = ""  # of two wishes with one key, the second is the first


# -- beginning


async def start(ctx: Context, who: Visitor, wanted: Wanted) -> int:
    """Queue an analysis; its id. Somebody begins with it at once; with a key, a second time changes nothing.

    Raises Forbidden for a service that cannot be used or too many analyses, NotFound for an object that is
    not there, BadRequest for parameters, groups or inputs.
    """
    if wanted.key and (known := await ctx.db.desk_analyses.find_one({"key": wanted.key}, {"_id": 1})):
        return int(known["_id"])
    service = await check(ctx, who, wanted.service_id, wanted.parameters)
    groups = await _groups(ctx, who, wanted)
    obj = await _object(ctx, wanted.obj_id)
    await _check_quota(ctx, who, wanted.obj_id)
    given = await inputs.gather(ctx, who, obj, service["input_data_types"], wanted.parameters)
    row = await _new(ctx, who, service, wanted, groups)
    row["inputs"] = await blobs.put(ctx, msgspec.json.encode({"id": row["_id"], "inputs": given}))
    try:
        await ctx.db.desk_analyses.insert_one(row)
    except DuplicateKeyError:  # somebody else came with the key just now
        await blobs.remove(ctx, row["inputs"])
        return await start(ctx, who, wanted)
    ctx.signals.notify(SIGNAL)
    return int(row["_id"])


async def check(ctx: Context, who: Visitor, service_id: int, parameters: Mapping[str, Any]) -> Document:
    """The service that can be run with these parameters. Raises Forbidden, BadRequest."""
    service = await services.find(ctx, who, service_id)
    if service["upload_only"]:
        raise Forbidden(f"analysis_service_id: {service['name']} takes uploads alone")
    _check_parameters(service, parameters)
    return service


async def upload(ctx: Context, who: Visitor, wanted: Wanted, found: Findings, message: str) -> int:
    """Store what was found elsewhere; the id. Raises as `start` does."""
    service = await services.find(ctx, who, wanted.service_id)
    if not service["upload_only"]:
        raise Forbidden(f"analysis_service_id: {service['name']} takes no uploads")
    groups = await _groups(ctx, who, wanted)
    await _object(ctx, wanted.obj_id)
    await _check_quota(ctx, who, wanted.obj_id)
    row = await _new(ctx, who, service, wanted, groups)
    row |= {"status": "completed", "status_message": message[:MESSAGE], "duration": 0.0,
            **await _stored(ctx, row["_id"], found)}
    await ctx.db.desk_analyses.insert_one(row)
    return int(row["_id"])


async def run_again(ctx: Context, who: Visitor, row: Document) -> int:
    """A new analysis like an earlier one, with the inputs as they are now. Raises as `start` does."""
    return await start(ctx, who, Wanted(
        row["analysis_service_id"], row["obj_id"], row["analysis_parameters"], row["group_ids"],
        row["show_parameters"], row["show_plots"], row["show_corner"]))


def _check_parameters(service: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    known = service["optional_analysis_parameters"]
    if unknown := sorted(set(given) - set(known)):
        raise BadRequest(f"analysis_parameters: {service['name']} takes no {unknown[0][:60]!r}; it takes "
                         f"{', '.join(sorted(known)) or 'none'}")


async def _groups(ctx: Context, who: Visitor, wanted: Wanted) -> list[int]:
    groups = own_groups(who, wanted.group_ids)
    await check_groups(ctx, who, groups)
    return groups


async def _object(ctx: Context, obj_id: str) -> Document:
    try:
        return await objs.find(ctx, obj_id)
    except BadRequest as error:
        raise NotFound(error.reason) from None


async def _check_quota(ctx: Context, who: Visitor, obj_id: str) -> None:
    mine = {"author_id": who.user_id}
    done = await ctx.db.desk_analyses.count_documents({**mine, "obj_id": obj_id, "status": "completed"})
    if done >= MOST_COMPLETED:
        raise Forbidden(f"you have {done} analyses of {obj_id} already, which is the most: delete some")
    at_work = await ctx.db.desk_analyses.count_documents({**mine, "status": {"$in": list(OPEN)}})
    if at_work >= MOST_OPEN:
        raise TooManyRequests(f"{at_work} of your analyses are at work, the most there may be", 60)


async def _new(ctx: Context, who: Visitor, service: Mapping[str, Any], wanted: Wanted,
               groups: list[int]) -> Document:
    moment, token = now(), secrets.token_hex(24)
    return {
        "_id": await next_id(ctx, "analyses"), "obj_id": wanted.obj_id, "author_id": who.user_id,
        "username": who.username, "analysis_service_id": service["_id"],
        "analysis_service_name": service["name"], "analysis_service_description": service["description"],
        "analysis_parameters": dict(wanted.parameters), "group_ids": groups, "status": "queued",
        "status_message": "", "show_parameters": wanted.show_parameters, "show_plots": wanted.show_plots,
        "show_corner": wanted.show_corner, "is_summary": bool(service["is_summary"]), "grid": None,
        "token_hash": hash_of(token), "token": seal(ctx, token), "inputs": "", "blob": "", "num_plots": 0,
        "tries": 0, "begun": moment, "invalid_after": moment + timedelta(seconds=service["timeout"]),
        "duration": None, "created_at": moment, "last_activity": moment,
        **({"key": wanted.key} if wanted.key else {})}


def hash_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


# -- moving on


async def move(ctx: Context, number: int, status: str, message: str = "", **fields: Any) -> bool:
    """Say how far an open analysis is; False when it ended meanwhile."""
    changes = {"status": status, "status_message": message[:MESSAGE], "last_activity": now(), **fields}
    done = await ctx.db.desk_analyses.update_one(
        {"_id": number, "status": {"$in": list(OPEN)}}, {"$set": changes})
    return bool(done.matched_count)


async def end(ctx: Context, row: Mapping[str, Any], status: str, message: str = "",
              found: Findings | None = None, **fields: Any) -> bool:
    """End an analysis, once; False when something else ended it before."""
    stored = await _stored(ctx, row["_id"], found) if found is not None else {}
    seconds = (now() - row["created_at"]).total_seconds()
    done = await move(ctx, row["_id"], status, message, duration=round(seconds, 3), **fields, **stored)
    if not done and stored:
        await _forget(ctx, stored["blob"])
    return done


async def cancel(ctx: Context, who: Visitor, row: Document) -> None:
    """End an analysis that nobody waits for any more. Raises BadRequest, Forbidden."""
    _check_may(who, row)
    if not await end(ctx, row, "cancelled", f"cancelled by {who.username}"):
        raise BadRequest(f"the analysis {row['_id']} has ended already")
    ctx.signals.notify(SIGNAL)


async def check_in_time(ctx: Context, row: Mapping[str, Any]) -> None:
    """End an analysis whose call-back comes too late. Raises BadRequest then."""
    if row["status"] in OPEN and row["invalid_after"] < now():
        await end(ctx, row, "timed_out", "the service called back too late")
    if row["status"] == "timed_out" or row["invalid_after"] < now():
        raise BadRequest(f"analysis {row['_id']}: the time to call back ended at "
                         f"{row['invalid_after'].isoformat()}")


async def by_token(ctx: Context, token: str) -> Document:
    """The analysis whose service may call back with this token. Raises Forbidden."""
    row: Document | None = await ctx.db.desk_analyses.find_one({"token_hash": hash_of(token)})
    if row is None:
        raise Forbidden("no analysis waits for this call-back")
    return row


async def _stored(ctx: Context, number: int, found: Findings) -> Document:
    """The fields of a row whose findings are stored; the number makes the bytes its own."""
    data = msgspec.json.encode({"id": number, "analysis": found})
    return {"blob": await blobs.put(ctx, data), "num_plots": len(found.plots),
            "has_results": found.results is not None, "has_samples": found.inference_data is not None,
            "figures": results.figures(found)}


async def _forget(ctx: Context, *keys: str) -> None:
    for key in filter(None, keys):
        if await ctx.db.desk_analyses.find_one({"blob": key}, {"_id": 1}) is None:
            await blobs.remove(ctx, key)


# -- reading


async def find(ctx: Context, who: Visitor, number: int) -> Document:
    """An analysis that the visitor sees. Raises Forbidden."""
    row: Document | None = await ctx.db.desk_analyses.find_one(
        {"$and": [{"_id": number}, visible("analysis", who)]})
    if row is None:
        raise Forbidden(f"analysis_id: there is no analysis {number} that you can see")
    return row


async def listed(ctx: Context, who: Visitor, query: Mapping[str, Any], skip: int, limit: int
                 ) -> list[Document]:
    """Analyses that the visitor sees, the newest first."""
    seen = {"$and": [dict(query), visible("analysis", who)]}
    rows = await ctx.db.desk_analyses.find(seen, sort=[("_id", -1)], skip=skip, limit=limit).to_list()
    return [dict(row) for row in rows]


async def objects_like(ctx: Context, who: Visitor, part: str) -> list[str]:
    """The objects with a part of this name that have analyses which the visitor sees."""
    query = {"$and": [{"obj_id": {"$regex": re.escape(part)}}, visible("analysis", who)]}
    return sorted(await ctx.db.desk_analyses.distinct("obj_id", query))


async def of_object(ctx: Context, who: Visitor, obj_id: str, limit: int = 100) -> list[Document]:
    """An object's analyses, the newest first."""
    return await listed(ctx, who, {"obj_id": obj_id}, 0, limit)


async def findings_of(ctx: Context, row: Mapping[str, Any]) -> Findings:
    """What an analysis found. Raises NotFound while that is nothing."""
    if not row["blob"]:
        raise NotFound(f"analysis {row['_id']} has no results: it is {row['status']}")
    document = msgspec.json.decode(await blobs.get(ctx, row["blob"]))
    return msgspec.convert(document["analysis"], results.Findings)


async def inputs_of(ctx: Context, row: Mapping[str, Any]) -> dict[str, Any]:
    """The texts that an analysis was given, by input."""
    return dict(msgspec.json.decode(await blobs.get(ctx, row["inputs"]))["inputs"])


def shown(who: Visitor, row: Mapping[str, Any]) -> Document:
    """An analysis as the API shows it: without its token, and without secrets in its parameters."""
    rest = {name: value for name, value in row.items() if name not in _HIDDEN}
    parameters = {name: value for name, value in row["analysis_parameters"].items()
                  if not _SECRET.search(name)}
    groups = seen_groups(who, row["group_ids"])
    return {"id": row["_id"], **rest, "analysis_parameters": parameters, "resource_type": "obj",
            "group_ids": groups, "groups": [{"id": number} for number in groups]}


# -- removing


def _check_may(who: Visitor, row: Mapping[str, Any]) -> None:
    if not may("analysis", who, row):
        raise Forbidden("Insufficient permissions: the analysis is somebody else's")


async def remove(ctx: Context, who: Visitor, row: Document) -> None:
    """Forget an analysis and what it found; its task is given up (`grid_runs.follow`). Raises Forbidden."""
    _check_may(who, row)
    await _remove(ctx, row)


async def remove_of_service(ctx: Context, service_id: int) -> None:
    """Forget all analyses of a service."""
    async for row in ctx.db.desk_analyses.find({"analysis_service_id": service_id}):
        await _remove(ctx, row)


async def _remove(ctx: Context, row: Mapping[str, Any]) -> None:
    await ctx.db.desk_analyses.delete_one({"_id": row["_id"]})
    await _forget(ctx, row["blob"])
    if row["inputs"]:
        await blobs.remove(ctx, row["inputs"])
    ctx.signals.notify(SIGNAL)
