"""Accumulators of $group, which are expressions' $sum, $avg … of an array as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bson import Decimal128, Int64

from server.embedded.documents import keys
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.sorting import parse_sort, sort_key
from server.embedded.documents.values import MISSING, as_document, is_number
from server.embedded.expressions.core import (
    MANY,
    Expression,
    Variables,
    arguments,
    compile_expression,
    operator,
)
from server.embedded.expressions.numbers import add, arithmetic, integer, to_float

_MOST_ITEMS = 2_000_000  # of one $push or $addToSet


class Accumulator:
    """Takes values one by one; `result` is what they come to."""

    def add(self, value: Any) -> None:
        raise NotImplementedError

    def result(self) -> Any:
        raise NotImplementedError


class Sum(Accumulator):
    """Numbers only; exact for integers, compensated for doubles."""

    def __init__(self) -> None:
        self.count = 0
        self._integers = 0
        self._long = False
        self._double, self._lost, self._has_double = 0.0, 0.0, False
        self._decimal: Decimal128 | None = None

    def add(self, value: Any) -> None:
        kind = type(value)
        if kind is int:
            self._integers += value
        elif kind is float:
            self._add_double(value)
        elif kind is Int64:
            self._integers += int(value)
            self._long = True
        elif kind is Decimal128:
            self._decimal = value if self._decimal is None else add(self._decimal, value)  # type: ignore[assignment]
        else:
            return
        self.count += 1

    def _add_double(self, value: float) -> None:
        # Neumaier's variant of Kahan's summation
        total = self._double + value
        if math.isfinite(total):
            big, small = (self._double, value) if abs(self._double) >= abs(value) else (value, self._double)
            self._lost += (big - total) + small
        self._double, self._has_double = total, True

    def result(self) -> Any:
        total: Any = self._integers
        if self._has_double:
            total = (
                self._double + self._lost + self._integers if math.isfinite(self._double) else self._double
            )
        else:
            total = integer(total, *([Int64(0)] if self._long else []))
        return total if self._decimal is None else add(total, self._decimal)


class Average(Accumulator):
    def __init__(self) -> None:
        self._sum = Sum()

    def add(self, value: Any) -> None:
        self._sum.add(value)

    def result(self) -> Any:
        if not self._sum.count:
            return None
        total = self._sum.result()
        if isinstance(total, Decimal128):
            return arithmetic(lambda a, b: a / b, total, self._sum.count)
        return total / self._sum.count


class Extreme(Accumulator):
    """$min and $max: null and missing do not count."""

    def __init__(self, greatest: bool) -> None:
        self._greatest = greatest
        self._key: bytes | None = None
        self._value: Any = None

    def add(self, value: Any) -> None:
        if value is None or value is MISSING:
            return
        key = keys.encode(value)
        if self._key is None or (key > self._key if self._greatest else key < self._key):
            self._key, self._value = key, value

    def result(self) -> Any:
        return self._value


class First(Accumulator):
    def __init__(self) -> None:
        self._value: Any = None
        self._seen = False

    def add(self, value: Any) -> None:
        if not self._seen:
            self._value, self._seen = value, True

    def result(self) -> Any:
        return None if self._value is MISSING else self._value


class Last(Accumulator):
    def __init__(self) -> None:
        self._value: Any = None

    def add(self, value: Any) -> None:
        self._value = value

    def result(self) -> Any:
        return None if self._value is MISSING else self._value


class Push(Accumulator):
    def __init__(self) -> None:
        self._items: list[Any] = []

    def add(self, value: Any) -> None:
        if value is not MISSING:
            self._items.append(value)
            _check_size(len(self._items))

    def result(self) -> Any:
        return self._items


class AddToSet(Accumulator):
    def __init__(self) -> None:
        self._items: dict[bytes, Any] = {}

    def add(self, value: Any) -> None:
        if value is not MISSING:
            self._items.setdefault(keys.encode(value), value)
            _check_size(len(self._items))

    def result(self) -> Any:
        return list(self._items.values())


def _check_size(number: int) -> None:
    if number > _MOST_ITEMS:
        text = f"an array of more than {_MOST_ITEMS} elements is too much for one group"
        raise CommandError(Code.QueryExceededMemoryLimitNoDiskUseAllowed, text)


class Deviation(Accumulator):
    """Standard deviation of a sample, or of a population; Welford's algorithm."""

    def __init__(self, sample: bool) -> None:
        self._sample = sample
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, value: Any) -> None:
        if not is_number(value):
            return
        number = to_float(value)
        self._count += 1
        delta = number - self._mean
        self._mean += delta / self._count
        self._squares += delta * (number - self._mean)

    def result(self) -> Any:
        divisor = self._count - self._sample
        if divisor <= 0:
            return None
        return math.sqrt(self._squares / divisor) if math.isfinite(self._squares) else None


class Count(Accumulator):
    def __init__(self) -> None:
        self._count = 0

    def add(self, value: Any) -> None:
        self._count += 1

    def result(self) -> Any:
        return integer(self._count)


class MergeObjects(Accumulator):
    def __init__(self) -> None:
        self._merged: dict[str, Any] = {}

    def add(self, value: Any) -> None:
        if value is None or value is MISSING:
            return
        document = as_document(value)
        if document is None:
            raise CommandError(Code.Location40400, "$mergeObjects requires object inputs")
        self._merged |= document

    def result(self) -> Any:
        return self._merged


