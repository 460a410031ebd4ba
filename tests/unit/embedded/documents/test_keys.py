"""Order of encoded keys is BSON's order, by a comparison written independently."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from fractions import Fraction
from typing import Any

import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from server.embedded.documents import keys
from server.embedded.documents.values import date_millis

decimals = st.decimals(allow_nan=False, allow_infinity=True).map(
    lambda number: decimal.Context(prec=34, Emin=-6143, Emax=6144, clamp=1).create_decimal(number)
).map(Decimal128)  # fmt: skip
numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1).map(Int64), st.floats(allow_nan=True),
    decimals,
    st.sampled_from([0, -0.0, 2**53, 2**53 + 1, float(2**53), -(2**63), 0.1]),
    st.sampled_from(["0.1", "1E-6000", "9E+6000", "-9E+6000", "-1E-6000", "NaN"]).map(Decimal128),
)  # fmt: skip
scalars = st.one_of(
    numbers,
    st.text(),
    st.text(alphabet="\0\1\2a\U0001f600\uffff"),
    st.binary(max_size=5),
    st.builds(Binary, st.binary(max_size=3), st.sampled_from([0, 4, 128])),
    st.none(),
    st.booleans(),
    st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)),
    st.integers(-(2**62), 2**62).map(DatetimeMS),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(Regex, st.text(alphabet="ab", max_size=3), st.just(0)),
    st.builds(Code, st.text(max_size=3)),
    st.sampled_from([MinKey(), MaxKey()]),
)
names = st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)

_RANKS = (
    (MinKey, 1), (type(None), 2), (bool, 8), (Decimal128, 3), (int, 3), (float, 3), (Code, 12), (str, 4),
    (dict, 5), (list, 6), (bytes, 7), (ObjectId, 7.5), (dt.datetime, 9), (DatetimeMS, 9), (Timestamp, 10),
    (Regex, 11), (MaxKey, 13),
)  # fmt: skip


def rank(value: Any) -> float:
    return next(place for kind, place in _RANKS if isinstance(value, kind))


def number(value: Any) -> tuple[int, Fraction]:
    """NaN, then -inf, the finite ones, inf."""
    exact = value.to_decimal() if isinstance(value, Decimal128) else decimal.Decimal(value)
    if exact.is_nan():
        return -2, Fraction(0)
    if exact.is_infinite():
        return (1 if exact > 0 else -1), Fraction(0)
    return 0, Fraction(exact)


def less(left: Any, right: Any) -> bool:
    """Does MongoDB sort left before right?"""
    if rank(left) != rank(right):
        return rank(left) < rank(right)
    if isinstance(left, dict):
        return less_items(list(left.items()), list(right.items()))
    if isinstance(left, list):
        return less_items([("", item) for item in left], [("", item) for item in right])
    return plain(left) < plain(right)


def less_items(left: list[tuple[str, Any]], right: list[tuple[str, Any]]) -> bool:
    for (name, item), (other_name, other) in zip(left, right, strict=False):
        if rank(item) != rank(other):
            return rank(item) < rank(other)
        if name != other_name:
            return name.encode() < other_name.encode()
        if less(item, other) or less(other, item):
            return less(item, other)
    return len(left) < len(right)


def plain(value: Any) -> Any:
    """A scalar as something that Python orders among those of its rank."""
    if rank(value) == 3:
        return number(value)
    if isinstance(value, Code):
        return str(value).encode()
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return len(value), getattr(value, "subtype", 0), bytes(value)
    if isinstance(value, dt.datetime | DatetimeMS):
        return date_millis(value)
    if isinstance(value, Regex):
        return value.pattern
    if isinstance(value, MinKey | MaxKey | type(None)):
        return 0
    return value


@given(values, values)
def test_order(left: Any, right: Any) -> None:
    a, b = keys.encode(left), keys.encode(right)
    assert (a < b) == less(left, right)
    assert (b < a) == less(right, left)


@given(numbers, numbers)
def test_order_of_numbers(left: Any, right: Any) -> None:
    a, b = keys.encode(left), keys.encode(right)
    assert (a < b) == (number(left) < number(right))
    assert (a == b) == (number(left) == number(right))


@given(values, values)
def test_inverted_order(left: Any, right: Any) -> None:
    a, b = keys.invert(keys.encode(left)), keys.invert(keys.encode(right))
    assert (a > b) == less(left, right)


@given(
    st.lists(st.tuples(values, values, values), min_size=2, max_size=2),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_compound_order(rows: list[tuple[Any, Any, Any]], descending: list[bool]) -> None:
    left, right = rows
    a, b = (keys.encode_compound(row, descending) for row in rows)
    for one, other, down in zip(left, right, descending, strict=True):
        if less(one, other) or less(other, one):
            assert (a < b) == (less(one, other) != down)
            return
    assert a == b


@given(st.lists(values, min_size=1, max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))
def test_components_can_be_taken_apart(row: list[Any], descending: list[bool]) -> None:
    key = keys.encode_compound(row, descending[: len(row)])
    at = 0
    for value, down in zip(row, descending, strict=False):
        end = keys.component_end(key, at, down)
        part = keys.invert(key[at:end]) if down else key[at:end]
        assert part == keys.encode(value)
        at = end
    assert at == len(key)


@given(values)
def test_keys_lie_before_the_end(value: Any) -> None:
    assert b"" < keys.encode(value) < keys.AFTER
    assert keys.encode(value)[0] > 0
    assert keys.invert(keys.encode(value)) < keys.AFTER


@pytest.mark.parametrize("same", [(1, 1.0, Int64(1), Decimal128("1.00")), (0.0, -0.0, 0), (None,)])
def test_equal_numbers_have_one_key(same: tuple[Any, ...]) -> None:
    assert len({keys.encode(value) for value in same}) == 1


def test_neighbours_beyond_double_precision() -> None:
    ordered = [
        2**53,
        Decimal128(f"{2**53}.5"),
        2**53 + 1,
        float(2**53 + 2),
        2**63 - 1,
        float(2**63),
        math.inf,
    ]
    encoded = [keys.encode(value) for value in ordered]
    assert encoded == sorted(set(encoded))
