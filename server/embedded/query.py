"""Filters: parsed once to a tree, which the planner reads, and compiled to one function of a document."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bson import Binary, DBRef, Decimal128, Int64, ObjectId, Regex

from server.embedded import expressions, keys, paths
from server.embedded.errors import Code, CommandError, NotSupported
from server.embedded.values import (
    ALIAS_NUMBERS, MISSING, NUMBER_TYPES, Document, as_document, is_number, type_number,
)  # fmt: skip

Test = Callable[[Any], bool]
Matcher = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Predicate:
    """One operator on one field, e.g. ("requirements.gpu", "$lte", 2)."""

    path: str
    operator: str
    operand: Any


@dataclass(frozen=True, slots=True)
class Not:
    """All but what the child matches ($not, $ne, $nin)."""

    child: Node


@dataclass(frozen=True, slots=True)
class Every:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """$or; $nor is Not(Some)."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """$expr."""

    expression: Any


@dataclass(frozen=True, slots=True)
class Constant:
    """$alwaysTrue, $alwaysFalse."""

    value: bool


Node = Predicate | Not | Every | Some | Computed | Constant

_REFUSED = ("$text", "$where", "$jsonSchema", "$near", "$nearSphere", "$geoWithin", "$geoIntersects")


def parse(spec: Any) -> Every:
    """The tree of a filter document.

    Raises CommandError(BadValue) for an unknown operator or a wrong operand.
    """
    if not isinstance(spec, Mapping):
        raise CommandError(Code.TypeMismatch, "a filter must be an object")
    return Every(tuple(node for name, value in spec.items() for node in _parse_entry(name, value)))


def _parse_entry(name: str, value: Any) -> Iterator[Node]:
    if not name.startswith("$"):
        yield from _parse_field(name, value)
    elif name in ("$and", "$or", "$nor"):
        yield _parse_logical(name, value)
    elif name == "$expr":
        yield Computed(value)
    elif name in ("$alwaysTrue", "$alwaysFalse"):
        yield Constant(name == "$alwaysTrue")
    elif name == "$comment":
        return
    elif name in _REFUSED:
        raise NotSupported(name)
    else:
        raise CommandError(Code.BadValue, f"unknown top level operator: {name}")


def _parse_logical(name: str, value: Any) -> Node:
    if not isinstance(value, list) or not value:
        raise CommandError(Code.BadValue, f"{name} must be a nonempty array")
    children = tuple(map(parse, value))
    if name == "$and":
        return Every(children)
    return Some(children) if name == "$or" else Not(Some(children))


def _parse_field(path: str, value: Any) -> Iterator[Node]:
    if isinstance(value, Regex):
        yield Predicate(path, "$regex", value)
    elif is_operators(value):
        yield from _parse_operators(path, value)
    else:
        yield Predicate(path, "$eq", value)


def is_operators(value: Any) -> bool:
    """Is it {$gt: …}, rather than an object to be equal to?"""
    return isinstance(value, Mapping) and bool(value) and next(iter(value)).startswith("$")


def _parse_operators(path: str, operators: Mapping[str, Any]) -> Iterator[Node]:
    for name, operand in operators.items():
        if name == "$ne":
            yield Not(Predicate(path, "$eq", operand))
        elif name == "$nin":
            yield Not(Predicate(path, "$in", _checked("$nin", operand)))
        elif name == "$not":
            yield Not(_parse_not(path, operand))
        elif name == "$regex":
            yield Predicate(path, "$regex", regex_with_options(operand, operators.get("$options")))
        elif name == "$options":
            if "$regex" not in operators:
                raise CommandError(Code.BadValue, "$options needs a $regex")
        elif name == "$exists" and not expressions.truthy(operand):
            yield Not(Predicate(path, "$exists", True))
        elif name == "$elemMatch":
            yield Predicate(path, "$elemMatch", _checked_object(name, operand))
        elif name in _TESTS or name in _WHOLE:
            yield Predicate(path, name, _checked(name, operand))
        elif name in _REFUSED or name.startswith("$geo"):
            raise NotSupported(name)
        elif name != "$comment":
            raise CommandError(Code.BadValue, f"unknown operator: {name}")


def _parse_not(path: str, operand: Any) -> Node:
    if isinstance(operand, Regex):
        return Predicate(path, "$regex", operand)
    if not is_operators(operand):
        raise CommandError(Code.BadValue, "$not needs a regex or a document of operators")
    return Every(tuple(_parse_operators(path, operand)))


def _checked(name: str, operand: Any) -> Any:
    if name in ("$in", "$nin", "$all") and not isinstance(operand, list):
        raise CommandError(Code.BadValue, f"{name} needs an array")
    if name in ("$in", "$nin") and any(is_operators(item) for item in operand):
        raise CommandError(Code.BadValue, f"cannot nest $ under {name}")
    return operand


def _checked_object(name: str, operand: Any) -> Mapping[str, Any]:
    if not isinstance(operand, Mapping):
        raise CommandError(Code.BadValue, f"{name} needs an Object")
    return operand


# ---------------------------------------------------------------- compiling


def compile_filter(spec: Any) -> Matcher:
    """The function that tells whether a document matches the filter."""
    return compile_node(parse(spec))


def compile_node(node: Node, variables: Mapping[str, Any] | None = None) -> Matcher:
    """The function of a parsed filter; the variables are those that a $expr may use."""
    match node:
        case Predicate():
            return _compile_predicate(node)
        case Not(child):
            matches = compile_node(child, variables)
            return lambda document: not matches(document)
        case Every(children):
            return _all_of([compile_node(child, variables) for child in children])
        case Some(children):
            return _any_of([compile_node(child, variables) for child in children])
        case Computed(expression):
            return expressions.compile_condition(expression, variables or {})
        case Constant(value):
            return lambda document: value


def _all_of(matchers: list[Matcher]) -> Matcher:
    if not matchers:
        return lambda document: True
    if len(matchers) == 1:
        return matchers[0]
    if len(matchers) == 2:
        first, second = matchers
        return lambda document: first(document) and second(document)

    def matches(document: Mapping[str, Any]) -> bool:
        for matcher in matchers:
            if not matcher(document):
                return False
        return True

    return matches


def _any_of(matchers: list[Matcher]) -> Matcher:
    def matches(document: Mapping[str, Any]) -> bool:
        for matcher in matchers:
            if matcher(document):
                return True
        return False

    return matches


def _compile_predicate(node: Predicate) -> Matcher:
    parts = paths.split(node.path)
    if node.operator in _WHOLE:
        return _on_values(parts, _WHOLE[node.operator](node.operand))
    return _on_values(parts, expanding(_TESTS[node.operator](node.operand)))


def _on_values(parts: paths.Parts, test: Test) -> Matcher:
    if len(parts) == 1:
        name = parts[0]
        return lambda document: test(document.get(name, MISSING))

    def matches(document: Mapping[str, Any]) -> bool:
        node: Any = document
        for at, part in enumerate(parts):
            if type(node) is not dict:
                # an array (or something rare): there may be several values
                return any(map(test, paths.candidates(node, parts, at)))
            node = node.get(part, MISSING)
        return test(node)

    return matches


def expanding(test: Test) -> Test:
    """The same test, of an array's elements too."""

    def matches(value: Any) -> bool:
        if type(value) is list:
            for element in value:
                if test(element):
                    return True
        return test(value)

    return matches


