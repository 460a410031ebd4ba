"""Choosing how to find what a filter matches: which index, which of its ranges, in which order."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.embedded.documents import keys
from server.embedded.documents.errors import Code, CommandError
from server.embedded.indexes import bounds, multikey
from server.embedded.indexes.bounds import Bounds
from server.embedded.indexes.index import Index
from server.embedded.query import matching, query
from server.embedded.query.query import path_of

Range = tuple[bytes, bytes]
Group = tuple[int, list[Range]]  # ranges in order, whose keys begin with so many equal bytes
SortSpec = Sequence[tuple[str, bool]]  # dotted name, descending

_MOST_RANGES = 200_000  # of one scan
_MOST_MERGED = 256  # ranges that are walked side by side to be in order
_TRIAL = 400  # keys that are looked at to compare indexes


@dataclass(slots=True)
class Plan:
    """How to find documents: through an index, through several (for $or), or all of them."""

    index: Index | None = None
    ranges: Sequence[Range] = ()
    reverse: bool = False
    sorted: bool = False  # the rows come in the order that was asked for
    merge: list[Group] = field(default_factory=list)  # for that, these are walked side by side
    points: bool = False  # each range is one whole key
    exact: bool = False  # all rows match: no need to look at the documents
    branches: list[Plan] = field(default_factory=list)
    matches: matching.Matcher = lambda document: True
    covered_fields: int = 0  # of the index, how many are bounded

    @property
    def stage(self) -> str:
        """MongoDB's name of it, for explain."""
        if self.branches:
            return "OR"
        return "COLLSCAN" if self.index is None else "IXSCAN"


Estimate = Callable[[Index, Range, int], int]  # index, range, at most → how many keys are there


def conditions(node: query.Node) -> Iterator[query.Node]:
    """All that must hold: $and is taken apart."""
    if isinstance(node, query.Every):
        for child in node.children:
            yield from conditions(child)
    elif (
        isinstance(node, query.Not) and isinstance(node.child, query.Every) and len(node.child.children) == 1
    ):
        yield query.Not(node.child.children[0])
    else:
        yield node


def plan(
    indexes: Iterable[Index],
    tree: query.Every,
    matches: matching.Matcher,
    sort: SortSpec = (),
    hint: Any = None,
    estimate: Estimate | None = None,
    usable: Callable[[Index], bool] = lambda index: True,
) -> Plan:
    """The best plan for a filter.

    Raises CommandError(BadValue) when `hint` names no index.
    """
    needed = list(conditions(tree))
    indexes = [index for index in indexes if usable(index)]
    if hint is not None and hint != {}:
        return _hinted(indexes, needed, matches, sort, hint)
    paths = {path_of(node) for node in needed}
    found = [
        index_plan(index, needed, sort) for index in indexes
        if _concerns(index, paths, sort) and complete(index, needed)
    ]  # fmt: skip
    useful = [item for item in found if item.covered_fields or item.sorted]
    best = _choose(useful, sort, estimate)
    union = _union_plan(indexes, needed)
    if union is not None and (best is None or not best.covered_fields):
        best = union
    best = best or Plan(exact=not needed)
    best.matches = matches
    return best


def _concerns(index: Index, paths: set[str | None], sort: SortSpec) -> bool:
    """Can the index be of use at all?"""
    first = index.fields[0][0]
    within = any(path is not None and first.startswith(f"{path}.") for path in paths)  # by an $elemMatch
    return first in paths or within or (bool(sort) and first == sort[0][0])


def _hinted(
    indexes: Iterable[Index], needed: list[query.Node], matches: matching.Matcher, sort: SortSpec, hint: Any,
) -> Plan:  # fmt: skip
    if isinstance(hint, dict) and "$natural" in hint:
        return Plan(reverse=hint["$natural"] < 0, exact=not needed, matches=matches)
    for index in indexes:
        if hint == index.name or keys.equal(hint, index.spec["key"]):
            found = index_plan(index, needed, sort)
            found.matches = matches
            return found
    text = f"error processing query: hint provided does not correspond to an existing index: {hint}"
    raise CommandError(Code.BadValue, text)


