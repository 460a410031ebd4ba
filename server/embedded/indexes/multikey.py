"""What a filter can reach of an index in whose fields some documents have arrays (MongoDB's multikey index).

Such a document has a key for each element of its array. Two conditions may be met by different elements, so
by different keys: bounds of both would miss the document. They may bound a scan together only where no array
can part them (fields of different top-level names: an index has one array of a document), or where an
$elemMatch asks one element for both.
https://www.mongodb.com/docs/manual/core/indexes/index-types/index-multikey/multikey-index-bounds/
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from server.embedded.documents import paths
from server.embedded.indexes import bounds
from server.embedded.indexes.bounds import Bounds
from server.embedded.indexes.index import Index
from server.embedded.query import query

_LOGICAL = ("$and", "$or", "$nor", "$expr")


@dataclass(frozen=True, slots=True)
class Witness:
    """The bounds of one key that each matching document must have."""

    fields: Mapping[str, Bounds]
    element: str | None = None  # the path of the $elemMatch that they come from

    def ties(self, path: str, other: str) -> bool:
        """Are both paths of one element, with no array of its own between them?"""
        if self.element is None:
            return False
        within = len(paths.split(self.element))
        return paths.split(path)[within] != paths.split(other)[within]


def field_bounds(index: Index, needed: Iterable[query.Node]) -> list[Bounds]:
    """The bounds of a multikey index's fields."""
    known = list(_witnesses(index, needed))
    chosen: dict[str, Witness] = {}
    for path, _ in index.fields:
        found = [item for item in known if path in item.fields and _may_join(item, path, chosen)]
        if found:
            chosen[path] = min(found, key=lambda item: _rank(item, path))
    return [chosen[path].fields[path] if path in chosen else bounds.ANYTHING for path, _ in index.fields]


def _rank(witness: Witness, path: str) -> tuple[bool, int, int]:
    """The one that narrows most comes first."""
    item = witness.fields[path]
    return not item.points, len(item.intervals), -len(witness.fields)


def _may_join(witness: Witness, path: str, chosen: Mapping[str, Witness]) -> bool:
    top = paths.split(path)[0]
    beside = {other: item for other, item in chosen.items() if paths.split(other)[0] == top}
    return all(item is witness and witness.ties(path, other) for other, item in beside.items())


def _witnesses(index: Index, needed: Iterable[query.Node]) -> Iterator[Witness]:
    for node in needed:
        if isinstance(node, query.Predicate) and node.operator == "$elemMatch":
            yield from _of_element(index, node)
        elif (path := query.path_of(node)) in index.sure_paths:
            item = bounds.of_predicate(node, index.sparse, multikey=True)
            if path is not None and not item.everything:
                yield Witness({path: item})


def _of_element(index: Index, node: query.Predicate) -> Iterator[Witness]:
    """One element meets all conditions of an $elemMatch."""
    operand = node.operand
    if query.is_operators(operand):
        if next(iter(operand)) in _LOGICAL or node.path not in index.sure_paths:
            return
        inner = [_positive(child, index) for child in query.parse_operators(node.path, operand)]
        total = functools.reduce(bounds.intersect, inner, bounds.ALL)
        fields = {node.path: total}
    else:
        children = {f"{node.path}.{child.path}": child for child in query.parse(operand).children
                    if isinstance(child, query.Predicate)}  # fmt: skip
        sure = index.sure_paths & children.keys()
        fields = {path: _positive(children[path], index) for path in sure}
    fields = {path: item for path, item in fields.items() if not item.everything}
    if fields:
        yield Witness(fields, node.path)


def _positive(node: query.Node, index: Index) -> Bounds:
    """The bounds of a condition on one element; of negations none, for they hold of arrays as a whole."""
    if not isinstance(node, query.Predicate):
        return bounds.ANYTHING
    return bounds.of_predicate(node, index.sparse, multikey=True)
