"""Finding documents: filters, plans and order, as find, update, delete and findAndModify share them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from server.embedded.documents import budget
from server.embedded.documents.sorting import Sorter, parse_sort, sort_key
from server.embedded.documents.values import Document, decode
from server.embedded.indexes import planner
from server.embedded.indexes.index import Index
from server.embedded.indexes.planner import Plan, Range
from server.embedded.query import matching, query
from server.embedded.reading.scan import Clock, Match, Position, Statistics, carry_out
from server.embedded.storage.catalog import Collection
from server.embedded.storage.views import View


@dataclass(slots=True)
class Search:
    """A filter with its order, ready to be carried out on a collection."""

    view: View
    collection: Collection
    tree: query.Every
    matches: matching.Matcher
    plan: Plan
    sort: list[tuple[str, bool]]

    def found(
        self, expected: int = 0, position: Position | None = None, statistics: Statistics | None = None
    ) -> Iterator[Match | None]:
        """The matching documents in the plan's order; None is a pause."""
        return carry_out(self.view, self.collection, self.plan, expected, position, statistics)

    @property
    def needs_sorting(self) -> bool:
        return bool(self.sort) and not self.plan.sorted

    def ordered(
        self, limit: int = 0, position: Position | None = None, statistics: Statistics | None = None
    ) -> Iterator[bytes | None]:
        """The documents' bytes in the order that was asked for; with a limit, at least so many."""
        found = self.found(0 if self.needs_sorting else limit, position, statistics)
        if not self.needs_sorting:
            for match in found:
                yield None if match is None else match[1]
            return
        key, sorter = sort_key(self.sort), Sorter(limit)
        for match in found:
            if match is None:
                yield None
            else:
                sorter.add(key(match[2] or decode(match[1])), match[1])
        yield from paced(sorter.sorted())

    def first(self) -> Iterator[Match | None]:
        """The match that comes first, if there is one; None is a pause."""
        found = self.found(1)
        if not self.needs_sorting:
            for match in found:
                yield match
                if match is not None:
                    return
            return
        key = sort_key(self.sort)
        best: tuple[bytes, Match] | None = None
        for match in found:
            if match is None:
                yield None
                continue
            place = key(match[2] or decode(match[1]))
            if best is None or place < best[0]:
                best = place, match
        if best is not None:
            yield best[1]

    def still_matches(self, rid: int) -> tuple[bytes, Document] | None:
        """The document anew, after others have run: None when it is gone or matches no more."""
        raw = self.view.get(self.collection, rid)
        if raw is None:
            return None
        document = decode(raw)
        return (raw, document) if self.matches(document) else None


def paced(results: Iterator[bytes]) -> Iterator[bytes | None]:
    """The results, with a None now and then."""
    clock = Clock()
    for item in results:
        yield item
        if clock.over():
            yield None


def search(
    view: View, collection: Collection, spec: Any, sort: Any = None, hint: Any = None,
    variables: Mapping[str, Any] | None = None,
) -> Search:  # fmt: skip
    """Parse a filter and choose a plan for it.

    Raises CommandError for an unknown operator or hint.
    """
    tree = query.parse(spec or {})
    if isinstance(sort, Mapping) and list(sort) == ["$natural"]:
        sort, hint = None, sort
    return search_tree(view, collection, tree, parse_sort(sort or {}), hint, variables)


def search_tree(
    view: View, collection: Collection, tree: query.Every, sort: list[tuple[str, bool]], hint: Any = None,
    variables: Mapping[str, Any] | None = None,
) -> Search:  # fmt: skip
    """The same, of a parsed filter, whose $expr may use variables."""
    matches = budget.computing(matching.compile_node(tree, variables))

    def estimate(index: Index, interval: Range, most: int) -> int:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {index.table} WHERE key >= ? AND key < ? LIMIT ?)"
        return sum(number for (number,) in view.query(sql, (*interval, most)))

    plan = planner.plan(collection.indexes.values(), tree, matches, sort, hint, estimate, view.usable)
    return Search(view, collection, tree, matches, plan, sort)
