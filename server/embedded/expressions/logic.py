"""Comparing, boolean operators, conditions, variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from server.embedded.documents import keys
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MISSING, truthy
from server.embedded.expressions.core import (
    MANY,
    Expression,
    Variables,
    arguments,
    compile_expression,
    is_null,
    named_arguments,
    operator,
    plain,
)  # fmt: skip


def _key(value: Any) -> bytes:
    """As expressions compare: missing sorts before null."""
    return keys.UNDEFINED_KEY if value is MISSING else keys.encode(value)


def equal(left: Any, right: Any) -> bool:
    """The $eq of expressions."""
    if type(left) is str and type(right) is str:
        return left == right
    return _key(left) == _key(right)


def _compare(name: str, accept: Callable[[bytes, bytes], bool]) -> None:
    plain(name, 2, None, lambda left, right: accept(_key(left), _key(right)))


plain("$eq", 2, None, equal)
plain("$ne", 2, None, lambda left, right: not equal(left, right))
_compare("$gt", lambda a, b: a > b)
_compare("$gte", lambda a, b: a >= b)
_compare("$lt", lambda a, b: a < b)
_compare("$lte", lambda a, b: a <= b)
plain("$cmp", 2, None, lambda left, right: (_key(left) > _key(right)) - (_key(left) < _key(right)))
plain("$not", 1, None, lambda value: not truthy(value))


@operator("$and")
def _and(operand: Any) -> Expression:
    items = arguments("$and", operand, 0, MANY)
    return lambda document, variables: all(truthy(item(document, variables)) for item in items)


@operator("$or")
def _or(operand: Any) -> Expression:
    items = arguments("$or", operand, 0, MANY)
    return lambda document, variables: any(truthy(item(document, variables)) for item in items)


@operator("$cond")
def _cond(operand: Any) -> Expression:
    if isinstance(operand, Mapping):
        named = named_arguments("$cond", operand, ("if", "then", "else"))
        condition, then, otherwise = named["if"], named["then"], named["else"]
    else:
        condition, then, otherwise = arguments("$cond", operand, 3)

    def value(document: Any, variables: Variables) -> Any:
        chosen = then if truthy(condition(document, variables)) else otherwise
        return chosen(document, variables)

    return value


@operator("$ifNull")
def _if_null(operand: Any) -> Expression:
    items = arguments("$ifNull", operand, 2, MANY)

    def value(document: Any, variables: Variables) -> Any:
        found: Any = MISSING
        for item in items:
            found = item(document, variables)
            if not is_null(found):
                break
        return found

    return value


@operator("$switch")
def _switch(operand: Any) -> Expression:
    if not isinstance(operand, Mapping) or not isinstance(operand.get("branches"), list):
        raise CommandError(Code.FailedToParse, "$switch needs an object with an array of branches")
    branches = [named_arguments("$switch branch", item, ("case", "then")) for item in operand["branches"]]
    default = compile_expression(operand["default"]) if "default" in operand else None

    def value(document: Any, variables: Variables) -> Any:
        for branch in branches:
            if truthy(branch["case"](document, variables)):
                return branch["then"](document, variables)
        if default is None:
            text = "$switch could not find a matching branch for an input, and no default was specified."
            raise CommandError(Code.Location40066, text)
        return default(document, variables)

    return value


@operator("$let")
def _let(operand: Any) -> Expression:
    if not isinstance(operand, Mapping) or set(operand) != {"vars", "in"}:
        raise CommandError(Code.FailedToParse, "$let needs exactly vars and in")
    bound = {name: compile_expression(item) for name, item in operand["vars"].items()}
    inner = compile_expression(operand["in"])

    def value(document: Any, variables: Variables) -> Any:
        values = {name: expression(document, variables) for name, expression in bound.items()}
        return inner(document, {**variables, **values})

    return value


@operator("$literal")
def _literal(operand: Any) -> Expression:
    return lambda document, variables: operand


@operator("$const")
def _const(operand: Any) -> Expression:
    return lambda document, variables: operand
