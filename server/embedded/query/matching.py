"""Filters compiled to functions of a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bson import Regex

from server.embedded import expressions
from server.embedded.documents import paths
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.predicates import TESTS, Test, test_eq, test_regex
from server.embedded.documents.values import MISSING, as_document, is_number
from server.embedded.query.query import (
    Computed,
    Constant,
    Every,
    Node,
    Not,
    Predicate,
    Some,
    is_operators,
    parse,
    parse_operators,
)

Matcher = Callable[[Mapping[str, Any]], bool]


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

    return lambda document: all(matcher(document) for matcher in matchers)


def _any_of(matchers: list[Matcher]) -> Matcher:
    return lambda document: any(matcher(document) for matcher in matchers)


def _compile_predicate(node: Predicate) -> Matcher:
    test = _single_predicate(node)
    entering = test if node.operator in _WHOLE else expanding(test)
    return _on_values(paths.split(node.path), entering, test)


def _on_values(parts: paths.Parts, test: Test, single: Test) -> Matcher:
    """The test at the end of a path; `single` is for an array's element that the path has the number of."""
    if len(parts) == 1:
        name = parts[0]
        return lambda document: test(document.get(name, MISSING))

    def matches(document: Mapping[str, Any]) -> bool:
        node: Any = document
        for at, part in enumerate(parts):
            if type(node) is not dict:
                # an array (or something rare): there may be several values
                return any(
                    single(value) if numbered else test(value)
                    for numbered, value in paths.reached(node, parts, at)
                )
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


def _single_predicate(node: Predicate) -> Test:
    return (_WHOLE.get(node.operator) or TESTS[node.operator])(node.operand)


def _single(node: Node) -> Test:
    """Conditions of one value as it is: no array is entered."""
    match node:
        case Predicate():
            return _single_predicate(node)
        case Not(child):
            test = _single(child)
            return lambda value: not test(value)
        case Every(children):
            tests = [_single(child) for child in children]
            return lambda value: all(test(value) for test in tests)
    matches = compile_node(node)
    return lambda value: matches({"": value})


def value_test(condition: Any) -> Test:
    """A condition as $pull has it: of an element that is an array, an element may satisfy it."""
    if isinstance(condition, Regex):
        return test_regex(condition)
    if not is_operators(condition):
        return test_eq(condition)
    wrapped = [compile_node(node) for node in parse_operators("v", condition)]
    matches = _all_of(wrapped)
    return lambda value: matches({"v": value})


def object_test(condition: Mapping[str, Any]) -> Test:
    """A filter, on values of which only objects match."""
    matches = compile_filter(condition)

    def test(value: Any) -> bool:
        document = as_document(value)
        return document is not None and matches(document)

    return test


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
        test = (
            element_test(operand) if operator == "$elemMatch" else TESTS.get(operator, _test_exists)(operand)
        )
        return next((i for i, element in enumerate(array) if test(element)), None)
    matches = _compile_predicate(Predicate(".".join(rest), operator, operand))
    objects = ((i, as_document(element)) for i, element in enumerate(array))
    return next((i for i, element in objects if element is not None and matches(element)), None)


def _test_exists(operand: Any) -> Test:
    return lambda value: value is not MISSING


def _test_size(operand: Any) -> Test:
    if not is_number(operand) or int(operand) != operand or operand < 0:
        raise CommandError(
            Code.BadValue, f"Failed to parse $size. Expected a non-negative integer: {operand}"
        )
    return lambda value: type(value) is list and len(value) == operand


def _test_elem_match(operand: Mapping[str, Any]) -> Test:
    test = element_test(operand)
    return lambda value: type(value) is list and any(map(test, value))


def element_test(operand: Mapping[str, Any]) -> Test:
    """The condition of an $elemMatch, on one element."""
    if is_operators(operand) and next(iter(operand)) not in ("$and", "$or", "$nor", "$expr"):
        return _single(Every(tuple(parse_operators("", operand))))
    matches = compile_filter(operand)

    def test(element: Any) -> bool:
        document = as_document(element)
        if document is None and isinstance(element, list):
            document = {str(i): item for i, item in enumerate(element)}
        return document is not None and matches(document)

    return test


_WHOLE: dict[str, Callable[[Any], Test]] = {
    "$exists": _test_exists,
    "$size": _test_size,
    "$elemMatch": _test_elem_match,
}
