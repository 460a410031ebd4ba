"""Updates: operators, replacements and pipelines, compiled once and applied to decoded documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bson import ObjectId

from server.embedded.documents import keys, paths
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MISSING, Document, as_document
from server.embedded.query import matching, query
from server.embedded.query.update_operators import OPERATORS, Change

Transform = Callable[[Document], Document]


@dataclass(frozen=True, slots=True)
class Step:
    """One operator at one path, e.g. ("$inc", ("requirements", "cpu"), change)."""

    operator: str
    parts: paths.Parts
    change: Change


class Update:
    """A compiled update.

    `paths` are the dotted names that it may change, None when it may change everything.
    """

    paths: tuple[str, ...] | None = None
    needs_position = False

    def apply(self, document: Document, tree: query.Node, inserting: bool = False) -> Document:
        """The changed document; the given one may be changed in place."""
        raise NotImplementedError

    def for_upsert(self, tree: query.Every) -> Document:
        """The document that an upsert inserts when nothing matches."""
        base = equalities(tree)
        document = self.apply(base, tree, inserting=True)
        if "_id" not in document:
            return {"_id": ObjectId(), **document}
        return {"_id": document["_id"], **document}


def compile_update(spec: Any, array_filters: Sequence[Any] = (), pipeline: Transform | None = None) -> Update:
    """The update that a statement's `u` describes; `pipeline` is the compiled one when it is an array.

    Raises CommandError for unknown operators, conflicting paths and unused array filters.
    """
    if pipeline is not None:
        return PipelineUpdate(pipeline)
    if not isinstance(spec, Mapping):
        raise CommandError(Code.FailedToParse, "an update must be an object or an array of stages")
    if next(iter(spec), "").startswith("$"):
        return OperatorUpdate(spec, array_filters)
    for name in spec:
        if name.startswith("$"):
            raise CommandError(
                Code.DollarPrefixedFieldName, f"The dollar ($) prefixed field '{name}' is not allowed"
            )
    return Replacement(dict(spec))


class Replacement(Update):
    """Another document, but for the _id."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def apply(self, document: Document, tree: query.Node, inserting: bool = False) -> Document:
        new = dict(self._document)
        if "_id" in document:
            _check_id(document["_id"], new.get("_id", document["_id"]))
            return {"_id": document["_id"], **{k: v for k, v in new.items() if k != "_id"}}
        return new

    def for_upsert(self, tree: query.Every) -> Document:
        found = equalities(tree)
        new = self.apply({"_id": found["_id"]} if "_id" in found else {}, tree)
        return {"_id": new.get("_id", ObjectId()), **new}


class PipelineUpdate(Update):
    """The stages of an aggregation, on each document."""

    def __init__(self, transform: Transform) -> None:
        self._transform = transform

    def apply(self, document: Document, tree: query.Node, inserting: bool = False) -> Document:
        new = self._transform(document)
        if "_id" in document:
            _check_id(document["_id"], new.get("_id", document["_id"]))
            return {"_id": document["_id"], **{k: v for k, v in new.items() if k != "_id"}}
        return new


class OperatorUpdate(Update):
    """$set and its relatives."""

    def __init__(self, spec: Mapping[str, Any], array_filters: Sequence[Any]) -> None:
        self._filters = _compile_array_filters(array_filters)
        steps = [step for name, fields in spec.items() for step in _parse_operator(name, fields)]
        _check_conflicts(steps)
        self._steps = steps  # in the order that is written; MongoDB sorts them by name
        self.needs_position = any("$" in step.parts for step in steps)
        self._placeholders = any(_is_placeholder(part) for step in steps for part in step.parts)
        self.paths = tuple(_fixed_path(step.parts) for step in steps)
        self._touches_id = any(step.parts[0] == "_id" for step in steps)
        self._check_filters_used()

    def _check_filters_used(self) -> None:
        used = {part[2:-1] for step in self._steps for part in step.parts if part.startswith("$[")} - {""}
        for name in self._filters.keys() - used:
            text = f"The array filter for identifier '{name}' was not used in the update"
            raise CommandError(Code.FailedToParse, text)
        for name in used - self._filters.keys():
            raise CommandError(Code.BadValue, f"No array filter found for identifier '{name}'")

    def apply(self, document: Document, tree: query.Node, inserting: bool = False) -> Document:
        old_id = document.get("_id", MISSING)
        position = matching.position(tree, document) if self.needs_position else None
        for step in self._steps:
            if step.operator == "$setOnInsert" and not inserting:
                continue
            if self._placeholders:
                for parts in list(self._resolve(document, step.parts, position)):
                    step.change(document, parts)
            else:
                step.change(document, step.parts)
        if self._touches_id and old_id is not MISSING:
            _check_id(old_id, document.get("_id", MISSING))
        return document

    def _resolve(self, document: Document, parts: paths.Parts, position: int | None) -> Iterator[paths.Parts]:
        """The paths with numbers in place of $, $[] and $[name]."""
        for at, part in enumerate(parts):
            if not _is_placeholder(part):
                continue
            array = paths.lookup_plain(document, parts[:at])
            for number in self._numbers(array, part, position, parts):
                yield from self._resolve(document, (*parts[:at], str(number), *parts[at + 1 :]), position)
            return
        yield parts

    def _numbers(self, array: Any, part: str, position: int | None, parts: paths.Parts) -> Sequence[int]:
        if part == "$":
            if position is None:
                text = "The positional operator did not find the match needed from the query."
                raise CommandError(Code.BadValue, text)
            return [position]
        if not isinstance(array, list):
            text = f"The path '{'.'.join(parts)}' must exist in the document in order to apply array updates."
            raise CommandError(Code.BadValue, text)
        if part == "$[]":
            return range(len(array))
        matches = self._filters[part[2:-1]]
        return [number for number, element in enumerate(array) if matches(element)]


