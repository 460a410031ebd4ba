"""Requests for actions that take long: kept in the database, worked on by one server at a time.

A request is queued, then processing under a lease that its worker extends, then complete or error. A worker
that dies leaves a request whose lease ends; another server does it again, so every action must bear being
repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pymongo import ReturnDocument

from iceprod.ids import new_id, timestamp
from iceprod.tokens import Caller
from server.common.errors import ApiError, NotFound
from server.production.common.documents import Document
from server.production.tasks.task_store import soon
from server.rest.context import Context
from server.store.database import Index

__all__ = [
    "INDEXES",
    "Work",
    "counts",
    "create",
    "get",
    "newest",
    "pending",
    "register",
    "set_payload",
    "work",
]

log = logging.getLogger("server.production")

INDEXES = [
    Index("requests", "request_id", [("request_id", 1)], unique=True),
    Index("requests", "status", [("status", 1), ("created", 1)]),
    Index("requests", "username", [("username", 1), ("status", 1), ("created", 1)]),
    Index("requests", "action", [("action", 1), ("status", 1), ("dataset_id", 1)]),
]

LEASE_SECONDS = 60.0
STATES = ("queued", "processing", "error", "complete")
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Work:
    """One request that is being worked on."""

    request_id: str
    action: str
    payload: Document
    caller: Caller


Action = Callable[[Context, Work], Awaitable[None]]

_actions: dict[str, Action] = {}


def register(name: str, action: Action) -> None:
    """Say what does the requests of a name. It must bear being stopped anywhere and repeated."""
    _actions[name] = action


async def create(ctx: Context, action: str, payload: Document, caller: Caller) -> str:
    """Ask for an action; the request's id."""
    request = {
        "request_id": new_id(),
        "action": action,
        "status": "queued",
        "payload": payload,
        "error_message": "",
        "created": timestamp(),
        "until": "",
        "attempts": 0,
        "username": caller.username,
        "roles": sorted(caller.roles),
        "groups": list(caller.groups),
        "dataset_id": payload.get("dataset_id", ""),
    }
    await ctx.db.requests.insert_one(dict(request))
    ctx.signals.notify("requests")
    return str(request["request_id"])


async def get(ctx: Context, action: str, request_id: str) -> Document:
    """How a request stands. Raises NotFound."""
    request = await ctx.db.requests.find_one({"request_id": request_id, "action": action})
    if request is None:
        raise NotFound("Request not found")
    return {"id": request_id, "status": request["status"], "error_message": request["error_message"],
            "payload": request["payload"], "username": request["username"]}


async def counts(ctx: Context, action: str) -> dict[str, int]:
    """How many requests for an action there are in each status."""
    numbers = {state: await ctx.db.requests.count_documents({"action": action, "status": state})
               for state in STATES}
    return {state: n for state, n in numbers.items() if n}


async def pending(ctx: Context, action: str, dataset_id: str) -> str | None:
    """The request for an action on a dataset that has not ended, if there is one."""
    query = {"action": action, "dataset_id": dataset_id, "status": {"$in": ["queued", "processing"]}}
    request = await ctx.db.requests.find_one(query, {"request_id": 1})
    return str(request["request_id"]) if request else None


async def newest(ctx: Context, action: str, dataset_id: str) -> str:
    """The latest request for an action on a dataset. Raises NotFound."""
    request = await ctx.db.requests.find_one(
        {"action": action, "dataset_id": dataset_id}, {"request_id": 1}, sort=[("created", -1)])
    if request is None:
        raise NotFound("Request not found")
    return str(request["request_id"])


async def set_payload(ctx: Context, request: Work, **fields: Any) -> None:
    """Tell in the request's payload how the work gets on; its lease is extended."""
    changes = {f"payload.{name}": value for name, value in fields.items()}
    await ctx.db.requests.update_one({"request_id": request.request_id},
                                     {"$set": {**changes, "until": soon(LEASE_SECONDS)}})


# -- working


async def work(ctx: Context) -> int:
    """Do the requests that wait, one after another; how many."""
    done = 0
    while request := await _take(ctx):
        await _do(ctx, request)
        done += 1
    return done


async def _take(ctx: Context) -> Work | None:
    free = {"$or": [{"status": "queued"}, {"status": "processing", "until": {"$lt": timestamp()}}]}
    taken = {"$set": {"status": "processing", "until": soon(LEASE_SECONDS)}, "$inc": {"attempts": 1}}
    request = await ctx.db.requests.find_one_and_update(
        free, taken, sort=[("created", 1)], return_document=ReturnDocument.AFTER)
    if request is None:
        return None
    if request["attempts"] > MAX_ATTEMPTS:
        await _end(
            ctx, request["request_id"], "error", "the work was begun several times and never came to an end"
        )
        return await _take(ctx)
    caller = Caller(request["username"], frozenset(request["roles"]), tuple(request["groups"]))
    return Work(request["request_id"], request["action"], request["payload"], caller)


async def _do(ctx: Context, request: Work) -> None:
    keeper = asyncio.create_task(_keep(ctx, request))
    try:
        await _actions[request.action](ctx, request)
    except ApiError as error:
        await _end(ctx, request.request_id, "error", error.reason)
    else:
        await _end(ctx, request.request_id, "complete", "")
    finally:
        keeper.cancel()


async def _keep(ctx: Context, request: Work) -> None:
    """Extend the lease while the work goes on."""
    while True:
        await asyncio.sleep(LEASE_SECONDS / 3)
        await set_payload(ctx, request)


async def _end(ctx: Context, request_id: str, status: str, message: str) -> None:
    await ctx.db.requests.update_one(
        {"request_id": request_id},
        {"$set": {"status": status, "error_message": message, "until": "", "ended": timestamp()}})
    ctx.signals.notify("requests done")
    log.info("request ended", extra={"action": "request", "request_id": request_id, "status": status})
