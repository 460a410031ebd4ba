"""What a failure means: whether the place or the work is to blame, and whether another try may help."""

from __future__ import annotations

import re
from enum import Enum

from config.settings import Failures
from server.production.documents import Document

__all__ = ["Blame", "blame", "is_exhausted"]

INFRASTRUCTURE_FACTOR = 5  # so much longer than the work itself may the place fail before we give up


class Blame(Enum):
    """Who is to blame for a failed attempt."""

    INFRASTRUCTURE = "infrastructure"  # does not spend the work's budget of failures
    PAYLOAD = "payload"


_INFRASTRUCTURE = re.compile(
    r"transfer|sigterm|sigkill|\bkilled\b|bus error|sigbus|cvmfs|opencl|connection (timed out|refused|reset)|"
    r"timed out (connecting|waiting)|(cpu|memory|disk|time|queue time|wall ?time)( usage)? (limit|exceeded)|"
    r"(exceeded|over|above|beyond) (the |its )?(cpu|memory|disk|time)|over ?usage|out of memory|oom|"
    r"no space left|lease|evict|preempt|held by|removed by|node failure|stale file handle|"
    r"input/output error|network is unreachable|temporary failure in name resolution", re.IGNORECASE)


def blame(reason: str) -> Blame:
    """Who a failure's text says is to blame; nobody in particular means the work."""
    return Blame.INFRASTRUCTURE if _INFRASTRUCTURE.search(reason) else Blame.PAYLOAD


def is_exhausted(task: Document, who: Blame, limits: Failures) -> bool:
    """Whether a task that just failed once more has spent its tries.

    Failures of the place are counted too, with a larger budget, so that nothing is tried for ever.
    """
    failures = task.get("failures", 0) + 1
    of_place = task.get("infrastructure_failures", 0) + (who is Blame.INFRASTRUCTURE)
    most = task.get("max_failures")
    most = most if isinstance(most, int) and not isinstance(most, bool) else limits.max_failures
    return failures - of_place > most or of_place > INFRASTRUCTURE_FACTOR * max(1, most)
