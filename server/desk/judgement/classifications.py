"""Classifications: somebody's or some program's judgement of an object, by a taxonomy, for some groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor, in_groups, may, own_groups, seen_groups, visible
from server.desk.common.ids import next_ids
from server.desk.judgement import candidates, taxonomies, votes
from server.desk.objects import objs, sources
from server.desk.people.groups import check_groups
from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind
from server.store.database import Index

__all__ = ["INDEXES", "KIND", "Judgement", "add", "change", "find", "listed", "names_judged", "of_objects",
           "remove", "remove_all", "with_taxonomies"]

INDEXES = [
    Index("desk_classifications", "obj_id", [("obj_id", 1), ("group_ids", 1)]),
    Index("desk_classifications", "created_at", [("created_at", 1), ("_id", 1)]),
    Index("desk_classifications", "group_created", [("group_ids", 1), ("created_at", 1)]),
    Index("desk_classifications", "classification", [("classification", 1), ("group_ids", 1)]),
    Index("desk_classifications", "taxonomy_id", [("taxonomy_id", 1)]),
    events.unlogged("desk_classifications"),
]


@dataclass(frozen=True)
class Judgement:
    """A new classification; without groups it is for those where object and author meet."""

    obj_id: str
    classification: str
    taxonomy_id: int
    probability: float | None = None
    group_ids: Sequence[int] | None = None
    vote: bool = True
    label: bool = True


# -- writing


async def add(ctx: Context, who: Visitor, judgements: Sequence[Judgement]) -> list[int]:
    """Store judgements, all or none; their ids. Raises BadRequest.

    The author votes for each and marks the object as looked at, unless it says otherwise.
    """
    groups = [await _checked(ctx, who, judgement) for judgement in judgements]
    moment = now()
    rows: list[Document] = [
        {"_id": number, "obj_id": one.obj_id, "classification": one.classification,
         "probability": one.probability, "taxonomy_id": one.taxonomy_id, "author_id": who.user_id,
         "author_name": who.username, "group_ids": mine, "created_at": moment, "modified": moment,
         "unlogged": True}
        for number, one, mine in zip(await next_ids(ctx, "classifications", len(groups)), judgements, groups,
                                     strict=True)]
    if rows:
        await ctx.db.desk_classifications.insert_many(rows)
    for one, row in zip(judgements, rows, strict=True):
        if one.vote:
            await votes.cast(ctx, who, row["_id"], 1)
        if one.label:
            await votes.label(ctx, who, one.obj_id, row["group_ids"])
        await events.log_row(ctx, KIND, row)
    return [row["_id"] for row in rows]


async def _checked(ctx: Context, who: Visitor, one: Judgement) -> list[int]:
    """The groups that a judgement is for, after all is checked."""
    await _check_class(ctx, who, one.taxonomy_id, one.classification)
    _check_probability(one.probability)
    if one.group_ids is not None:
        await check_groups(ctx, who, own_groups(who, one.group_ids))
    await objs.find(ctx, one.obj_id)
    return sorted(set(one.group_ids)) if one.group_ids else await _default_groups(ctx, who, one.obj_id)


async def _check_class(ctx: Context, who: Visitor, taxonomy_id: int, name: str) -> None:
    taxonomy = await taxonomies.find(ctx, who, taxonomy_id)
    if name not in taxonomy["classes"]:
        raise BadRequest(f"That classification ({name[:60]}) is not in the allowed classes for the chosen "
                         f"taxonomy (id={taxonomy_id})")


def _check_probability(probability: float | None) -> None:
    if probability is not None and not 0 <= probability <= 1:
        raise BadRequest(f"probability: must be from 0 to 1, not {probability}")


async def _default_groups(ctx: Context, who: Visitor, obj_id: str) -> list[int]:
    """The visitor's groups that keep the object, else those whose filters it passed, else all of them."""
    saved = (await sources.saved_groups(ctx, who, [obj_id])).get(obj_id, [])
    kept = sorted({group["id"] for group in saved if in_groups(who, [group["id"]])})
    if not kept:
        passages = (await candidates.of_objects(ctx, who, [obj_id])).get(obj_id, [])
        kept = sorted({row["group_id"] for row in passages})
    return kept or sorted(who.groups)


async def change(ctx: Context, who: Visitor, number: int, fields: Mapping[str, Any]) -> None:
    """Correct a judgement's class, taxonomy, probability or groups. Raises BadRequest."""
    row = await find(ctx, who, number)
    _check_may(who, row)
    if {"classification", "taxonomy_id"} & set(fields):
        new = {**row, **fields}
        await _check_class(ctx, who, new["taxonomy_id"], new["classification"])
    _check_probability(fields.get("probability"))
    if "group_ids" in fields:
        await check_groups(ctx, who, own_groups(who, fields["group_ids"]))
        if not fields["group_ids"]:
            raise BadRequest("group_ids: name at least one group")
    changed = {**fields, "modified": now(), "unlogged": True}
    await ctx.db.desk_classifications.update_one({"_id": number}, {"$set": changed})
    await events.log_row(ctx, KIND, {**row, **changed})


