"""Stages that gather documents: $group, $count, $sortByCount, $bucket, $bucketAuto, $facet."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from server.embedded.documents import keys
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MAX_DOCUMENT_BYTES, MISSING, Document, encode
from server.embedded.expressions import Expression, Variables, compile_expression
from server.embedded.expressions.numbers import integer
from server.embedded.reading.scan import Clock
from server.embedded.stages.accumulators import Accumulator, Compiled, compile_accumulator
from server.embedded.stages.basic import _natural, _object
from server.embedded.stages.registry import STAGES, Builder, Stage, Stream, stage

MEMORY_BYTES = 256 * 1024 * 1024
_ENTRY_BYTES = 400  # about what a group or a held document costs beside its bytes


class _Groups:
    """Accumulators by group key."""

    def __init__(self, fields: Mapping[str, Compiled]) -> None:
        self._fields = list(fields.items())
        self._groups: dict[bytes, tuple[Any, list[Accumulator]]] = {}
        self._bytes = 0

    def add(self, identity: Any, document: Document, variables: Variables) -> None:
        identity = None if identity is MISSING else identity
        key = keys.encode(identity)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = (identity, [make() for _, (make, _) in self._fields])
            self._count_bytes(len(key))
        for (_, (_, expression)), accumulator in zip(self._fields, group[1], strict=True):
            accumulator.add(expression(document, variables))

    def _count_bytes(self, size: int) -> None:
        self._bytes += size + _ENTRY_BYTES
        if self._bytes > MEMORY_BYTES:
            text = "Exceeded memory limit for $group"
            raise CommandError(Code.QueryExceededMemoryLimitNoDiskUseAllowed, text)

    def results(self) -> Stream:
        clock = Clock()
        for identity, accumulators in self._groups.values():
            found = {"_id": identity}
            for (name, _), accumulator in zip(self._fields, accumulators, strict=True):
                found[name] = accumulator.result()
            yield found
            if clock.over():
                yield None


def _accumulated(spec: Mapping[str, Any]) -> dict[str, Compiled]:
    for name in spec:
        if "." in name or name.startswith("$"):
            raise CommandError(
                Code.Location40235, f"The field name '{name}' cannot contain '.' or begin with '$'"
            )
    return {name: compile_accumulator(name, value) for name, value in spec.items()}


def _grouping(identity: Expression, fields: Mapping[str, Compiled]) -> Stage:
    def run(stream: Stream, variables: Variables) -> Stream:
        groups = _Groups(fields)
        for document in stream:
            if document is None:
                yield None
            else:
                groups.add(identity(document, variables), document, variables)
        yield from groups.results()

    return run


@stage("$group")
def _group(operand: Any, builder: Builder) -> Stage:
    spec = _object("$group", operand)
    if "_id" not in spec:
        raise CommandError(Code.Location15955, "a group specification must include an _id")
    fields = {name: value for name, value in spec.items() if name != "_id"}
    return _grouping(compile_expression(spec["_id"]), _accumulated(fields))


@stage("$count")
def _count(operand: Any, builder: Builder) -> Stage:
    if not isinstance(operand, str) or not operand or operand.startswith("$") or "." in operand:
        raise CommandError(
            Code.Location40156, "the count field must be a non-empty string without '$' and '.'"
        )

    def run(stream: Stream, variables: Variables) -> Stream:
        number = 0
        for document in stream:
            if document is None:
                yield None
            else:
                number += 1
        if number:
            yield {operand: integer(number)}

    return run


@stage("$sortByCount")
def _sort_by_count(operand: Any, builder: Builder) -> Stage:
    group = _group({"_id": operand, "count": {"$sum": 1}}, builder)
    sort = STAGES["$sort"]({"count": -1}, builder)
    return lambda stream, variables: sort(group(stream, variables), variables)


@stage("$bucket")
def _bucket(operand: Any, builder: Builder) -> Stage:
    spec = _object("$bucket", operand)
    boundaries, default = spec.get("boundaries"), spec.get("default", MISSING)
    if "groupBy" not in spec or not isinstance(boundaries, list) or len(boundaries) < 2:
        raise CommandError(
            Code.Location40198, "$bucket needs 'groupBy' and an array of at least 2 'boundaries'"
        )
    encoded = list(map(keys.encode, boundaries))
    if any(a >= b for a, b in pairwise(encoded)):
        raise CommandError(Code.Location40194, "the 'boundaries' of $bucket must be in ascending order")
    value = compile_expression(spec["groupBy"])

    def identity(document: Any, variables: Variables) -> Any:
        key = keys.encode(value(document, variables))
        for low, high, name in zip(encoded, encoded[1:], boundaries, strict=False):
            if low <= key < high:
                return name
        if default is MISSING:
            raise CommandError(
                Code.Location40066, "$bucket: a value is outside of the boundaries, and there is no default"
            )
        return default

    return _sorted_groups(identity, _accumulated(spec.get("output") or {"count": {"$sum": 1}}), builder)


def _sorted_groups(identity: Expression, fields: Mapping[str, Compiled], builder: Builder) -> Stage:
    group, sort = _grouping(identity, fields), STAGES["$sort"]({"_id": 1}, builder)
    return lambda stream, variables: sort(group(stream, variables), variables)


@stage("$bucketAuto")
def _bucket_auto(operand: Any, builder: Builder) -> Stage:
    spec = _object("$bucketAuto", operand)
    if "granularity" in spec:
        raise CommandError(
            Code.NotImplemented, "$bucketAuto with granularity is not supported by the embedded store"
        )
    number, value = _natural("$bucketAuto", spec.get("buckets"), 1), compile_expression(spec.get("groupBy"))
    fields = _accumulated(spec.get("output") or {"count": {"$sum": 1}})

    def run(stream: Stream, variables: Variables) -> Stream:
        found: list[tuple[bytes, Any, Document]] = []
        held = _Held("$bucketAuto")
        for document in stream:
            if document is None:
                yield None
                continue
            held.add(document)
            item = value(document, variables)
            found.append((keys.encode(item), None if item is MISSING else item, document))
        found.sort(key=lambda entry: entry[0])
        yield from _even_buckets(found, number, fields, variables)

    return run


def _even_buckets(
    found: list[tuple[bytes, Any, Document]],
    number: int,
    fields: Mapping[str, Compiled],
    variables: Variables,
) -> Stream:
    size, start, made = max(int(len(found) / number + 0.5), 1), 0, 0
    while start < len(found):
        made += 1
        end = min(start + size, len(found)) if made < number else len(found)
        while end < len(found) and found[end][0] == found[end - 1][0]:
            end += 1
        groups = _Groups(fields)
        low, high = found[start][1], found[end][1] if end < len(found) else found[-1][1]
        for _, _, document in found[start:end]:
            groups.add({"min": low, "max": high}, document, variables)
        yield from groups.results()
        start = end


class _Held:
    """Counts the bytes of documents that are kept in memory."""

    def __init__(self, name: str) -> None:
        self._name, self._bytes = name, 0

    def add(self, document: Document) -> None:
        self._bytes += len(encode(document)) + _ENTRY_BYTES
        if self._bytes > MEMORY_BYTES:
            text = f"Exceeded memory limit for {self._name}"
            raise CommandError(Code.QueryExceededMemoryLimitNoDiskUseAllowed, text)


@stage("$facet")
def _facet(operand: Any, builder: Builder) -> Stage:
    spec = _object("$facet", operand)
    facets: dict[str, Stage] = {name: builder.on(stages) for name, stages in spec.items()}

    def run(stream: Stream, variables: Variables) -> Stream:
        documents: list[Document] = []
        held = _Held("$facet")
        for document in stream:
            if document is None:
                yield None
            else:
                held.add(document)
                documents.append(document)
        found: Document = {}
        for name, facet in facets.items():
            results = found[name] = []
            for document in facet(iter(documents), variables):
                if document is None:
                    yield None
                else:
                    results.append(document)
        if len(encode(found)) > MAX_DOCUMENT_BYTES:
            raise CommandError(Code.BSONObjectTooLarge, "the result of $facet is larger than 16 MB")
        yield found

    return run
