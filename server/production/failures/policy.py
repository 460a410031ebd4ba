"""The table of failure rules in force: the defaults, or what an administrator put in their place.

A table is one document. Each server process keeps it for a moment, so judging a failure asks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from pymongo.asynchronous.database import AsyncDatabase

from iceprod.ids import timestamp
from server.common.errors import BadRequest
from server.common.fresh import Fresh
from server.production.common.documents import Document
from server.production.failures.failures import DEFAULT_RULES, Rule, RuleError, check_rules
from server.rest.context import Context

__all__ = ["forget", "replace", "rules", "show"]

KEPT_SECONDS = 5.0
CHANGED = "failure policy"
DOCUMENT_ID = "failure_policy"


@dataclass
class _Kept:
    """One process's copy."""

    rules: tuple[Rule, ...] = DEFAULT_RULES
    read: Fresh = field(default_factory=lambda: Fresh(CHANGED, KEPT_SECONDS))


_kept: WeakKeyDictionary[AsyncDatabase, _Kept] = WeakKeyDictionary()


async def rules(ctx: Context) -> tuple[Rule, ...]:
    """The rules in force."""
    kept = _kept.setdefault(ctx.db, _Kept())
    if not kept.read.holds(ctx.signals):
        with kept.read.reading(ctx.signals):
            kept.rules = _stored_rules(await _stored(ctx))
    return kept.rules


async def show(ctx: Context) -> Document:
    """The table as the API shows it, with who made it and when."""
    stored = await _stored(ctx)
    return {
        "rules": msgspec.to_builtins(_stored_rules(stored)),
        "is_default": stored is None,
        "username": stored["username"] if stored else "",
        "time": stored["time"] if stored else "",
    }


async def replace(ctx: Context, body: dict[str, Any], username: str) -> Document:
    """Put another table in force; it is shown. Raises BadRequest, which names the rule and its fault."""
    unknown = sorted(set(body) - {"rules"})
    if unknown:
        raise BadRequest(f"invalid keys found: {', '.join(unknown)[:200]}")
    if "rules" not in body:
        raise BadRequest("missing key: rules")
    try:
        new = msgspec.convert(body["rules"], tuple[Rule, ...])
        check_rules(new)
    except msgspec.ValidationError as error:
        raise BadRequest(f"rules: {error}") from None
    except RuleError as error:
        raise BadRequest(str(error)) from None
    document = {"rules": msgspec.to_builtins(new), "username": username, "time": timestamp()}
    await ctx.db.policies.update_one({"_id": DOCUMENT_ID}, {"$set": document}, upsert=True)
    ctx.signals.notify(CHANGED)
    return await show(ctx)


async def forget(ctx: Context) -> Document:
    """Go back to the defaults, which are shown."""
    await ctx.db.policies.delete_one({"_id": DOCUMENT_ID})
    ctx.signals.notify(CHANGED)
    return await show(ctx)


async def _stored(ctx: Context) -> Document | None:
    return await ctx.db.policies.find_one({"_id": DOCUMENT_ID})


def _stored_rules(stored: Document | None) -> tuple[Rule, ...]:
    return msgspec.convert(stored["rules"], tuple[Rule, ...]) if stored else DEFAULT_RULES
