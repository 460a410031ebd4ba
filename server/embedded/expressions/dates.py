"""Dates: their parts, arithmetic in units, text."""

from __future__ import annotations

import calendar
import datetime as dt
import re
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any

from bson import Int64, ObjectId, Timestamp

from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import EPOCH, as_date, date_millis, is_date, type_alias
from server.embedded.expressions.arrays import whole
from server.embedded.expressions.core import (
    Expression,
    Variables,
    arguments,
    compile_expression,
    is_null,
    named_arguments,
    operator,
)  # fmt: skip
from server.embedded.expressions.types import parse_date

_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?\Z")


def zone_of(name: Any) -> dt.tzinfo:
    """The time zone of an Olson name or an offset such as +02:00.

    Raises CommandError(40485).
    """
    if name in ("UTC", "GMT", "Z"):
        return dt.UTC
    match = _OFFSET.match(name) if isinstance(name, str) else None
    if match:
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        return dt.timezone(dt.timedelta(minutes=-minutes if match[1] == "-" else minutes))
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise CommandError(Code.Location40485, f"unrecognized time zone identifier: {name!r}") from None


def moment(value: Any, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """A date, timestamp or ObjectId as a time in the zone.

    Raises CommandError(16006).
    """
    if isinstance(value, ObjectId):
        return value.generation_time.astimezone(zone)
    if isinstance(value, Timestamp):
        return value.as_datetime().astimezone(zone)
    if is_date(value):
        found = as_date(date_millis(value))
        if isinstance(found, dt.datetime):
            return found.replace(tzinfo=dt.UTC).astimezone(zone)
    raise CommandError(Code.Location16006, f"can't convert from BSON type {type_alias(value)} to Date")


def stored(value: dt.datetime) -> dt.datetime:
    """A time as BSON's dates are decoded: UTC, naive, milliseconds."""
    found = value.astimezone(dt.UTC).replace(tzinfo=None)
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def _part(name: str, function: Callable[[dt.datetime], int]) -> None:
    @operator(name)
    def compiler(operand: Any) -> Expression:
        if isinstance(operand, Mapping) and "date" in operand:
            named = named_arguments(name, operand, ("date",), ("timezone",))
        else:
            (argument,) = arguments(name, operand, 1)
            named = {"date": argument}

        def value(document: Any, variables: Variables) -> Any:
            found = named["date"](document, variables)
            zone = _zone(named, document, variables)
            return None if is_null(found) or zone is None else function(moment(found, zone))

        return value


def _zone(named: Mapping[str, Expression], document: Any, variables: Variables) -> dt.tzinfo | None:
    if "timezone" not in named:
        return dt.UTC
    name = named["timezone"](document, variables)
    return None if is_null(name) else zone_of(name)


def _week(date: dt.datetime) -> int:
    return int(date.strftime("%U"))


_part("$year", lambda date: date.year)
_part("$month", lambda date: date.month)
_part("$dayOfMonth", lambda date: date.day)
_part("$hour", lambda date: date.hour)
_part("$minute", lambda date: date.minute)
_part("$second", lambda date: date.second)
_part("$millisecond", lambda date: date.microsecond // 1000)
_part("$dayOfYear", lambda date: date.timetuple().tm_yday)
_part("$dayOfWeek", lambda date: date.isoweekday() % 7 + 1)
_part("$week", _week)
_part("$isoWeek", lambda date: date.isocalendar().week)
_part("$isoWeekYear", lambda date: date.isocalendar().year)
_part("$isoDayOfWeek", lambda date: date.isoweekday())

_FORMATS: Mapping[str, Callable[[dt.datetime], str]] = {
    "Y": lambda date: f"{date.year:04d}",
    "m": lambda date: f"{date.month:02d}",
    "d": lambda date: f"{date.day:02d}",
    "H": lambda date: f"{date.hour:02d}",
    "M": lambda date: f"{date.minute:02d}",
    "S": lambda date: f"{date.second:02d}",
    "L": lambda date: f"{date.microsecond // 1000:03d}",
    "j": lambda date: f"{date.timetuple().tm_yday:03d}",
    "u": lambda date: str(date.isoweekday()),
    "w": lambda date: str(date.isoweekday() % 7 + 1),
    "U": lambda date: f"{_week(date):02d}",
    "V": lambda date: f"{date.isocalendar().week:02d}",
    "G": lambda date: f"{date.isocalendar().year:04d}",
    "b": lambda date: calendar.month_abbr[date.month].lower(),
    "B": lambda date: calendar.month_name[date.month].lower(),
    "z": lambda date: date.strftime("%z"),
    "Z": lambda date: str(int((date.utcoffset() or dt.timedelta()).total_seconds() // 60)),
    "%": lambda date: "%",
}


def format_date(date: dt.datetime, pattern: str) -> str:
    """The date by a pattern of $dateToString.

    Raises CommandError(18536) for an unknown specifier.
    """

    def replace(match: re.Match[str]) -> str:
        function = _FORMATS.get(match[1])
        if function is None:
            raise CommandError(Code.Location18536, f"Invalid format character '%{match[1]}' in format string")
        return function(date)

    return re.sub(r"%(.?)", replace, pattern, flags=re.S)


@operator("$dateToString")
def _date_to_string(operand: Any) -> Expression:
    named = named_arguments("$dateToString", operand, ("date",), ("format", "timezone", "onNull"))

    def value(document: Any, variables: Variables) -> Any:
        found, zone = named["date"](document, variables), _zone(named, document, variables)
        if is_null(found):
            return named["onNull"](document, variables) if "onNull" in named else None
        default = (
            "%Y-%m-%dT%H:%M:%S.%LZ" if "timezone" not in named or zone is dt.UTC else "%Y-%m-%dT%H:%M:%S.%L"
        )
        pattern = named["format"](document, variables) if "format" in named else default
        if zone is None or is_null(pattern):
            return None
        return format_date(moment(found, zone), pattern)

    return value


_PARSERS = {
    "Y": r"(?P<Y>\d{4})", "m": r"(?P<m>\d\d?)", "d": r"(?P<d>\d\d?)", "H": r"(?P<H>\d\d?)",
    "M": r"(?P<M>\d\d?)",
    "S": r"(?P<S>\d\d?)", "L": r"(?P<L>\d{1,3})", "j": r"(?P<j>\d{1,3})", "z": r"(?P<z>Z|[+-]\d\d:?\d\d)",
    "b": r"(?P<b>[a-zA-Z]{3})", "B": r"(?P<B>[a-zA-Z]+)", "%": "%",
}  # fmt: skip


def _parse_by(text: str, pattern: str) -> dt.datetime:
    """The (aware, if it has a zone) time of a text by a pattern."""
    expression = ""
    for literal, letter in re.findall(r"([^%]*)(?:%(.))?", pattern, flags=re.S):
        if letter and letter not in _PARSERS:
            raise CommandError(Code.Location18536, f"Invalid format character '%{letter}' in format string")
        expression += re.escape(literal) + _PARSERS.get(letter, "")
    match = re.fullmatch(expression, text)
    if match is None:
        raise _unparsed(text)
    found = match.groupdict()
    month = _month_number(found) or int(found.get("m") or 1)
    try:
        date = dt.datetime(
            int(found.get("Y") or 1970), month, int(found.get("d") or 1), int(found.get("H") or 0),
            int(found.get("M") or 0), int(found.get("S") or 0),
            int((found.get("L") or "0").ljust(3, "0")) * 1000,
        )  # fmt: skip
    except ValueError:
        raise _unparsed(text) from None
    if found.get("j"):
        date = date.replace(month=1, day=1) + dt.timedelta(days=int(found["j"]) - 1)
    return date.replace(tzinfo=zone_of(found["z"])) if found.get("z") else date


def _month_number(found: Mapping[str, str | None]) -> int:
    names = [name.lower() for name in (calendar.month_abbr if found.get("b") else calendar.month_name)]
    name = (found.get("b") or found.get("B") or "").lower()
    return names.index(name) if name and name in names else 0


def _unparsed(text: Any) -> CommandError:
    return CommandError(Code.ConversionFailure, f"Error parsing date string '{text}'")


@operator("$dateFromString")
def _date_from_string(operand: Any) -> Expression:
    optional = ("format", "timezone", "onError", "onNull")
    named = named_arguments("$dateFromString", operand, ("dateString",), optional)

    def value(document: Any, variables: Variables) -> Any:
        text = named["dateString"](document, variables)
        if is_null(text):
            return named["onNull"](document, variables) if "onNull" in named else None
        try:
            return _from_string(text, named, document, variables)
        except CommandError:
            if "onError" not in named:
                raise
            return named["onError"](document, variables)

    return value


def _from_string(text: Any, named: Mapping[str, Expression], document: Any, variables: Variables) -> Any:
    if not isinstance(text, str):
        raise _unparsed(text)
    zone = _zone(named, document, variables)
    if zone is None:
        return None
    if "format" in named:
        found = _parse_by(text, named["format"](document, variables))
    else:
        found = parse_date(text).replace(tzinfo=dt.UTC if re.search(r"Z\Z|[+-]\d\d:?\d\d\Z", text) else None)
    return stored(found if found.tzinfo is not None else found.replace(tzinfo=zone))


@operator("$dateToParts")
def _date_to_parts(operand: Any) -> Expression:
    named = named_arguments("$dateToParts", operand, ("date",), ("timezone", "iso8601"))

    def value(document: Any, variables: Variables) -> Any:
        found, zone = named["date"](document, variables), _zone(named, document, variables)
        if is_null(found) or zone is None:
            return None
        date = moment(found, zone)
        time = {
            "hour": date.hour,
            "minute": date.minute,
            "second": date.second,
            "millisecond": date.microsecond // 1000,
        }
        if "iso8601" in named and named["iso8601"](document, variables):
            iso = date.isocalendar()
            return {"isoWeekYear": iso.year, "isoWeek": iso.week, "isoDayOfWeek": iso.weekday, **time}
        return {"year": date.year, "month": date.month, "day": date.day, **time}

    return value


_TIME_PARTS = ("hour", "minute", "second", "millisecond")


@operator("$dateFromParts")
def _date_from_parts(operand: Any) -> Expression:
    iso = isinstance(operand, Mapping) and "isoWeekYear" in operand
    required = ("isoWeekYear",) if iso else ("year",)
    days = ("isoWeek", "isoDayOfWeek") if iso else ("month", "day")
    named = named_arguments("$dateFromParts", operand, required, (*days, *_TIME_PARTS, "timezone"))

    def value(document: Any, variables: Variables) -> Any:
        parts = {key: item(document, variables) for key, item in named.items() if key != "timezone"}
        zone = _zone(named, document, variables)
        if any(map(is_null, parts.values())) or zone is None:
            return None
        numbers = {key: whole("$dateFromParts", item) for key, item in parts.items()}
        try:
            return stored(_assembled(numbers, iso).replace(tzinfo=zone))
        except (ValueError, OverflowError) as error:
            raise CommandError(Code.Location40515, f"$dateFromParts: {error}") from None

    return value


def _assembled(numbers: Mapping[str, int], iso: bool) -> dt.datetime:
    """The date of parts that may lie outside of their ranges, and then carry over."""
    if iso:
        day = dt.datetime.fromisocalendar(numbers["isoWeekYear"], 1, 1)
        day += dt.timedelta(weeks=numbers.get("isoWeek", 1) - 1, days=numbers.get("isoDayOfWeek", 1) - 1)
    else:
        year, month = divmod(numbers["year"] * 12 + numbers.get("month", 1) - 1, 12)
        day = dt.datetime(year, month + 1, 1) + dt.timedelta(days=numbers.get("day", 1) - 1)
    return day + dt.timedelta(**{f"{name}s": numbers[name] for name in _TIME_PARTS if name in numbers})


_FIXED = {
    "week": dt.timedelta(weeks=1), "day": dt.timedelta(days=1), "hour": dt.timedelta(hours=1),
    "minute": dt.timedelta(minutes=1), "second": dt.timedelta(seconds=1),
    "millisecond": dt.timedelta(milliseconds=1),
}  # fmt: skip
_MONTHS = {"year": 12, "quarter": 3, "month": 1}


def add_units(date: dt.datetime, unit: str, amount: int) -> dt.datetime:
    """The date so many units later; days and longer ones keep the time of the date's zone."""
    if unit in _MONTHS:
        year, month = divmod(date.year * 12 + date.month - 1 + amount * _MONTHS[unit], 12)
        day = min(date.day, calendar.monthrange(year, month + 1)[1])
        return date.replace(year=year, month=month + 1, day=day)
    if unit in ("week", "day"):
        return date + amount * _FIXED[unit]
    return (date.astimezone(dt.UTC) + amount * _FIXED[unit]).astimezone(date.tzinfo)


def _unit(name: str, value: Any) -> str:
    if value not in _FIXED and value not in _MONTHS:
        raise CommandError(
            Code.FailedToParse, f"{name} parameter 'unit' value cannot be recognized as a time unit: {value}"
        )
    return str(value)


def _adding(name: str, sign: int) -> None:
    @operator(name)
    def compiler(operand: Any) -> Expression:
        named = named_arguments(name, operand, ("startDate", "unit", "amount"), ("timezone",))

        def value(document: Any, variables: Variables) -> Any:
            start, unit, amount = (named[key](document, variables) for key in ("startDate", "unit", "amount"))
            zone = _zone(named, document, variables)
            if is_null(start) or is_null(unit) or is_null(amount) or zone is None:
                return None
            try:
                return stored(add_units(moment(start, zone), _unit(name, unit), sign * whole(name, amount)))
            except (ValueError, OverflowError):
                raise CommandError(Code.Location5166406, f"{name} overflowed") from None

        return value


_adding("$dateAdd", 1)
_adding("$dateSubtract", -1)

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _weekday(value: Any) -> int:
    """0 (Monday) … 6 of a name or its beginning; Sunday by default."""
    if is_null(value):
        return 6
    for number, name in enumerate(_WEEKDAYS):
        if isinstance(value, str) and value.lower() in (name, name[:3]):
            return number
    raise CommandError(
        Code.Location5439015, f"'startOfWeek' value cannot be recognized as a day of a week: {value}"
    )


def ordinal(date: dt.datetime, unit: str, week_start: int = 6) -> int:
    """How many boundaries of the unit lie between the date and a fixed one."""
    if unit in _MONTHS:
        return (date.year * 12 + date.month - 1) // _MONTHS[unit]
    days = date.toordinal()
    if unit == "day":
        return days
    if unit == "week":
        return (days - 1 - week_start) // 7
    utc = date.astimezone(dt.UTC).replace(tzinfo=None)
    return (utc - EPOCH) // _FIXED[unit]


@operator("$dateDiff")
def _date_diff(operand: Any) -> Expression:
    optional = ("timezone", "startOfWeek")
    named = named_arguments("$dateDiff", operand, ("startDate", "endDate", "unit"), optional)

    def value(document: Any, variables: Variables) -> Any:
        start, end, unit = (named[key](document, variables) for key in ("startDate", "endDate", "unit"))
        zone = _zone(named, document, variables)
        if is_null(start) or is_null(end) or is_null(unit) or zone is None:
            return None
        name = _unit("$dateDiff", unit)
        week = _weekday(named["startOfWeek"](document, variables)) if "startOfWeek" in named else 6
        return Int64(ordinal(moment(end, zone), name, week) - ordinal(moment(start, zone), name, week))

    return value


@operator("$dateTrunc")
def _date_trunc(operand: Any) -> Expression:
    optional = ("binSize", "timezone", "startOfWeek")
    named = named_arguments("$dateTrunc", operand, ("date", "unit"), optional)
    size = named.get("binSize", compile_expression(1))

    def value(document: Any, variables: Variables) -> Any:
        date, unit, bins = (
            named["date"](document, variables),
            named["unit"](document, variables),
            size(document, variables),
        )
        zone = _zone(named, document, variables)
        if is_null(date) or is_null(unit) or is_null(bins) or zone is None:
            return None
        week = _weekday(named["startOfWeek"](document, variables)) if "startOfWeek" in named else 6
        count = whole("$dateTrunc", bins)
        if count < 1:
            raise CommandError(Code.Location5439017, "$dateTrunc requires 'binSize' to be greater than 0")
        return stored(truncate(moment(date, zone), _unit("$dateTrunc", unit), count, week))

    return value


def truncate(date: dt.datetime, unit: str, count: int, week_start: int) -> dt.datetime:
    """The beginning of the bin of `count` units, counted from 2000-01-01, that the date is in."""
    reference = dt.datetime(2000, 1, 1, tzinfo=date.tzinfo)
    if unit == "week":
        reference += dt.timedelta(days=(week_start - reference.weekday()) % 7)
    passed = ordinal(date, unit, week_start) - ordinal(reference, unit, week_start)
    return add_units(reference, unit, passed // count * count)


@operator("$tsSecond")
def _ts_second(operand: Any) -> Expression:
    (argument,) = arguments("$tsSecond", operand, 1)

    def value(document: Any, variables: Variables) -> Any:
        found = argument(document, variables)
        return found.time if isinstance(found, Timestamp) else None

    return value
