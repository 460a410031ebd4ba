"""Stages that read other collections: $lookup, $graphLookup, $unionWith."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from server.embedded.documents import keys, paths
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MAX_DOCUMENT_BYTES, MISSING, Document, encode
from server.embedded.expressions import Variables, compile_expression
from server.embedded.query.matching import compile_filter
from server.embedded.stages.basic import _object, _replaced
from server.embedded.stages.registry import Builder, Stage, Stream, stage

_MOST_JOINED = 1_000_000


def _name(where: str, spec: Mapping[str, Any], option: str = "from") -> str:
    name = spec.get(option)
    if not isinstance(name, str):
        raise CommandError(
            Code.FailedToParse,
            f"{where} argument '{option}' must be the name of a collection in this database",
        )
    return name


@stage("$lookup")
def _lookup(operand: Any, builder: Builder) -> Stage:
    spec = _object("$lookup", operand)
    unknown = spec.keys() - {"from", "as", "localField", "foreignField", "let", "pipeline"}
    if unknown or not isinstance(spec.get("as"), str):
        raise CommandError(
            Code.FailedToParse,
            f"$lookup needs from, as, and fields or a pipeline; unknown: {sorted(unknown)}",
        )
    fields = "localField" in spec
    if fields != ("foreignField" in spec) or (not fields and "pipeline" not in spec):
        raise CommandError(
            Code.FailedToParse, "$lookup needs both localField and foreignField, or a pipeline"
        )
    name, target = _name("$lookup", spec), paths.split(spec["as"])
    local = paths.split(spec["localField"]) if fields else ()
    bound = {variable: compile_expression(value) for variable, value in (spec.get("let") or {}).items()}
    whole = builder.pipeline(spec["pipeline"]) if "pipeline" in spec and not fields else None
    inner = builder.on(spec["pipeline"]) if "pipeline" in spec and fields else None

    def joined(document: Document, variables: Variables) -> Stream:
        if bound:
            variables = {
                **variables,
                **{k: expression(document, variables) for k, expression in bound.items()},
            }
        if whole is not None:
            return whole(name, variables)
        stream = builder.find(name, _equals(spec["foreignField"], document, local))
        return inner(stream, variables) if inner is not None else stream

    def run(stream: Stream, variables: Variables) -> Stream:
        for document in stream:
            if document is None:
                yield None
                continue
            found: list[Document] = []
            yield from _collect(joined(document, variables), found)
            yield _with_array(document, target, found)

    return run


def _equals(foreign: str, document: Document, local: paths.Parts) -> Mapping[str, Any]:
    """The filter for the documents of the other collection that have one of the local field's values."""
    values: list[Any] = []
    for value in paths.candidates(document, local):
        values += value if isinstance(value, list) else [None if value is MISSING else value]
    if len(values) == 1:
        return {foreign: {"$eq": values[0]}}
    return {foreign: {"$in": values}}


def _collect(stream: Stream, found: list[Document]) -> Iterator[None]:
    for document in stream:
        if document is None:
            yield None
            continue
        found.append(document)
        if len(found) > _MOST_JOINED:
            raise CommandError(Code.Location4568, "too many documents match one $lookup")


def _with_array(document: Document, target: paths.Parts, found: list[Document]) -> Document:
    result = _replaced_deep(document, target, found)
    if len(found) > 1000 and len(encode({"": found})) > MAX_DOCUMENT_BYTES:
        raise CommandError(
            Code.Location4568, "Total size of documents in $lookup exceeds maximum document size"
        )
    return result


def _replaced_deep(document: Document, target: paths.Parts, value: Any) -> Document:
    for depth in range(1, len(target)):
        if not isinstance(paths.lookup_plain(document, target[:depth]), dict):
            document = _replaced(document, target[:depth], {})
    return _replaced(document, target, value)


@stage("$unionWith")
def _union_with(operand: Any, builder: Builder) -> Stage:
    spec = {"coll": operand} if isinstance(operand, str) else _object("$unionWith", operand)
    name = _name("$unionWith", spec, "coll") if "coll" in spec else None
    pipeline = builder.pipeline(spec.get("pipeline") or [])

    def run(stream: Stream, variables: Variables) -> Stream:
        yield from stream
        yield from pipeline(name, variables)

    return run


@stage("$graphLookup")
def _graph_lookup(operand: Any, builder: Builder) -> Stage:
    spec = _object("$graphLookup", operand)
    for option in ("startWith", "connectFromField", "connectToField", "as"):
        if option not in spec:
            raise CommandError(
                Code.FailedToParse, f"missing '{option}' option to $graphLookup stage specification"
            )
    name, start = _name("$graphLookup", spec), compile_expression(spec["startWith"])
    restrict = spec.get("restrictSearchWithMatch") or {}
    compile_filter(restrict)

    def run(stream: Stream, variables: Variables) -> Stream:
        for document in stream:
            if document is None:
                yield None
                continue
            found: dict[bytes, Document] = {}
            value = start(document, variables)
            frontier = value if isinstance(value, list) else [None if value is MISSING else value]
            yield from _walk(spec, name, restrict, frontier, found, builder)
            yield _with_array(document, paths.split(spec["as"]), list(found.values()))

    return run


def _walk(
    spec: Mapping[str, Any], name: str, restrict: Mapping[str, Any], frontier: list[Any],
    found: dict[bytes, Document], builder: Builder,
) -> Iterator[None]:  # fmt: skip
    depth, seen = 0, set()
    while frontier and depth <= spec.get("maxDepth", _MOST_JOINED):
        seen |= set(map(keys.encode, frontier))
        reached: list[Document] = []
        condition = {spec["connectToField"]: {"$in": frontier}}
        yield from _collect(
            builder.find(name, {"$and": [condition, restrict]} if restrict else condition), reached
        )
        frontier = []
        for document in reached:
            key = keys.encode(document["_id"])
            if key in found:
                continue
            found[key] = {**document, spec["depthField"]: depth} if "depthField" in spec else document
            for value in paths.candidates(document, paths.split(spec["connectFromField"])):
                for item in value if isinstance(value, list) else [value]:
                    if item is not MISSING and keys.encode(item) not in seen:
                        frontier.append(item)
        depth += 1
