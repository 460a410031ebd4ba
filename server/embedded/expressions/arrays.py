"""Arrays and sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bson import Decimal128

from server.embedded.documents import keys
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.sorting import parse_sort, sort_key
from server.embedded.documents.values import INT32, MISSING, as_document, is_number, truthy, type_alias
from server.embedded.expressions.core import (
    MANY,
    Expression,
    Variables,
    arguments,
    compile_expression,
    is_null,
    named_arguments,
    operator,
    plain,
)  # fmt: skip

_MOST_ELEMENTS = 2_000_000


def array_of(name: str, value: Any) -> list[Any]:
    """The value, which must be an array."""
    if not isinstance(value, list):
        raise CommandError(
            Code.Location28690, f"{name} needs an array, but got a value of type: {type_alias(value)}"
        )
    return value


def whole(name: str, value: Any) -> int:
    """The value, which must be a number without a fraction that fits 32 bits."""
    if not is_number(value):
        raise CommandError(Code.Location28690, f"{name} needs a numeric value, but got: {type_alias(value)}")
    number = value.to_decimal() if isinstance(value, Decimal128) else value
    if number != number or abs(number) > 2**31 or int(number) != number or int(number) not in INT32:
        raise CommandError(
            Code.Location28691, f"{name} needs a value that is a 32-bit integer, but got: {value}"
        )
    return int(number)


def _element_at(array: Any, number: Any) -> Any:
    if is_null(array) or is_null(number):
        return None
    array_of("$arrayElemAt", array)
    at = whole("$arrayElemAt", number)
    return array[at] if -len(array) <= at < len(array) else MISSING


def _end(name: str, at: int) -> None:
    plain(name, 1, None, lambda array: None if is_null(array) else _element_at(array_of(name, array), at))


plain("$arrayElemAt", 2, None, _element_at)
_end("$first", 0)
_end("$last", -1)
plain("$isArray", 1, None, lambda value: isinstance(value, list))


@operator("$concatArrays")
def _concat_arrays(operand: Any) -> Expression:
    items = arguments("$concatArrays", operand, 0, MANY)

    def value(document: Any, variables: Variables) -> Any:
        found: list[Any] = []
        for item in items:
            array = item(document, variables)
            if is_null(array):
                return None
            found += array_of("$concatArrays", array)
        return found

    return value


def _size(array: Any) -> int:
    if not isinstance(array, list):
        text = f"The argument to $size must be an array, but was of type: {type_alias(array)}"
        raise CommandError(Code.Location17124, text)
    return len(array)


plain("$size", 1, None, _size)


def _contains(item: Any, array: Any) -> bool:
    if not isinstance(array, list):
        raise CommandError(
            Code.Location40081, f"$in requires an array as a second argument, found: {type_alias(array)}"
        )
    key = keys.encode(item)
    return any(keys.encode(element) == key for element in array)


plain("$in", 2, None, _contains)
plain(
    "$reverseArray", 1, None, lambda array: None if is_null(array) else array_of("$reverseArray", array)[::-1]
)


def _index_of(array: Any, item: Any, start: Any = 0, end: Any = None) -> Any:
    if is_null(array):
        return None
    array_of("$indexOfArray", array)
    first = whole("$indexOfArray", start)
    last = len(array) if end is None else min(whole("$indexOfArray", end), len(array))
    key = keys.encode(item)
    return next((at for at in range(first, last) if keys.encode(array[at]) == key), -1)


plain("$indexOfArray", 2, 4, _index_of)


def _slice(array: Any, first: Any, count: Any = MISSING) -> Any:
    if is_null(array) or is_null(first) or count is None:
        return None
    array_of("$slice", array)
    start = whole("$slice", first)
    if count is MISSING:
        return array[:start] if start >= 0 else array[start:]
    size = whole("$slice", count)
    if size <= 0:
        raise CommandError(Code.Location28729, f"Third argument to $slice must be positive: {size}")
    start = start if start >= 0 else max(len(array) + start, 0)
    return array[start : start + size]


plain("$slice", 2, 3, _slice)


def _range(start: Any, end: Any, step: Any = 1) -> list[int]:
    first, last, by = whole("$range", start), whole("$range", end), whole("$range", step)
    if by == 0:
        raise CommandError(Code.Location34449, "$range requires a non-zero step value")
    found = range(first, last, by)
    if len(found) > _MOST_ELEMENTS:
        raise CommandError(
            Code.QueryExceededMemoryLimitNoDiskUseAllowed, "$range would make too long an array"
        )
    return list(found)


plain("$range", 2, 3, _range)


def _over(
    name: str, operand: Any, inner: str
) -> tuple[Expression, str, Expression, Mapping[str, Expression]]:
    """The input, the variable's name and the inner expression of $map and $filter."""
    if not isinstance(operand, Mapping):
        raise CommandError(Code.FailedToParse, f"{name} only supports an object as its argument")
    variable = operand.get("as", "this")
    rest = {key: value for key, value in operand.items() if key != "as"}
    named = named_arguments(name, rest, ("input", inner), ("limit",) if name == "$filter" else ())
    if not isinstance(variable, str):
        raise CommandError(Code.FailedToParse, f"'as' of {name} must be a string")
    return named["input"], variable, named[inner], named


