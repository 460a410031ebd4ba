"""The operators of filters that look at one value: $eq, $gt, $in, $regex and so on."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from bson import Binary, Decimal128, Int64, ObjectId, Regex

from server.embedded.documents import keys
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.regexes import compile_regex
from server.embedded.documents.values import ALIAS_NUMBERS, MISSING, NUMBER_TYPES, is_number, type_number

Test = Callable[[Any], bool]

_PLAIN = (str, ObjectId)


def test_eq(operand: Any) -> Test:
    if operand is None:
        return lambda value: value is None or value is MISSING
    if isinstance(operand, bool):
        return lambda value: value is operand
    if type(operand) in _PLAIN:
        return lambda value: value == operand
    if isinstance(operand, int | float) and operand == operand:
        return test_equal_number(operand)
    if type(operand) is dt.datetime and operand.tzinfo is None:
        return lambda value: value == operand
    key = keys.encode(operand)
    return lambda value: value is not MISSING and keys.encode(value) == key


def test_equal_number(operand: int | float) -> Test:
    key = keys.encode(operand)

    def matches(value: Any) -> bool:
        kind = type(value)
        if kind is int or kind is float or kind is Int64:
            return value == operand
        return kind is Decimal128 and keys.encode(value) == key

    return matches


def _test_in(operand: list[Any]) -> Test:
    tests = [test_regex(item) for item in operand if isinstance(item, Regex)]
    plain = [item for item in operand if not isinstance(item, Regex)]
    texts = frozenset(item for item in plain if type(item) in _PLAIN)
    encoded = frozenset(keys.encode(item) for item in plain if type(item) not in _PLAIN)
    encoded |= frozenset(keys.encode(item) for item in operand if isinstance(item, Regex))
    null = None in plain if len(plain) < 10 else any(item is None for item in plain)

    def matches(value: Any) -> bool:
        if value is MISSING:
            return null
        if type(value) in _PLAIN:
            return value in texts or any(test(value) for test in tests)
        return bool(encoded) and keys.encode(value) in encoded

    return matches


def _comparison(name: str) -> Callable[[Any], Test]:
    accept = {"$gt": (1,), "$gte": (1, 0), "$lt": (-1,), "$lte": (-1, 0)}[name]
    upward, inclusive = accept[0] == 1, 0 in accept

    def make(operand: Any) -> Test:
        if isinstance(operand, Regex):
            raise CommandError(Code.BadValue, f"Can't have RegEx as arg to predicate over field with {name}")
        simple = _simple_comparison(name, operand)
        return simple or _key_comparison(operand, upward, inclusive)

    return make


def _simple_comparison(name: str, operand: Any) -> Test | None:
    """With Python's own operators, where they mean the same."""
    kinds: tuple[type, ...]
    if type(operand) is str:
        kinds = (str,)
    elif isinstance(operand, int | float) and not isinstance(operand, bool) and operand == operand:
        return _number_comparison(name, operand)
    elif type(operand) is ObjectId:
        kinds = (ObjectId,)
    else:
        return None
    compare = _OPERATORS[name]
    (kind,) = kinds
    return lambda value: type(value) is kind and compare(value, operand)


def _number_comparison(name: str, operand: int | float) -> Test:
    compare, exact = _OPERATORS[name], _key_comparison(operand, name in ("$gt", "$gte"), name.endswith("e"))

    def matches(value: Any) -> bool:
        kind = type(value)
        if kind is int or kind is float or kind is Int64:
            return compare(value, operand)
        return kind is Decimal128 and exact(value)

    return matches


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": lambda a, b: a > b,
    "$gte": lambda a, b: a >= b,
    "$lt": lambda a, b: a < b,
    "$lte": lambda a, b: a <= b,
}


def _key_comparison(operand: Any, upward: bool, inclusive: bool) -> Test:
    bound = keys.encode(operand)
    kind = bound[0]
    across = kind in (keys.MINKEY, keys.MAXKEY)  # compared with everything

    def matches(value: Any) -> bool:
        if value is MISSING:
            return kind == keys.NULL and inclusive
        key = keys.encode(value)
        if key[0] != kind and not across:
            return False
        if key == bound:
            return inclusive
        if kind == keys.NUMBER and keys.NAN_KEY in (key, bound):
            return False
        return key > bound if upward else key < bound

    return matches


