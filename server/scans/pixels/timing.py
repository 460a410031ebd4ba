"""Where the time of a scan went: a pure account whose parts add up to the whole.

At each moment many things may be under way: one core reconstructs, a report of another is on its way, a
third batch waits for a pilot. The moment counts for the one that is furthest on (`STEPS`, first to last): so
a step has the time in which nothing better was done, and what is left is named, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import msgspec

__all__ = ["OTHER", "STEPS", "Drawn", "Span", "Timing", "account", "most_at_once"]

STEPS = {
    "kernel": "reconstructing pixels",
    "collect": "storing results that came",
    "report": "results on their way from the pilot",
    "finish": "making and storing the final map",
    "plan": "choosing and cutting the next pixels",
    "decode": "reading the event",
    "lease": "batches waiting for a pilot, and on their way to it",
    "queue": "waiting in the backlog",
}
OTHER = "other"
"""What no step accounts for."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Something that was under way; seconds since 1970."""

    step: str
    begin: float
    end: float


class Drawn(msgspec.Struct, frozen=True):
    """A file that was made of the final map."""

    name: str
    seconds: float


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a scan, from its request to the final map (or until now); seconds."""

    asked: float  # when it began, since 1970
    total: float
    steps: dict[str, float]  # of STEPS and OTHER; they add up to the total
    kernel: float  # of all workers together
    cpu: float  # of it, by the processors' clocks
    at_once: int  # workers, at most
    batches: int
    rounds: int
    drawn: list[Drawn] = []  # after the end

    @property
    def times_kernel(self) -> float | None:
        """How often the kernel's own time on as many cores fits into the whole; None without any."""
        return self.total * self.at_once / self.kernel if self.kernel > 0 else None


def account(spans: Iterable[Span], begin: float, end: float) -> dict[str, float]:
    """Seconds of each step between two moments; the values add up to their distance."""
    edges: list[tuple[float, int, str]] = []
    for span in spans:
        first, last = max(span.begin, begin), min(span.end, end)
        if first < last:
            edges += [(first, 1, span.step), (last, -1, span.step)]
    edges.sort()
    seconds = dict.fromkeys([*STEPS, OTHER], 0.0)
    active: Counter[str] = Counter()
    moments = [(begin, 0, ""), *edges, (end, 0, "")]
    for (moment, change, step), (following, _, _) in pairwise(moments):
        active[step] += change
        now = next((one for one in STEPS if active[one] > 0), OTHER)
        seconds[now] += max(following - moment, 0.0)
    return seconds


def most_at_once(spans: Iterable[Span], step: str) -> int:
    """How many spans of a step were under way at the same time, at most."""
    edges = sorted(edge for span in spans if span.step == step for edge in ((span.begin, 1), (span.end, -1)))
    active = most = 0
    for _, change in edges:
        active += change
        most = max(most, active)
    return most