def value_test(condition: Any) -> Test:
    """A condition as $pull and $elemMatch have it, on one value (no array is entered at the top)."""
    if isinstance(condition, Regex):
        return _test_regex(condition)
    if not is_operators(condition):
        return _test_eq(condition)
    wrapped = [compile_node(node) for node in _parse_operators("v", condition)]
    matches = _all_of(wrapped)
    return lambda value: matches({"v": value})


def position(node: Node, document: Mapping[str, Any]) -> int | None:
    """The number of the array element by which a document matches: what `$` means in an update."""
    match node:
        case Every(children) | Some(children):
            found = (position(child, document) for child in children)
            return next((number for number in found if number is not None), None)
        case Predicate(path, operator, operand):
            return _predicate_position(paths.split(path), operator, operand, document)
    return None


def _predicate_position(parts: paths.Parts, operator: str, operand: Any, document: Any) -> int | None:
    node = document
    for at in range(len(parts) + 1):
        if isinstance(node, list):
            return _element_position(node, parts[at:], operator, operand)
        inner = as_document(node)
        if inner is None or at == len(parts):
            return None
        node = inner.get(parts[at], MISSING)
    return None


def _element_position(array: list[Any], rest: paths.Parts, operator: str, operand: Any) -> int | None:
    if rest and paths.is_index(rest[0]):
        return None
    if not rest:
        test = element_test(operand) if operator == "$elemMatch" else _TESTS.get(operator, _test_exists)(operand)
        return next((i for i, element in enumerate(array) if test(element)), None)
    matches = _compile_predicate(Predicate(".".join(rest), operator, operand))
    objects = ((i, as_document(element)) for i, element in enumerate(array))
    return next((i for i, element in objects if element is not None and matches(element)), None)


# ---------------------------------------------------------------- tests of one value

_PLAIN = (str, ObjectId)