def test_regex(operand: Any) -> Test:
    pattern = compile_regex(operand)
    key = keys.encode(operand)

    def matches(value: Any) -> bool:
        if isinstance(value, str):
            return pattern.search(value) is not None
        return isinstance(value, Regex) and keys.encode(value) == key

    return matches


_FLAGS = {"i": re.I, "m": re.M, "s": re.S, "x": re.X, "u": re.U}


def regex_with_options(operand: Any, options: Any) -> Regex[str]:
    """The BSON regular expression of $regex and $options.

    Raises CommandError when it has no meaning.
    """
    if isinstance(operand, Regex):
        pattern, flags = operand.pattern, operand.flags if options is None else 0
    elif isinstance(operand, str):
        pattern, flags = operand, 0
    else:
        raise CommandError(Code.BadValue, "$regex has to be a string")
    if options is not None and not isinstance(options, str):
        raise CommandError(Code.BadValue, "$options has to be a string")
    for letter in options or "":
        if letter not in _FLAGS:
            raise CommandError(Code.Location51091, f"invalid flag in regex options: {letter}")
        flags |= _FLAGS[letter]
    regex: Regex[str] = Regex(pattern, flags)
    compile_regex(regex)
    return regex


def _test_mod(operand: Any) -> Test:
    if not isinstance(operand, list) or len(operand) != 2 or not all(map(is_number, operand)):
        raise CommandError(Code.BadValue, "malformed mod, needs to be an array of two numbers")
    divisor, remainder = (int(float(str(item))) for item in operand)
    if divisor == 0:
        raise CommandError(Code.BadValue, "divisor cannot be 0")

    def matches(value: Any) -> bool:
        if not is_number(value):
            return False
        number = float(str(value)) if isinstance(value, Decimal128) else value
        if isinstance(number, float) and (number != number or abs(number) == float("inf")):
            return False
        whole = int(number)
        rest = abs(whole) % abs(divisor)
        return (rest if whole >= 0 else -rest) == remainder

    return matches


def _test_type(operand: Any) -> Test:
    wanted = set()
    for item in operand if isinstance(operand, list) else [operand]:
        wanted |= _type_numbers(item)
    return lambda value: value is not MISSING and type_number(value) in wanted


def _type_numbers(item: Any) -> set[int]:
    if item == "number":
        return set(NUMBER_TYPES)
    if isinstance(item, str):
        if item not in ALIAS_NUMBERS:
            raise CommandError(Code.BadValue, f"Unknown type name alias: {item}")
        return {ALIAS_NUMBERS[item]}
    if not is_number(item) or float(item) != int(item) or int(item) not in ALIAS_NUMBERS.values():
        raise CommandError(Code.BadValue, f"Invalid numerical type code: {item}")
    return {int(item)}


def _bits(accept: Callable[[int, int], bool]) -> Callable[[Any], Test]:
    def make(operand: Any) -> Test:
        mask = _bit_mask(operand)

        def matches(value: Any) -> bool:
            if isinstance(value, bytes):
                return accept(int.from_bytes(value, "little"), mask)
            if not is_number(value) or isinstance(value, Decimal128) or value != value or int(value) != value:
                return False
            return accept(int(value), mask)

        return matches

    return make


def _bit_mask(operand: Any) -> int:
    if isinstance(operand, list) and all(isinstance(bit, int) and bit >= 0 for bit in operand):
        return sum(1 << bit for bit in set(operand))
    if isinstance(operand, bytes | Binary):
        return int.from_bytes(operand, "little")
    if is_number(operand) and operand >= 0 and int(operand) == operand:
        return int(operand)
    raise CommandError(Code.BadValue, "a bit mask is a non-negative number, BinData or an array of positions")


TESTS: dict[str, Callable[[Any], Test]] = {
    "$eq": test_eq,
    "$in": _test_in,
    "$gt": _comparison("$gt"),
    "$gte": _comparison("$gte"),
    "$lt": _comparison("$lt"),
    "$lte": _comparison("$lte"),
    "$regex": test_regex,
    "$mod": _test_mod,
    "$type": _test_type,
    "$bitsAllSet": _bits(lambda value, mask: value & mask == mask),
    "$bitsAnySet": _bits(lambda value, mask: value & mask != 0),
    "$bitsAllClear": _bits(lambda value, mask: value & mask == 0),
    "$bitsAnyClear": _bits(lambda value, mask: value & mask != mask),
}
