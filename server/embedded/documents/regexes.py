"""Regular expressions of clients: in linear time where possible, otherwise with a limit.

MongoDB's are PCRE's. RE2 (https://github.com/google/re2/wiki/Syntax) means the same by most patterns, and
needs time in proportion to the text. What it has not (look-around, back references, atomic groups, x) goes to
Python's engine, which is interrupted; what both mean otherwise than PCRE is refused.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Protocol

import re2
from bson import Regex

from server.embedded.documents import budget
from server.embedded.documents.errors import Code, CommandError

BACKTRACKING_SECONDS = 0.01  # of processor time, for one text

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_FLAGS = ((re.I, "i"), (re.M, "m"), (re.S, "s"))
_NOT_PYTHONS = re.compile(r"\\[^\W\dAbBdDsSwWZzfnrtvxux]|\(\?[|&R]|\(\?\d|\(\*")  # it may err, but not guess


class Found(Protocol):
    """A match."""

    def __getitem__(self, number: int) -> str: ...
    def start(self) -> int: ...
    def groups(self) -> tuple[str | None, ...]: ...


class Pattern:
    """A compiled regular expression."""

    def __init__(self, linear: Any, backtracking: re.Pattern[str] | None, final_newline: bool) -> None:
        self._linear, self._backtracking = linear, backtracking
        self._final_newline = final_newline  # a $ may be before it, which RE2 does not see

    def search(self, text: str) -> Found | None:
        """The first match.

        Raises CommandError(MaxTimeMSExpired) when it takes too long.
        """
        return next(self._matches(text, 1), None)

    def finditer(self, text: str) -> Iterator[Found]:
        """The matches.

        Raises CommandError(MaxTimeMSExpired) when they take too long.
        """
        return self._matches(text, None)

    def _matches(self, text: str, most: int | None) -> Iterator[Found]:
        if self._linear is not None and not (self._final_newline and text.endswith("\n")):
            return self._linear.finditer(text)
        if self._backtracking is None:
            text = "Regular expression cannot be used on text that ends with a newline"
            raise CommandError(Code.Location51091, text)
        return iter(_limited(self._backtracking, text, most))


def _limited(pattern: re.Pattern[str], text: str, most: int | None) -> list[Found]:
    budget.limit(BACKTRACKING_SECONDS, "a regular expression takes too many steps")
    try:
        return _first(pattern, text, most)
    finally:
        budget.limit()


@budget.computing
def _first(pattern: re.Pattern[str], text: str, most: int | None) -> list[Found]:
    return list(itertools.islice(pattern.finditer(text), most))


def compile_regex(regex: Regex[Any]) -> Pattern:
    """The pattern of a BSON regular expression.

    Raises CommandError(51091) when it has no meaning, or one that neither engine knows.
    """
    return _compile(regex.pattern, regex.flags)


@lru_cache(maxsize=512)
def _compile(pattern: str | bytes, flags: int) -> Pattern:
    if isinstance(pattern, bytes):
        pattern = pattern.decode()
    if "\0" in pattern:
        raise CommandError(Code.Location51091, "Regular expression cannot contain an embedded null byte")
    tokens = list(_tokens(pattern))
    linear = None if flags & re.X else _linear(tokens, flags)
    ends = not flags & re.M and any(token == "$" and not inside for token, inside in tokens)
    backtracking = None
    if linear is None or ends:
        backtracking, error = _backtracking(tokens, flags)
        if linear is None and backtracking is None:
            raise CommandError(Code.Location51091, f"Regular expression is invalid: {error}")
    return Pattern(linear, backtracking, ends)


def _linear(tokens: list[tuple[str, bool]], flags: int) -> Any:
    letters = "".join(letter for flag, letter in _FLAGS if flags & flag)
    text = "".join(_for_re2(token, inside) for token, inside in tokens)
    if any(token == "\\S" and inside for token, inside in tokens):
        return None  # PCRE's spaces have one more, which cannot be taken out of a set
    try:
        return re2.compile(f"(?{letters}){text}" if letters else text, _OPTIONS)
    except re2.error:
        return None


def _for_re2(token: str, inside: bool) -> str:
    """PCRE's \\s has the vertical tab, too."""
    if token == "\\s":
        return "\\s\\v" if inside else "[\\s\\v]"
    return "[^\\s\\v]" if token == "\\S" and not inside else token


def _backtracking(tokens: list[tuple[str, bool]], flags: int) -> tuple[re.Pattern[str] | None, str]:
    text = "".join(_for_python(token) for token, _ in tokens)
    if any(token.startswith("[:") for token, _ in tokens) or _NOT_PYTHONS.search(text):
        return None, "it needs what this store does not have"
    flags &= re.I | re.M | re.S | re.X
    try:
        with warnings.catch_warnings(action="error", category=FutureWarning):
            return re.compile(text, flags | re.A if text.isascii() else flags), ""
    except (re.error, FutureWarning, RecursionError, OverflowError) as error:
        return None, str(error)


_NAMES = {"\\Z": "(?=\\n?\\Z)", "\\z": "\\Z", "(?<": "(?P<"}


def _for_python(token: str) -> str:
    return _NAMES.get(token, token)


_TOKEN = re.compile(r"\\.|\[:\^?[a-z]+:\]|\(\?<(?![=!])|.", re.S)
_OPENING = re.compile(r"\[\^?\]?")


def _tokens(pattern: str) -> Iterator[tuple[str, bool]]:
    """The parts of a pattern, each with whether it is inside of brackets."""
    at, inside = 0, False
    while at < len(pattern):
        found = None if inside else _OPENING.match(pattern, at)
        if found is not None:
            yield found[0], False
            inside = True
        else:
            found = _TOKEN.match(pattern, at)
            assert found is not None
            inside = inside and found[0] != "]"
            yield found[0], inside
        at = found.end()
