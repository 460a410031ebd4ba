"""How fast pilots may be submitted: faster while they start well, slower while they fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from grid.condor.site import Pace

__all__ = ["History", "learn"]


@dataclass(frozen=True)
class History:
    """What the past says about the next step. Times are seconds of one clock, whichever."""

    step: int = 0  # pilots on their way; 0: the site's first step
    pause: float = 0.0
    until: float = 0.0  # nothing is submitted before
    why: str = ""  # of the pause
    served: Mapping[str, float] = field(default_factory=dict)  # when a class last got a new pilot
    cleared: Mapping[str, float] = field(default_factory=dict)  # when room was last made for a class

    def serve(self, keys: list[str], now: float) -> History:
        """Classes got a pilot now; those not served for a day are forgotten."""
        recent = {key: when for key, when in self.served.items() if now - when < 86400}
        return replace(self, served={**recent, **dict.fromkeys(keys, now)})

    def clear(self, keys: Iterable[str], now: float) -> History:
        """Pilots leave now so that others of these classes find a slot."""
        recent = {key: when for key, when in self.cleared.items() if now - when < 86400}
        return replace(self, cleared={**recent, **dict.fromkeys(keys, now)})


def learn(history: History, pace: Pace, started: int, faults: list[str], now: float) -> History:
    """The history after `started` pilots began to work and others failed for the given reasons.

    The step doubles with every round in which pilots started and none failed. After failures alone it is
    halved and submission pauses, for twice as long each time. A pause that goes on is not made longer by
    what was submitted before it.
    """
    step = history.step or pace.step
    if started and not faults:
        return replace(history, step=min(2 * step, pace.largest_step), pause=0.0, until=0.0, why="")
    if not faults or started > len(faults):
        return history
    if now < history.until:
        return replace(history, why=faults[-1])
    pause = min(max(2 * history.pause, pace.backoff_seconds), pace.longest_backoff_seconds)
    return replace(history, step=max(1, step // 2), pause=pause, until=now + pause, why=faults[-1])
