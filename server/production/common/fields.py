"""Checking the fields of a request body, with the texts that IceProd's clients know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from server.common.errors import BadRequest

__all__ = ["Described", "Field", "check_storable", "number", "read_fields", "takes"]

_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "number": (int, float), "bool": (bool,), "list": (list,), "dict": (dict,)}
_MAX_DEPTH = 60
_INT64 = 1 << 63


@dataclass(frozen=True)
class Field:
    """A field of a body: its name, the kind of its value, and whether it must be there."""

    name: str
    kind: str
    required: bool = False
    default: Any = None

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) and self.kind != "bool":
            return False
        return isinstance(value, _KINDS[self.kind])


@dataclass(frozen=True)
class Described:
    """What a method's body looks like, as JSON Schema, for the OpenAPI document."""

    schema: dict[str, Any]


_SCHEMAS: dict[str, dict[str, Any]] = {
    "str": {"type": "string"}, "int": {"type": "integer"}, "number": {"type": "number"},
    "bool": {"type": "boolean"}, "list": {"type": "array"}, "dict": {"type": "object"}}


def takes(*fields: Field, closed: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say what a handler's method takes. It is the method that checks the body."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _SCHEMAS[field.kind] for field in fields},
        "required": [field.name for field in fields if field.required],
    }
    if closed:
        schema["additionalProperties"] = False

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        method.body = Described(schema)  # type: ignore[attr-defined]
        return method

    return mark


def read_fields(body: Mapping[str, Any], fields: Iterable[Field], *, quote: str = "",
                closed: bool = True) -> dict[str, Any]:
    """The values of `fields`, defaults filled in.

    Raises BadRequest: missing first, then wrong types, then (when `closed`) fields that are not known.
    """
    fields = list(fields)
    for field in fields:
        if field.required and field.name not in body:
            raise BadRequest(f"missing key: {field.name}")
    for field in fields:
        if field.name in body and not field.accepts(body[field.name]):
            raise BadRequest(f"key {quote}{field.name}{quote} should be of type {field.kind}")
    unknown = sorted(set(body) - {field.name for field in fields})
    if closed and unknown:
        raise BadRequest(f"invalid keys found: {', '.join(unknown)[:200]}")
    return {field.name: body.get(field.name, field.default) for field in fields}


def number(value: object) -> TypeGuard[float]:
    """Whether a value is a number, which a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_storable(value: Any, depth: int = 0, *, names: bool = True) -> None:
    """Raise BadRequest for what JSON can say and the database cannot keep.

    Without `names` those of fields may be any: of a document that is read and not kept.
    """
    if isinstance(value, dict):
        _check_depth(depth)
        for key, item in value.items():
            if names and ("\0" in key or key.startswith("$")):
                raise BadRequest(f"a name may not begin with $ or hold a NUL character: {key[:40]!r}")
            check_storable(item, depth + 1, names=names)
    elif isinstance(value, list):
        _check_depth(depth)
        for item in value:
            check_storable(item, depth + 1, names=names)
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise BadRequest(f"number too large: {str(value)[:40]}")


def _check_depth(depth: int) -> None:
    if depth >= _MAX_DEPTH:
        raise BadRequest(f"request body is nested deeper than {_MAX_DEPTH}")