def _parse_operator(name: str, fields: Any) -> Iterator[Step]:
    compiler = OPERATORS.get(name)
    if compiler is None:
        text = f"Unknown modifier: {name}. Expected a valid update modifier, or an array of stages"
        raise CommandError(Code.FailedToParse, text)
    if not isinstance(fields, Mapping):
        text = f"Modifiers operate on fields but we found type {type(fields).__name__} instead, for {name}"
        raise CommandError(Code.FailedToParse, text)
    for path, operand in fields.items():
        parts = _checked_path(path)
        yield Step(name, parts, compiler(path, operand))
        if name == "$rename":
            # the other end may not be touched by other operators, either
            yield Step(name, _checked_path(operand), lambda document, parts: None)


@lru_cache(maxsize=4096)
def _checked_path(path: str) -> paths.Parts:
    parts = paths.split(path)
    if "" in parts:
        raise CommandError(
            Code.EmptyFieldName,
            f"The update path '{path}' contains an empty field name, which is not allowed.",
        )
    if parts[0].startswith("$"):
        text = f"The update path '{path}' begins with a positional operator or a $, which is not allowed"
        raise CommandError(Code.BadValue if parts[0] == "$" else Code.DollarPrefixedFieldName, text)
    return parts


def _check_conflicts(steps: Sequence[Step]) -> None:
    seen: list[paths.Parts] = []
    for step in sorted(step.parts for step in steps):
        if seen and step[: len(seen[-1])] == seen[-1]:
            text = f"Updating the path '{'.'.join(step)}' would create a conflict at '{'.'.join(seen[-1])}'"
            raise CommandError(Code.ConflictingUpdateOperators, text)
        seen.append(step)


def _is_placeholder(part: str) -> bool:
    """$, $[] or $[name]; not the $id of a reference."""
    return part == "$" or part.startswith("$[")


@lru_cache(maxsize=4096)
def _fixed_path(parts: paths.Parts) -> str:
    """The path before the first placeholder or number, which is what indexes see."""
    fixed = []
    for part in parts:
        if _is_placeholder(part) or paths.is_index(part):
            break
        fixed.append(part)
    return ".".join(fixed)


def _compile_array_filters(filters: Sequence[Any]) -> dict[str, Callable[[Any], bool]]:
    found: dict[str, Callable[[Any], bool]] = {}
    for spec in filters:
        names = {path.split(".")[0] for path in _filter_paths(query.parse(spec))}
        if len(names) != 1:
            raise CommandError(Code.FailedToParse, "an array filter must be about exactly one identifier")
        (name,) = names
        if name in found:
            raise CommandError(
                Code.FailedToParse, f"Found multiple array filters with the identifier '{name}'"
            )
        found[name] = _array_filter(name, matching.compile_filter(spec))
    return found


def _array_filter(name: str, matches: matching.Matcher) -> Callable[[Any], bool]:
    return lambda element: matches({name: element})


def _filter_paths(node: query.Node) -> Iterator[str]:
    match node:
        case query.Predicate(path):
            yield path
        case query.Not(child):
            yield from _filter_paths(child)
        case query.Every(children) | query.Some(children):
            for child in children:
                yield from _filter_paths(child)


def equalities(tree: query.Node) -> Document:
    """The fields that a filter fixes: what an upsert starts with."""
    document: Document = {}
    for path, value in _fixed_values(tree):
        _put(document, paths.split(path), value, path)
    return document


def _fixed_values(node: query.Node) -> Iterator[tuple[str, Any]]:
    match node:
        case query.Every(children):
            for child in children:
                yield from _fixed_values(child)
        case query.Some((only,)):
            yield from _fixed_values(only)
        case query.Predicate(path, "$eq", operand):
            yield path, operand
        case query.Predicate(path, "$in", [operand]) if not query.is_operators(operand):
            yield path, operand


def _put(document: Document, parts: paths.Parts, value: Any, path: str) -> None:
    node = document
    for part in parts[:-1]:
        child = as_document(node.setdefault(part, {}))
        if not isinstance(child, dict):
            raise CommandError(
                Code.BadValue, f"cannot infer query fields to set, path '{path}' is matched twice"
            )
        node = child
    if parts[-1] in node and not keys.equal(node[parts[-1]], value):
        raise CommandError(Code.BadValue, f"cannot infer query fields to set, path '{path}' is matched twice")
    node[parts[-1]] = value


def _check_id(old: Any, new: Any) -> None:
    if new is MISSING or keys.encode(old) != keys.encode(new):
        text = "Performing an update on the path '_id' would modify the immutable field '_id'"
        raise CommandError(Code.ImmutableField, text)
