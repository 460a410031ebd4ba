"""How fast pilots may be submitted: faster while they start well, slower while they fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from grid.condor.site import Pace

__all__ = ["Ceiling", "History", "ceiling_of", "learn"]


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


@dataclass(frozen=True)
class Ceiling:
    """How many more jobs the schedd takes from us or starts soon, and the limit of its own that says so."""

    room: int
    why: str
    per_submit: int = 0  # jobs at most in one submit; 0: as many as one likes

    def after(self, submitted: int) -> Ceiling:
        """The same when some more were submitted."""
        return replace(self, room=max(0, self.room - submitted))


def ceiling_of(limits: Mapping[str, Any], jobs: Mapping[str, Any]) -> Ceiling | None:
    """What a schedd's settings leave, beside the jobs that it counts; None where it limits nothing.

    `limits` are by the names of HTCondor's settings, `jobs` as its summary says: of all users, and ours.
    """
    limit = {name: _whole(value) for name, value in limits.items()}
    count = {name: _whole(value) or 0 for name, value in jobs.items()}
    ours, all_jobs, idle = count.get("Jobs", 0), count.get("AllusersJobs", 0), count.get("Idle", 0)
    rooms: list[tuple[int, str]] = []
    if (most := limit.get("MAX_JOBS_PER_OWNER")) is not None:
        rooms.append((most - ours, f"the schedd takes at most {most} jobs of one owner (MAX_JOBS_PER_OWNER)"))
    if (most := limit.get("MAX_JOBS_SUBMITTED")) is not None:
        rooms.append((most - all_jobs, f"the schedd takes at most {most} jobs (MAX_JOBS_SUBMITTED)"))
    if (most := limit.get("MAX_JOBS_RUNNING")) is not None:
        left = most - count.get("AllusersRunning", 0) - idle
        rooms.append((left, f"the schedd runs at most {most} jobs (MAX_JOBS_RUNNING)"))
    if delay := limit.get("JOB_START_DELAY"):
        number = limit.get("JOB_START_COUNT") or 1
        a_minute = max(1, 60 * number // delay)
        rooms.append((a_minute - idle, f"the schedd starts {number} jobs in {delay} s (JOB_START_DELAY)"))
    if not rooms:
        return None
    room, why = min(rooms)
    return Ceiling(max(0, room), why, limit.get("MAX_JOBS_PER_SUBMISSION") or 0)


def _whole(value: Any) -> int | None:
    """A setting that is a number; expressions are for the schedd alone."""
    try:
        return int(str(value).strip())
    except ValueError:
        return None


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
