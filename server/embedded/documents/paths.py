"""Dotted field names, and what they reach in a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from server.embedded.documents.values import MISSING, as_document

Parts = tuple[str, ...]


@lru_cache(maxsize=4096)
def split(path: str) -> Parts:
    """The components of a dotted name."""
    return tuple(path.split("."))


def is_index(part: str) -> bool:
    """Could it be a place in an array? (no sign, no leading zero)"""
    return part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")


def has_index(path: str) -> bool:
    """May the dotted name mean a place in an array?"""
    return any(map(is_index, split(path)))


def related(path: str, other: str) -> bool:
    """Is one of the dotted names the other, or inside it?"""
    return path == other or path.startswith(other + ".") or other.startswith(path + ".")


def candidates(node: Any, parts: Parts, at: int = 0) -> Iterator[Any]:
    """What a filter's path may mean in a document: every value at its end, or MISSING.

    Arrays on the way are entered (each of their objects, and the element with the number that the path
    has); an array at the end is one value.
    """
    return (value for _, value in reached(node, parts, at))


def reached(node: Any, parts: Parts, at: int = 0) -> Iterator[tuple[bool, Any]]:
    """The same values, each with whether the path ends in its number in an array.

    Such an element is meant as it is: if it is an array itself, a filter does not look into it.
    """
    for number in range(at, len(parts)):
        if isinstance(node, list):
            yield from _in_array(node, parts, number)
            return
        document = node if type(node) is dict else as_document(node)
        if document is None:
            yield False, MISSING
            return
        node = document.get(parts[number], MISSING)
    yield False, node


def _in_array(array: list[Any], parts: Parts, at: int) -> Iterator[tuple[bool, Any]]:
    part = parts[at]
    if is_index(part) and int(part) < len(array):
        element = array[int(part)]
        if at + 1 == len(parts):
            yield True, element
        elif isinstance(element, list) or as_document(element) is not None:
            yield from reached(element, parts, at + 1)
    for element in array:
        if as_document(element) is not None:
            yield from reached(element, parts, at)


def lookup(node: Any, parts: Parts) -> Any:
    """The value as an aggregation's "$a.b" has it: an array on the way gives an array of values."""
    for at, part in enumerate(parts):
        if isinstance(node, Mapping):
            node = node.get(part, MISSING)
        elif isinstance(node, list):
            found = (lookup(element, parts[at:]) for element in node if not isinstance(element, list))
            return [value for value in found if value is not MISSING]
        else:
            document = as_document(node)
            if document is None:
                return MISSING
            node = document.get(part, MISSING)
    return node


def lookup_plain(node: Any, parts: Parts) -> Any:
    """The value at the path through objects and numbered elements only, or MISSING."""
    for part in parts:
        if isinstance(node, Mapping):
            node = node.get(part, MISSING)
        elif isinstance(node, list) and is_index(part) and int(part) < len(node):
            node = node[int(part)]
        else:
            return MISSING
    return node
