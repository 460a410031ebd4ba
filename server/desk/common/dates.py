"""Dates in queries and bodies: ISO 8601 in its usual spellings, kept in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from server.common.errors import BadRequest

__all__ = ["absent", "parse_date", "query_date"]

_ABSENT = {"", "null", "none", "undefined"}
_SHORT = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?!\d)")


def absent(text: str | None) -> bool:
    """Whether a query's value stands for none: scripts and pages send such words."""
    return text is None or text.strip().lower() in _ABSENT


def parse_date(text: str, name: str) -> datetime:
    """A moment in UTC without zone, cut to milliseconds as the database keeps it. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(_spelled_out(text.strip()))
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
    """Year-month and one-digit parts as `datetime.fromisoformat` wants them."""
    if re.fullmatch(r"\d{4}", text):
        return f"{text}-01-01"
    found = _SHORT.match(text)
    if not found:
        return text
    year, month, day = found.groups()
    return f"{year}-{int(month):02}-{int(day or 1):02}{text[found.end():]}"
