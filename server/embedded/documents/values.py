"""BSON values as Python objects: how they are decoded, what type they are, equality.

Documents are decoded to plain dicts by PyMongo's C codec, such that encoding gives the same bytes
again: int64 stays Int64, binary subtypes stay Binary, dates outside Python's years stay DatetimeMS.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, Final

import bson
from bson import (
    Binary,
    Code,
    CodecOptions,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion

from server.embedded.documents import errors

Document = dict[str, Any]

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
EPOCH = dt.datetime(1970, 1, 1)
INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)

CODEC: Final[CodecOptions[Document]] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


class Missing:
    """The value of a field that a document does not have."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


class Undefined:
    """What an index holds for an empty array; sorts before null."""


MISSING: Final = Missing()
UNDEFINED: Final = Undefined()

# BSON type number and alias of each Python type, after https://bsonspec.org/spec.html
TYPE_NUMBERS: Final[dict[type, int]] = {
    float: 1, str: 2, dict: 3, list: 4, bytes: 5, Binary: 5, ObjectId: 7, bool: 8, dt.datetime: 9,
    DatetimeMS: 9, type(None): 10, Regex: 11, re.Pattern: 11, DBRef: 3, Timestamp: 17, Int64: 18,
    Decimal128: 19, MinKey: -1, MaxKey: 127,
}  # fmt: skip
TYPE_ALIASES: Final[dict[int, str]] = {
    1: "double", 2: "string", 3: "object", 4: "array", 5: "binData", 6: "undefined", 7: "objectId", 8: "bool",
    9: "date", 10: "null", 11: "regex", 12: "dbPointer", 13: "javascript", 14: "symbol",
    15: "javascriptWithScope", 16: "int", 17: "timestamp", 18: "long", 19: "decimal", -1: "minKey",
    127: "maxKey",
}  # fmt: skip
ALIAS_NUMBERS: Final = {alias: number for number, alias in TYPE_ALIASES.items()}
NUMBER_TYPES: Final = frozenset({1, 16, 18, 19})


def decode(raw: bytes) -> Document:
    """The document of these bytes.

    Raises CommandError(InvalidBSON) when they are no BSON document.
    """
    try:
        return bson.decode(raw, CODEC)
    except (bson.errors.BSONError, ValueError, RecursionError) as error:
        raise errors.CommandError(errors.Code.InvalidBSON, f"not a BSON document: {error}") from None


def encode(document: Mapping[str, Any]) -> bytes:
    """The bytes of a document.

    Raises CommandError(BadValue) when it has something that BSON cannot hold.
    """
    try:
        return bson.encode(document, codec_options=CODEC)
    except (bson.errors.BSONError, OverflowError, ValueError, RecursionError) as error:
        raise errors.CommandError(errors.Code.BadValue, f"cannot be stored as BSON: {error}") from None


def type_number(value: Any) -> int:
    """BSON's type number of a decoded value."""
    kind = type(value)
    if kind is int:
        return 16 if value in INT32 else 18
    if (number := TYPE_NUMBERS.get(kind)) is not None:
        return number
    if isinstance(value, Code):
        return 13 if value.scope is None else 15
    for base, number in TYPE_NUMBERS.items():
        if isinstance(value, base):
            return number
    raise TypeError(f"not a BSON value: {kind.__name__}")


def type_alias(value: Any) -> str:
    """MongoDB's name of the value's type, as $type has it."""
    return "missing" if value is MISSING else TYPE_ALIASES[type_number(value)]


def is_number(value: Any) -> bool:
    """A double, int, long or decimal; not a bool."""
    return isinstance(value, int | float | Decimal128) and value is not True and value is not False


def is_date(value: Any) -> bool:
    return isinstance(value, dt.datetime | DatetimeMS)


def date_millis(value: dt.datetime | DatetimeMS) -> int:
    """Milliseconds since 1970 of a date (a naive one is UTC)."""
    if isinstance(value, DatetimeMS):
        return int(value)
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    delta = value - EPOCH
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000


def as_date(millis: int) -> dt.datetime | DatetimeMS:
    """The date of milliseconds since 1970."""
    try:
        return EPOCH + dt.timedelta(milliseconds=millis)
    except OverflowError:
        return DatetimeMS(millis)


def now() -> dt.datetime:
    """The time in UTC, with the milliseconds that BSON has."""
    found = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def as_document(value: Any) -> Mapping[str, Any] | None:
    """The value if it is an object (the codec makes DBRefs of some objects), else None."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, DBRef):
        return value.as_doc()
    return None


def truthy(value: Any) -> bool:
    """As $cond and $and judge: all but false, null, zero and missing."""
    if value is MISSING or value is None or value is False:
        return False
    if isinstance(value, Decimal128):
        return value.to_decimal() != 0
    return not (isinstance(value, int | float) and value == 0)
