"""Filters, parsed to a tree that the planner reads and `matching` compiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bson import Regex

from server.embedded.documents import keys
from server.embedded.documents.errors import Code, CommandError, NotSupported
from server.embedded.documents.predicates import TESTS, regex_with_options
from server.embedded.documents.values import truthy


@dataclass(frozen=True, slots=True)
class Predicate:
    """One operator on one field, e.g. ("requirements.gpu", "$lte", 2)."""

    path: str
    operator: str
    operand: Any


@dataclass(frozen=True, slots=True)
class Not:
    """All but what the child matches ($not, $ne, $nin)."""

    child: Node


@dataclass(frozen=True, slots=True)
class Every:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """$or; $nor is Not(Some)."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """$expr."""

    expression: Any


@dataclass(frozen=True, slots=True)
class Constant:
    """$alwaysTrue, $alwaysFalse."""

    value: bool


Node = Predicate | Not | Every | Some | Computed | Constant

WHOLE = ("$exists", "$size", "$elemMatch")  # operators on a field as a whole, arrays included
_REFUSED = ("$text", "$where", "$jsonSchema", "$near", "$nearSphere", "$geoWithin", "$geoIntersects")


def path_of(node: Node) -> str | None:
    """The one field that a condition is about."""
    if isinstance(node, Not):
        return path_of(node.child)
    return node.path if isinstance(node, Predicate) else None


def same(left: Node, right: Node) -> bool:
    """Do both mean the same? Operands are compared as BSON's: false is not 0."""
    match left, right:
        case Predicate(), Predicate():
            names = (left.path, left.operator) == (right.path, right.operator)
            return names and keys.equal(left.operand, right.operand)
        case Not(), Not():
            return same(left.child, right.child)
        case Every(mine), Every(theirs):
            return len(mine) == len(theirs) and all(map(same, mine, theirs))
        case Some(mine), Some(theirs):
            return len(mine) == len(theirs) and all(map(same, mine, theirs))
    return isinstance(left, Constant) and left == right


def parse(spec: Any) -> Every:
    """The tree of a filter document.

    Raises CommandError(BadValue) for an unknown operator or a wrong operand.
    """
    if not isinstance(spec, Mapping):
        raise CommandError(Code.TypeMismatch, "a filter must be an object")
    return Every(tuple(node for name, value in spec.items() for node in _parse_entry(name, value)))


def _parse_entry(name: str, value: Any) -> Iterator[Node]:
    if not name.startswith("$"):
        yield from _parse_field(name, value)
    elif name in ("$and", "$or", "$nor"):
        yield _parse_logical(name, value)
    elif name == "$expr":
        yield Computed(value)
    elif name in ("$alwaysTrue", "$alwaysFalse"):
        yield Constant(name == "$alwaysTrue")
    elif name == "$comment":
        return
    elif name in _REFUSED:
        raise NotSupported(name)
    else:
        raise CommandError(Code.BadValue, f"unknown top level operator: {name}")


def _parse_logical(name: str, value: Any) -> Node:
    if not isinstance(value, list) or not value:
        raise CommandError(Code.BadValue, f"{name} must be a nonempty array")
    children = tuple(map(parse, value))
    if name == "$and":
        return Every(children)
    return Some(children) if name == "$or" else Not(Some(children))


def _parse_field(path: str, value: Any) -> Iterator[Node]:
    if isinstance(value, Regex):
        yield Predicate(path, "$regex", value)
    elif is_operators(value):
        yield from parse_operators(path, value)
    else:
        yield Predicate(path, "$eq", value)


def is_operators(value: Any) -> bool:
    """Is it {$gt: …}, rather than an object to be equal to?"""
    return isinstance(value, Mapping) and bool(value) and next(iter(value)).startswith("$")


def parse_operators(path: str, operators: Mapping[str, Any]) -> Iterator[Node]:
    for name, operand in operators.items():
        if name == "$ne":
            yield Not(Predicate(path, "$eq", operand))
        elif name == "$nin":
            yield Not(Predicate(path, "$in", _checked("$nin", operand)))
        elif name == "$not":
            yield Not(_parse_not(path, operand))
        elif name == "$regex":
            yield Predicate(path, "$regex", regex_with_options(operand, operators.get("$options")))
        elif name == "$options":
            if "$regex" not in operators:
                raise CommandError(Code.BadValue, "$options needs a $regex")
        elif name == "$exists" and not truthy(operand):
            yield Not(Predicate(path, "$exists", True))
        elif name == "$elemMatch":
            yield Predicate(path, "$elemMatch", _checked_object(name, operand))
        elif name == "$all":
            yield _parse_all(path, _checked(name, operand))
        elif name in TESTS or name in WHOLE:
            yield Predicate(path, name, _checked(name, operand))
        elif name in _REFUSED or name.startswith("$geo"):
            raise NotSupported(name)
        elif name != "$comment":
            raise CommandError(Code.BadValue, f"unknown operator: {name}")


def _parse_all(path: str, operand: list[Any]) -> Node:
    """$all: each of these among all values of the path, which different elements of an array may be."""
    children = tuple(node for item in operand for node in _parse_all_item(path, item))
    return Every(children) if children else Constant(False)


def _parse_all_item(path: str, item: Any) -> Iterator[Node]:
    if is_operators(item) and list(item) != ["$elemMatch"]:
        raise CommandError(Code.BadValue, "no $ expressions in $all")
    yield from _parse_field(path, item)


def _parse_not(path: str, operand: Any) -> Node:
    if isinstance(operand, Regex):
        return Predicate(path, "$regex", operand)
    if not is_operators(operand):
        raise CommandError(Code.BadValue, "$not needs a regex or a document of operators")
    return Every(tuple(parse_operators(path, operand)))


def _checked(name: str, operand: Any) -> Any:
    if name in ("$in", "$nin", "$all") and not isinstance(operand, list):
        raise CommandError(Code.BadValue, f"{name} needs an array")
    if name in ("$in", "$nin") and any(is_operators(item) for item in operand):
        raise CommandError(Code.BadValue, f"cannot nest $ under {name}")
    return operand


def _checked_object(name: str, operand: Any) -> Mapping[str, Any]:
    if not isinstance(operand, Mapping):
        raise CommandError(Code.BadValue, f"{name} needs an Object")
    return operand
