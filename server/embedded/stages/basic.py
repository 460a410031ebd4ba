"""Stages that take documents one by one: $match, $project, $sort, $unwind and so on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from server.embedded.documents import paths
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.sorting import Sorter, parse_sort, sort_key
from server.embedded.documents.values import MISSING, Document, as_document, decode, encode, is_number
from server.embedded.expressions import Variables, compile_expression
from server.embedded.query import matching, query
from server.embedded.query.projection import Tree, compile_add_fields, compile_projection, exclude, insert
from server.embedded.reading.queries import paced
from server.embedded.stages.registry import Builder, Stage, Stream, mapped, stage


def _object(name: str, operand: Any) -> Mapping[str, Any]:
    if not isinstance(operand, Mapping) or not operand:
        raise CommandError(Code.FailedToParse, f"{name} specification must be a non-empty object")
    return operand


@stage("$match")
def _match(operand: Any, builder: Builder) -> Stage:
    tree = query.parse(operand)
    matches = matching.compile_node(tree)
    computed = any(isinstance(node, query.Computed) for node in tree.children)

    def run(stream: Stream, variables: Variables) -> Stream:
        test = matching.compile_node(tree, variables) if computed and variables else matches
        for document in stream:
            if document is None or test(document):
                yield document

    return run


@stage("$project")
def _project(operand: Any, builder: Builder) -> Stage:
    return mapped(compile_projection(_object("$project", operand)))


@stage("$addFields", "$set")
def _add_fields(operand: Any, builder: Builder) -> Stage:
    return mapped(compile_add_fields(_object("$addFields", operand)))


@stage("$unset")
def _unset(operand: Any, builder: Builder) -> Stage:
    names = operand if isinstance(operand, list) else [operand]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise CommandError(Code.Location31002, "$unset specification must be a string or an array of strings")
    tree: Tree = {}
    for name in names:
        insert(tree, name, True)
    return mapped(lambda document, variables: exclude(tree, document))


@stage("$replaceRoot")
def _replace_root(operand: Any, builder: Builder) -> Stage:
    if not isinstance(operand, Mapping) or list(operand) != ["newRoot"]:
        raise CommandError(Code.Location40229, "$replaceRoot needs an object with exactly newRoot")
    return _replace_with(operand["newRoot"], builder)


@stage("$replaceWith")
def _replace_with(operand: Any, builder: Builder) -> Stage:
    expression = compile_expression(operand)

    def new_root(document: Document, variables: Variables) -> Document:
        found = as_document(expression(document, variables))
        if found is None:
            raise CommandError(Code.Location40228, "'newRoot' expression must evaluate to an object")
        return dict(found)

    return mapped(new_root)


def _natural(name: str, operand: Any, least: int) -> int:
    if not is_number(operand) or int(operand) != operand or operand < least:
        raise CommandError(Code.Location15957, f"invalid argument to {name} stage: {operand}")
    return int(operand)


@stage("$limit")
def _limit(operand: Any, builder: Builder) -> Stage:
    most = _natural("$limit", operand, 1)

    def run(stream: Stream, variables: Variables) -> Stream:
        number = 0
        for document in stream:
            yield document
            number += document is not None
            if number == most:
                return

    return run


@stage("$skip")
def _skip(operand: Any, builder: Builder) -> Stage:
    skipped = _natural("$skip", operand, 0)

    def run(stream: Stream, variables: Variables) -> Stream:
        number = 0
        for document in stream:
            if document is None or number >= skipped:
                yield document
            else:
                number += 1

    return run


@stage("$sort")
def _sort(operand: Any, builder: Builder) -> Stage:
    key = sort_key(parse_sort(operand))

    def run(stream: Stream, variables: Variables) -> Stream:
        sorter = Sorter()
        for document in stream:
            if document is None:
                yield None
            else:
                sorter.add(key(document), encode(document))
        yield from _decoded(paced(sorter.sorted()))

    return run


def _decoded(stream: Iterator[bytes | None]) -> Stream:
    return (None if raw is None else decode(raw) for raw in stream)


@stage("$unwind")
def _unwind(operand: Any, builder: Builder) -> Stage:
    spec = {"path": operand} if isinstance(operand, str) else _object("$unwind", operand)
    path, number_name = spec.get("path"), spec.get("includeArrayIndex")
    if not isinstance(path, str) or not path.startswith("$") or len(path) < 2:
        raise CommandError(Code.Location28818, "path option to $unwind stage should be prefixed with a '$'")
    parts, keep = paths.split(path[1:]), bool(spec.get("preserveNullAndEmptyArrays"))

    def run(stream: Stream, variables: Variables) -> Stream:
        for document in stream:
            if document is None:
                yield None
                continue
            for number, found in _unwound(document, parts, keep):
                yield found if number_name is None else {**found, number_name: number}

    return run


def _unwound(document: Document, parts: paths.Parts, keep: bool) -> Iterator[tuple[int | None, Document]]:
    value = _plain_value(document, parts)
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield number, _replaced(document, parts, item)
        if not value and keep:
            yield None, _replaced(document, parts, MISSING)
    elif (value is not MISSING and value is not None) or keep:
        yield None, document


def _plain_value(node: Any, parts: paths.Parts) -> Any:
    for part in parts:
        inner = as_document(node)
        if inner is None:
            return MISSING
        node = inner.get(part, MISSING)
    return node


def _replaced(document: Mapping[str, Any], parts: paths.Parts, value: Any) -> Document:
    """The document with another value at the path."""
    copied = dict(document)
    if len(parts) > 1:
        copied[parts[0]] = _replaced(as_document(copied[parts[0]]) or {}, parts[1:], value)
    elif value is MISSING:
        copied.pop(parts[0], None)
    else:
        copied[parts[0]] = value
    return copied


@stage("$sample")
def _sample(operand: Any, builder: Builder) -> Stage:
    size = _natural("$sample", _object("$sample", operand).get("size"), 1)

    def run(stream: Stream, variables: Variables) -> Stream:
        kept: list[Document] = []
        number = 0
        for document in stream:
            if document is None:
                yield None
                continue
            number += 1
            if len(kept) < size:
                kept.append(document)
            elif (place := random.randrange(number)) < size:
                kept[place] = document
        random.shuffle(kept)
        yield from kept

    return run


@stage("$documents")
def _documents(operand: Any, builder: Builder) -> Stage:
    expression = compile_expression(operand)

    def run(stream: Stream, variables: Variables) -> Stream:
        found = expression({}, variables)
        if not isinstance(found, list) or any(as_document(item) is None for item in found):
            raise CommandError(Code.Location5858203, "$documents needs an array of objects")
        yield from (dict(item) for item in found)

    return run
