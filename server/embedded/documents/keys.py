"""Order-preserving keys: bytes whose memcmp order is BSON's order of the values.

`encode(a) < encode(b)` exactly when MongoDB sorts `a` before `b`, and they are equal exactly when
MongoDB takes the values for equal (1, 1.0 and Decimal128("1.00") have one key). The codes are
prefix-free, so they can be concatenated for compound indexes, and inverted bit by bit for
descending fields. The first byte is the type's rank, 0x01 … 0xF0, so that 0x00 can end a sequence
and 0xFF lies behind everything.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from bson import (
    Binary,
    Code,
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

from server.embedded.documents.values import Missing, Undefined, date_millis

# https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
MINKEY, UNDEFINED_RANK, NULL, NUMBER, STRING, OBJECT, ARRAY, BINARY = (
    0x01,
    0x02,
    0x05,
    0x10,
    0x20,
    0x30,
    0x40,
    0x50,
)
OBJECTID, BOOL, DATE, TIMESTAMP, REGEX, CODE, CODE_WITH_SCOPE, MAXKEY = (
    0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xB8, 0xF0)  # fmt: skip
END: Final = b"\x00"
AFTER: Final = b"\xff"

NULL_KEY: Final = bytes([NULL])
UNDEFINED_KEY: Final = bytes([UNDEFINED_RANK])
NAN_KEY: Final = bytes([NUMBER]) + bytes(9)

_INVERT: Final = bytes(255 - i for i in range(256))
_pack_double: Final = struct.Struct(">d").pack
_unpack_uint64: Final = struct.Struct(">Q").unpack
_pack_uint64: Final = struct.Struct(">Q").pack
_pack_uint32: Final = struct.Struct(">L").pack
_EXACT: Final = 2**53  # every int up to here is a double
_EXPONENT_BIAS: Final = 0x4000
# a double has at most 767 significant digits, a Decimal128 34; their difference fewer than the sum
_DIGITS: Final = decimal.Context(prec=2500, Emax=99_999, Emin=-99_999)


def invert(key: bytes) -> bytes:
    """The key for the opposite direction."""
    return key.translate(_INVERT)


def encode(value: Any) -> bytes:
    """The ascending key of any BSON value.

    Raises TypeError for what is no BSON value.
    """
    encoder = _ENCODERS.get(type(value))
    return encoder(value) if encoder is not None else _encode_subclass(value)


def encode_compound(values: Iterable[Any], directions: Iterable[bool]) -> bytes:
    """The key of several values; a direction is true when descending."""
    return b"".join(
        encode(value).translate(_INVERT) if descending else encode(value)
        for value, descending in zip(values, directions, strict=True)
    )


def compare(left: Any, right: Any) -> int:
    """-1, 0 or 1, as MongoDB orders the values."""
    a, b = encode(left), encode(right)
    return (a > b) - (a < b)


def equal(left: Any, right: Any) -> bool:
    """Equal as MongoDB has it: 1 is 1.0 and is not true."""
    return encode(left) == encode(right)


def rank(value: Any) -> int:
    """The place of the value's type in BSON's order."""
    return encode(value)[0]


def _float(value: float) -> bytes:
    if value >= 0:
        return b"\x10" + _pack_double(-abs(value)) + END
    if value != value:
        return NAN_KEY
    return b"\x10" + _pack_double(value).translate(_INVERT) + END


def _int(value: int) -> bytes:
    if -_EXACT <= value <= _EXACT:
        return _float(float(value))
    double = float(value)
    if int(double) > value:
        double = math.nextafter(double, -math.inf)
    return _with_rest(double, decimal.Decimal(value - int(double)))


def _with_rest(double: float, rest: decimal.Decimal) -> bytes:
    """The key of double + rest, where double is the greatest one that is not above the number."""
    if not rest:
        return _float(double)
    exponent = rest.adjusted() + _EXPONENT_BIAS
    digits = "".join(map(str, rest.as_tuple().digits)).rstrip("0")
    return _float(double)[:-1] + b"\x01" + exponent.to_bytes(2, "big") + digits.encode() + END


def _decimal(value: Decimal128) -> bytes:
    number = value.to_decimal()
    if number.is_nan():
        return NAN_KEY
    if number.is_infinite():
        return _float(math.copysign(math.inf, number))
    double = float(number)
    if double == math.inf:
        double = math.nextafter(math.inf, 0)
    if double == -math.inf:
        # below all doubles but -inf: the further below, the earlier
        return _float(double)[:-1] + b"\x01" + invert(_with_rest(0.0, -number))
    rest = _DIGITS.subtract(number, decimal.Decimal(double))
    if rest < 0:
        double = math.nextafter(double, -math.inf)
        rest = _DIGITS.subtract(number, decimal.Decimal(double))
    return _with_rest(double, rest)


def _text(value: str) -> bytes:
    """UTF-8, ended by 0x00; 0x00 and 0x01 inside are escaped with 0x01."""
    data = value.encode("utf-8", "surrogatepass")
    if b"\x00" in data or b"\x01" in data:
        data = data.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")
    return data + END


_known: dict[str, bytes] = {}  # short texts, of which many are in index after index, document after document
_MOST_KNOWN, _LONGEST_KNOWN = 4096, 64


def _string(value: str) -> bytes:
    key = _known.get(value)
    if key is None:
        key = b"\x20" + _text(value)
        if len(value) <= _LONGEST_KNOWN:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[value] = key
    return key


def _object(value: Mapping[str, Any]) -> bytes:
    parts = [b"\x30"]
    for name, item in value.items():
        key = encode(item)
        parts += (key[:1], _text(name), key)
    parts.append(END)
    return b"".join(parts)


def _array(value: list[Any]) -> bytes:
    return b"\x40" + b"".join(map(encode, value)) + END


def _binary(value: bytes) -> bytes:
    subtype = value.subtype if isinstance(value, Binary) else 0
    return b"\x50" + _pack_uint32(len(value)) + bytes([subtype]) + bytes(value)


def _signed(value: int) -> bytes:
    return _pack_uint64(value + 2**63)


def _date(value: dt.datetime | DatetimeMS) -> bytes:
    return b"\x80" + _signed(date_millis(value))


def _timestamp(value: Timestamp) -> bytes:
    return b"\x90" + _pack_uint32(value.time) + _pack_uint32(value.inc)


def _regex(value: Regex[str]) -> bytes:
    pattern = value.pattern
    return b"\xa0" + _text(pattern if isinstance(pattern, str) else pattern.decode()) + _flags(value.flags)


def _flags(flags: int) -> bytes:
    names = zip((re.I, re.L, re.M, re.S, re.U, re.X), "ilmsux", strict=True)
    return _text("".join(name for flag, name in names if flags & flag))


def _code(value: Code) -> bytes:
    if value.scope is None:
        return b"\xb0" + _text(str(value))
    return b"\xb8" + _text(str(value)) + _object(value.scope)


def _encode_subclass(value: Any) -> bytes:
    if isinstance(value, DBRef):
        return _object(value.as_doc())
    for kind, encoder in _BASES:
        if isinstance(value, kind):
            return encoder(value)
    raise TypeError(f"not a BSON value: {type(value).__name__}")


_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    str: _string,
    int: _int,
    float: _float,
    bool: lambda value: b"\x70\x01" if value else b"\x70\x00",
    type(None): lambda _: NULL_KEY,
    Missing: lambda _: NULL_KEY,
    Undefined: lambda _: UNDEFINED_KEY,
    dict: _object,
    list: _array,
    bytes: _binary,
    Binary: _binary,
    ObjectId: lambda value: b"\x60" + value.binary,
    dt.datetime: _date,
    DatetimeMS: _date,
    Int64: _int,
    Decimal128: _decimal,
    Timestamp: _timestamp,
    Regex: _regex,
    Code: _code,
    MinKey: lambda _: bytes([MINKEY]),
    MaxKey: lambda _: bytes([MAXKEY]),
}
_BASES: Final[tuple[tuple[type, Callable[[Any], bytes]], ...]] = (
    (Mapping, _object), (list, _array), (tuple, lambda value: _array(list(value))), (re.Pattern, _regex),
    (bool, _ENCODERS[bool]), (int, _int), (float, _float), (str, _string), (bytes, _binary),
    (dt.datetime, _date),
)  # fmt: skip


def component_end(key: bytes, start: int, descending: bool) -> int:
    """Where the component that begins at `start` of a compound key ends."""
    flip = 0xFF if descending else 0
    return _component_end(key, start, flip)


def _component_end(key: bytes, at: int, flip: int) -> int:
    kind = key[at] ^ flip
    at += 1
    if kind in _FIXED:
        return at + _FIXED[kind]
    if kind == NUMBER:
        return _number_end(key, at, flip)
    if kind == BINARY:
        length = int.from_bytes(bytes(b ^ flip for b in key[at : at + 4]), "big")
        return at + 5 + length
    if kind == ARRAY:
        while key[at] ^ flip:
            at = _component_end(key, at, flip)
        return at + 1
    if kind in (OBJECT, CODE_WITH_SCOPE):
        return _object_end(key, at if kind == OBJECT else _text_end(key, at, flip) + 1, flip)
    at = _text_end(key, at, flip)
    return _text_end(key, at, flip) if kind == REGEX else at


_FIXED: Final = {
    MINKEY: 0, UNDEFINED_RANK: 0, NULL: 0, MAXKEY: 0, BOOL: 1, DATE: 8, TIMESTAMP: 8, OBJECTID: 12,
}  # fmt: skip


def _text_end(key: bytes, at: int, flip: int) -> int:
    return key.index(flip, at) + 1


def _number_end(key: bytes, at: int, flip: int) -> int:
    tail = key[at + 8] ^ flip
    if not tail:
        return at + 9
    if key[at] ^ flip == 0 and key[at + 1] ^ flip == 0x0F:  # below the doubles: an inverted number follows
        return _number_end(key, at + 10, flip ^ 0xFF)
    return _text_end(key, at + 11, flip)


def _object_end(key: bytes, at: int, flip: int) -> int:
    while key[at] ^ flip:
        at = _component_end(key, _text_end(key, at + 1, flip), flip)
    return at + 1
