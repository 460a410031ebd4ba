"""Times of the schedd's clock are compared with each other only."""

from __future__ import annotations

import time

import pytest

from grid.base import PilotClass
from grid.condor.site import Site
from grid.condor.tracker import Tracker

AHEAD = 600.0  # seconds that the schedd's clock is before ours


class Queue:
    """A schedd with another clock, whose only job has run for a minute."""

    spools = False

    def __init__(self, **ad: object) -> None:
        self.now = time.time() + AHEAD
        self.ad = {"Id": "1.0", "JobStatus": 2, "QDate": self.now - 90, "JobCurrentStartDate": self.now - 60,
                   "EnteredCurrentStatus": self.now - 60, "ServerTime": self.now, "NumJobStarts": 1, **ad}

    def query(self, constraint: str, names: list[str]) -> list[dict[str, object]]:
        return [self.ad] if self.ad["JobStatus"] != 4 else []

    def history(self, ids: list[str], names: list[str]) -> list[dict[str, object]]:
        return [self.ad]


class NoLogs:
    def skip(self) -> None: ...

    def new_events(self) -> list[object]:
        return []


def tracker(queue: Queue) -> Tracker:
    made = Tracker(Site(site="here", server="http://x"), queue, NoLogs())  # type: ignore[arg-type]
    made.compare()
    return made


def test_ages_are_told_by_one_clock() -> None:
    job = tracker(Queue()).jobs["1.0"]
    assert time.time() - job.started == pytest.approx(60, abs=20)
    assert time.time() - job.submitted == pytest.approx(90, abs=20)
    assert job.shape == PilotClass(0, 0.0, 0.0, 0, 0.0, "here")


def test_how_long_it_ran() -> None:
    queue = Queue()
    known = tracker(queue)
    queue.ad |= {"JobStatus": 4, "ExitCode": 0, "CompletionDate": queue.now}
    (end,) = known.compare()
    assert (end.kind, end.lived) == ("finished", pytest.approx(60))
    assert end.when == pytest.approx(time.time(), abs=20)


def test_a_job_whose_files_are_on_their_way_is_not_held() -> None:
    moving = Queue(JobStatus=5, HoldReasonCode=16)
    moving.ad["EnteredCurrentStatus"] = moving.now - 10
    assert tracker(moving).jobs == {}
    moving.ad["EnteredCurrentStatus"] = moving.now - 400
    (end,) = Tracker(Site(site="here", server="http://x"), moving, NoLogs()).compare()  # type: ignore[arg-type]
    assert end.kind == "held"