def _test_eq(operand: Any) -> Test:
    if operand is None:
        return lambda value: value is None or value is MISSING
    if isinstance(operand, bool):
        return lambda value: value is operand
    if type(operand) in _PLAIN:
        return lambda value: value == operand
    if isinstance(operand, int | float) and operand == operand:
        return _test_equal_number(operand)
    if type(operand) is dt.datetime and operand.tzinfo is None:
        return lambda value: value == operand
    key = keys.encode(operand)
    return lambda value: value is not MISSING and keys.encode(value) == key


def _test_equal_number(operand: int | float) -> Test:
    key = keys.encode(operand)

    def matches(value: Any) -> bool:
        kind = type(value)
        if kind is int or kind is float or kind is Int64:
            return value == operand
        return kind is Decimal128 and keys.encode(value) == key

    return matches


def _test_in(operand: list[Any]) -> Test:
    tests = [_test_regex(item) for item in operand if isinstance(item, Regex)]
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


def _test_regex(operand: Any) -> Test:
    pattern = compile_regex(operand)
    key = keys.encode(operand)

    def matches(value: Any) -> bool:
        if isinstance(value, str):
            return pattern.search(value) is not None
        return isinstance(value, Regex) and keys.encode(value) == key

    return matches


def compile_regex(regex: Regex[Any]) -> re.Pattern[str]:
    """Python's pattern for a BSON regular expression.

    Raises CommandError(51091) when it has no meaning.
    """
    flags = regex.flags & (re.I | re.M | re.S | re.X)
    if not flags & re.I:
        flags |= re.A  # PCRE's \\w and \\d are ASCII
    try:
        return re.compile(regex.pattern, flags)
    except (re.error, RecursionError, OverflowError) as error:
        text = f"Regular expression is invalid: {error}"
        raise CommandError(Code.Location51091, text) from None


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


# ---------------------------------------------------------------- tests of a whole field


def _test_exists(operand: Any) -> Test:
    return lambda value: value is not MISSING


def _test_size(operand: Any) -> Test:
    if not is_number(operand) or int(operand) != operand or operand < 0:
        raise CommandError(Code.BadValue, f"Failed to parse $size. Expected a non-negative integer: {operand}")
    return lambda value: type(value) is list and len(value) == operand


def _test_elem_match(operand: Mapping[str, Any]) -> Test:
    test = element_test(operand)
    return lambda value: type(value) is list and any(map(test, value))


def element_test(operand: Mapping[str, Any]) -> Test:
    """The condition of an $elemMatch, on one element."""
    if is_operators(operand) and next(iter(operand)) not in ("$and", "$or", "$nor", "$expr"):
        return value_test(operand)
    matches = compile_filter(operand)

    def test(element: Any) -> bool:
        document = as_document(element)
        if document is None and isinstance(element, list):
            document = {str(i): item for i, item in enumerate(element)}
        return document is not None and matches(document)

    return test


def _test_all(operand: list[Any]) -> Test:
    if not operand:
        return lambda value: False
    tests = [_test_all_item(item) for item in operand]
    return lambda value: all(test(value) for test in tests)


def _test_all_item(item: Any) -> Test:
    if is_operators(item):
        if list(item) != ["$elemMatch"]:
            raise CommandError(Code.BadValue, "no $ expressions in $all")
        return _test_elem_match(_checked_object("$elemMatch", item["$elemMatch"]))
    return expanding(_test_regex(item) if isinstance(item, Regex) else _test_eq(item))


_TESTS: dict[str, Callable[[Any], Test]] = {
    "$eq": _test_eq,
    "$in": _test_in,
    "$gt": _comparison("$gt"),
    "$gte": _comparison("$gte"),
    "$lt": _comparison("$lt"),
    "$lte": _comparison("$lte"),
    "$regex": _test_regex,
    "$mod": _test_mod,
    "$type": _test_type,
    "$bitsAllSet": _bits(lambda value, mask: value & mask == mask),
    "$bitsAnySet": _bits(lambda value, mask: value & mask != 0),
    "$bitsAllClear": _bits(lambda value, mask: value & mask == 0),
    "$bitsAnyClear": _bits(lambda value, mask: value & mask != mask),
}
_WHOLE: dict[str, Callable[[Any], Test]] = {
    "$exists": _test_exists,
    "$size": _test_size,
    "$elemMatch": _test_elem_match,
    "$all": _test_all,
}

__all__ = [
    "Computed", "Constant", "DBRef", "Document", "Every", "Node", "Not", "Predicate", "Some", "compile_filter",
    "compile_node", "compile_regex", "element_test", "expanding", "is_operators", "parse", "position", "value_test",
]  # fmt: skip
