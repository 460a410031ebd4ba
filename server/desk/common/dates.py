"""Dates in queries and bodies: ISO 8601 in all its spellings (days of a year, 24:00), kept in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from server.common.errors import BadRequest

__all__ = ["absent", "parse_date", "query_date"]

_ABSENT = {"", "null", "none", "undefined"}
_SHORT = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?!\d)")
_DAY_OF_YEAR = re.compile(r"(\d{4})-?(\d{3})(?!\d)")
_DAYS_END = re.compile(r"(?<=[T ])24(?=(:?00(:?00([.,]0+)?)?)?([Z+ -]|$))")


def absent(text: str | None) -> bool:
    """Whether a query's value stands for none: scripts and pages send such words."""
    return text is None or text.strip().lower() in _ABSENT


def parse_date(text: str, name: str) -> datetime:
    """A moment in UTC without zone, cut to milliseconds as the database keeps it. Raises BadRequest."""
    try:
        spelt, days = _DAYS_END.subn("00", _spelled_out(text.strip()))
        moment = datetime.fromisoformat(spelt) + timedelta(days=days)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise BadRequest(f"{name}: not a date: {text[:60]!r}; expected something like 2023-03-14T05:06:07") \
            from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def query_date(text: str | None, name: str) -> datetime | None:
    """A date of a query, or None for one that is absent. Raises BadRequest."""
    return None if text is None or absent(text) else parse_date(text, name)


def _spelled_out(text: str) -> str:
    """Year-month, days of a year and one-digit parts as `datetime.fromisoformat` wants them."""
    if re.fullmatch(r"\d{4}", text):
        return f"{text}-01-01"
    if of_year := _DAY_OF_YEAR.match(text):
        return _day_of_year(*of_year.groups()) + text[of_year.end():]
    found = _SHORT.match(text)
    if not found:
        return text
    year, month, day = found.groups()
    return f"{year}-{int(month):02}-{int(day or 1):02}{text[found.end():]}"


def _day_of_year(year: str, number: str) -> str:
    """The date of a day of a year, from 1. Raises ValueError."""
    day = date(int(year), 1, 1) + timedelta(days=int(number) - 1)
    if day.year != int(year):
        raise ValueError
    return day.isoformat()
