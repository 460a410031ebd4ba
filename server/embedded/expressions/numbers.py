"""Arithmetic, with MongoDB's result types: int, long when either is or int is too small, double, decimal."""

from __future__ import annotations

import decimal
import math
import random
from collections.abc import Callable
from typing import Any

from bson import Decimal128, Int64

from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import (
    INT32,
    INT64,
    as_date,
    date_millis,
    is_date,
    is_number,
    type_alias,
)
from server.embedded.expressions.core import (
    MANY,
    Expression,
    Variables,
    arguments,
    is_null,
    operator,
    plain,
    unary,
)  # fmt: skip

Number = int | float | Decimal128
_DECIMAL = decimal.Context(
    prec=34, rounding=decimal.ROUND_HALF_EVEN, Emin=-6143, Emax=6144, clamp=1, traps=[]
)


def to_decimal(number: Number) -> decimal.Decimal:
    """A number as a decimal (of a double: its 15 digits, as MongoDB converts)."""
    if isinstance(number, Decimal128):
        return number.to_decimal()
    if isinstance(number, float):
        return decimal.Decimal(f"{number:.15g}")
    return decimal.Decimal(number)


def as_decimal128(number: decimal.Decimal) -> Decimal128:
    return Decimal128(_DECIMAL.plus(number))


def integer(value: int, *operands: Any) -> int | float:
    """The result of integer arithmetic: a long if an operand is one; a double beyond 64 bits."""
    if value not in INT64:
        return float(value)
    if value not in INT32 or any(isinstance(item, Int64) for item in operands):
        return Int64(value)
    return value


def arithmetic(function: Callable[[Any, Any], Any], left: Number, right: Number) -> Number:
    """Apply an operation that ints, floats and decimals have, and give the result its type."""
    if isinstance(left, Decimal128) or isinstance(right, Decimal128):
        with decimal.localcontext(_DECIMAL):
            return as_decimal128(function(to_decimal(left), to_decimal(right)))
    result = function(left, right)
    return result if isinstance(result, float) else integer(result, left, right)


def add(left: Number, right: Number) -> Number:
    return arithmetic(lambda a, b: a + b, left, right)


def multiply(left: Number, right: Number) -> Number:
    return arithmetic(lambda a, b: a * b, left, right)


def to_float(value: Any) -> float:
    """A number as a double."""
    return float(value.to_decimal()) if isinstance(value, Decimal128) else float(value)


def checked(name: str, value: Any) -> Any:
    """The value, which must be a number."""
    if not is_number(value):
        text = f"{name} only supports numeric types, not {type_alias(value)}"
        raise CommandError(Code.TypeMismatch, text)
    return value


@operator("$add")
def _add(operand: Any) -> Expression:
    items = arguments("$add", operand, 0, MANY)

    def value(document: Any, variables: Variables) -> Any:
        total: Any = 0
        date = False
        for item in items:
            found = item(document, variables)
            if is_null(found):
                return None
            if is_date(found):
                if date:
                    raise CommandError(Code.Location16612, "only one date allowed in an $add expression")
                date, found = True, date_millis(found)
            total = add(total, checked("$add", found))
        return as_date(round(to_float(total))) if date else total

    return value


@operator("$multiply")
def _multiply(operand: Any) -> Expression:
    items = arguments("$multiply", operand, 0, MANY)

    def value(document: Any, variables: Variables) -> Any:
        total: Any = 1
        for item in items:
            found = item(document, variables)
            if is_null(found):
                return None
            total = multiply(total, checked("$multiply", found))
        return total

    return value


def _subtract(left: Any, right: Any) -> Any:
    if is_null(left) or is_null(right):
        return None
    if is_date(left):
        if is_date(right):
            return Int64(date_millis(left) - date_millis(right))
        return as_date(date_millis(left) - round(to_float(checked("$subtract", right))))
    return arithmetic(lambda a, b: a - b, checked("$subtract", left), checked("$subtract", right))


def _divide(left: Any, right: Any) -> Any:
    if is_null(left) or is_null(right):
        return None
    checked("$divide", left), checked("$divide", right)
    if to_float(right) == 0:
        raise CommandError(Code.BadValue, "can't $divide by zero")
    if isinstance(left, Decimal128) or isinstance(right, Decimal128):
        return arithmetic(lambda a, b: a / b, left, right)
    return to_float(left) / to_float(right)


def _mod(left: Any, right: Any) -> Any:
    if is_null(left) or is_null(right):
        return None
    checked("$mod", left), checked("$mod", right)
    if to_float(right) == 0:
        raise CommandError(Code.Location16610, "can't $mod by zero")
    if isinstance(left, Decimal128) or isinstance(right, Decimal128):
        return arithmetic(lambda a, b: a % b, left, right)
    if isinstance(left, float) or isinstance(right, float):
        return math.fmod(left, right)
    rest = abs(left) % abs(right)
    return integer(rest if left >= 0 else -rest, left, right)


