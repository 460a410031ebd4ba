"""Which queries read a whole collection, or a whole index, of a kind that grows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pymongo

from tests.support.mongo.recorder import Query

__all__ = ["SMALL", "WHOLE", "scans", "stages"]

SMALL: dict[str, str] = {}

WHOLE: dict[str, str] = {}


def scans(url: str, database: str, shapes: Mapping[str, Query]) -> list[str]:
    """The shapes that would read all of what grows, each with the index that is read, if any."""
    with pymongo.MongoClient(url) as client:
        db = client[database]
        return sorted(f"{shape}   [{how}]" for shape, query in shapes.items()
                      if query.collection not in SMALL and shape not in WHOLE
                      for how in _whole(query, stages(db.command("explain", query.explained()))))


def stages(explained: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The leaves of a plan: what is read."""
    return list(_leaves(explained["queryPlanner"]["winningPlan"]))


def _leaves(stage: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    inner = [*stage.get("inputStages", ()), *([stage["inputStage"]] if "inputStage" in stage else [])]
    if not inner:
        yield stage
    for one in inner:
        yield from _leaves(one)


def _whole(query: Query, leaves: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What a query reads from end to end. The first of all documents, in an index's order, are not that."""
    for leaf in leaves:
        is_scan = leaf["stage"] == "COLLSCAN" or leaf.get("boundedFields") == 0
        is_walk = not query.filter and query.limit and leaf["stage"] != "COLLSCAN"
        if is_scan and not is_walk:
            yield leaf.get("indexName", "no index")