def _implied(index: Index, needed: list[query.Node]) -> bool:
    """Is everything that the filter matches in the (partial) index?"""
    if index.partial is None:
        return True
    return all(any(_implies(mine, wanted) for mine in needed) for wanted in conditions(index.partial))


def _implies(mine: query.Node, wanted: query.Node) -> bool:
    if query.same(mine, wanted):
        return True
    if path_of(mine) != path_of(wanted) or not isinstance(wanted, query.Predicate):
        return False
    if not isinstance(mine, query.Predicate):
        return False
    if wanted.operator == "$exists":
        return mine.operator in ("$gt", "$lt", "$regex", "$type", "$size") or (
            mine.operator in ("$eq", "$gte", "$lte") and mine.operand is not None)  # fmt: skip
    narrow, wide = (bounds.of_predicate(node, sparse=False) for node in (mine, wanted))
    if not wide.exact or narrow.everything:
        return False
    return bounds.intersect(narrow, wide).intervals == narrow.intervals


def field_bounds(index: Index, needed: list[query.Node]) -> tuple[list[Bounds], int]:
    """The bounds of the index's fields, and how many conditions they hold exactly."""
    if index.multikey:
        return multikey.field_bounds(index, needed), 0
    found, held, alone = [], 0, len(index.fields) == 1
    for path, _ in index.fields:
        nodes = [node for node in needed if path_of(node) == path]
        mine = [bounds.of_predicate(node, index.sparse, alone=alone) for node in nodes]
        mine = [item for item in mine if not (item.everything and not item.exact)]
        found.append(functools.reduce(bounds.intersect, mine, bounds.ANYTHING if not mine else bounds.ALL))
        held += sum(item.exact for item in mine)
    return found, held


def index_plan(index: Index, needed: list[query.Node], sort: SortSpec = ()) -> Plan:
    """The plan that walks this index."""
    fields, held = field_bounds(index, needed)
    used = _leading(fields)
    plan = Plan(index=index, covered_fields=used)
    unbounded = all(item.everything for item in fields[used:])
    plan.exact = not index.multikey and unbounded and held == len(needed)
    plan.points = used == len(fields) and all(item.points for item in fields)
    plan.ranges = [found for _, group in _groups(index, fields, used, 0) for found in group]
    if sort and not index.multikey:
        _order(plan, index, fields, sort)
    return plan


def complete(index: Index, needed: list[query.Node]) -> bool:
    """Has the index all documents that the filter can match?"""
    if not _implied(index, needed):
        return False
    if not index.sparse:
        return True
    mine = [node for node in needed if path_of(node) in index.sure_paths]
    return any(bounds.of_predicate(node, sparse=True) != bounds.ANYTHING for node in mine)


def _leading(fields: list[Bounds]) -> int:
    """How many fields bound the scan: those with single values, and the next one."""
    used, size = 0, 1
    for item in fields:
        size *= max(len(item.intervals), 1)
        if item.everything or size > _MOST_RANGES:
            break
        used += 1
        if not item.points:
            break
    return used


def _prefixes(index: Index, fields: list[Bounds], first: int, behind: int) -> list[bytes]:
    """The keys of all combinations of the values of these fields, in the index's order."""
    choices = []
    for (_, descending), item in zip(index.fields[first:behind], fields[first:behind], strict=True):
        encoded = [low[0] for low, _ in item.intervals]
        choices.append([keys.invert(key) for key in reversed(encoded)] if descending else encoded)
    return [b"".join(combination) for combination in itertools.product(*choices)]


def _groups(index: Index, fields: list[Bounds], used: int, skipped: int) -> Iterator[Group]:
    """The scan's ranges, for each combination of values of the first `skipped` fields."""
    if skipped >= used:
        rest = [(b"", keys.AFTER)]
    else:
        descending = index.fields[used - 1][1]
        last = [bounds.directed(interval, descending) for interval in fields[used - 1].intervals]
        last = last[::-1] if descending else last
        middle = _prefixes(index, fields, skipped, used - 1)
        rest = [(prefix + low, prefix + high) for prefix in middle for low, high in last]
    for prefix in _prefixes(index, fields, 0, skipped):
        yield len(prefix), [(prefix + low, prefix + high) for low, high in rest]


