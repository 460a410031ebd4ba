"""aggregate, with $out and $merge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from server.embedded.commands.reading import first_batch
from server.embedded.commands.registry import Answer, Context, command, refuse_collation
from server.embedded.commands.writing import run_update
from server.embedded.documents import budget, paths
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MISSING, Document, encode
from server.embedded.expressions import compile_expression
from server.embedded.reading.cursors import FIRST_BATCH
from server.embedded.reading.scan import Clock, Position
from server.embedded.stages.aggregate import Pipeline, Source, compile_pipeline
from server.embedded.stages.registry import Stream
from server.embedded.storage.catalog import Collection
from server.embedded.storage.writes import Steps, Writer


@command("aggregate", transactions=True)
def aggregate(context: Context) -> Steps[Answer]:
    """Run a pipeline on a collection, or (1) on documents of its own."""
    refuse_collation(context.body)
    options = context.body.get("cursor")
    if not isinstance(options, Mapping):
        raise CommandError(Code.FailedToParse, "The 'cursor' option is required")
    pipeline = compile_command(context)
    name = context.body["aggregate"]
    namespace = f"{context.database}.{name if isinstance(name, str) else '$cmd.aggregate'}"
    collection = context.collection() if isinstance(name, str) else None
    position = Position()
    stream = pipeline.run(collection, context.variables(), position)
    if pipeline.output is not None:
        yield from _write(context, pipeline.output, stream)
        stream = iter(())
    size = options.get("batchSize", FIRST_BATCH)
    return (yield from first_batch(context, _encoded(stream), namespace, position, int(size)))


def compile_command(context: Context) -> Pipeline:
    """The pipeline of an aggregate command."""
    source = Source(context.view, context.store.catalog, context.database)
    return compile_pipeline(context.body.get("pipeline"), source, context.body.get("hint"))


def _encoded(stream: Stream) -> Iterator[bytes | None]:
    return (None if document is None else encode(document) for document in stream)


def _write(context: Context, spec: Mapping[str, Any], stream: Stream) -> Steps[None]:
    if context.view.transaction is not None:
        raise CommandError(
            Code.OperationNotSupportedInTransaction, "$out and $merge cannot run in a transaction"
        )
    ((name, operand),) = spec.items()
    if name == "$out":
        yield from _out(context, operand, budget.each(stream))
    else:
        yield from _merge(context, operand, budget.each(stream))


def _target(context: Context, spec: Any) -> tuple[str, str]:
    """Database and collection of `into`."""
    if isinstance(spec, str):
        return context.database, spec
    if isinstance(spec, Mapping) and isinstance(spec.get("coll"), str):
        return spec.get("db", context.database), spec["coll"]
    raise CommandError(
        Code.FailedToParse, "the target must be a collection's name, or an object with db and coll"
    )


def _out(context: Context, operand: Any, stream: Stream) -> Steps[None]:
    """Collect the results in a new collection, which then takes the other's place and indexes."""
    database, name = _target(context, operand)
    catalog = context.store.catalog
    old = catalog.find(database, name)
    temporary = catalog.create(
        database, f"tmp.agg_out.{context.peer.number}.{id(stream)}", dict(old.options) if old else {}
    )
    try:
        for index in list(old.indexes.values()) if old else []:
            if not index.is_id:
                catalog.set_ready(temporary, catalog.add_index(temporary, dict(index.spec)))
        yield from _fill(context, temporary, stream)
    except BaseException:
        catalog.drop(temporary)
        raise
    old = catalog.find(database, name)
    if old is not None:
        catalog.drop(old)
    catalog.rename(temporary, database, name)


def _fill(context: Context, target: Collection, stream: Stream) -> Steps[None]:
    writer, clock = Writer(context.view, context.store.catalog, target), Clock()
    for document in stream:
        if document is not None:
            yield from writer.insert(encode(document))
        if document is None or clock.over():
            yield None


_MATCHED = ("replace", "keepExisting", "merge", "fail")


def _merge(context: Context, operand: Any, stream: Stream) -> Steps[None]:
    spec = operand if isinstance(operand, Mapping) and "into" in operand else {"into": operand}
    database, name = _target(context, spec["into"])
    fields = spec.get("on", "_id")
    fields = [fields] if isinstance(fields, str) else fields
    matched, unmatched = spec.get("whenMatched", "merge"), spec.get("whenNotMatched", "insert")
    if (not isinstance(matched, list) and matched not in _MATCHED) or unmatched not in (
        "insert",
        "discard",
        "fail",
    ):
        raise CommandError(Code.BadValue, "$merge: unknown whenMatched or whenNotMatched")
    collection = context.store.catalog.ensure(database, name)
    _check_on(collection, fields)
    # reading ends before writing begins: the target may be what is read
    held = yield from _collected(stream)
    inner = Context(
        context.store, context.peer, database, "update", {"update": name}, {}, context.view, context.session
    )
    for document in held:
        yield from _merge_one(inner, document, fields, matched, unmatched, spec.get("let"))
        yield None


def _collected(stream: Stream) -> Steps[list[Document]]:
    found = []
    for document in stream:
        if document is None:
            yield None
        else:
            found.append(document)
    return found


def _check_on(collection: Collection, fields: list[str]) -> None:
    for index in collection.indexes.values():
        if index.unique and {path for path, _ in index.fields} == set(fields) and index.partial is None:
            return
    raise CommandError(Code.Location51183, "Cannot find index to verify that join fields will be unique")


def _merge_one(
    context: Context, document: Document, fields: list[str], matched: Any, unmatched: str, let: Any
) -> Steps[None]:
    condition = {}
    for field in fields:
        value = paths.lookup_plain(document, paths.split(field))
        if field != "_id" and (value is MISSING or value is None or isinstance(value, list)):
            raise CommandError(
                Code.Location51132,
                "$merge write error: 'on' field cannot be missing, null, undefined or an array",
            )
        if value is not MISSING:
            condition[field] = {"$eq": value}
    if "_id" in fields and "_id" not in condition:
        condition["_id"] = {"$in": []}
    statement: dict[str, Any] = {"q": condition, "upsert": False}
    change = _when_matched(document, matched)
    statement["u"] = change if change is not None else {"$setOnInsert": {}}
    if isinstance(matched, list):
        statement["c"] = {"new": document} | {
            name: compile_expression(value)(document, {}) for name, value in (let or {}).items()}  # fmt: skip
    result = yield from run_update(context, statement)
    if result.matched:
        if matched == "fail":
            raise CommandError(
                Code.DuplicateKey, "$merge: a matching document exists, and whenMatched is 'fail'"
            )
        return
    if unmatched == "fail":
        raise CommandError(
            Code.Location13113, "$merge could not find a matching document in the target collection"
        )
    if unmatched == "insert":
        target = context.store.catalog.ensure(context.database, context.target())
        yield from Writer(context.view, context.store.catalog, target).insert(encode(document))


def _when_matched(document: Document, matched: Any) -> Any:
    if isinstance(matched, list):
        return matched
    if matched == "replace":
        return document
    if matched == "merge":
        return [{"$replaceWith": {"$mergeObjects": ["$$ROOT", {"$literal": document}]}}]
    return None