class Several(Accumulator):
    """$firstN, $lastN: some of the values as they come."""

    def __init__(self, number: int, last: bool) -> None:
        self._number, self._last = number, last
        self._items: list[Any] = []

    def add(self, value: Any) -> None:
        item = None if value is MISSING else value
        if self._last:
            self._items = [*self._items[-self._number + 1 :], item] if self._number > 1 else [item]
        elif len(self._items) < self._number:
            self._items.append(item)

    def result(self) -> Any:
        return self._items


class Ranked(Accumulator):
    """$minN, $maxN, $top, $bottom, $topN, $bottomN: the first by a key; values are pairs (key, output)."""

    def __init__(self, number: int, single: bool) -> None:
        self._number, self._single = number, single
        self._items: list[tuple[bytes, int, Any]] = []
        self._count = 0

    def add(self, value: Any) -> None:
        if value is MISSING:
            return
        key, output = value
        self._count += 1
        self._items.append((key, self._count, None if output is MISSING else output))
        if len(self._items) > 2 * self._number + 50:
            self._items = sorted(self._items, key=lambda item: item[:2])[: self._number]

    def result(self) -> Any:
        items = [item[2] for item in sorted(self._items, key=lambda item: item[:2])[: self._number]]
        if self._single:
            return items[0] if items else None
        return items


SIMPLE: Mapping[str, Callable[[], Accumulator]] = {
    "$sum": Sum,
    "$avg": Average,
    "$min": lambda: Extreme(greatest=False),
    "$max": lambda: Extreme(greatest=True),
    "$first": First,
    "$last": Last,
    "$push": Push,
    "$addToSet": AddToSet,
    "$stdDevPop": lambda: Deviation(sample=False),
    "$stdDevSamp": lambda: Deviation(sample=True),
    "$mergeObjects": MergeObjects,
}


def _as_expression(name: str) -> None:
    """Register the operator that takes an array's elements, or its arguments."""

    @operator(name)
    def compiler(operand: Any) -> Expression:
        items = arguments(name, operand, 0, MANY)

        def value(document: Any, variables: Variables) -> Any:
            found = [item(document, variables) for item in items]
            if len(found) == 1 and isinstance(found[0], list):
                found = found[0]
            accumulator = SIMPLE[name]()
            for item in found:
                accumulator.add(item)
            return accumulator.result()

        return value


for _name in ("$sum", "$avg", "$min", "$max", "$stdDevPop", "$stdDevSamp"):
    _as_expression(_name)

_COUNTED = ("$firstN", "$lastN", "$minN", "$maxN")
_SORTED = ("$top", "$bottom", "$topN", "$bottomN")

Compiled = tuple[Callable[[], Accumulator], Expression]


def compile_accumulator(name: str, spec: Any) -> Compiled:
    """Of a field of $group: what makes its accumulators, and the expression that feeds them.

    Raises CommandError for an unknown accumulator.
    """
    if not isinstance(spec, Mapping) or len(spec) != 1:
        text = f"The field '{name}' must be an accumulator object"
        raise CommandError(Code.Location40234, text)
    ((operator, operand),) = spec.items()
    if operator in SIMPLE:
        if isinstance(operand, list) and len(operand) == 1:
            operand = operand[0]
        return SIMPLE[operator], compile_expression(operand)
    if operator == "$count":
        return Count, compile_expression(None)
    if operator in _COUNTED:
        return _compile_counted(operator, operand)
    if operator in _SORTED:
        return _compile_sorted(operator, operand)
    raise CommandError(Code.Location15952, f"unknown group operator '{operator}'")


def _number(operator: str, operand: Mapping[str, Any]) -> int:
    number = operand.get("n")
    if not is_number(number) or int(number) != number or number < 1:  # type: ignore[arg-type]
        raise CommandError(Code.Location5787908, f"'n' of {operator} must be a positive integer")
    return int(number)


def _named(operator: str, operand: Any, names: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(operand, Mapping) or set(operand) != set(names):
        raise CommandError(Code.FailedToParse, f"{operator} needs exactly {', '.join(names)}")
    return operand


def _compile_counted(operator: str, operand: Any) -> Compiled:
    spec = _named(operator, operand, ("input", "n"))
    number, value = _number(operator, spec), compile_expression(spec["input"])
    if operator in ("$firstN", "$lastN"):
        return lambda: Several(number, last=operator == "$lastN"), value

    def pair(document: Any, variables: Variables) -> Any:
        found = value(document, variables)
        if found is None or found is MISSING:
            return MISSING
        key = keys.encode(found)
        return (keys.invert(key) + keys.AFTER if operator == "$maxN" else key), found

    return lambda: Ranked(number, single=False), pair


def _compile_sorted(operator: str, operand: Any) -> Compiled:
    single = not operator.endswith("N")
    spec = _named(operator, operand, ("output", "sortBy") if single else ("output", "sortBy", "n"))
    number = 1 if single else _number(operator, spec)
    order, output = sort_key(parse_sort(spec["sortBy"])), compile_expression(spec["output"])
    upside_down = operator.startswith("$bottom")

    def pair(document: Any, variables: Variables) -> Any:
        key = order(document)
        return (keys.invert(key) + keys.AFTER if upside_down else key), output(document, variables)

    return lambda: Ranked(number, single), pair
