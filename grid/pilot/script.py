"""Tasks that are programs: run them one after the other, watch what they use, keep what they print."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grid.guarding.contents import Contents
from grid.guarding.directories import remove
from grid.guarding.launcher import Launcher, Program
from grid.moving import errors, retries, steps
from grid.moving.cache import Cache
from grid.moving.here import Here
from grid.moving.items import Means, items_of
from grid.moving.lent import Lent
from grid.moving.web import Line
from grid.pilot import ends, variables
from grid.pilot.modules import BadConfig, Command, commands, environment, write_files
from grid.pilot.output import head_and_tail, last_line
from grid.pilot.processes import tree_usage
from grid.pilot.running import Running
from grid.pilot.sources import check_programs, placed
from iceprod.tracing import spans, traces
from iceprod.walls.sandbox import Sandbox

__all__ = ["Script"]

_LOOK_SECONDS = 1.0  # between looks at what a running program uses
_MEMORY_SLACK = 0.05  # GB
_OUR_PROCESSES = 3  # above a program: its guard, and what keeps it behind walls


@dataclass
class _Peak:
    """The most that a task's programs used, and their processor time."""

    memory: float = 0.0
    disk: float = 0.0
    cpu_seconds: float = 0.0


@dataclass
class Script:
    """One task of kind "script" in a directory of its own."""

    running: Running
    directory: Path
    launcher: Launcher
    means: Means = field(default_factory=Means)
    sandbox: Sandbox = field(default_factory=Sandbox)
    cache: Cache = field(default_factory=Cache)
    lend: Callable[[], dict[str, Any]] | None = None  # asks the server anew for what it lends the task
    put_away: Callable[[Path], None] = remove  # takes the directory when it is needed no more
    contents: Contents | None = None  # what is known of the directory
    peak: _Peak = field(default_factory=_Peak)
    next_try: float = 0.0  # so many seconds after storage did not take the outputs
    _storing: steps.Storing | None = None
    _computed: float = 0.0  # seconds until the outputs were there
    _ran: float = 0.0  # seconds of the programs

    def __post_init__(self) -> None:
        stop = self.running.stop
        self._woken = threading.Event()
        self._contents = self.contents or Contents(self.directory)
        line = Line(self.means.patience, lambda: stop.reason if stop else "")
        for one in (self._woken, line):
            stop.wake(one)
        self.here = Here(
            self.directory, self.means, self._move, self._copy if self.sandbox.is_walled else None,
            Lent(self.running.payload.get("access") or {}, self.lend), line,
            self.running.limit("disk") * 1e9, self.cache)

    def run(self) -> ends.End:
        """Run the task to its end, with few tries to store its outputs: nobody else needs the place."""
        end = self.compute() or self.store()
        while end is None and self._storing is not None and self._storing.failures < retries.STORE_TRIES:
            end = self._hindrance(self._paused) or self.store()
        return end or self.give_up()

    def compute(self) -> ends.End | None:
        """Fetch inputs and run programs; the task's end, or None when it is done but for its outputs."""
        end = self._hindrance(self._whole)
        self._computed, self.running.memory = self.running.seconds, 0.0
        return end

    def store(self) -> ends.End | None:
        """Store the outputs; the task's end, or None when storage does not take them now."""
        end = self._hindrance(self._stored)
        return end if end or self.next_try else self._end(ends.COMPLETE, "")

    def give_up(self) -> ends.End:
        """The task's end when storage did not take the outputs for as long as they could wait."""
        waited = self.running.seconds - self._computed
        return self._end(ends.RESET, f"{self.reason}; the outputs waited here for {waited / 60:.3g} minutes")

    @property
    def reason(self) -> str:
        """What storage said last, when it did not take the outputs."""
        return self._storing.reason if self._storing is not None else ""

    def wait(self, seconds: float) -> bool:
        """Wait before the next try; whether the task has to stop."""
        return self._woken.wait(seconds)

    def _hindrance(self, step: Callable[[], tuple[str, str]]) -> ends.End | None:
        """Do a step; the task's end when it did not go well."""
        try:
            outcome, reason = step()
        except (BadConfig, errors.CannotTransfer) as error:
            outcome, reason = ends.FAILED, str(error)
        except (errors.TransferFailed, errors.NoMeans) as error:
            outcome, reason = ends.RESET, str(error)
        except errors.Stopped as error:
            outcome, reason = ends.EVICT, str(error)
        except OSError as error:
            outcome, reason = ends.EVICT, f"working directory: {error}"
        return None if outcome == ends.COMPLETE else self._end(outcome, reason)

    def _end(self, outcome: str, reason: str) -> ends.End:
        return ends.End(outcome, reason, self._seconds, self.peak.cpu_seconds, self._resources())

    @property
    def _seconds(self) -> float:
        """How long the task was worked on: not the time that its outputs waited."""
        return self._computed + self.here.stored.seconds if self._computed else self.running.seconds

    def steps(self) -> dict[str, Any]:
        """What fetching, running and storing took."""
        return {"fetch": self.here.fetched.document(), "run": {"seconds": round(self._ran, 3)},
                "store": self.here.stored.document()}

    def logs(self) -> dict[str, str]:
        """What the programs printed, by name of the log."""
        texts = {name: head_and_tail(self.directory / name) for name in ("stdout", "stderr")}
        return {name: text for name, text in texts.items() if text}

    def clean(self) -> None:
        """Give the task's directory back, however programs left it."""
        self.put_away(self.directory)

    # -- steps

    def _whole(self) -> tuple[str, str]:
        if not self.directory.is_dir():
            self.directory.mkdir(parents=True, mode=0o700)
        config = self.running.payload.get("task")
        if not isinstance(config, dict):
            raise BadConfig(str(self.running.payload.get("error") or "the task has no configuration"))
        texts = [config, self.running.payload.get("steering")]
        config, steering = variables.environ(
            texts, lambda: environment(False, self.directory, self.variables()))
        programs = list(commands(config))
        items = items_of(config, {**self.running.payload, "steering": steering}, self.means)
        steps.check(items, self.here)
        steps.fetch(items, self.here, self._pause)
        check_programs(config, self.directory)
        self._storing = steps.Storing(items, self.here)
        return self._programs(programs, config)

    def _programs(self, programs: list[Command], config: dict[str, Any]) -> tuple[str, str]:
        began = time.monotonic()
        try:
            for program in programs:
                with spans.span("payload", attributes={"iceprod.program": program.name}):
                    outcome, reason = self._program(self._filled(program, config), config)
                if outcome != ends.COMPLETE:
                    return outcome, reason
            return ends.COMPLETE, ""
        finally:
            self._ran = time.monotonic() - began

    def _stored(self) -> tuple[str, str]:
        """Try to store the outputs. What storage refuses wherever the task runs is not computed again."""
        assert self._storing is not None
        self.next_try = 0.0
        try:
            self.next_try = self._storing.once()
        except errors.TransferFailed as error:
            return (ends.FAILED if retries.is_refused(str(error)) else ends.RESET), str(error)
        return ends.COMPLETE, ""

    def _paused(self) -> tuple[str, str]:
        self._pause(self.next_try)
        return ends.COMPLETE, ""

    def _pause(self, seconds: float) -> None:
        if self.wait(seconds):
            raise errors.Stopped(self.running.stop.reason)

    def _filled(self, program: Command, config: dict[str, Any]) -> Command:
        """The program with the variables in its command line replaced, where it is found."""
        if not variables.has_variables(program):
            return replace(program, argv=placed(program, program.argv, self.directory))
        own = environment(program.clear, self.directory, self.variables())
        known = {**environment(False, self.directory, {}), **own}
        if variables.of_shell(program, known):
            known.update(self._told_by_shell(program, config, own))
        argv = placed(program, variables.words(program, known), self.directory)
        return replace(program, argv=argv)

    def _told_by_shell(self, program: Command, config: dict[str, Any],
                       own: dict[str, str]) -> dict[str, str]:
        """What the program's environment shell sets."""
        argv = placed(program, program.argv[:program.shell], self.directory)
        told = self.directory / ".environment"
        started = self.launcher.start(self._contained([*argv, "env"], config), own, self.directory, told,
                                      self.directory / "stderr", self._box(), self.running.dataset_id)
        if self._watch(started):
            started.stop()
        found = variables.read(head_and_tail(told))
        told.unlink(missing_ok=True)
        return found

    def _contained(self, argv: list[str], config: dict[str, Any]) -> list[str]:
        """The command line inside the container that the task names, or that its system needs."""
        containers = self.launcher.containers
        image = containers.image(config, self.running.requirements)
        return containers.around(argv, image, str(self.directory), bool(self.running.share.gpus))

    def _move(self, argv: list[str]) -> str:
        """Run a command that moves a file; what went wrong. It gets the pilot's own environment."""
        return self._aside(argv, environment(False, self.directory, {}), None)

    def _copy(self, argv: list[str]) -> str:
        """Run a command that copies a file of this machine, and sees what programs see; what went wrong."""
        return self._aside(argv, environment(True, self.directory, {}), self._box())

    def _box(self) -> dict[str, Any] | None:
        disk = self.running.limit("disk")
        return self.sandbox.box(str(self.directory), 0.0 if disk == float("inf") else disk)

    def _aside(self, argv: list[str], own: dict[str, str], box: dict[str, Any] | None) -> str:
        told = self.directory / ".transfer"
        whose = self.running.dataset_id if box else ""
        started = self.launcher.start(argv, own, self.directory, told, told, box, whose)
        reason = self._watch(started)
        if reason:
            started.stop()
            return reason
        said = last_line(told)
        told.unlink(missing_ok=True)
        return started.trouble or ends.of_status(started.status, argv[0], said)[1]

    def _program(self, program: Command, config: dict[str, Any]) -> tuple[str, str]:
        write_files(program, self.directory)
        own = environment(program.clear, self.directory, self.variables())
        started = self.launcher.start(self._contained(program.argv, config), own, self.directory,
                                      self.directory / "stdout", self.directory / "stderr", self._box(),
                                      self.running.dataset_id)
        reason = self._watch(started)
        if reason:
            started.stop()
        self.peak.cpu_seconds += started.cpu_seconds
        self.peak.memory = max(self.peak.memory, started.memory)
        if self.running.stop:
            return ends.EVICT, self.running.stop.reason
        if started.trouble:
            return ends.EVICT, started.trouble
        if reason:
            return ends.RESET, reason
        said = last_line(self.directory / "stderr") if started.status else ""
        return ends.of_status(started.status, program.name, said)

    def variables(self) -> dict[str, str]:
        """What the task's programs are told of it, beside their environment."""
        payload, share = self.running.payload, self.running.share
        gpus = ",".join(share.gpus)
        return {
            "ICEPROD_TASK_ID": self.running.task_id, "ICEPROD_DATASET": str(payload.get("dataset", "")),
            "ICEPROD_JOB": str(payload.get("job_index", "")), "ICEPROD_TASK": str(payload.get("name", "")),
            "ICEPROD_CPUS": str(share.cpu), "OMP_NUM_THREADS": str(share.cpu),
            "CUDA_VISIBLE_DEVICES": gpus, "GPU_DEVICE_ORDINAL": gpus, **_trace_variables(),
        }

    def _watch(self, started: Program) -> str:
        """Wait for the program to end; the reason when it has to be ended."""
        self.running.stop.wake(started)
        measured = time.monotonic()
        while not started.wait(_LOOK_SECONDS):
            if self.running.stop:
                return self.running.stop.reason
            if started.guard and time.monotonic() - measured >= _LOOK_SECONDS:
                measured = time.monotonic()
                reason = self._over_limit(started.guard)
                if reason:
                    return reason
        return ""

    def _over_limit(self, guard: int) -> str:
        running, peak = self.running, self.peak
        usage = tree_usage(guard)
        running.memory = usage.memory
        peak.memory = max(peak.memory, running.memory)
        if running.over:
            return running.over
        peak.disk = max(peak.disk, self._contents.size())
        if usage.processes > self.sandbox.processes + _OUR_PROCESSES:
            return f"process limit: {usage.processes} of {self.sandbox.processes}"
        if peak.memory > running.limit("memory") + _MEMORY_SLACK:
            return f"memory limit: used {peak.memory:.2f} GB of {running.requirements['memory']} GB"
        if peak.disk > running.limit("disk") + _MEMORY_SLACK:
            return f"disk limit: used {peak.disk:.2f} GB of {running.requirements['disk']} GB"
        if running.seconds > running.limit("time") * 3600:
            return f"time limit: ran {running.seconds / 3600:.2f} h of {running.requirements['time']} h"
        return ""

    def _resources(self) -> dict[str, float]:
        seconds, peak = self._seconds, self.peak
        used = {"cpu": peak.cpu_seconds / seconds if seconds > 0 else 0.0, "memory": peak.memory,
                "disk": max(peak.disk, self._contents.size()), "time": seconds / 3600}
        return {name: round(value, 5) for name, value in used.items()}


def _trace_variables() -> dict[str, str]:
    """The current trace, as OpenTelemetry has it in the environment."""
    trace = traces.current.get()
    return {name.upper(): value for name, value in trace.document().items()} if trace else {}
