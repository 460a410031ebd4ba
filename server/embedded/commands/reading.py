"""find, getMore, killCursors, count, distinct."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from server.embedded.commands.registry import Answer, Context, command, refuse_collation, time_limit
from server.embedded.documents import keys, paths
from server.embedded.documents.errors import Code, CommandError, NotSupported
from server.embedded.documents.values import MISSING, Document, decode, encode
from server.embedded.documents.wire import cursor_reply
from server.embedded.query.matching import compile_filter
from server.embedded.query.projection import compile_projection
from server.embedded.query.query import parse
from server.embedded.reading import covered
from server.embedded.reading.cursors import FIRST_BATCH, Cursor
from server.embedded.reading.queries import Search, search
from server.embedded.reading.scan import Position, Statistics
from server.embedded.storage.writes import Steps

_REFUSED = ("min", "max", "returnKey", "showRecordId", "tailable", "awaitData", "oplogReplay")


@command("find", transactions=True)
def find(context: Context) -> Steps[Answer]:
    """The matching documents, through a cursor."""
    for option in _REFUSED:
        if context.body.get(option):
            raise NotSupported(f"find with {option}")
    limit = abs(int(context.body.get("limit") or 0))
    size = context.integer("batchSize", FIRST_BATCH)
    position = Position()
    results = find_results(context, limit, position)
    single = bool(context.body.get("singleBatch"))
    return (yield from first_batch(context, results, context.namespace(), position, size, single))


def find_results(
    context: Context, limit: int, position: Position, statistics: Statistics | None = None
) -> Iterator[bytes | None]:
    """The documents of a find command as bytes; None is a pause."""
    found = prepare(context)
    if found is None:
        return iter(())
    skip = context.integer("skip")
    ordered = found.ordered(skip + limit if limit else 0, position, statistics)
    results = _window(ordered, skip, limit)
    projection = context.body.get("projection")
    if projection:
        return _projected(results, projection, found, context.variables())
    return results


def prepare(context: Context) -> Search | None:
    """The search of a find command; None when the collection does not exist."""
    refuse_collation(context.body)
    body, collection = context.body, context.collection()
    if collection is None:
        compile_filter(body.get("filter") or {})  # whose errors are told all the same
        return None
    return search(
        context.view, collection, body.get("filter"), body.get("sort"), body.get("hint"), context.variables()
    )


def _window(results: Iterator[bytes | None], skip: int, limit: int) -> Iterator[bytes | None]:
    if not skip and not limit:
        return results
    return _counted(results, skip, limit)


def _counted(results: Iterator[bytes | None], skip: int, limit: int) -> Iterator[bytes | None]:
    number = 0
    for raw in results:
        if raw is None:
            yield None
            continue
        number += 1
        if number > skip:
            yield raw
            if number == skip + limit:
                return


def _projected(
    results: Iterator[bytes | None], spec: Any, found: Search, variables: Mapping[str, Any]
) -> Iterator[bytes | None]:
    if not isinstance(spec, Mapping):
        raise CommandError(Code.TypeMismatch, "a projection must be an object")
    project = compile_projection(spec, found.tree)
    return (None if raw is None else encode(project(decode(raw), variables)) for raw in results)


def first_batch(
    context: Context, results: Iterator[bytes | None], namespace: str, position: Position, size: int,
    single: bool = False,
) -> Steps[Answer]:  # fmt: skip
    """Begin a cursor, and answer with its first documents."""
    cursor = Cursor(results, namespace, position, context.session, time_limit(context.body))
    cursor.immortal = bool(context.body.get("noCursorTimeout"))
    batch: list[bytes] = []
    if size:
        batch = yield from cursor.batch(size)
    number = 0 if single or cursor.finished else context.store.cursors.add(cursor)
    return cursor_reply(batch, "firstBatch", number, namespace)


@command("getMore", transactions=True)
def get_more(context: Context) -> Steps[Answer]:
    """The next documents of a cursor."""
    namespace = f"{context.database}.{context.body.get('collection')}"
    cursors = context.store.cursors
    cursor = cursors.get(int(context.body["getMore"]), namespace)
    try:
        batch = yield from cursor.batch(context.integer("batchSize"))
    except CommandError:
        cursors.remove(cursor.id)
        raise
    if cursor.finished:
        cursors.remove(cursor.id)
    return cursor_reply(batch, "nextBatch", 0 if cursor.finished else cursor.id, namespace)


@command("killCursors", transactions=True)
def kill_cursors(context: Context) -> Answer:
    """Forget cursors."""
    numbers = context.body.get("cursors") or []
    killed = [number for number in numbers if context.store.cursors.remove(int(number))]
    missing = [number for number in numbers if number not in killed]
    return {"cursorsKilled": killed, "cursorsNotFound": missing, "cursorsAlive": [], "cursorsUnknown": []}


@command("count", transactions=False)
def count(context: Context) -> Steps[Answer]:
    """How many documents match."""
    refuse_collation(context.body)
    collection = context.collection()
    if collection is None:
        return {"n": 0}
    spec, limit, skip = (
        context.body.get("query"),
        abs(int(context.body.get("limit") or 0)),
        context.integer("skip"),
    )
    total = 0
    known = (
        None
        if context.body.get("hint")
        else (yield from covered.count(context.view, collection, parse(spec or {})))
    )
    if known is not None:
        total = known
    else:
        found = search(context.view, collection, spec, hint=context.body.get("hint"))
        for match in found.found():
            if match is None:
                yield None
                continue
            total += 1
            if limit and total >= skip + limit:
                break
    total = max(total - skip, 0)
    return {"n": min(total, limit) if limit else total}


@command("distinct", transactions=True)
def distinct(context: Context) -> Steps[Answer]:
    """The different values of a field."""
    refuse_collation(context.body)
    collection, path = context.collection(), context.body.get("key")
    if not isinstance(path, str):
        raise CommandError(Code.TypeMismatch, "distinct needs a field name 'key'")
    if collection is None:
        return {"values": []}
    values: dict[bytes, Any] = {}
    size = 0
    spec = context.body.get("query")
    documents = yield from covered.distinct(context.view, collection, parse(spec or {}), path)
    for document in _decoded(search(context.view, collection, spec)) if documents is None else documents:
        if document is None:
            yield None
            continue
        for value in _distinct_values(document, paths.split(path)):
            key = keys.encode(value)
            if key not in values:
                values[key] = value
                size += len(key)
        if size > 16 * 1024 * 1024:
            raise CommandError(Code.Location17217, "distinct too big, 16mb cap")
    return {"values": [values[key] for key in sorted(values)]}


def _decoded(found: Search) -> Iterator[Document | None]:
    for match in found.found():
        yield None if match is None else match[2] or decode(match[1])


def _distinct_values(document: Document, parts: paths.Parts) -> Iterator[Any]:
    for value in paths.candidates(document, parts):
        if isinstance(value, list):
            yield from value
        elif value is not MISSING:
            yield value
