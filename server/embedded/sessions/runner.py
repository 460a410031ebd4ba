"""Running commands side by side in one thread, and committing what they write in groups.

A command is a generator (`writes.Steps`). It runs until it yields: None means that others may run now, a
signal that it waits for that. All that is written between two commits is one group: answers are held back
until the group is on disk, so one fsync serves all clients that wrote meanwhile, and nobody sees what a
crash could undo.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from typing import Any

from server.embedded.documents import budget
from server.embedded.documents.errors import Code, CommandError
from server.embedded.sessions.store import Store
from server.embedded.storage.locks import Signal
from server.embedded.storage.storage import GroupFailed, GroupLost
from server.embedded.storage.writes import Steps

log = logging.getLogger(__name__)

_GROUP_SECONDS = 0.5  # so long a group may grow while nobody waits for an answer

Result = Any
Done = Callable[[Result | CommandError], None]


class Task:
    """A command that runs."""

    __slots__ = ("deadline", "done", "failure", "steps")

    def __init__(self, steps: Steps[Result], done: Done, deadline: float | None) -> None:
        self.steps, self.done, self.deadline = steps, done, deadline
        self.failure: CommandError | None = None  # what it wrote was lost


class Runner:
    """Runs commands on a store, in the running event loop."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._loop = asyncio.get_running_loop()
        self._writers: set[Task] = set()  # that wrote in the open group
        self._held: list[tuple[Task, Result | CommandError]] = []
        self._flushing = False
        self._begun = 0.0  # when the open group was; 0: it must not wait

    def run(self, steps: Steps[Result], done: Done, deadline: float | None = None) -> None:
        """Run a command; `done` gets its result or error, once what it wrote is durable."""
        self._step(Task(steps, done, deadline))

    def _step(self, task: Task) -> None:
        storage = self.store.storage
        writes, was_dirty = storage.writes, storage.dirty
        try:
            wait = self._resume(task)
        except StopIteration as stop:
            self._finish(task, stop.value)
        except CommandError as error:
            self._finish(task, error)
        except GroupFailed as failure:
            self.fail_group(failure)
            self._finish(task, failure.answer)
        except GroupLost as lost:
            self._finish(task, lost.answer)
        except Exception:
            log.exception("a command failed")
            self._finish(task, CommandError(Code.InternalError, "internal error; see the store's log"))
        else:
            self._wait(task, wait)
        if storage.writes != writes and storage.dirty:
            self._writers.add(task)
            self._begun = self._begun if was_dirty else time.monotonic()
        if storage.dirty and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _resume(self, task: Task) -> Signal | None:
        budget.limit()
        try:
            return self._go_on(task)
        finally:
            budget.limit(0)

    def _go_on(self, task: Task) -> Signal | None:
        if task.failure is not None:
            return task.steps.throw(GroupLost(task.failure))
        if task.deadline is not None and time.monotonic() > task.deadline:
            return task.steps.throw(CommandError(Code.MaxTimeMSExpired, "operation exceeded time limit"))
        return next(task.steps)

    def _wait(self, task: Task, wait: Signal | None) -> None:
        if wait is None:
            self._loop.call_soon(self._step, task)
            return
        self._begun = 0.0  # it may take long
        resumed = Signal()  # by what is waited for, or by the deadline
        resumed.then(lambda: self._resume_soon(task))
        wait.then(resumed.happen)
        if task.deadline is not None:
            self._loop.call_later(max(task.deadline - time.monotonic(), 0) + 0.001, resumed.happen)

    def _resume_soon(self, task: Task) -> None:
        self._loop.call_soon(self._step, task)

    def _finish(self, task: Task, result: Result | CommandError) -> None:
        if self.store.storage.dirty:
            self._held.append((task, result))
        else:
            task.done(result)

    def _flush(self) -> None:
        """Commit the group, and send the answers that wait for it.

        While none does, the command that writes goes on: a flush costs as much as a thousand rows.
        """
        self._flushing = False
        if not self._held and time.monotonic() - self._begun < _GROUP_SECONDS:
            return  # its next step has us called again
        try:
            self.store.storage.commit()
        except GroupFailed as failure:
            self.fail_group(failure)
        held, self._held = self._held, []
        self._writers.clear()
        for task, result in held:
            task.done(result)

    def fail_group(self, failure: GroupFailed) -> None:
        """Undo the group, and tell all who wrote in it or have seen it."""
        log.error("a group of writes failed: %s", failure.answer.text)
        self.store.rollback()
        for task in self._writers:
            task.failure = failure.answer
        self._writers.clear()
        self._held = [(task, failure.answer) for task, _ in self._held]


def drain(steps: Generator[Any, None, Result]) -> Result:
    """The result of a command that has nobody to wait for."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