def _check_may(who: Visitor, row: Document) -> None:
    if not may("classification", who, row):
        raise BadRequest("Insufficient permissions: only the author and admins of its groups may change "
                         f"classification {row['_id']}")


async def remove(ctx: Context, who: Visitor, number: int, label: bool) -> None:
    """Take a judgement back, with its votes. Raises BadRequest."""
    row = await find(ctx, who, number)
    _check_may(who, row)
    await _remove(ctx, who, [row], label)


async def remove_all(ctx: Context, who: Visitor, obj_id: str, label: bool) -> int:
    """Take back all judgements of an object that the visitor may; how many."""
    query = {"$and": [{"obj_id": obj_id}, visible("classification", who)]}
    rows = await ctx.db.desk_classifications.find(query).to_list()
    mine = [row for row in rows if may("classification", who, row)]
    await _remove(ctx, who, mine, label)
    return len(mine)


async def _remove(ctx: Context, who: Visitor, rows: Sequence[Document], label: bool) -> None:
    numbers = [row["_id"] for row in rows]
    await ctx.db.desk_votes.delete_many({"classification_id": {"$in": numbers}})
    await ctx.db.desk_classifications.delete_many({"_id": {"$in": numbers}})
    if label:
        for row in rows:
            await votes.label(ctx, who, row["obj_id"], row["group_ids"])


# -- reading


async def find(ctx: Context, who: Visitor, number: int) -> Document:
    """A classification. Raises BadRequest when there is none that the visitor reads."""
    row: Document | None = await ctx.db.desk_classifications.find_one(
        {"$and": [{"_id": number}, visible("classification", who)]})
    if row is None:
        raise BadRequest(f"Cannot find classification {number}")
    return row


async def listed(ctx: Context, who: Visitor, created: Mapping[str, Any], skip: int,
                 limit: int) -> tuple[list[Document], int]:
    """One page of the judgements of a time that the visitor sees, oldest first, and the number of all."""
    match = {"$and": [{"created_at": created} if created else {}, visible("classification", who)]}
    order = [("created_at", 1), ("_id", 1)]
    found = ctx.db.desk_classifications.find(match, sort=order, skip=skip, limit=limit)
    return await found.to_list(), await ctx.db.desk_classifications.count_documents(match)


async def names_judged(ctx: Context, who: Visitor, created: Mapping[str, Any]) -> list[str]:
    """The objects with a judgement of a time that the visitor sees, by name."""
    match = {"$and": [{"created_at": created} if created else {}, visible("classification", who)]}
    return sorted(await ctx.db.desk_classifications.distinct("obj_id", match))


async def of_objects(ctx: Context, who: Visitor, names: Iterable[str]) -> dict[str, list[Document]]:
    """By object: the judgements that the visitor sees, each with its votes."""
    query = {"$and": [{"obj_id": {"$in": list(names)}}, visible("classification", who)]}
    rows = await ctx.db.desk_classifications.find(query, sort=[("_id", 1)]).to_list()
    cast = await votes.of_classifications(ctx, [row["_id"] for row in rows])
    found: defaultdict[str, list[Document]] = defaultdict(list)
    for row in rows:
        found[row["obj_id"]].append({**shown(who, row), "votes": cast.get(row["_id"], [])})
    return dict(found)


def shown(who: Visitor, row: Document) -> Document:
    """A classification as the API shows it."""
    groups = seen_groups(who, row["group_ids"])
    rest = {name: value for name, value in row.items() if name not in ("_id", "unlogged")}
    return {"id": row["_id"], **rest, "group_ids": groups, "groups": [{"id": number} for number in groups]}


async def with_taxonomies(ctx: Context, who: Visitor, rows: Sequence[Document]) -> list[Document]:
    """Classifications as the API shows them, each with its taxonomy."""
    known = await taxonomies.find_many(ctx, who, sorted({row["taxonomy_id"] for row in rows}))
    trees = {number: taxonomies.shown_taxonomy(who, row) for number, row in known.items()}
    return [{**shown(who, row), "taxonomy": trees.get(row["taxonomy_id"])} for row in rows]


# -- what rules hear of


async def _event(ctx: Context, row: Mapping[str, Any]) -> Event:
    """A judgement as an event; one without a probability is certain."""
    probability = 1.0 if row["probability"] is None else float(row["probability"])
    facts = {"obj_id": row["obj_id"], "classification": row["classification"], "probability": probability,
             "taxonomy_id": row["taxonomy_id"], "author": row["author_name"]}
    return events.made(KIND.name, row["_id"], row["modified"], facts, row["group_ids"])


KIND = register_kind(Kind("classification", {
    "obj_id": "the object's name", "classification": "its class",
    "probability": "from 0 to 1; 1 when none was given", "taxonomy_id": "the taxonomy's id",
    "author": "who judged"}, Source("desk_classifications", _event)))