plain("$subtract", 2, None, _subtract)
plain("$divide", 2, None, _divide)
plain("$mod", 2, None, _mod)


def _whole(name: str, function: Callable[[Any], int]) -> None:
    def apply(value: Any) -> Any:
        checked(name, value)
        if isinstance(value, Decimal128):
            number = value.to_decimal()
            return as_decimal128(decimal.Decimal(function(number))) if number.is_finite() else value
        if isinstance(value, float):
            return float(function(value)) if math.isfinite(value) else value
        return value

    unary(name, apply)


_whole("$ceil", math.ceil)
_whole("$floor", math.floor)


def _absolute(value: Any) -> Any:
    checked("$abs", value)
    return (
        Decimal128(abs(value.to_decimal()))
        if isinstance(value, Decimal128)
        else integer_or_float(abs(value), value)
    )


def integer_or_float(result: Any, *operands: Any) -> Any:
    return result if isinstance(result, float) else integer(result, *operands)


unary("$abs", _absolute)


def _real(name: str, function: Callable[[float], float], allowed: Callable[[float], bool]) -> None:
    def apply(value: Any) -> float:
        number = to_float(checked(name, value))
        if number == number and not allowed(number):
            raise CommandError(Code.Location28766, f"{name}'s argument is out of its domain: {number}")
        return function(number)

    unary(name, apply)


_real("$sqrt", math.sqrt, lambda x: x >= 0)
_real("$exp", math.exp, lambda x: x < 709.78)
_real("$ln", math.log, lambda x: x > 0)
_real("$log10", math.log10, lambda x: x > 0)
for _name in ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"):
    _real(
        f"${_name}",
        getattr(math, _name),
        (lambda x: -1 <= x <= 1) if _name in ("asin", "acos") else math.isfinite,
    )
_real("$degreesToRadians", math.radians, lambda x: True)
_real("$radiansToDegrees", math.degrees, lambda x: True)


def _both(function: Callable[[float, float], Any]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        return None if is_null(left) or is_null(right) else function(left, right)

    return apply


def _power(base: Any, exponent: Any) -> Any:
    checked("$pow", base), checked("$pow", exponent)
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) < 2 or exponent * math.log2(abs(base)) < 64:
            return integer(base**exponent, base, exponent)
        return float(base) ** exponent
    try:
        return to_float(base) ** to_float(exponent)
    except (OverflowError, ZeroDivisionError) as error:
        raise CommandError(Code.Location28764, f"$pow: {error}") from None


def _logarithm(value: Any, base: Any) -> float:
    number, root = to_float(checked("$log", value)), to_float(checked("$log", base))
    if number <= 0 or root <= 0 or root == 1:
        raise CommandError(
            Code.Location28758, "$log needs a positive number, and a positive base other than 1"
        )
    return math.log(number) / math.log(root)


plain("$pow", 2, None, _both(_power))
plain("$log", 2, None, _both(_logarithm))
plain("$atan2", 2, None, _both(lambda y, x: math.atan2(to_float(y), to_float(x))))


def _rounding(name: str, mode: str) -> None:
    def apply(value: Any, place: Any = 0) -> Any:
        if is_null(value) or is_null(place):
            return None
        checked(name, value), checked(name, place)
        number = to_decimal(value) if not isinstance(value, float) else decimal.Decimal(value)
        if not number.is_finite():
            return value
        context = decimal.Context(prec=2000)
        result = number.quantize(decimal.Decimal(1).scaleb(-int(place)), rounding=mode, context=context)
        if isinstance(value, Decimal128):
            return as_decimal128(result)
        return float(result) if isinstance(value, float) else integer(int(result), value)

    plain(name, 1, 2, apply)


_rounding("$round", decimal.ROUND_HALF_EVEN)
_rounding("$trunc", decimal.ROUND_DOWN)


@operator("$rand")
def _rand(operand: Any) -> Expression:
    return lambda document, variables: random.random()


def _bitwise(name: str, function: Callable[[int, int], int]) -> None:
    @operator(name)
    def compiler(operand: Any) -> Expression:
        items = arguments(name, operand, 0, MANY)

        def value(document: Any, variables: Variables) -> Any:
            found = [item(document, variables) for item in items]
            if any(map(is_null, found)):
                return None
            if not all(type(item) in (int, Int64) for item in found):
                raise CommandError(Code.TypeMismatch, f"{name} only supports int and long operands.")
            total = -1 if name == "$bitAnd" else 0
            for item in found:
                total = function(total, item)
            return integer(total, *found)

        return value


_bitwise("$bitAnd", lambda a, b: a & b)
_bitwise("$bitOr", lambda a, b: a | b)
_bitwise("$bitXor", lambda a, b: a ^ b)
