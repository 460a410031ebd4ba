"""Filters of scans/find: database queries from clients, without what runs code or never ends."""

from __future__ import annotations

import re
from typing import Any

from server.common.errors import BadRequest
from server.common.patterns import BadPattern, compile_pattern

__all__ = ["check_filter", "mentions"]

FORBIDDEN = ("$where", "$function", "$accumulator", "$expr")  # they run code, or defeat every index
MAX_PATTERN = 200
MAX_REPEATS = 2
MAX_CHOICES = 5

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_SET = re.compile(r"\[\^?\]?[^\]]*\]")
_REPEAT = re.compile(r"[*+?]|\{\d*,\d*\}")
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{)")


def check_filter(query: Any) -> None:
    """Raise BadRequest for a filter that may not be asked, or could keep the database busy for ever."""
    if isinstance(query, dict):
        for name, value in query.items():
            if name in FORBIDDEN:
                raise BadRequest(f"'filter': {name} is not allowed")
            if name == "$regex":
                _check_pattern(value)
            if name == "$options" and isinstance(value, str) and not set(value) <= set("ims"):
                raise BadRequest("'filter': $options may be i, m and s; x is not known to RE2")
            check_filter(value)
    elif isinstance(query, list):
        for item in query:
            check_filter(item)


def mentions(query: Any, name: str) -> bool:
    """Whether a filter speaks of a field, however deep."""
    if isinstance(query, dict):
        return name in query or any(mentions(value, name) for value in query.values())
    return isinstance(query, list) and any(mentions(item, name) for item in query)


def _check_pattern(pattern: Any) -> None:
    """Refuse what RE2 cannot express, and what the database, which has its own engine, may try for ever.

    There, time grows with a power of the text's length, the number of repeats, and doubles with each choice.
    """
    if not isinstance(pattern, str):
        return  # the database says what is wrong
    if len(pattern) > MAX_PATTERN:
        raise BadRequest(f"'filter': a $regex must have no more than {MAX_PATTERN} characters")
    try:
        compile_pattern(pattern)
    except BadPattern as error:
        raise BadRequest(f"'filter': $regex: {error}") from None
    bare = _SET.sub("x", _ESCAPE.sub("x", pattern))
    if len(_REPEAT.findall(bare)) > MAX_REPEATS or _REPEATED_GROUP.search(bare):
        raise BadRequest(f"'filter': a $regex may repeat (* + ? {{m,n}}) at most {MAX_REPEATS} times, "
                         "and no group")
    if bare.count("|") > MAX_CHOICES:
        raise BadRequest(f"'filter': a $regex may have at most {MAX_CHOICES} choices (|)")
