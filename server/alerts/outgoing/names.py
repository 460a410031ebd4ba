"""Names of events, such as IceCube-231202A: one for each event of the detector, whatever is told of it."""

from __future__ import annotations

import string
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pymongo.errors import DuplicateKeyError

from server.common.errors import Unavailable
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "known", "name_of", "of_scopes", "scopes_of"]

INDEXES = [Index("alert_names", "name", [("name", 1)], unique=True)]

_LETTERS = string.ascii_uppercase
_MOST = 26 + 26 * 26  # events of one day


async def name_of(ctx: Context, scope: str, prefix: str, mjd: float) -> str:
    """The name of the event that `scope` stands for, made at the first time. Raises Unavailable."""
    day = _day(mjd)
    for number in range(_MOST):
        row = await ctx.db.alert_names.find_one({"_id": scope})
        if row is not None:
            return str(row["name"])
        name = f"{prefix}-{day}{_letters(number)}"
        if await ctx.db.alert_names.find_one({"name": name}, {"_id": 1}) is not None:
            continue
        try:
            await ctx.db.alert_names.insert_one({"_id": scope, "name": name})
        except DuplicateKeyError:  # scope or name was taken just now
            continue
    raise Unavailable(f"all names of {day} are taken")


async def known(ctx: Context, scope: str, prefix: str, mjd: float) -> str:
    """The name of an event; one with a question mark while it has none."""
    row = await ctx.db.alert_names.find_one({"_id": scope})
    return str(row["name"]) if row else f"{prefix}-{_day(mjd)}?"


async def of_scopes(ctx: Context, scopes: Sequence[str]) -> dict[str, str]:
    """The names of events by what they stand for, of those that have one."""
    found = ctx.db.alert_names.find({"_id": {"$in": list(scopes)}})
    return {row["_id"]: str(row["name"]) async for row in found}


async def scopes_of(ctx: Context, name: str) -> list[str]:
    """What a name stands for."""
    return [row["_id"] async for row in ctx.db.alert_names.find({"name": name})]


def _day(mjd: float) -> str:
    """Such as 231202; an event without a time counts from today."""
    moment = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=mjd) if mjd > 0 else datetime.now(UTC)
    return moment.strftime("%y%m%d")


def _letters(number: int) -> str:
    """A … Z, AA … ZZ."""
    return _LETTERS[number] if number < 26 else _LETTERS[number // 26 - 1] + _LETTERS[number % 26]
