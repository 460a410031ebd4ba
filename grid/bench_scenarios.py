"""What thousands of pilots go through in `iceprod bench pilots`, and what is looked at meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import psutil

from grid.bench import Bench, until
from grid.crowd.counted import Counted, quantile
from grid.crowd.driving import Crowds

__all__ = ["SCENARIOS", "Figures", "Phase", "Plan", "play"]

HERE, FAR = "here", "far"  # the sites of the pilots
_MORE = 1.5  # times as many tasks as will be needed
_SETTLE_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_PROCESSES = {"server.embedded": "store", "server": "server"}


class Plan(msgspec.Struct, frozen=True):
    """How many pilots, for how long, and what happens to them. Times in seconds."""

    scenario: str
    pilots: int
    seconds: float  # of each phase
    per_second: float  # tasks that end
    site_pilots: int = 0  # of the site that goes and comes back
    away: float = 0.0  # for so long


class Phase(msgspec.Struct, frozen=True):
    """A part of a scenario; processor times as a share of one core."""

    name: str
    seconds: float
    server_core: float
    store_core: float
    pilots_core: float
    beats: int
    claims: int
    claim_p50_ms: float  # from the request to the answer with tasks
    claim_p99_ms: float
    turn_p99_ms: float  # from a free core to its next task
    refused: dict[str, int]  # requests that were not answered well


class Figures(msgspec.Struct, frozen=True):
    """What came of a scenario."""

    heartbeat_seconds: float  # between two of a pilot, as the server asked for
    phases: list[Phase]
    joined_seconds: float  # until all pilots were registered
    lost_leases: int  # tasks that were taken from a pilot that held them
    lost_reports: int  # ends that pilots told of and the server does not know
    cpu_per_pilot_hour: float  # seconds of server and store
    server_files: int  # at most
    server_mb: float  # at most
    server_kb_per_pilot: float  # more than before they came
    pilot_kb: float  # of a simulated one
    beat_ms: float = 0.0  # processor time of a heartbeat
    turn_ms: float = 0.0  # and of a report and the claim that follows it


class _Watch:
    """Looks at the processes of an installation again and again, for some may be killed meanwhile."""

    def __init__(self, bench: Bench) -> None:
        self._supervisor = psutil.Process(bench.supervisor)
        self._spent: dict[tuple[str, int], float] = {}  # processor seconds, by part and process
        self.files, self.memory, self._over = 0, 0, threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._thread.start()

    def spent(self) -> dict[str, float]:
        """Processor seconds so far, by part."""
        self._look()
        return {part: sum(seconds for (name, _), seconds in list(self._spent.items()) if name == part)
                for part in _PROCESSES.values()}

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def kill_server(self) -> None:
        """End what answers requests, without a word; the supervisor starts it again."""
        for process in self._supervisor.children(recursive=True):
            if _part(process) == "server":
                os.kill(process.pid, signal.SIGKILL)

    def _keep_looking(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        files = memory = 0
        for process in self._supervisor.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if part := _part(process):
                    times = process.cpu_times()
                    self._spent[part, process.pid] = times.user + times.system
                if part == "server":
                    files, memory = files + process.num_fds(), memory + process.memory_info().rss
        self.files, self.memory = max(self.files, files), max(self.memory, memory)


def _ms(seconds: list[float], part: float) -> float:
    return round(1000 * quantile(seconds, part), 1)


def _part(process: psutil.Process) -> str:
    """Which part of an installation a process is; empty for others."""
    with contextlib.suppress(psutil.Error):
        return next((_PROCESSES[word] for word in process.cmdline() if word in _PROCESSES), "")
    return ""


class _Stage:
    """An installation, the pilots, and what was seen of them so far."""

    def __init__(self, plan: Plan, bench: Bench, crowds: Crowds) -> None:
        self.plan, self.bench, self.crowds = plan, bench, crowds
        self.watch = _Watch(bench)
        self.memory_before, self.pilots_before = self.watch.memory, crowds.memory()
        self.phases: list[Phase] = []
        self.joined = 0.0
        self._ended, self._stopped = 0, 0
        self._dataset = ""

    def join(self) -> None:
        """Bring all pilots."""
        began = time.monotonic()
        self.crowds.join(HERE, self.plan.pilots - self.plan.site_pilots)
        if self.plan.site_pilots:
            self.crowds.join(FAR, self.plan.site_pilots)
        self.joined = time.monotonic() - began
        time.sleep(_SETTLE_SECONDS)

    def give_tasks(self, phases: int) -> None:
        """Make as many tasks as they need; returns when every pilot has one."""
        more = self.plan.per_second * (phases * self.plan.seconds + self.plan.away + 2 * self.crowds.period())
        self._dataset = self.bench.make("empty", int(self.plan.pilots + _MORE * more))
        until(lambda: self.crowds.holding() == self.plan.pilots)
        time.sleep(_SETTLE_SECONDS)

    def phase(self, name: str, what: Callable[[], Any]) -> Phase:
        """Look at what happens meanwhile."""
        self._count()
        began, before, pilots = time.monotonic(), self.watch.spent(), self.crowds.cpu_seconds()
        what()
        seconds, after = time.monotonic() - began, self.watch.spent()
        cores = {part: (after[part] - before[part]) / seconds for part in after}
        pilots, counted = (self.crowds.cpu_seconds() - pilots) / seconds, self._count()
        self.phases.append(Phase(
            name, round(seconds, 1), round(cores["server"], 3), round(cores["store"], 3), round(pilots, 3),
            counted.beats, len(counted.claims), _ms(counted.claims, 0.5), _ms(counted.claims, 0.99),
            _ms(counted.turns, 0.99), counted.refused))
        return self.phases[-1]

    def wait(self) -> None:
        time.sleep(self.plan.seconds)

    def until_heard(self, since: float) -> None:
        """Wait until all pilots had an answer to what they said after that moment."""
        until(lambda: self.crowds.heard(since) == self.plan.pilots)

    def _count(self) -> Counted:
        counted = self.crowds.counted()
        self._ended, self._stopped = self._ended + counted.ended, self._stopped + counted.stopped
        return counted

    def figures(self) -> Figures:
        """What came of it, once no task ends any more."""
        self.crowds.turn_over(0)
        lost_reports = self._lost_reports()
        seconds = sum(phase.seconds for phase in self.phases)
        spent = sum(phase.seconds * (phase.server_core + phase.store_core) for phase in self.phases)
        number = self.plan.pilots
        return Figures(
            self.crowds.period(), self.phases, round(self.joined, 1),
            max(self._evictions(), self._stopped), lost_reports, round(spent * 3600 / seconds / number, 3),
            self.watch.files, round(self.watch.memory / 1e6, 1),
            round((self.watch.memory - self.memory_before) / 1e3 / number, 1),
            round((self.crowds.memory() - self.pilots_before) / 1e3 / number, 1))

    def _lost_reports(self) -> int:
        """Ends that did not arrive although nobody has anything else to say."""
        least, deadline = self._ended + 1, 0.0
        while True:
            self._count()
            lost = self._ended - int(self.bench.counts(self._dataset).get("complete", 0))
            if lost < least:
                least, deadline = lost, time.monotonic() + 2 * self.crowds.period() + _SETTLE_SECONDS
            if not lost or time.monotonic() > deadline:
                return lost
            time.sleep(_LOOK_SECONDS)

    def _evictions(self) -> int:
        tasks = self.bench.client.get(f"/datasets/{self._dataset}/tasks", {"keys": "task_id|evictions"})
        return sum(task.get("evictions", 0) for task in tasks.values())


# -- the scenarios


def _steady(stage: _Stage) -> Figures:
    """All wait for tasks in vain; all hold one; tasks end and others are claimed."""
    stage.join()
    stage.phase("rest", stage.wait)
    stage.give_tasks(1)
    beats = stage.phase("beats", stage.wait)
    stage.crowds.turn_over(stage.plan.per_second)
    work = stage.phase("work", stage.wait)
    more = (_core(work) - _core(beats)) * work.seconds
    return msgspec.structs.replace(
        stage.figures(), beat_ms=round(1000 * _core(beats) * beats.seconds / max(1, beats.beats), 3),
        turn_ms=round(1000 * max(0.0, more) / max(1, work.claims), 3))


def _restart(stage: _Stage) -> Figures:
    _work(stage, phases=2)
    _kill(stage)
    return stage.figures()


def _return(stage: _Stage) -> Figures:
    _work(stage, phases=2)
    _cut_and_mend(stage)
    return stage.figures()


def _both(stage: _Stage) -> Figures:
    _work(stage, phases=3)
    _kill(stage)
    _cut_and_mend(stage)
    return stage.figures()


def _work(stage: _Stage, phases: int) -> None:
    """Have all pilots work, with tasks for so many phases."""
    stage.join()
    stage.give_tasks(phases)
    stage.crowds.turn_over(stage.plan.per_second)
    stage.phase("before", stage.wait)


def _kill(stage: _Stage) -> None:
    """The server is killed while all work."""
    stage.watch.kill_server()
    moment = time.monotonic()
    stage.phase("killed", lambda: stage.until_heard(moment))
    stage.phase("after", stage.wait)


def _cut_and_mend(stage: _Stage) -> None:
    """A site loses its network for a while, and all of its pilots come back at once."""
    stage.crowds.cut(FAR)
    stage.phase("away", lambda: time.sleep(stage.plan.away))
    stage.crowds.mend(FAR)
    moment = time.monotonic()
    stage.phase("back", lambda: stage.until_heard(moment))
    stage.phase("after", stage.wait)


def _core(phase: Phase) -> float:
    return phase.server_core + phase.store_core


SCENARIOS: dict[str, Callable[[_Stage], Figures]] = {
    "steady": _steady, "restart": _restart, "return": _return, "both": _both}


def play(plan: Plan, bench: Bench, crowds: Crowds) -> Figures:
    """Let pilots go through a scenario. Raises ClientError, NoCrowd, TimeoutError."""
    stage = _Stage(plan, bench, crowds)
    try:
        return SCENARIOS[plan.scenario](stage)
    finally:
        stage.watch.close()

