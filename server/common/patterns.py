"""Regular expressions from outside, run by an engine whose time grows with the text alone (RE2)."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import re2

__all__ = ["BadPattern", "Pattern", "compile_pattern"]

_MOST_MEMORY = 1 << 20  # bytes of one compiled pattern


class BadPattern(ValueError):
    """A pattern that cannot be used; the text says why."""


class Pattern(Protocol):
    """What is done with a compiled pattern."""

    def search(self, text: str, /) -> object | None:
        """Where it is found first, or None."""

    def fullmatch(self, text: str, /) -> object | None:
        """Whether it is the whole text."""


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str, any_case: bool = True) -> Pattern:
    """A pattern, by default one that is searched for without regard to case. Raises BadPattern.

    RE2 has no references back and no looking around, for these are what takes for ever.
    """
    options = re2.Options()
    options.case_sensitive, options.log_errors, options.max_mem = not any_case, False, _MOST_MEMORY
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except (re2.error, UnicodeError, OverflowError) as error:
        raise BadPattern(f"not a regular expression that RE2 knows: {_said(error)}") from None
    return compiled


def _said(error: Exception) -> str:
    text = error.args[0] if error.args else type(error).__name__
    return text.decode("utf8", "replace") if isinstance(text, bytes) else str(text)
