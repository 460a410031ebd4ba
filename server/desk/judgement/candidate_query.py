"""What a list of candidates is asked for: the query's words, read and checked."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from config.json_text import JsonError, decode
from server.common.errors import BadRequest
from server.desk.common.dates import query_date
from server.desk.common.paging import id_list, words
from server.production.common.fields import number

__all__ = ["OPERATORS", "SAVED", "AnnotationTest", "Period", "PhotometryTests", "Place", "Search", "Sort",
           "read_search"]

SAVED = ("all", "savedToAllSelected", "savedToAnySelected", "savedToAnyAccessible", "notSavedToAnyAccessible",
         "notSavedToAnySelected", "notSavedToAllSelected")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    name: getattr(operator, name) for name in ("lt", "le", "eq", "ne", "ge", "gt")}
MOST_DAYS = 31  # of detections beside a region

Words = Mapping[str, str | None]


class Period(msgspec.Struct, frozen=True):
    """From one moment to another, both included; None: without end."""

    start: datetime | None = None
    end: datetime | None = None

    def query(self) -> dict[str, datetime]:
        """The condition on a date; empty when there is none."""
        ends = {"$gte": self.start, "$lte": self.end}
        return {name: moment for name, moment in ends.items() if moment is not None}


class Place(msgspec.Struct, frozen=True):
    """A credible region of a stored sky map; without a name, of the event's newest."""

    dateobs: str
    name: str | None
    cumprob: float


class AnnotationTest(msgspec.Struct, frozen=True):
    """What an annotation's value must be: equal to `value`, or a number from `least` to `most`."""

    origin: str
    key: str
    value: Any = None
    least: float | None = None
    most: float | None = None
    by_value: bool = False

    def holds(self, data: Mapping[str, Any]) -> bool:
        found = data.get(self.key)
        if self.by_value:
            return (self.key in data and type(found) is type(self.value) and bool(found == self.value)) \
                or (number(found) and number(self.value) and found == self.value)
        if not number(found):
            return False
        return (self.least is None or found >= self.least) and (self.most is None or found <= self.most)


class PhotometryTests(msgspec.Struct, frozen=True):
    """What annotations of at least `count` photometry points must be; a test is (name, value, operator)."""

    tests: tuple[tuple[str, float | None, str], ...] = ()
    origins: tuple[str, ...] = ()
    period: Period = Period()
    count: int = 1


class Sort(msgspec.Struct, frozen=True):
    """By which annotation's value the list is ordered."""

    origin: str
    key: str | None
    descending: bool


class Search(msgspec.Struct, frozen=True):
    """All conditions on a list of candidates."""

    groups: list[int] | None
    filters: list[int] | None
    passed: Period
    saved: str
    exclude_origin: str | None
    exclude_since: datetime | None
    sort: Sort | None
    annotations: tuple[AnnotationTest, ...]
    classes: tuple[str, ...]
    redshift: tuple[float | None, float | None]
    on_list: str | None
    off_list: str | None
    photometry: PhotometryTests | None
    place: Place | None
    detected: Period
    detections: int | None

    @property
    def is_plain(self) -> bool:
        """Whether the passages' filters and dates are all that it asks about."""
        return self == Search(**{**_NOTHING, "groups": self.groups, "filters": self.filters,
                                 "passed": self.passed})


_NOTHING: dict[str, Any] = {
    "saved": "all", "exclude_origin": None, "exclude_since": None, "sort": None, "annotations": (),
    "classes": (), "redshift": (None, None), "on_list": None, "off_list": None, "photometry": None,
    "place": None, "detected": Period(), "detections": None}


def read_search(given: Words) -> Search:
    """The conditions that a query spells out. Raises BadRequest, which names the parameter."""
    saved = given["savedStatus"] or "all"
    if saved not in SAVED:
        raise BadRequest(f"Invalid savedStatus: {saved[:60]!r} is none of {', '.join(SAVED)}")
    detected = _period(given, "firstDetectionAfter", "lastDetectionBefore")
    return Search(
        groups=id_list(given["groupIDs"], "groupIDs"), filters=id_list(given["filterIDs"], "filterIDs"),
        passed=_period(given, "startDate", "endDate"), saved=saved,
        exclude_origin=given["annotationExcludeOrigin"],
        exclude_since=query_date(given["annotationExcludeOutdatedDate"], "annotationExcludeOutdatedDate"),
        sort=_sort(given), annotations=_annotation_tests(given["annotationFilterList"]),
        classes=tuple(words(given["classifications"])),
        redshift=(_float(given, "minRedshift"), _float(given, "maxRedshift")),
        on_list=given["listName"], off_list=given["listNameReject"], photometry=_photometry(given),
        place=_place(given, detected), detected=detected, detections=_count(given, "numberDetections"))


