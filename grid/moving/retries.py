"""When a step is tried again. Pure: times are seconds, `chance` from 0 to 1 spreads the pauses."""

from __future__ import annotations

import re

__all__ = ["FETCH_SECONDS", "FETCH_TRIES", "REFUSALS", "STORE_TRIES", "is_hopeless", "is_refused",
           "may_heal", "of_status", "pause"]

FETCH_TRIES, FETCH_SECONDS = 5, 120.0
"""An input is tried so often, and no longer: then the server knows better when storage is back."""
STORE_TRIES = 4  # of an output that storage refuses, or whose copy is found broken
REFUSALS = (401, 403)
_FIRST, _LONGEST, _LONGEST_WISH = 1.0, 300.0, 600.0
_TEMPORARY = (408, 425, 429)
_REFUSED = re.compile(r"HTTP 4(?!08|25|29)\d\d\b")
_HOPELESS = re.compile(r"HTTP 4(?!08|25|29)\d\d\b|no such file|permission denied|not a directory|"
                       r"is a directory|could not be started", re.IGNORECASE)
_HEALS = re.compile(r"no space left|quota exceeded|stale|input/output error|timed? ?out|unreachable|"
                    r"not whole|resource temporarily|too many", re.IGNORECASE)


def pause(failures: int, after: float, chance: float) -> float:
    """Seconds before the next try after so many failures; no less than storage wishes (`after`)."""
    own = min(_LONGEST, _FIRST * 2.0 ** min(failures - 1, 30)) * (0.5 + chance)
    return max(own, min(after, _LONGEST_WISH))


def of_status(status: int) -> bool:
    """Whether another try may go well after this answer of HTTP."""
    return status in _TEMPORARY or (status >= 500 and status not in (501, 505))


def is_refused(reason: str) -> bool:
    """Whether storage would say the same wherever the task ran: it does not take the output."""
    return _REFUSED.search(reason) is not None


def is_hopeless(reason: str) -> bool:
    """Whether what a command says will be no other soon."""
    return _HOPELESS.search(reason) is not None


def may_heal(reason: str) -> bool:
    """Whether what a file system says may be another soon."""
    return _HEALS.search(reason) is not None