@operator("$map")
def _map(operand: Any) -> Expression:
    source, name, inner, _ = _over("$map", operand, "in")

    def value(document: Any, variables: Variables) -> Any:
        array = source(document, variables)
        if is_null(array):
            return None
        found = (inner(document, {**variables, name: item}) for item in array_of("$map", array))
        return [None if item is MISSING else item for item in found]

    return value


@operator("$filter")
def _filter(operand: Any) -> Expression:
    source, name, condition, named = _over("$filter", operand, "cond")
    limit = named.get("limit")

    def value(document: Any, variables: Variables) -> Any:
        array = source(document, variables)
        if is_null(array):
            return None
        kept = (
            item
            for item in array_of("$filter", array)
            if truthy(condition(document, {**variables, name: item}))
        )
        most = None if limit is None else limit(document, variables)
        if is_null(most):
            return list(kept)
        return [item for _, item in zip(range(whole("$filter", most)), kept, strict=False)]

    return value


@operator("$reduce")
def _reduce(operand: Any) -> Expression:
    named = named_arguments("$reduce", operand, ("input", "initialValue", "in"))

    def value(document: Any, variables: Variables) -> Any:
        array = named["input"](document, variables)
        if is_null(array):
            return None
        result = named["initialValue"](document, variables)
        for item in array_of("$reduce", array):
            result = named["in"](document, {**variables, "this": item, "value": result})
        return result

    return value


@operator("$zip")
def _zip(operand: Any) -> Expression:
    if not isinstance(operand, Mapping) or not isinstance(operand.get("inputs"), list):
        raise CommandError(Code.FailedToParse, "$zip needs an object with an array of inputs")
    inputs = [compile_expression(item) for item in operand["inputs"]]
    longest = bool(operand.get("useLongestLength"))
    defaults = compile_expression(operand.get("defaults") or [])

    def value(document: Any, variables: Variables) -> Any:
        arrays = [item(document, variables) for item in inputs]
        if any(map(is_null, arrays)):
            return None
        sizes = [len(array_of("$zip", array)) for array in arrays]
        fill = defaults(document, variables) if longest else []
        return [
            [
                array[at] if at < len(array) else fill[i] if i < len(fill) else None
                for i, array in enumerate(arrays)
            ]
            for at in range((max if longest else min)(sizes, default=0))
        ]

    return value


@operator("$sortArray")
def _sort_array(operand: Any) -> Expression:
    if not isinstance(operand, Mapping) or set(operand) != {"input", "sortBy"}:
        raise CommandError(Code.FailedToParse, "$sortArray needs exactly input and sortBy")
    source, order = compile_expression(operand["input"]), operand["sortBy"]
    if not isinstance(order, Mapping) and order not in (1, -1):
        raise CommandError(Code.FailedToParse, "sortBy of $sortArray must be 1, -1 or an object")

    def value(document: Any, variables: Variables) -> Any:
        array = source(document, variables)
        if is_null(array):
            return None
        array_of("$sortArray", array)
        if isinstance(order, Mapping):

            key = sort_key(parse_sort(order))
            return sorted(array, key=lambda item: key(as_document(item) or {}))
        return sorted(array, key=keys.encode, reverse=order == -1)

    return value