def _period(given: Words, first: str, last: str) -> Period:
    period = Period(query_date(given[first], first), query_date(given[last], last))
    if period.start and period.end and period.end < period.start:
        raise BadRequest(f"{last}: must not be before {first}")
    return period


def _float(given: Words, name: str) -> float | None:
    text = given[name]
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadRequest(f"Invalid value for {name}: expected a number, not {text[:40]!r}")
    return value


def _count(given: Words, name: str) -> int | None:
    text = given[name]
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise BadRequest(f"{name}: must be an integer from 0, not {text[:40]!r}")
    return int(text)


def _sort(given: Words) -> Sort | None:
    order = (given["sortByAnnotationOrder"] or "asc").lower()
    if order not in ("asc", "desc"):
        raise BadRequest(f"sortByAnnotationOrder: must be asc or desc, not {order[:40]!r}")
    origin, key = given["sortByAnnotationOrigin"], given["sortByAnnotationKey"]
    if origin is None and key is not None:
        raise BadRequest("sortByAnnotationKey: needs sortByAnnotationOrigin")
    return Sort(origin, key, order == "desc") if origin is not None else None


# -- annotations


def _annotation_tests(text: str | None) -> tuple[AnnotationTest, ...]:
    if text is None:
        return ()
    try:
        tests = decode(text if text.lstrip().startswith("[") else f"[{text}]")
    except JsonError:
        raise BadRequest("annotationFilterList: not JSON objects with commas between them") from None
    if not isinstance(tests, list):
        raise BadRequest("annotationFilterList: expected JSON objects")
    return tuple(_annotation_test(test) for test in tests)


def _annotation_test(test: Any) -> AnnotationTest:
    if not isinstance(test, dict) or not all(isinstance(test.get(name), str) for name in ("origin", "key")):
        raise BadRequest("Invalid annotation filter list item: origin and key are needed, both texts")
    unknown = set(test) - {"origin", "key", "value", "min", "max"}
    has_bounds, has_value = bool({"min", "max"} & set(test)), "value" in test
    if unknown or has_bounds == has_value:
        raise BadRequest("Invalid annotation filter list item: give {origin, key, value} or "
                         "{origin, key, min, max}")
    bounds = [test[name] for name in ("min", "max") if test.get(name) is not None]
    if not all(number(bound) and math.isfinite(bound) for bound in bounds):
        raise BadRequest("Invalid annotation filter list item: min and max must be numbers")
    return AnnotationTest(test["origin"], test["key"], test.get("value"), test.get("min"), test.get("max"),
                          has_value)


def _photometry(given: Words) -> PhotometryTests | None:
    name = "photometryAnnotationsFilter"
    tests = tuple(_photometry_test(part) for part in words(given[name]))
    origins = tuple(words(given[f"{name}Origin"]))
    period = _period(given, f"{name}After", f"{name}Before")
    count = _count(given, f"{name}MinCount")
    if not (tests or origins or period.query() or count):
        return None
    return PhotometryTests(tests, origins, period, 1 if count is None else count)


def _photometry_test(text: str) -> tuple[str, float | None, str]:
    parts = [part.strip() for part in text.split(":")]
    if len(parts) == 1:
        return parts[0], None, "eq"
    try:
        name, value, compare = parts
        found = float(value)
    except ValueError:
        raise _bad_photometry_test(text) from None
    if not name or compare not in OPERATORS or not math.isfinite(found):
        raise _bad_photometry_test(text)
    return name, found, compare


def _bad_photometry_test(text: str) -> BadRequest:
    return BadRequest(f"Invalid photometryAnnotationsFilter value {text[:60]!r}: expected name or "
                      f"name: number: operator, with one of {', '.join(OPERATORS)}")


# -- region


def _place(given: Words, detected: Period) -> Place | None:
    dateobs, name = given["localizationDateobs"], given["localizationName"]
    cumprob = _float(given, "localizationCumprob")
    if cumprob is not None and not 0 <= cumprob <= 1:
        raise BadRequest(f"localizationCumprob: must be from 0 to 1, not {cumprob}")
    if dateobs is None:
        if name is not None:
            raise BadRequest("localizationName: needs localizationDateobs")
        return None
    if detected.start and detected.end and detected.end - detected.start > timedelta(days=MOST_DAYS):
        raise BadRequest(f"lastDetectionBefore: at most {MOST_DAYS} days after firstDetectionAfter when a "
                         "localization is given")
    return Place(dateobs, name, 0.95 if cumprob is None else cumprob)
