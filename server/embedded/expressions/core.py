"""Compiling aggregation expressions to functions of (document, variables).

The operators register themselves in OPERATORS, from the modules of this package; see `compile_expression`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from server.embedded.documents import paths
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MISSING, truthy

Variables = Mapping[str, Any]
Expression = Callable[[Any, Variables], Any]
Compiler = Callable[[Any], Expression]

OPERATORS: dict[str, Compiler] = {}
REMOVE = "REMOVE"  # $$REMOVE is MISSING, and so leaves a field out


def operator(name: str) -> Callable[[Compiler], Compiler]:
    """Register the compiler of an operator's operand."""

    def register(compiler: Compiler) -> Compiler:
        OPERATORS[name] = compiler
        return compiler

    return register


def compile_expression(spec: Any) -> Expression:
    """The function that computes an expression.

    Raises CommandError for an unknown operator or a wrong operand.
    """
    if isinstance(spec, str) and spec.startswith("$"):
        return _compile_path(spec)
    if isinstance(spec, Mapping):
        return _compile_object(spec)
    if isinstance(spec, list):
        return _compile_array(spec)
    return lambda document, variables: spec


def _compile_path(spec: str) -> Expression:
    if spec.startswith("$$"):
        return _compile_variable(spec[2:])
    path = spec[1:]
    if not path or path.startswith(".") or path.endswith(".") or ".." in path or "\0" in path:
        raise CommandError(Code.FieldPathInvalid, f"'{spec}' is not a valid field path")
    parts = paths.split(path)
    if len(parts) == 1:
        return lambda document, variables: document.get(path, MISSING)
    return lambda document, variables: paths.lookup(document, parts)


def _compile_variable(spec: str) -> Expression:
    name, _, rest = spec.partition(".")
    parts = paths.split(rest) if rest else ()
    if name == "CURRENT" or not name:
        return lambda document, variables: paths.lookup(document, parts)
    if name == REMOVE:
        return lambda document, variables: MISSING

    def value(document: Any, variables: Variables) -> Any:
        try:
            root = variables[name]
        except KeyError:
            if name == "ROOT":
                root = document
            else:
                raise CommandError(Code.Location17276, f"Use of undefined variable: {name}") from None
        return paths.lookup(root, parts)

    return value


def _compile_object(spec: Mapping[str, Any]) -> Expression:
    if len(spec) == 1:
        (name,) = spec
        if name.startswith("$"):
            return compile_operator(name, spec[name])
    for name in spec:
        if name.startswith("$"):
            raise CommandError(Code.Location15983, "an expression object has exactly one $operator field")
    fields = [(name, compile_expression(value)) for name, value in spec.items()]

    def value(document: Any, variables: Variables) -> Any:
        found = ((name, expression(document, variables)) for name, expression in fields)
        return {name: item for name, item in found if item is not MISSING}

    return value


def compile_operator(name: str, operand: Any) -> Expression:
    """The function of one operator, e.g. ("$add", ["$a", 1])."""
    compiler = OPERATORS.get(name)
    if compiler is None:
        raise CommandError(Code.InvalidPipelineOperator, f"Unrecognized expression '{name}'")
    return compiler(operand)


def _compile_array(spec: list[Any]) -> Expression:
    items = [compile_expression(item) for item in spec]

    def value(document: Any, variables: Variables) -> Any:
        found = [item(document, variables) for item in items]
        return [None if item is MISSING else item for item in found]

    return value


def arguments(name: str, operand: Any, least: int, most: int | None = None) -> list[Expression]:
    """The compiled arguments of an operator, whose single argument needs no array."""
    items = operand if isinstance(operand, list) else [operand]
    most = least if most is None else most
    if not least <= len(items) <= most:
        takes = f"exactly {least}" if least == most else f"between {least} and {most}"
        text = f"Expression {name} takes {takes} arguments. {len(items)} were passed in."
        raise CommandError(Code.Location16020, text)
    return [compile_expression(item) for item in items]


MANY = 1_000_000


def named_arguments(
    name: str, operand: Any, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, Expression]:
    """The compiled arguments of an operator that takes an object of named ones."""
    if not isinstance(operand, Mapping):
        raise CommandError(Code.FailedToParse, f"{name} needs an object as its argument")
    for key in operand:
        if key not in required and key not in optional:
            raise CommandError(Code.FailedToParse, f"Unrecognized argument to {name}: {key}")
    for key in required:
        if key not in operand:
            raise CommandError(Code.FailedToParse, f"Missing '{key}' parameter to {name}")
    return {key: compile_expression(value) for key, value in operand.items()}


def is_null(value: Any) -> bool:
    return value is None or value is MISSING


def unary(name: str, function: Callable[[Any], Any]) -> None:
    """Register an operator of one argument, which is null for null and missing."""

    @operator(name)
    def compiler(operand: Any) -> Expression:
        (argument,) = arguments(name, operand, 1)

        def value(document: Any, variables: Variables) -> Any:
            item = argument(document, variables)
            return None if is_null(item) else function(item)

        return value


def plain(name: str, least: int, most: int | None, function: Callable[..., Any]) -> None:
    """Register an operator that computes all its arguments, and takes them as they are."""

    @operator(name)
    def compiler(operand: Any) -> Expression:
        items = arguments(name, operand, least, most)
        if len(items) == 2:
            first, second = items
            return lambda document, variables: function(
                first(document, variables), second(document, variables))  # fmt: skip
        return lambda document, variables: function(*[item(document, variables) for item in items])


def compile_condition(spec: Any, variables: Variables) -> Callable[[Mapping[str, Any]], bool]:
    """The function of $expr: is the expression true of a document?"""
    expression = compile_expression(spec)
    return lambda document: truthy(expression(document, variables))