def _some(name: str, choose: Callable[[list[Any], int], list[Any]]) -> None:
    @operator(name)
    def compiler(operand: Any) -> Expression:
        named = named_arguments(name, operand, ("input", "n"))

        def value(document: Any, variables: Variables) -> Any:
            array, number = named["input"](document, variables), named["n"](document, variables)
            count = whole(name, number)
            if count < 1:
                raise CommandError(Code.Location5787908, f"'n' of {name} must be greater than 0")
            return None if is_null(array) else choose(array_of(name, array), count)

        return value


def _present(array: list[Any]) -> list[Any]:
    return [item for item in array if item is not None]


_some("$firstN", lambda array, n: array[:n])
_some("$lastN", lambda array, n: array[-n:])
_some("$minN", lambda array, n: sorted(_present(array), key=keys.encode)[:n])
_some("$maxN", lambda array, n: sorted(_present(array), key=keys.encode, reverse=True)[:n])


def _pairs(value: Any) -> Iterable[tuple[str, Any]]:
    for item in array_of("$arrayToObject", value):
        document = as_document(item)
        pair = item
        if document is not None and set(document) == {"k", "v"}:
            pair = [document["k"], document["v"]]
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise CommandError(
                Code.Location40392, "$arrayToObject needs pairs of a string and a value, or {k, v}"
            )
        yield pair[0], pair[1]


plain("$arrayToObject", 1, None, lambda value: None if is_null(value) else dict(_pairs(value)))


def _object_to_array(value: Any) -> Any:
    if is_null(value):
        return None
    document = as_document(value)
    if document is None:
        raise CommandError(
            Code.Location40390, f"$objectToArray requires a document input, found: {type_alias(value)}"
        )
    return [{"k": name, "v": item} for name, item in document.items()]


plain("$objectToArray", 1, None, _object_to_array)


def _by_key(name: str, array: Any) -> dict[bytes, Any]:
    found: dict[bytes, Any] = {}
    for item in array_of(name, array):
        found.setdefault(keys.encode(item), item)
    return found


def _set_operator(name: str, combine: Callable[[list[dict[bytes, Any]]], Any], least: int) -> None:
    @operator(name)
    def compiler(operand: Any) -> Expression:
        items = arguments(name, operand, least, MANY)

        def value(document: Any, variables: Variables) -> Any:
            arrays = [item(document, variables) for item in items]
            if any(map(is_null, arrays)) and name not in ("$setEquals", "$setIsSubset"):
                return None
            return combine([_by_key(name, array) for array in arrays])

        return value


def _union(sets: list[dict[bytes, Any]]) -> list[Any]:
    merged: dict[bytes, Any] = {}
    for found in sets:
        merged = found | merged
    return [merged[key] for key in sorted(merged)]


def _intersection(sets: list[dict[bytes, Any]]) -> list[Any]:
    if not sets:
        return []
    return [sets[0][key] for key in sorted(sets[0]) if all(key in other for other in sets[1:])]


_set_operator("$setUnion", _union, 0)
_set_operator("$setIntersection", _intersection, 0)
_set_operator("$setDifference", lambda s: [item for key, item in s[0].items() if key not in s[1]], 2)
_set_operator("$setEquals", lambda s: all(other.keys() == s[0].keys() for other in s[1:]), 2)
_set_operator("$setIsSubset", lambda s: s[0].keys() <= s[1].keys(), 2)
plain("$allElementsTrue", 1, None, lambda array: all(map(truthy, array_of("$allElementsTrue", array))))
plain("$anyElementTrue", 1, None, lambda array: any(map(truthy, array_of("$anyElementTrue", array))))
