"""Conditions on objects that other rows decide: redshift, annotations, classes, lists, who saved them.

Every function tells which of some names fulfil one condition, and looks only at rows that the visitor sees.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from server.desk.common.access import Document, Visitor, visible
from server.desk.judgement.candidate_query import OPERATORS, AnnotationTest, PhotometryTests, Search, Sort
from server.desk.objects.measurements import is_detection
from server.production.common.fields import number
from server.rest.context import Context

__all__ = ["in_order", "narrow"]

FEW = 1000  # names in one query
MANY = 20_000  # names: more, and the rows are read without naming them
MJD_ZERO = datetime(1858, 11, 17)


async def narrow(ctx: Context, who: Visitor, search: Search, selected: list[int],
                 names: list[str]) -> list[str]:
    """Those names that fulfil all conditions, in their order."""
    if search.redshift != (None, None):
        names = await _by_redshift(ctx, search.redshift, names)
    if search.saved != "all":
        names = await _by_saved(ctx, who, search.saved, selected, names)
    if search.exclude_origin is not None:
        names = await _without_origin(ctx, who, search.exclude_origin, search.exclude_since, names)
    for test in search.annotations:
        names = await _annotated(ctx, who, test, names)
    if search.classes:
        query = {"classification": {"$in": list(search.classes)}}
        names = await _kept(ctx, who, "classification", query, names)
    if search.on_list is not None:
        names = await _kept(ctx, who, "listing", {"list_name": search.on_list}, names)
    if search.off_list is not None:
        names = await _kept(ctx, who, "listing", {"list_name": search.off_list}, names, False)
    if search.photometry is not None:
        names = await _by_photometry_annotations(ctx, who, search.photometry, names)
    if search.detected.query() or search.detections:
        names = await _by_detections(ctx, who, search, names)
    return names


# -- reading rows of objects

_COLLECTIONS = {"classification": "desk_classifications", "listing": "desk_listings",
                "annotation": "desk_annotations", "source": "desk_sources", "photometry": "desk_photometry",
                "obj": "desk_objs"}


async def _rows(ctx: Context, who: Visitor, kind: str, query: Document, names: Sequence[str],
                fields: Iterable[str] = (), key: str = "obj_id") -> AsyncIterator[Document]:
    """The rows of these objects that fulfil a query and that the visitor sees."""
    shown = dict.fromkeys([key, *fields], 1)
    parts = [{key: {"$in": list(names[n:n + FEW])}} for n in range(0, len(names), FEW)]
    for part in parts if len(names) <= MANY else [{}]:
        match = {"$and": [part, query, visible(kind, who)]}
        async for row in ctx.db[_COLLECTIONS[kind]].find(match, shown, batch_size=10_000):
            yield row


async def _kept(ctx: Context, who: Visitor, kind: str, query: Document, names: Sequence[str],
                kept: bool = True) -> list[str]:
    """Those names that have such a row, or those that have not."""
    found = {row["obj_id"] async for row in _rows(ctx, who, kind, query, names)}
    return [name for name in names if (name in found) is kept]


# -- conditions


async def _by_redshift(ctx: Context, bounds: tuple[float | None, float | None],
                       names: Sequence[str]) -> list[str]:
    ends = {"$gte": bounds[0], "$lte": bounds[1]}
    query = {"redshift": {name: value for name, value in ends.items() if value is not None}}
    nobody = Visitor(0, "")  # redshifts are public inside the system
    found = {row["_id"] async for row in _rows(ctx, nobody, "obj", query, names, key="_id")}
    return [name for name in names if name in found]


async def _by_saved(ctx: Context, who: Visitor, status: str, selected: list[int],
                    names: Sequence[str]) -> list[str]:
    query: Document = {"active": True}
    if not status.endswith("Accessible"):
        query["group_id"] = {"$in": selected}
    times = Counter([row["obj_id"] async for row in _rows(ctx, who, "source", query, names)])
    least = max(len(set(selected)), 1) if status.endswith("AllSelected") else 1
    wanted = status.startswith("saved")
    return [name for name in names if (times[name] >= least) is wanted]


async def _without_origin(ctx: Context, who: Visitor, origin: str, since: datetime | None,
                          names: Sequence[str]) -> list[str]:
    query: Document = {"origin": origin}
    if since is not None:  # an older annotation counts as none
        query["modified"] = {"$gte": since}
    return await _kept(ctx, who, "annotation", query, names, False)


async def _annotated(ctx: Context, who: Visitor, test: AnnotationTest, names: Sequence[str]) -> list[str]:
    rows = _rows(ctx, who, "annotation", {"origin": test.origin}, names, ["data"])
    found = {row["obj_id"] async for row in rows if test.holds(row["data"])}
    return [name for name in names if name in found]


async def _by_photometry_annotations(ctx: Context, who: Visitor, tests: PhotometryTests,
                                     names: Sequence[str]) -> list[str]:
    rows = _rows(ctx, who, "photometry", {}, names, ["annotations"])
    times = Counter([row["obj_id"] async for row in rows
                     if any(_passes(tests, note) for note in row.get("annotations") or ())])
    return [name for name in names if times[name] >= tests.count]


def _passes(tests: PhotometryTests, note: Document) -> bool:
    if tests.origins and note["origin"] not in tests.origins:
        return False
    start, end, moment = tests.period.start, tests.period.end, note["created_at"]
    if (start and moment < start) or (end and moment > end):
        return False
    return all(_holds(test, note["data"]) for test in tests.tests)


def _holds(test: tuple[str, float | None, str], data: Document) -> bool:
    name, value, compare = test
    if value is None:
        return name in data
    return number(data.get(name)) and OPERATORS[compare](data[name], value)


async def _by_detections(ctx: Context, who: Visitor, search: Search, names: Sequence[str]) -> list[str]:
    seen: defaultdict[str, list[datetime]] = defaultdict(list)
    fields = ["mjd", "flux", "fluxerr", "mag"]
    async for row in _rows(ctx, who, "photometry", {}, names, fields):
        if is_detection(row):
            seen[row["obj_id"]].append(MJD_ZERO + timedelta(days=row["mjd"]))
    return [name for name in names if _detected(search, seen.get(name, []))]


def _detected(search: Search, moments: list[datetime]) -> bool:
    start, end = search.detected.start, search.detected.end
    if len(moments) < (search.detections or 0):
        return False
    if not moments:
        return start is None and end is None
    return (start is None or min(moments) >= start) and (end is None or max(moments) <= end)


# -- order


async def in_order(ctx: Context, who: Visitor, sort: Sort, names: list[str]) -> list[str]:
    """Objects with an annotation of the origin first, by its value, those without the key last among them."""
    values: dict[str, Any] = {}
    async for row in _rows(ctx, who, "annotation", {"origin": sort.origin}, names, ["data"]):
        value = row["data"].get(sort.key) if sort.key is not None else None
        if values.get(row["obj_id"]) is None:
            values[row["obj_id"]] = value
    known = [name for name in names if values.get(name) is not None]
    known.sort(key=lambda name: _rank(values[name]), reverse=sort.descending)
    null = [name for name in names if name in values and values[name] is None]
    return [*known, *null, *(name for name in names if name not in values)]


def _rank(value: Any) -> tuple[int, float, str]:
    """Numbers before texts before all else."""
    if number(value):
        return 0, float(value), ""
    return (1, 0.0, value) if isinstance(value, str) else (2, 0.0, str(value))
