"""Runs benchmarks one after the other: each as a program of its own that prints one JSON object."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

from config.json_text import without_gaps
from iceprod.cli.benching.machine import load, machine, versions
from iceprod.cli.benching.plan import BENCHES, Planned
from iceprod.cli.benching.records import Machine, Missing, Record, Run
from iceprod.cli.benching.sheets import gathered, readings

__all__ = ["Collection", "NotMeasuredError", "collect", "measure"]

_GRACE_SECONDS = 60.0  # for a benchmark that is to end: it stops its servers
_MOST_SECONDS = 3600.0  # of one benchmark
_LONGEST_REASON = 300

Measure = Callable[[str, Sequence[str], float], dict[str, Any]]


class NotMeasuredError(Exception):
    """A benchmark left no figures; says why."""


def measure(bench: str, arguments: Sequence[str], seconds: float) -> dict[str, Any]:
    """The object that a benchmark prints. Raises NotMeasuredError, also when it is not done in time."""
    module, chosen = BENCHES[bench]
    words = [sys.executable, "-m", module, *chosen, *arguments, "--json"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # in a session of its own, so that we choose how it ends; files: what it leaves running keeps pipes
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                 start_new_session=True)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise NotMeasuredError(f"it was not done after {seconds:.0f} s") from None
        finally:
            _end(child)
        return _object(child.returncode, _text(out), _text(err))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Interrupt it, as one does at a terminal, and kill it when that does not help."""
    if child.poll() is not None:
        return
    try:
        _signal(child, signal.SIGINT)
        child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if child.poll() is None:
            _signal(child, signal.SIGKILL)
            child.wait()


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _object(status: int, out: str, err: str) -> dict[str, Any]:
    try:
        found = without_gaps(json.loads(out))
    except ValueError:
        found = None
    if status == 0 and isinstance(found, dict):
        return found
    said = next((line.strip() for line in reversed(err.splitlines()) if line.strip()), "")
    said = said.removeprefix("error: ")[:_LONGEST_REASON]
    if status < 0:
        said = f"ended by signal {-status}" + (f": {said}" if said else "")
    raise NotMeasuredError(said or ("it printed no JSON object" if status == 0 else f"exit status {status}"))


@dataclass
class Collection:
    """What there is so far."""

    quick: bool
    rounds: int
    runs: list[Run] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    interrupted: bool = False
    _time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    _began: float = field(default_factory=time.monotonic)
    _machine: Machine = field(default_factory=machine)
    _versions: dict[str, str] = field(default_factory=versions)

    def record(self) -> Record:
        return Record(1, self._time, round(time.monotonic() - self._began, 1), self.quick, self.rounds,
                      self.interrupted, self._machine, self._versions, [*self.runs], [*self.missing],
                      gathered(self.runs))

    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began


def collect(found: Collection, plan: Sequence[Planned], within: float | None,
            run: Measure = measure) -> Iterator[Run | Missing]:
    """Measure what is planned, round by round, and tell each of it; one that failed is not tried again.

    An interruption ends it and is marked: what was measured by then stays.
    """
    todo = [(number, one) for number in range(1, found.rounds + 1) for one in plan]
    while todo:
        number, one = todo.pop(0)
        if any(missing.name == one.bench for missing in found.missing):
            continue
        try:
            told = _once(found, one, number, within, run)
        except KeyboardInterrupt:
            found.interrupted = True
            yield from _missed(found, dict.fromkeys([one.bench, *(other.bench for _, other in todo)]))
            return
        if isinstance(told, Run):
            found.runs.append(told)
        else:
            found.missing.append(told)
        yield told


def _missed(found: Collection, names: dict[str, None]) -> Iterator[Missing]:
    """Those that an interruption kept from measuring even once."""
    known = {run.bench for run in found.runs} | {missing.name for missing in found.missing}
    for name in names:
        if name not in known:
            found.missing.append(Missing(name, "interrupted"))
            yield found.missing[-1]


def _once(found: Collection, one: Planned, number: int, within: float | None, run: Measure) -> Run | Missing:
    left = _MOST_SECONDS if within is None else within - found.seconds()
    if one.reason:
        return Missing(one.bench, one.reason)
    if left <= 0:
        return Missing(one.bench, _in_round(found, number, f"no time was left of {within:g} s"))
    before, began = load(), time.monotonic()
    try:
        told = run(one.bench, one.arguments, min(left, _MOST_SECONDS))
        seconds, after = time.monotonic() - began, load()
        if not _readable(one.bench, told):
            raise NotMeasuredError("there are no figures in its object")
    except NotMeasuredError as error:
        return Missing(one.bench, _in_round(found, number, str(error)))
    return Run(one.bench, number, [*one.arguments], round(seconds, 2), before, after, told)


def _in_round(found: Collection, number: int, reason: str) -> str:
    return f"round {number} of {found.rounds}: {reason}" if number > 1 else reason


def _readable(bench: str, told: dict[str, Any]) -> bool:
    try:
        return bool(readings(bench, told))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise NotMeasuredError(f"its object is not as expected: {type(error).__name__}: {error}") from None
