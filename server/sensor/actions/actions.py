"""Actions: what an entry can do, by name. Here, and nowhere else, they are registered.

A *local* action runs in the server that holds the leader lease and takes seconds. A *grid* action starts
work that others do, is asked again and again how far that is, and may be given up; all it knows of its run is
in the database, so that any server can go on with it.

Some actions are made from what an administrator stored: a *kind* makes them, from arguments that fit its
schema. An action is complete by its name, so entries have no arguments.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from iceprod.tokens import Caller
from server.common.errors import BadRequest, Conflict, NotFound
from server.production.people.naming import NOTHING, Named, check_named
from server.rest.context import Context
from server.scans.manifests.schema import Body
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome

__all__ = ["Action", "Kind", "Overlap", "all_actions", "find", "kinds", "register", "register_kind",
           "remove_stored", "store"]

RETENTION = 100
_NAME_HELP = "must be the kind, a colon and 1 to 40 letters, digits, '-', '_' or '.'"

Run = Callable[[Context, Acquisition], Awaitable[Outcome]]
Start = Callable[[Context, Acquisition], Awaitable[Outcome | None]]
Follow = Callable[[Context, Acquisition], Awaitable[Outcome | None]]
Abort = Callable[[Context, Acquisition, str], Awaitable[None]]
Needed = Callable[[Context], Awaitable[bool]]


class Overlap(StrEnum):
    """What happens to a due time while the entry's previous run is at work."""

    SKIP = "skip"  # it passes, and is counted
    PARALLEL = "parallel"  # it runs as well
    REPLACE = "replace"  # the previous run is stopped


@dataclass(frozen=True)
class Action:
    """Something with a name that an entry can do; the description's first line is its summary.

    `run` makes it a local action; `start`, `follow` and `abort` a grid action. `start` may be repeated after
    a crash, and must then do nothing twice.
    """

    name: str
    description: str
    run: Run | None = None
    start: Start | None = None
    follow: Follow | None = None
    abort: Abort | None = None
    overlap: Overlap = Overlap.SKIP
    admin_only: bool = False
    may_pause: bool = True  # else its entries stay active, whatever people say
    retention: int = RETENTION  # runs whose data are kept
    keeps_runs: bool = True  # else older runs than those are forgotten
    named: Named = NOTHING  # what it names, which has to be its scheduler's to name
    needed: Needed | None = None  # whether there is anything to do: else due times pass, and nothing is kept

    @property
    def kind(self) -> str:
        return "local" if self.run else "grid"

    @property
    def summary(self) -> str:
        return self.description.strip().splitlines()[0]

    def public(self) -> dict[str, Any]:
        """The action as clients see it."""
        return {"name": self.name, "summary": self.summary, "description": self.description,
                "kind": self.kind, "overlap": self.overlap.value, "admin_only": self.admin_only,
                "may_pause": self.may_pause, "retention": self.retention}


@dataclass(frozen=True)
class Kind:
    """A kind of stored actions: their arguments, and what makes an action of them."""

    name: str
    summary: str
    arguments: Body
    make: Callable[[str, dict[str, Any]], Action]
    check: Callable[[dict[str, Any]], None]  # what a schema cannot say; raises BadRequest


_actions: dict[str, Action] = {}
_kinds: dict[str, Kind] = {}


def register(action: Action) -> None:
    """Make an action known to every server that imports it."""
    _actions[action.name] = action


def register_kind(kind: Kind) -> None:
    _kinds[kind.name] = kind


def kinds() -> list[Kind]:
    return list(_kinds.values())


async def find(ctx: Context, name: str) -> Action | None:
    """An action by its name: a built-in one, or one that an administrator stored."""
    if name in _actions:
        return _actions[name]
    document = await ctx.db.schedule_actions.find_one({"_id": name})
    return _made(document) if document else None


async def all_actions(ctx: Context) -> list[Action]:
    """All actions, by name."""
    made = [_made(document) async for document in ctx.db.schedule_actions.find({})]
    known = [*_actions.values(), *(action for action in made if action)]
    return sorted(known, key=lambda action: action.name)


def _made(document: dict[str, Any]) -> Action | None:
    kind = _kinds.get(document["kind"])
    return kind.make(document["_id"], msgspec.json.decode(document["arguments"])) if kind else None


# -- stored actions


async def store(ctx: Context, caller: Caller, name: str, arguments: dict[str, Any]) -> Action:
    """Store an action ``kind:word``, or change it. Raises BadRequest, Forbidden, Conflict.

    What it names stays while somebody has scheduled it: it was looked at for those.
    """
    kind_name, _, word = name.partition(":")
    kind = _kinds.get(kind_name)
    if kind is None:
        raise BadRequest(f"name: there is no kind {kind_name[:40]!r}; known: {', '.join(sorted(_kinds))}")
    if not 1 <= len(word) <= 40 or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in word):
        raise BadRequest(f"name: {_NAME_HELP}")
    kind.arguments.check(arguments)
    kind.check(arguments)
    action = kind.make(name, arguments)
    await check_named(ctx, caller, action.named)
    before = await find(ctx, name)
    if before is not None and before.named != action.named:
        await _check_unused(ctx, name)
    text = msgspec.json.encode(arguments).decode()  # names in it may hold any character
    await ctx.db.schedule_actions.update_one(
        {"_id": name}, {"$set": {"kind": kind_name, "arguments": text}}, upsert=True)
    return action


async def remove_stored(ctx: Context, name: str) -> None:
    """Forget a stored action that no entry names. Raises NotFound, Conflict."""
    await _check_unused(ctx, name)
    gone = await ctx.db.schedule_actions.delete_one({"_id": name})
    if not gone.deleted_count:
        raise NotFound(f"there is no stored action {name[:100]!r}")


async def _check_unused(ctx: Context, name: str) -> None:
    if user := await ctx.db.schedule.find_one({"action": name}, {"_id": 1}):
        raise Conflict(f"the entry {user['_id']} has this action; delete or change it first")
