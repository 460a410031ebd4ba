"""Which queries read a whole collection, or a whole index, of a kind that grows with what the system does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pymongo
from pymongo.errors import OperationFailure

from server.sharding import fields_of
from tests.support.mongo.recorder import Query

__all__ = ["SMALL", "WHOLE", "scans"]

_PEOPLE, _SETUP = "people, and what they are in", "set up by people, once"
SMALL = {
    "grids": "one for each site",
    "task_classes": "those that tasks are in just now",
    "quarantine": "hosts, sites and datasets that fail just now",
    "revocations": "forgotten when the tokens would have ended anyway",
    "leases": "one for each service", "servers": "one for each server process",
    "breakers": "one for each thing outside that has failed",
    "schedule": _SETUP, "rules": _SETUP, "notification_rules": _SETUP,
    "users": _PEOPLE, "groups": _PEOPLE, "roles": _PEOPLE,
    "desk_users": _PEOPLE, "desk_groups": _PEOPLE, "desk_streams": _PEOPLE,
    "desk_filters": _SETUP, "desk_taxonomies": _SETUP, "desk_telescopes": _SETUP, "desk_instruments": _SETUP,
    "desk_allocations": _SETUP, "desk_analysis_services": _SETUP,
}
"""Collections that may be read whole, and why."""

_COUNT = "[{$group: {_id: ?, n: {$sum: ?}}}]"
_ALL, _NUMBER = "who asks for all of them gets them", "how many there are is told to who may see all"
WHOLE = {
    "find desk_jobs {$and: [{kind: {$in: ?}}, {}]} sort {'_id': -1} limit":
        "an administrator's list of imports: goes through the newest jobs until a page is full",
    "find desk_followup_requests {$and: [{obj_id: {$regex: ?, $options: ?}}, {}]} sort {'_id': -1} limit":
        "a part of a name: goes through the newest requests until a page is full",
    "find desk_spectra {$and: [{obj_id: {$in: ?}}, {}]} sort {'_id': 1}":
        "our store walks a small collection in its order; a large one by its index of objects",
    "distinct desk_classifications {$and: [{}]}": _ALL,
    "find datasets {}": _ALL, "find pilots {}": _ALL, "find tasks {}": _ALL,
    f"aggregate desk_classifications {{$and: [{{}}]}} {_COUNT}": _NUMBER,
    f"aggregate desk_followup_requests {{$and: [{{}}]}} {_COUNT}": _NUMBER,
    f"aggregate desk_observation_plans {{$and: [{{}}]}} {_COUNT}": _NUMBER,
}
"""Shapes that read all, and why they may."""


def scans(shapes: Mapping[str, Query], url: str, database: str) -> list[str]:
    """The shapes that would read all of what grows, each with the index that is read, if any."""
    with pymongo.MongoClient(url) as client:
        is_ours = "iceprod-embedded" in client.server_info().get("modules", ())
        db = client[database]
        return sorted(f"{shape}   [{how}]" for shape, query in dict(shapes).items()  # while more come
                      if query.collection not in SMALL and shape not in WHOLE
                      and (is_ours or fields_of(query.filter))
                      for how in _whole(query, _plan(db, query)))


def _plan(db: Any, query: Query) -> Mapping[str, Any]:
    """How a query is carried out. One that is refused, as clients may send some, reads nothing."""
    try:
        explained: Mapping[str, Any] = db.command("explain", query.explained())["queryPlanner"]["winningPlan"]
    except OperationFailure as error:
        if error.code == 2:
            return {"stage": "EOF"}
        raise
    return explained


def _whole(query: Query, plan: Mapping[str, Any]) -> Iterator[str]:
    """What a query reads from end to end.

    That is neither the first of all documents, in an index's order, nor their number, which is kept. Only our
    own store says by how many fields an index is bounded, and walks one for the order's sake.
    """
    for leaf in _leaves(plan):
        is_scan = leaf["stage"] == "COLLSCAN" or leaf.get("boundedFields") == 0
        is_walk = query.limit and (leaf["stage"] != "COLLSCAN" or not query.sort)
        if is_scan and (fields_of(query.filter) or not (is_walk or query.command == "count")):
            yield leaf.get("indexName", "no index")


def _leaves(stage: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """The stages of a plan that read."""
    inner = [*stage.get("inputStages", ()), *([stage["inputStage"]] if "inputStage" in stage else [])]
    return [leaf for one in inner for leaf in _leaves(one)] if inner else [stage]
