"""Storing what may be there already: which failures of a bulk of inserts say no more than that."""

from __future__ import annotations

from pymongo.errors import BulkWriteError

__all__ = ["DUPLICATE_KEY", "are_duplicates"]

DUPLICATE_KEY = 11000


def are_duplicates(error: BulkWriteError) -> bool:
    """Whether all that was not inserted was there before, and the rest is acknowledged.

    A majority that does not acknowledge refuses no document, and yet may lose what the primary took.
    """
    refused = error.details.get("writeErrors", ())
    return all(one["code"] == DUPLICATE_KEY for one in refused) \
        and not error.details.get("writeConcernErrors")
