"""Types and conversions between them."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Callable, Mapping
from typing import Any

import bson
from bson import Binary, Decimal128, Int64, ObjectId

from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import (
    EPOCH,
    INT32,
    INT64,
    MISSING,
    TYPE_ALIASES,
    as_date,
    as_document,
    date_millis,
    encode,
    is_date,
    is_number,
    type_alias,
)
from server.embedded.expressions.core import (
    Expression,
    Variables,
    arguments,
    compile_expression,
    is_null,
    operator,
    plain,
)  # fmt: skip
from server.embedded.expressions.numbers import as_decimal128, to_decimal, to_float

plain("$type", 1, None, type_alias)
plain("$isNumber", 1, None, lambda value: value is not MISSING and is_number(value))


def _failed(value: Any, target: str) -> CommandError:
    text = (
        f"Unsupported conversion from {type_alias(value)} to {target} in $convert, of the value {value!r:.80}"
    )
    return CommandError(Code.ConversionFailure, text)


def to_string(value: Any) -> str:
    """Any scalar as a string.

    Raises CommandError(ConversionFailure).
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, str | int | ObjectId | Decimal128):
        return str(value)
    if is_date(value):
        return iso_text(value)
    raise _failed(value, "string")


def _float_text(value: float) -> str:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = repr(value)
    return "NaN" if value != value else text.removesuffix(".0")


def iso_text(value: Any) -> str:
    """A date as 2026-01-02T03:04:05.678Z."""
    date = as_date(date_millis(value))
    if not isinstance(date, dt.datetime):
        raise _failed(value, "string")
    return f"{date:%Y-%m-%dT%H:%M:%S}.{date.microsecond // 1000:03d}Z".rjust(24, "0")


def _integer(target: str, allowed: range, make: Callable[[int], Any]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if is_date(value) and target == "long":
            return Int64(date_millis(value))
        try:
            if isinstance(value, str):
                if value.strip() != value or "_" in value:
                    raise ValueError
                number = int(value)
            elif isinstance(value, bool | int):
                number = int(value)
            elif isinstance(value, float | Decimal128):
                number = int(value if isinstance(value, float) else value.to_decimal())
            else:
                raise _failed(value, target)
        except (ValueError, OverflowError, decimal.InvalidOperation):
            raise _failed(value, target) from None
        if number not in allowed:
            raise _failed(value, target)
        return make(number)

    return convert


def _to_double(value: Any) -> float:
    if is_date(value):
        return float(date_millis(value))
    if is_number(value) or isinstance(value, bool):
        return to_float(value)
    try:
        if isinstance(value, str) and value.strip() == value and "_" not in value:
            return float(value)
    except ValueError:
        pass
    raise _failed(value, "double")


def _to_decimal(value: Any) -> Decimal128:
    if is_date(value):
        return Decimal128(str(date_millis(value)))
    if isinstance(value, bool):
        return Decimal128(str(int(value)))
    if is_number(value):
        return value if isinstance(value, Decimal128) else as_decimal128(to_decimal(value))
    try:
        if isinstance(value, str):
            return Decimal128(value)
    except decimal.InvalidOperation:
        pass
    raise _failed(value, "decimal")


def _to_bool(value: Any) -> bool:
    if is_number(value):
        return to_float(value) != 0
    return bool(value) if isinstance(value, bool) else True


def parse_date(text: str) -> dt.datetime:
    """A date from ISO 8601 text.

    Raises CommandError(ConversionFailure).
    """
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise _failed(text, "date") from None
    if found.tzinfo is not None:
        found = found.astimezone(dt.UTC).replace(tzinfo=None)
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def _to_date(value: Any) -> Any:
    if is_date(value):
        return value
    if isinstance(value, str):
        return parse_date(value)
    if isinstance(value, ObjectId):
        return value.generation_time.replace(tzinfo=None)
    if isinstance(value, bson.Timestamp):
        return EPOCH + dt.timedelta(seconds=value.time)
    if is_number(value) and (type(value) is not int or value not in INT32):
        return as_date(int(to_float(value)))
    raise _failed(value, "date")


def _to_object_id(value: Any) -> ObjectId:
    try:
        if isinstance(value, ObjectId):
            return value
        if isinstance(value, str):
            return ObjectId(value)
    except bson.errors.InvalidId:
        pass
    raise _failed(value, "objectId")


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "int": _integer("int", INT32, int),
    "long": _integer("long", INT64, Int64),
    "double": _to_double,
    "decimal": _to_decimal,
    "string": to_string,
    "bool": _to_bool,
    "date": _to_date,
    "objectId": _to_object_id,
}
_SHORT = {
    "$toInt": "int", "$toLong": "long", "$toDouble": "double", "$toDecimal": "decimal", "$toString": "string",
    "$toBool": "bool", "$toDate": "date", "$toObjectId": "objectId",
}  # fmt: skip


def _short(name: str, target: str) -> None:
    convert = _CONVERSIONS[target]

    @operator(name)
    def compiler(operand: Any) -> Expression:
        (argument,) = arguments(name, operand, 1)

        def value(document: Any, variables: Variables) -> Any:
            found = argument(document, variables)
            return None if is_null(found) else convert(found)

        return value


for _name, _target in _SHORT.items():
    _short(_name, _target)


@operator("$convert")
def _convert(operand: Any) -> Expression:
    if not isinstance(operand, Mapping) or not {"input", "to"} <= operand.keys():
        raise CommandError(Code.FailedToParse, "$convert needs input and to")
    if operand.keys() - {"input", "to", "onError", "onNull"}:
        raise CommandError(Code.FailedToParse, "$convert takes input, to, onError and onNull")
    compiled = {name: compile_expression(value) for name, value in operand.items()}

    def value(document: Any, variables: Variables) -> Any:
        found, target = compiled["input"](document, variables), compiled["to"](document, variables)
        if is_null(found) or is_null(target):
            return compiled["onNull"](document, variables) if "onNull" in compiled else None
        name = TYPE_ALIASES.get(int(target), "") if is_number(target) else target
        if name not in _CONVERSIONS:
            raise CommandError(Code.BadValue, f"Unknown type name: {target}")
        try:
            return _CONVERSIONS[name](found)
        except CommandError:
            if "onError" not in compiled:
                raise
            return compiled["onError"](document, variables)

    return value


def _binary_size(value: Any) -> Any:
    if is_null(value):
        return None
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bytes | Binary):
        return len(value)
    raise CommandError(Code.Location51276, "$binarySize requires a string or BinData argument")


plain("$binarySize", 1, None, _binary_size)


def _bson_size(value: Any) -> Any:
    if is_null(value):
        return None
    document = as_document(value)
    if document is None:
        raise CommandError(Code.Location31393, "$bsonSize requires a document input")
    return len(encode(document))


plain("$bsonSize", 1, None, _bson_size)
