"""What a server asks of its database: every shape of query that passes, with one example of each.

    with recording(store_url) as recorder:
        start_server(…, recorder.url, …)
    recorder.shapes

A shape is a query without its values. Writes that look for documents are such queries, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.embedded.documents.wire import Message
from tests.support.mongo.front import Front, Loop, Upstream, documents_of, name_of, running_loop

__all__ = ["Query", "Recorder", "queries_of", "recording", "shape_of"]

Document = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One way of looking for documents; a `pipeline` begins with what is not its first filter."""

    collection: str
    filter: Document
    command: str
    sort: Document = field(default_factory=dict)
    limit: int = 0
    pipeline: tuple[Document, ...] = ()

    def explained(self) -> Document:
        """The command that tells how it is carried out."""
        if self.pipeline:
            stages = [*([{"$match": self.filter}] if self.filter else []), *self.pipeline]
            return {"aggregate": self.collection, "pipeline": stages, "cursor": {}}
        found: Document = {"find": self.collection, "filter": self.filter}
        if self.sort:
            found["sort"] = self.sort
        return found | ({"limit": self.limit} if self.limit else {})


def queries_of(message: Message) -> Iterator[Query]:
    """How a command looks for documents; nothing for those that look for none."""
    body, name = message.body, name_of(message)
    collection = body.get(name)
    if not isinstance(collection, str):
        return
    if name == "distinct" and not body.get("query"):  # goes from value to value
        yield Query(collection, {}, name, {body["key"]: 1}, 1)
    elif name in ("find", "findAndModify", "count", "distinct"):
        wanted = body.get("filter", body.get("query", {}))
        limit = 1 if body.get("singleBatch") or name == "findAndModify" else abs(int(body.get("limit") or 0))
        yield Query(collection, wanted, name, dict(body.get("sort") or {}), limit)
    elif name == "update":
        for one in documents_of(message, "updates"):
            yield Query(collection, one["q"], name, limit=0 if one.get("multi") else 1)
    elif name == "delete":
        for one in documents_of(message, "deletes"):
            yield Query(collection, one["q"], name, limit=one["limit"])
    elif name == "aggregate":
        stages = body["pipeline"]
        first = stages[0].get("$match", {}) if stages else {}
        yield Query(collection, first, name, pipeline=tuple(stages[1:] if first else stages))


def shape_of(query: Query) -> str:
    """The query without its values, as text that sorts."""
    parts = [query.command, query.collection, _conditions(query.filter)]
    parts += [f"sort {query.sort}"] if query.sort else []
    parts += ["limit"] if query.limit else []
    parts += [_bare(list(query.pipeline))] if query.pipeline else []
    return " ".join(parts)


def _conditions(wanted: Mapping[str, Any]) -> str:
    """A filter without its values: names and operators alone."""
    return "{" + ", ".join(f"{name}: {_condition(name, part)}" for name, part in wanted.items()) + "}"


def _condition(name: str, part: Any) -> str:
    if name in ("$or", "$and", "$nor"):
        return "[" + ", ".join(sorted({_conditions(one) for one in part})) + "]"
    is_operators = isinstance(part, Mapping) and any(str(word).startswith("$") for word in part)
    return "{" + ", ".join(f"{word}: ?" for word in part) + "}" if is_operators else "?"


def _bare(value: object) -> str:
    """Stages of a pipeline without their values."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_bare(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dict.fromkeys(_bare(part) for part in value)) + "]"
    return "?"


class Recorder(Front):
    """An address in front of a store, that notes what is looked for."""

    def __init__(self, loop: Loop, url: str) -> None:
        self.shapes: dict[str, Query] = {}
        self.database, self.store_url = "", url
        super().__init__(loop, url)

    @property
    def url(self) -> str:
        return f"mongodb://{self.address}/"

    async def handle(self, upstream: Upstream, message: Message, raw: bytes) -> bytes | None:
        for query in queries_of(message):
            self.database = message.body["$db"]  # a server uses one
            self.shapes.setdefault(shape_of(query), query)
        return await upstream.ask(message, raw)


@contextlib.contextmanager
def recording(url: str) -> Iterator[Recorder]:
    """A recorder in front of a store."""
    with running_loop() as loop:
        recorder = Recorder(loop, url)
        try:
            yield recorder
        finally:
            recorder.stop()