def _order(plan: Plan, index: Index, fields: list[Bounds], sort: SortSpec) -> None:
    """Find out whether the index gives the order, in which direction, and what has to be merged for it."""
    size = 1
    for skipped in range(plan.covered_fields + 1):
        if skipped:
            if not fields[skipped - 1].points:
                return
            size *= len(fields[skipped - 1].intervals)
        reverse = _direction(index, sort, fields, skipped)
        if reverse is not None and size <= _MOST_MERGED:
            plan.sorted, plan.reverse = True, reverse
            if size > 1:
                plan.merge = list(_groups(index, fields, plan.covered_fields, skipped))
            return


def _direction(index: Index, sort: SortSpec, fields: list[Bounds], skipped: int) -> bool | None:
    """Whether to walk backwards for the sort, behind the first fields; None when it is no help."""
    single = {path for (path, _), item in zip(index.fields, fields, strict=True) if _is_single(item)}
    at, reverse = skipped, None
    for path, descending in sort:
        if path in single:
            continue
        while at < len(index.fields) and index.fields[at][0] in single:
            at += 1
        if at == len(index.fields) or index.fields[at][0] != path:
            return None
        backward = index.fields[at][1] != descending
        if reverse not in (None, backward):
            return None
        reverse, at = backward, at + 1
    return bool(reverse)


def _is_single(item: Bounds) -> bool:
    return item.exact and item.points and len(item.intervals) == 1


def _choose(found: list[Plan], sort: SortSpec, estimate: Estimate | None) -> Plan | None:
    if len(found) < 2:
        return found[0] if found else None
    for item in found:
        if _finds_one(item):
            return item
    return min(found, key=lambda item: _cost(item, sort, estimate))


def _finds_one(item: Plan) -> bool:
    """Does it look for one value of a unique index?"""
    index = item.index
    if index is None or not index.unique or item.covered_fields < len(index.fields):
        return False
    return index.is_id or (item.exact and len(item.ranges) == 1)


def _finds_one_each(item: Plan, index: Index) -> bool:
    """Does each of its ranges hold one document at most?"""
    return index.unique and item.points and item.covered_fields == len(index.fields)


def _cost(item: Plan, sort: SortSpec, estimate: Estimate | None) -> tuple[float, ...]:
    """Fewer keys first; an order that has not to be made counts as much as a few hundred keys."""
    unsorted = bool(sort) and not item.sorted
    if estimate is None or item.index is None:
        return (unsorted, -item.covered_fields, len(item.index.fields) if item.index else 0)
    if _finds_one_each(item, item.index):  # no need to look; and rather many of these than who knows how many
        many = len(item.ranges) >= _TRIAL
        return (many and unsorted, False, min(len(item.ranges), _TRIAL - 1), unsorted, -item.covered_fields)
    size = 0
    for interval in item.ranges:
        size += estimate(item.index, interval, _TRIAL - size) + 1
        if size >= _TRIAL:
            break
    full = size >= _TRIAL
    return (full and unsorted, full and not item.covered_fields, size, unsorted, -item.covered_fields)


def _union_plan(indexes: list[Index], needed: list[query.Node]) -> Plan | None:
    """For a $or all of whose branches have an index."""
    for node in needed:
        if isinstance(node, query.Some):
            branches = [_branch_plan(indexes, child) for child in node.children]
            if all(branch is not None for branch in branches):
                return Plan(branches=[branch for branch in branches if branch is not None])
    return None


def _branch_plan(indexes: list[Index], child: query.Node) -> Plan | None:
    needed = list(conditions(child))
    found = [index_plan(index, needed, ()) for index in indexes if complete(index, needed)]
    found = [item for item in found if item.covered_fields]
    return min(found, key=lambda item: (-item.covered_fields, len(item.ranges)), default=None)
