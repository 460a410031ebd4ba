"""What the pilots of a crowd did since they were asked last."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

__all__ = ["Counted", "quantile"]


class Counted(msgspec.Struct):
    """Requests and how they ended; times in seconds."""

    beats: int = 0  # requests that said no more than that a pilot lives
    reports: int = 0  # requests that told of ends
    ended: int = 0  # tasks that were held to their end
    claims: list[float] = []  # from the request to the answer that brought tasks
    turns: list[float] = []  # from a core that is free to its next task
    stopped: int = 0  # tasks that the server took back
    refused: dict[str, int] = {}  # tries that brought no answer, by what the pilot heard or saw

    def refuse(self, why: str) -> None:
        """A try failed. The trace in what a pilot heard is of this try alone: alike reasons count as one."""
        why = re.sub(", trace [0-9a-f]+", "", why)
        self.refused[why] = self.refused.get(why, 0) + 1

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.beats + other.beats, self.reports + other.reports, self.ended + other.ended,
                       self.claims + other.claims, self.turns + other.turns, self.stopped + other.stopped,
                       dict(Counter(self.refused) + Counter(other.refused)))


def quantile(values: Sequence[float], part: float) -> float:
    """The value that a part of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[int(part * (len(ordered) - 1))] if ordered else 0.0
