"""Objects: merging them, and fields with any names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MISSING, as_document, type_alias
from server.embedded.expressions.core import (
    MANY,
    Expression,
    Variables,
    arguments,
    compile_expression,
    is_null,
    operator,
)  # fmt: skip


def merge(values: list[Any]) -> dict[str, Any]:
    """The objects as one; null and missing do not count.

    Raises CommandError for anything else.
    """
    merged: dict[str, Any] = {}
    for value in values:
        if is_null(value):
            continue
        document = as_document(value)
        if document is None:
            text = f"$mergeObjects requires object inputs, but input is of type {type_alias(value)}"
            raise CommandError(Code.Location40400, text)
        merged |= document
    return merged


@operator("$mergeObjects")
def _merge_objects(operand: Any) -> Expression:
    items = arguments("$mergeObjects", operand, 0, MANY)
    single = not isinstance(operand, list)

    def value(document: Any, variables: Variables) -> Any:
        found = [item(document, variables) for item in items]
        return merge(found[0] if single and isinstance(found[0], list) else found)

    return value


def _field(name: str, operand: Any, required: tuple[str, ...]) -> tuple[str, Expression, Expression]:
    """The field's name, the object and the value of $getField and its relatives."""
    spec = operand if isinstance(operand, Mapping) and "field" in operand else {"field": operand}
    if spec.keys() - {"field", "input", "value"} or not set(required) <= spec.keys():
        raise CommandError(Code.FailedToParse, f"{name} needs exactly {', '.join(required)}")
    field = spec["field"]
    if isinstance(field, Mapping) and set(field) in ({"$literal"}, {"$const"}):
        (field,) = field.values()
    elif isinstance(field, str) and field.startswith("$"):
        raise CommandError(
            Code.Location5654600, f"'field' of {name} must be a constant; use $literal for names with $"
        )
    if not isinstance(field, str):
        raise CommandError(Code.Location5654602, f"{name} requires 'field' to evaluate to a string")
    return field, compile_expression(spec.get("input", "$$CURRENT")), compile_expression(spec.get("value"))


@operator("$getField")
def _get_field(operand: Any) -> Expression:
    field, source, _ = _field("$getField", operand, ("field",))

    def value(document: Any, variables: Variables) -> Any:
        found = source(document, variables)
        if is_null(found):
            return None
        inner = as_document(found)
        return MISSING if inner is None else inner.get(field, MISSING)

    return value


def _with_field(name: str, operand: Any, required: tuple[str, ...]) -> Expression:
    field, source, new = _field(name, operand, required)

    def value(document: Any, variables: Variables) -> Any:
        found = source(document, variables)
        if is_null(found):
            return None
        inner = as_document(found)
        if inner is None:
            raise CommandError(Code.Location4161105, f"{name} requires 'input' to evaluate to type Object")
        item = new(document, variables) if "value" in required else MISSING
        rest = dict(inner)
        if item is MISSING:
            rest.pop(field, None)
        else:
            rest[field] = item
        return rest

    return value


@operator("$setField")
def _set_field(operand: Any) -> Expression:
    return _with_field("$setField", operand, ("field", "input", "value"))


@operator("$unsetField")
def _unset_field(operand: Any) -> Expression:
    return _with_field("$unsetField", operand, ("field", "input"))
