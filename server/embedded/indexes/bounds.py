"""The parts of an index that a filter can reach: intervals of keys, field by field.

An interval's ends are positions `(key, behind)` in the ascending order of one field's keys: before, or
behind, everything that begins with `key`. Every interval is a superset of what matches; `exact` says that
it is no more than that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from bson import Regex

from server.embedded.documents import keys
from server.embedded.expressions import truthy
from server.embedded.query import query

Position = tuple[bytes, bool]
Interval = tuple[Position, Position]

START: Final[Position] = (b"", False)
FINISH: Final[Position] = (b"", True)
EVERYTHING: Final[Interval] = (START, FINISH)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a field's keys must lie; intervals are in order and apart from each other."""

    intervals: tuple[Interval, ...]
    exact: bool
    points: bool = False  # each interval is one value

    @property
    def everything(self) -> bool:
        """Is the field not bounded at all?"""
        return self.intervals == (EVERYTHING,)


ANYTHING: Final = Bounds((EVERYTHING,), exact=False)
ALL: Final = Bounds((EVERYTHING,), exact=True)


def point(key: bytes) -> Interval:
    """The interval of one value."""
    return (key, False), (key, True)


def of_predicate(node: query.Node, sparse: bool, multikey: bool = False, alone: bool = True) -> Bounds:
    """The bounds that one condition on a field gives.

    Exactness holds for fields without arrays only. `alone`: the index has no other field (a sparse one of
    several fields has documents that lack some of them).
    """
    if isinstance(node, query.Not):
        found = _negated(node.child, sparse)
        # {a: [1]} has the key null for a.b, but no a.b that could be equal to null
        return ANYTHING if multikey and not _holds_null(found) else found
    if not isinstance(node, query.Predicate):
        return ANYTHING
    operator, operand = node.operator, node.operand
    if operator == "$eq":
        return _equal(operand, sparse)
    if operator == "$in":
        return _any_of(operand, sparse)
    if operator in ("$gt", "$gte", "$lt", "$lte"):
        return _range(operator, operand, sparse)
    if operator == "$regex":
        return _prefix(operand)
    if operator == "$exists":
        return Bounds((EVERYTHING,), exact=sparse and alone) if truthy(operand) else ANYTHING
    return ANYTHING


def _holds_null(found: Bounds) -> bool:
    key = keys.NULL_KEY
    return any(place(low) <= key < place(high) for low, high in found.intervals)


def _equal(operand: Any, sparse: bool) -> Bounds:
    if operand is None:
        # a key says nothing of whether the field is missing or null, which is the same here
        return ANYTHING if sparse else Bounds((point(keys.NULL_KEY),), exact=True, points=True)
    if isinstance(operand, list):
        return ANYTHING
    return Bounds((point(keys.encode(operand)),), exact=True, points=True)


def _any_of(operand: Iterable[Any], sparse: bool) -> Bounds:
    found = set()
    for item in operand:
        if isinstance(item, list | Regex) or (item is None and sparse):
            return ANYTHING
        found.add(keys.encode(item))
    return Bounds(tuple(map(point, sorted(found))), exact=True, points=True)


def _range(operator: str, operand: Any, sparse: bool) -> Bounds:
    key = keys.encode(operand)
    kind = key[:1]
    if isinstance(operand, list) or kind[0] in (keys.MINKEY, keys.MAXKEY):
        return ANYTHING
    if operand is None:
        return Bounds((point(keys.NULL_KEY),), exact=False, points=True) if not sparse else ANYTHING
    low: Position = (kind, False)
    if kind[0] == keys.NUMBER:
        if key == keys.NAN_KEY:
            return Bounds(((low, (kind, True)),), exact=False)
        low = (keys.NAN_KEY, True)
    high: Position = (kind, True)
    if operator.startswith("$g"):
        low = (key, operator == "$gt")
    else:
        high = (key, operator == "$lte")
    return Bounds(((low, high),), exact=True)


_LITERAL = re.compile(r"\^((?:[^\\^$.|?*+()\[\]{}]|\\[^0-9a-zA-Z])*)")


def _prefix(operand: Regex[str]) -> Bounds:
    """Of ^literal…: the strings with the prefix, and the regular expressions."""
    kinds = (((bytes([keys.REGEX]), False), (bytes([keys.REGEX]), True)),)
    strings = (((bytes([keys.STRING]), False), (bytes([keys.STRING]), True)),)
    match = _LITERAL.match(operand.pattern) if not operand.flags & (re.I | re.M | re.X) else None
    if match is None or "|" in operand.pattern:
        return Bounds(strings + kinds, exact=False)
    literal = match[1]
    if match.end() < len(operand.pattern) and operand.pattern[match.end()] in "?*{":
        literal = re.sub(r"(\\.|.)\Z", "", literal, flags=re.S)  # the last one is optional
    text = re.sub(r"\\(.)", r"\1", literal, flags=re.S)
    key = keys.encode(text)[:-1]  # without its end
    return Bounds((((key, False), (key, True)), *kinds), exact=False)


def _negated(node: query.Node, sparse: bool) -> Bounds:
    """A sparse index has not the documents without the field, which match any negation."""
    if sparse or not isinstance(node, query.Predicate) or node.operator not in ("$eq", "$in", "$exists"):
        return ANYTHING
    if node.operator == "$exists":
        return Bounds((point(keys.NULL_KEY),), exact=False, points=True)
    inner = of_predicate(node, sparse)
    if inner.everything or not inner.exact:
        return ANYTHING
    gaps, low = [], START
    for first, last in inner.intervals:
        gaps.append((low, first))
        low = last
    return Bounds((*gaps, (low, FINISH)), exact=True)


def intersect(left: Bounds, right: Bounds) -> Bounds:
    """What is within both."""
    found = []
    for low, high in left.intervals:
        for other_low, other_high in right.intervals:
            start, end = max(low, other_low, key=place), min(high, other_high, key=place)
            if place(start) < place(end):
                found.append((start, end))
    exact, points = left.exact and right.exact, left.points or right.points
    return Bounds(tuple(found), exact, points)


def place(position: Position) -> bytes:
    """The position as bytes to compare keys with."""
    key, behind = position
    return _behind(key) if behind else key


def _behind(prefix: bytes) -> bytes:
    """The least bytes that are greater than all that begin with the prefix."""
    stem = prefix.rstrip(keys.AFTER)
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else keys.AFTER


def directed(interval: Interval, descending: bool) -> tuple[bytes, bytes]:
    """The first key of the interval and the one behind its last, in the index's direction."""
    low, high = interval
    if not descending:
        return place(low), place(high)
    return _flipped(high), _flipped(low)


def _flipped(position: Position) -> bytes:
    key, behind = position
    inverted = keys.invert(key)
    return inverted if behind else _behind(inverted)
