"""Asking a database for the rows whose position is inside a region.

Rows carry ``hpix29``, their NESTED pixel at order 29, with an index on it. A region is a list of ranges; few
ranges go into the query as they are, of many the smallest gaps are closed, and the rows found are looked at
once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from server.desk.maps.tiles import inside

__all__ = ["MOST_RANGES", "Membership", "coarsened", "restrict"]

MOST_RANGES = 200  # of one query


@dataclass(frozen=True)
class Membership:
    """A condition for the database, and what still has to be checked of the rows that it finds."""

    query: dict[str, Any]
    ranges: np.ndarray  # the region itself
    is_exact: bool  # no row needs a second look

    def keep(self, hpix29: ArrayLike) -> np.ndarray:
        """Which of the rows that were found are inside; bool."""
        return inside(self.ranges, hpix29)


def restrict(ranges: np.ndarray, field: str = "hpix29", most: int = MOST_RANGES) -> Membership:
    """The condition that the position in `field` is in the ranges (int64, shape ``(n, 2)``)."""
    asked = coarsened(ranges, most)
    parts = [{field: {"$gte": low, "$lt": high}} for low, high in asked.tolist()]
    return Membership({"$or": parts or [{field: {"$in": []}}]}, ranges, len(asked) == len(ranges))


def coarsened(ranges: np.ndarray, most: int) -> np.ndarray:
    """At most so many ranges that hold these: the narrowest gaps are closed."""
    if len(ranges) <= most:
        return ranges
    gaps = ranges[1:, 0] - ranges[:-1, 1]
    widest = np.sort(np.argsort(gaps, kind="stable")[len(gaps) - (most - 1):])
    starts = np.concatenate([ranges[:1, 0], ranges[widest + 1, 0]])
    ends = np.concatenate([ranges[widest, 1], ranges[-1:, 1]])
    return np.column_stack([starts, ends])
