"""Following jobs: the event log may lose events, the queue may be away, the history may forget."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from grid.base import GridError, PilotClass
from grid.condor import jobs
from grid.condor.ends import End
from grid.condor.events import Event, read_event
from grid.condor.site import Pace, Site
from grid.condor.tracker import LOST, QUEUED, RUNNING, Tracker

SITE = Site(site="here", server="http://x", pace=Pace(query_seconds=1e9))
SHAPE = PilotClass(1, 2.0, 2.0, 0, 2.0, "here")
IDLE, RUNS, REMOVED, COMPLETED, HELD = 1, 2, 3, 4, 5


@dataclass
class Ad:
    """A job in the made-up queue."""

    id: str
    status: int = IDLE
    starts: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


class Queue:
    """A made-up HTCondor: a queue, a history, and an event log."""

    spools = False

    def __init__(self) -> None:
        self.ads: dict[str, Ad] = {}
        self.past: dict[str, Ad] = {}
        self.log: list[Event] = []
        self.is_away = False
        self.remembers = True
        self.writes = True  # whether events reach the log
        self.removals: Counter[str] = Counter()
        self.cluster = 0

    def submit(self, count: int) -> list[str]:
        self.cluster += 1
        ids = [f"{self.cluster}.{proc}" for proc in range(count)]
        self.ads |= {id: Ad(id) for id in ids}
        return ids

    def tell(self, name: str, id: str, **fields: Any) -> None:
        event = read_event(name, id, time.time(), fields)
        if event is not None and self.writes:
            self.log.append(event)

    def start(self, id: str) -> None:
        ad = self.ads[id]
        ad.status, ad.starts = RUNS, ad.starts + 1
        self.tell("EXECUTE", id, SlotName="slot1@node")

    def leave(self, id: str, status: int, **extra: Any) -> None:
        ad = self.ads.pop(id)
        ad.status, ad.extra = status, extra
        if self.remembers:
            self.past[id] = ad

    # -- what the tracker asks

    def query(self, constraint: str, names: Any) -> list[dict[str, Any]]:
        self._answer()
        assert constraint == jobs.constraint(SITE)
        return [self._ad(ad) for ad in self.ads.values()]

    def history(self, ids: Any, names: Any) -> list[dict[str, Any]]:
        self._answer()
        return [self._ad(self.past[id]) for id in ids if id in self.past]

    def remove(self, ids: Any, why: str) -> None:
        self._answer()
        for id in ids:
            self.removals[id] += 1
            if id in self.ads:
                self.leave(id, REMOVED, RemoveReason=why)
                self.tell("JOB_ABORTED", id, Reason=why)

    def new_events(self) -> Iterator[Event]:
        events, self.log = self.log, []
        yield from events

    def skip(self) -> None:
        self.log.clear()

    def forget(self, used: set[Path]) -> None:
        pass

    def _answer(self) -> None:
        if self.is_away:
            raise GridError("cannot query the queue: nobody there")

    def _ad(self, ad: Ad) -> dict[str, Any]:
        offer = dict(zip(jobs.SHAPE, (1, 2.0, 2.0, 0, 2.0), strict=True))
        return {"Id": ad.id, "JobStatus": ad.status, "NumJobStarts": ad.starts, "QDate": time.time(), **offer,
                **ad.extra}


def tracker(queue: Queue) -> Tracker:
    return Tracker(SITE, queue, queue)  # type: ignore[arg-type]


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def followed(queue: Queue) -> Tracker:
    """A tracker that knows one queued job, 1.0."""
    made = tracker(queue)
    made.follow()
    made.add(queue.submit(1), SHAPE, Path("log"))
    return made


def test_a_pilots_way(queue: Queue, followed: Tracker) -> None:
    assert followed.jobs["1.0"].state == QUEUED
    queue.start("1.0")
    assert followed.follow() == []
    assert (followed.jobs["1.0"].state, followed.jobs["1.0"].host) == (RUNNING, "node")
    queue.tell("JOB_DISCONNECTED", "1.0")
    followed.follow()
    assert followed.jobs["1.0"].state == LOST
    queue.tell("JOB_RECONNECTED", "1.0")
    followed.follow()
    assert followed.jobs["1.0"].state == RUNNING
    queue.leave("1.0", COMPLETED, ExitCode=0)
    queue.tell("JOB_TERMINATED", "1.0", TerminatedNormally=True, ReturnValue=0)
    assert [(end.id, end.kind) for end in followed.follow()] == [("1.0", "finished")]
    assert not followed.jobs


@pytest.mark.parametrize(("name", "fields", "kind"), [
    ("JOB_TERMINATED", {"TerminatedNormally": True, "ReturnValue": 1}, "failed"),
    ("JOB_TERMINATED", {"TerminatedNormally": True, "ReturnValue": 127}, "start"),
    ("JOB_TERMINATED", {"TerminatedNormally": False, "TerminatedBySignal": 9}, "killed"),
    ("JOB_EVICTED", {"Reason": "Job vacated by schedd", "ReasonCode": 1022}, "evicted"),
    ("JOB_EVICTED", {"Reason": "via condor_rm", "ReasonCode": 1023}, "removed"),
    ("JOB_EVICTED", {"Reason": "via condor_hold", "ReasonCode": 1}, "held"),
    ("JOB_EVICTED", {"ReasonCode": 0}, "evicted"),
    ("JOB_HELD", {"HoldReasonCode": 34, "HoldReasonSubCode": 102, "HoldReason": "x"}, "memory"),
    ("JOB_HELD", {"HoldReasonCode": 21, "HoldReasonSubCode": 102, "HoldReason": "x"}, "memory"),
    ("JOB_HELD", {"HoldReasonCode": 34, "HoldReasonSubCode": 104, "HoldReason": "x"}, "disk"),
    ("JOB_HELD", {"HoldReasonCode": 46, "HoldReason": "x"}, "time"),
    ("JOB_HELD", {"HoldReasonCode": 13, "HoldReasonSubCode": 2, "HoldReason": "x"}, "files"),
    ("JOB_HELD", {"HoldReasonCode": 6, "HoldReason": "x"}, "start"),
    ("JOB_HELD", {"HoldReasonCode": 1, "HoldReason": "x"}, "held"),
    ("JOB_RECONNECT_FAILED", {"Reason": "x"}, "lost"),
    ("JOB_ABORTED", {"Reason": "via condor_rm"}, "removed"),
    ("JOB_ABORTED", {"Reason": "The job attribute PeriodicRemove expression"}, "evicted"),
])
def test_kinds_of_ends(queue: Queue, followed: Tracker, name: str, fields: dict[str, Any], kind: str) -> None:
    queue.start("1.0")
    queue.tell(name, "1.0", **fields)
    (end,) = followed.follow()
    assert end.kind == kind
    assert end.host == "node"


def test_what_starts_twice_is_noted(queue: Queue, followed: Tracker) -> None:
    queue.start("1.0")
    queue.start("1.0")
    followed.follow()
    assert followed.restarted == {"1.0"}


def test_of_an_eviction_without_a_reason_what_follows_tells(queue: Queue, followed: Tracker) -> None:
    followed.add(queue.submit(1), SHAPE, Path("log"))
    for id in ("1.0", "2.0"):
        queue.start(id)
        queue.tell("JOB_EVICTED", id)
    assert followed.follow() == []
    queue.ads["1.0"].status = HELD
    queue.tell("JOB_HELD", "1.0", HoldReasonCode=13, HoldReason="x")
    queue.ads["2.0"].status = IDLE
    assert [(end.id, end.kind) for end in followed.follow()] == [("1.0", "files")]
    followed._unsure["2.0"] = followed._unsure["2.0"][0] - 60, followed._unsure["2.0"][1]
    assert [(end.id, end.kind) for end in followed.follow()] == [("2.0", "evicted")]
    assert queue.ads == {}


def test_an_evicted_job_leaves_the_queue(queue: Queue, followed: Tracker) -> None:
    queue.start("1.0")
    queue.ads["1.0"].status = IDLE
    queue.tell("JOB_EVICTED", "1.0", Reason="preempted", ReasonCode=1003)
    assert [end.kind for end in followed.follow()] == ["evicted"]
    assert queue.ads == {}


def test_an_end_is_told_once_though_the_job_is_still_there(queue: Queue, followed: Tracker) -> None:
    followed.add(queue.submit(1), SHAPE, Path("log"))
    queue.start("1.0")
    queue.start("2.0")
    queue.ads["1.0"].status = IDLE
    queue.tell("JOB_EVICTED", "1.0", Reason="preempted", ReasonCode=1003)
    queue.tell("SHADOW_EXCEPTION", "2.0")  # makes us look into the queue
    assert [end.id for end in followed.follow()] == ["1.0"]
    assert set(followed.jobs) == {"2.0"}


def test_a_queue_that_is_away_ends_nothing(queue: Queue, followed: Tracker) -> None:
    queue.start("1.0")
    queue.is_away = True
    followed._unclear = True
    with pytest.raises(GridError):
        followed.follow()
    assert followed.jobs["1.0"].state == RUNNING
    queue.is_away = False
    assert followed.follow() == []


def test_a_new_tracker_finds_the_jobs(queue: Queue) -> None:
    ids = queue.submit(3)
    queue.start(ids[1])
    queue.ads[ids[2]].status = HELD
    queue.ads[ids[2]].extra = {"HoldReasonCode": 13, "HoldReason": "no file"}
    made = tracker(queue)
    assert [(end.id, end.kind) for end in made.follow()] == [(ids[2], "files")]
    assert {id: job.state for id, job in made.jobs.items()} == {ids[0]: QUEUED, ids[1]: RUNNING}
    assert made.jobs[ids[0]].shape == SHAPE
    assert set(queue.ads) == {ids[0], ids[1]}


class Life(RuleBasedStateMachine):
    """Whatever happens, and whatever of it is told: after a comparison our picture is HTCondor's."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.tracker = tracker(self.queue)
        self.ends: Counter[str] = Counter()
        self.ours: set[str] = set()
        self.tracker.follow()

    def note(self, ends: list[End]) -> None:
        self.ends.update(end.id for end in ends)
        alive = {id for id, ad in self.queue.ads.items() if ad.status == RUNS and ad.starts == 1}
        wrong = {end.id for end in ends} & alive - set(self.queue.removals)
        assert not wrong, "running jobs were reported as ended"

    def some(self, data: st.DataObject, *status: int) -> str | None:
        ids = sorted(id for id, ad in self.queue.ads.items() if ad.status in status)
        return data.draw(st.sampled_from(ids)) if ids else None

    @rule(count=st.integers(1, 3))
    def we_submit(self, count: int) -> None:
        ids = self.queue.submit(count)
        self.ours |= set(ids)
        self.tracker.add(ids, SHAPE, Path("log"))

    @rule(data=st.data())
    def a_job_starts(self, data: st.DataObject) -> None:
        if (id := self.some(data, IDLE)) and self.queue.ads[id].starts == 0:
            self.queue.start(id)

    @rule(data=st.data(), code=st.sampled_from([0, 1, 127]))
    def a_job_ends(self, data: st.DataObject, code: int) -> None:
        if id := self.some(data, RUNS):
            self.queue.leave(id, COMPLETED, ExitCode=code)
            self.queue.tell("JOB_TERMINATED", id, TerminatedNormally=True, ReturnValue=code)

    @rule(data=st.data())
    def something_unclear_happens(self, data: st.DataObject) -> None:
        if id := self.some(data, RUNS):
            self.queue.tell("SHADOW_EXCEPTION", id)

    @rule(data=st.data())
    def a_job_is_evicted(self, data: st.DataObject) -> None:
        if id := self.some(data, RUNS):
            self.queue.ads[id].status = IDLE
            self.queue.tell("JOB_EVICTED", id, Reason="preempted")

    @rule(data=st.data())
    def a_job_is_held(self, data: st.DataObject) -> None:
        if id := self.some(data, IDLE, RUNS):
            ad = self.queue.ads[id]
            ad.status, ad.extra = HELD, {"HoldReasonCode": 1, "HoldReason": "x"}
            self.queue.tell("JOB_HELD", id, **ad.extra)

    @rule(data=st.data())
    def somebody_removes_a_job(self, data: st.DataObject) -> None:
        if id := self.some(data, IDLE, RUNS, HELD):
            self.queue.leave(id, REMOVED, RemoveReason="via condor_rm")
            self.queue.tell("JOB_ABORTED", id, Reason="via condor_rm")

    @rule(data=st.data())
    def we_remove_a_job(self, data: st.DataObject) -> None:
        ids = sorted(self.tracker.jobs)
        if ids and not self.queue.is_away:
            self.note(self.tracker.remove([data.draw(st.sampled_from(ids))], "removed", "surplus"))

    @rule(writes=st.booleans(), remembers=st.booleans())
    def the_log_or_the_history_fails(self, writes: bool, remembers: bool) -> None:
        self.queue.writes, self.queue.remembers = writes, remembers

    @rule(away=st.booleans())
    def the_schedd_comes_and_goes(self, away: bool) -> None:
        self.queue.is_away = away

    @rule()
    def we_look(self) -> None:
        try:
            self.note(self.tracker.follow())
        except GridError:
            assert self.queue.is_away

    @precondition(lambda self: not self.queue.is_away)
    @rule()
    def we_start_again(self) -> None:
        self.note(self.tracker.follow())
        self.tracker = tracker(self.queue)
        self.note(self.tracker.follow())

    @precondition(lambda self: not self.queue.is_away)
    @rule()
    def we_compare(self) -> None:
        self.note(self.tracker.follow())
        self.note(self.tracker.compare())
        self.note(self.tracker.follow())
        good = {id for id, ad in self.queue.ads.items()
                if ad.status == RUNS or (ad.status == IDLE and ad.starts == 0)}
        assert set(self.tracker.jobs) == good
        assert set(self.queue.ads) == good, "what is over is still in the queue"
        states = {id: RUNS if job.state == RUNNING else IDLE for id, job in self.tracker.jobs.items()}
        assert states == {id: self.queue.ads[id].status for id in good}

    @invariant()
    def no_end_is_told_twice(self) -> None:
        assert all(count == 1 for count in self.ends.values()), self.ends


def test_any_life() -> None:
    often = settings(max_examples=150, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(Life, settings=often)
