"""Finding candidates: names of objects in the order of the list, newest passage first.

The database finds the passages (by filter, date and place); what is said of the objects elsewhere
(annotations, classifications, who saved them) narrows the names afterwards, each by one query on rows that
the visitor sees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor
from server.desk.judgement import filters, object_conditions
from server.desk.judgement.candidate_query import Place, Search
from server.desk.maps import regions
from server.desk.people.groups import check_groups
from server.rest.context import Context

__all__ = ["Scope", "find_names", "scope_of"]

WALKS = 24  # of the index by place; more would read less that is outside, and cost more than that
BATCH = 5000  # rows; others have their turn in between

_Row = tuple[str, datetime, Any]  # an object's name, when it passed, its pixel at order 29 or None
_making = asyncio.Semaphore(4)  # lists at a time: one of everything may be long


@dataclass(frozen=True)
class Scope:
    """What a list is of: filters, and the groups that "selected" means."""

    filter_ids: list[int]
    group_ids: list[int]


async def scope_of(ctx: Context, who: Visitor, search: Search) -> Scope:
    """The filters and groups that are asked for, by default all of the visitor's.

    Raises BadRequest for a filter or group that the visitor does not see.
    """
    if search.groups is not None:
        await check_groups(ctx, who, search.groups)
    rows = await filters.readable(ctx, who)
    if search.filters is not None:
        if unknown := set(search.filters) - {row["_id"] for row in rows}:
            raise BadRequest(f"filterIDs: no filter {min(unknown)} that you can read")
        rows = [row for row in rows if row["_id"] in set(search.filters)]
    if search.groups is not None:
        rows = [row for row in rows if row["group_id"] in set(search.groups)]
    groups = search.groups if search.groups is not None else sorted({row["group_id"] for row in rows})
    return Scope([row["_id"] for row in rows], groups)


async def find_names(ctx: Context, who: Visitor, search: Search, scope: Scope) -> list[str]:
    """The names of all objects that fulfil the search, each once, in the list's order. Raises BadRequest."""
    async with _making:
        passages = await _passages(ctx, search, scope)
        names = await asyncio.to_thread(_newest_first, passages)
        names = await object_conditions.narrow(ctx, who, search, scope.group_ids, names)
        if search.sort is not None:
            names = await object_conditions.in_order(ctx, who, search.sort, names)
        return names


async def _passages(ctx: Context, search: Search, scope: Scope) -> list[_Row]:
    """All passages in question. The visitor reads the scope's filters, so all their candidates."""
    match: Document = {"filter_id": {"$in": scope.filter_ids}}
    if period := search.passed.query():
        match["passed_at"] = period
    if search.place is None:
        return await _read(ctx, match, "newest")
    return await _inside(ctx, match, search.place)


async def _inside(ctx: Context, match: Document, place: Place) -> list[_Row]:
    """The passages in a region: a walk of the index by place for each of a few ranges that hold it."""
    region = await regions.find_region(ctx, place.dateobs, place.name, place.cumprob)
    member = regions.restrict(region, most=WALKS)
    walks = [_read(ctx, {**match, **part}, "place") for part in member.query["$or"]]
    rows = [row for found in await asyncio.gather(*walks) for row in found]
    if not rows or member.is_exact:
        return rows
    keep = member.keep([pixel for _, _, pixel in rows])
    return [row for row, inside in zip(rows, keep, strict=True) if inside]


async def _read(ctx: Context, match: Document, index: str) -> list[_Row]:
    """Passages by an index that holds all that is asked for; planners may take another for long ranges."""
    fields = {"_id": 0, "obj_id": 1, "passed_at": 1, "hpix29": 1}
    cursor = ctx.db.desk_candidates.find(match, fields, batch_size=BATCH, hint=index)
    return [(row["obj_id"], row["passed_at"], row["hpix29"]) async for row in cursor]


def _newest_first(passages: Iterable[_Row]) -> list[str]:
    """The objects by their newest passage; those of one moment by name."""
    newest: dict[str, datetime] = {}
    for name, moment, _ in passages:
        if name not in newest or moment > newest[name]:
            newest[name] = moment
    return sorted(sorted(newest), key=newest.__getitem__, reverse=True)
