"""Which of the database's errors pass by themselves: a lost primary, an election, a majority that is late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymongo.errors import BulkWriteError, ConnectionFailure, OperationFailure

from server.store.duplicates import DUPLICATE_KEY

__all__ = ["is_away"]

_CODES = frozenset({
    6,  # HostUnreachable
    7,  # HostNotFound
    43,  # CursorNotFound: it was on a server that is not the primary any more
    64,  # WriteConcernFailed: done by the primary, and not yet known to a majority
    89,  # NetworkTimeout
    91,  # ShutdownInProgress
    100,  # UnsatisfiableWriteConcern: not enough members
    112,  # WriteConflict
    133,  # FailedToSatisfyReadPreference
    134,  # ReadConcernMajorityNotAvailableYet
    189,  # PrimarySteppedDown
    262,  # ExceededTimeLimit
    9001,  # SocketException
    10107,  # NotWritablePrimary
    11600,  # InterruptedAtShutdown
    11602,  # InterruptedDueToReplStateChange
    13388,  # StaleConfig: a router that does not know yet where a chunk has gone
    13435,  # NotPrimaryNoSecondaryOk
    13436,  # NotPrimaryOrSecondary
    14031,  # OutOfDiskSpace
})
"""https://www.mongodb.com/docs/manual/reference/error-codes/"""


def is_away(error: object) -> bool:
    """Whether the database could not do it just now, so that the same may be asked again later.

    A write may have been done all the same: whoever repeats it must see to it that it counts once.
    """
    if isinstance(error, ConnectionFailure):
        return True
    return isinstance(error, OperationFailure) and not _CODES.isdisjoint(_codes(error))


def _codes(error: OperationFailure) -> Iterator[Any]:
    """The codes of a failure; of a bulk that was all taken, now or before, those of its acknowledgement."""
    details = error.details or {}
    if not isinstance(error, BulkWriteError):
        yield error.code
    elif all(one.get("code") == DUPLICATE_KEY for one in details.get("writeErrors", ())):
        yield from (one.get("code") for one in details.get("writeConcernErrors", ()))
