"""What paths find when they go through an array: a row of values for each of its elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from server.embedded.documents import paths
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MISSING, UNDEFINED, as_document

__all__ = ["descend", "expand"]


def expand(document: Any, wanted: Sequence[paths.Parts]) -> Iterator[list[Any]]:
    """The rows of values at several paths: one row, or one for each element of the array they go through."""
    row: list[Any] = [MISSING] * len(wanted)
    pending: list[tuple[int, paths.Parts]] = []
    array: list[Any] | None = None
    for i, parts in enumerate(wanted):
        value, rest = descend(document, parts)
        if not isinstance(value, list):
            row[i] = value
            continue
        if array is not None and array is not value:
            text = "cannot index parallel arrays: two of the indexed fields are arrays"
            raise CommandError(Code.CannotIndexParallelArrays, text)
        array = value
        pending.append((i, rest))
    if array is None:
        yield row
        return
    for element in array or [UNDEFINED]:
        yield from _expand_element(element, row, pending)


def _expand_element(
    element: Any, row: list[Any], pending: list[tuple[int, paths.Parts]]
) -> Iterator[list[Any]]:
    inner = [(i, rest) for i, rest in pending if rest]
    filled = list(row)
    for i, rest in pending:
        if not rest:
            filled[i] = element
    if not inner:
        yield filled
        return
    for found in (
        expand(element, [rest for _, rest in inner])
        if as_document(element) is not None
        else ([[MISSING] * len(inner)])
    ):
        for (i, _), value in zip(inner, found, strict=True):
            filled[i] = value
        yield list(filled)


def descend(node: Any, parts: paths.Parts) -> tuple[Any, paths.Parts]:
    """Walk through objects and numbered elements: what is there, and the rest of the path at an array."""
    for at, part in enumerate(parts):
        if type(node) is dict:
            node = node.get(part, MISSING)
            continue
        if isinstance(node, list):
            if paths.is_index(part) and int(part) < len(node):
                node = node[int(part)]
                continue
            return node, parts[at:]
        document = as_document(node)
        if document is None:
            return MISSING, ()
        node = document.get(part, MISSING)
    return node, ()
