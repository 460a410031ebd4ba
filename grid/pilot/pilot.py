"""The pilot itself: its threads share this object.

One thread leases tasks, one reports ends, one tells the server that we live when the others said nothing for
a while, and one slot per core runs tasks. All speak over one connection.
The main thread waits for the end: a signal (tasks are handed back at once), or lifetime, idleness and the
server's wish (no new tasks, and the running ones finish).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Any

from grid.guarding.directories import Directories
from grid.guarding.launcher import Launcher
from grid.moving.cache import Cache
from grid.pilot import ends
from grid.pilot.options import Options, OwnToken, TokenFile
from grid.pilot.output import Tails
from grid.pilot.pace import Pace
from grid.pilot.reports import Report, Reports, send_rest
from grid.pilot.room import Room, Share
from grid.pilot.running import Running, SlotMemory
from iceprod.tracing import traces
from iceprod.transport import Client, ClientError, Line, Refused, Unreachable

__all__ = ["VERSION", "Pilot"]

VERSION = "1"

_SITE_FAULTS = 3  # so many tasks in a row that this place could not run: leave
_STOP_PATIENCE = 3.0
_PARTING_PATIENCE = 2.0
_MOST_WAITING = 8  # tasks of one core whose outputs wait to be stored
_LOOK_SECONDS, _IDLE_LOOK_SECONDS = 0.2, 2.0  # at what runs, and when nothing does
_LONGEST_TURN = 2.0  # seconds that a task leased ahead waits for its turn
_NOTHING = Share(0, 0.0, 0.0)

log = logging.getLogger("pilot")


class Pilot:
    """State of a pilot, and what its threads do to it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.ending = threading.Event()  # stop everything
        self.draining = threading.Event()  # take no new tasks
        self.token = OwnToken(TokenFile(options.token_file))
        self.client = Line(options.server, self.token, pause=self.pause, begin=traces.unrecorded)
        self.naming = threading.Lock()
        self.room = Room(options.cores, options.memory, options.disk, list(options.gpus))
        self.started = self.last_task = time.monotonic()
        self.lease_seconds, self.grace_seconds = 60.0, 7200.0
        self.beat_seconds = options.heartbeat
        self.last_contact = self.told = time.monotonic()  # the server's last answer; our last word
        self.waits = False  # whether a request waits at the server for tasks
        self.pilot_id = ""
        self.tasks: queue.SimpleQueue[Running | None] = queue.SimpleQueue()  # None: there will be no more
        self.faults = 0
        self._was_ready = False  # whether a slot could ever take a task; before that we are not idle
        self.launcher = Launcher(options.containers)
        self.directories = Directories(options.directory, self.launcher, options.sandbox)
        self.slot_memory = SlotMemory(options.slot_memory)
        self.cache = Cache(options.cache_directory or options.directory / "cache", int(options.cache * 1e9))
        self.reports = Reports()
        self.pace = Pace()
        self.tails = Tails()
        self._running: dict[tuple[str, str], Running] = {}
        self._backlog: deque[Running] = deque()  # leased ahead, not started
        self._free_slots = self._taken = 0
        self._changed = threading.Condition()
        self._look = threading.Event()  # something began to run, or we take no more

    # -- life

    def register(self) -> None:
        """Make ourselves known, however long it takes. Raises Refused, and Unreachable when we end."""
        body = self.options.registration(VERSION)
        while True:
            try:
                self.pilot_id = self.token.take(self.client.post("/pilots", body, patience=60))
            except Unreachable as error:
                if self.ending.is_set():
                    raise
                log.warning("%s", error)
            else:
                log.info("registered as pilot %s at %s", self.pilot_id, self.options.server)
                return

    def wait_for_end(self) -> None:
        """Wait until a signal or a limit ends us."""
        while True:
            self._look.clear()
            if self.ending.is_set():
                return
            is_busy = bool(self._running) or self.draining.is_set()
            if not is_busy:
                self._look.wait(min(_IDLE_LOOK_SECONDS, max(0.0, self.seconds_left)))
            elif self.ending.wait(_LOOK_SECONDS):
                return
            self._look_at_limits()
            self.slot_memory.look(self.running())
            self._hand_back_late_ones()
            if self.draining.is_set() and not self._running and not len(self.reports):
                self.ending.set()

    def end(self) -> None:
        """Stop everything, soon. A signal may call it at any time."""
        self.ending.set()
        self._look.set()

    def leave(self) -> None:
        """Stop what runs, send what is not reported yet, give tasks and our name back to the server."""
        self._forget_backlog()
        self._wake_all()
        self.reports.wait_for_answer(_PARTING_PATIENCE / 2)
        self.client.hang_up()
        held = self.running()
        for running in held:
            running.stop("the pilot ends", at_once=True)
        deadline = time.monotonic() + _STOP_PATIENCE
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.pilot_id:
            try:
                with Client(self.options.server, self.token, timeout=_PARTING_PATIENCE,
                            begin=traces.unrecorded) as parting:
                    send_rest(self.reports, parting, self.options.site, self.pilot_id)
                    parting.delete(f"/pilots/{self.pilot_id}")
            except ClientError as error:
                log.warning("could not say goodbye, the leases will run out: %s", error)
        self.client.close()
        self.launcher.close()
        self.directories.close()
        log.info("ended; %d tasks handed back", len(held))

    def hear_promise(self, answer: dict[str, Any]) -> None:
        """Take over how long leases last, how often to say that we live, and how long we may go on alone."""
        self.lease_seconds = float(answer.get("lease_seconds") or self.lease_seconds)
        if "heartbeat_seconds" in answer:
            self.beat_seconds = max(self.options.heartbeat, float(answer["heartbeat_seconds"]))
        self.grace_seconds = max(self.lease_seconds, float(answer.get("grace_seconds") or self.grace_seconds))

    def drain(self, reason: str) -> None:
        """Take no new tasks, and end when the present ones are done."""
        if not self.draining.is_set():
            log.info("no new tasks: %s", reason)
            self.draining.set()
            self._look.set()
            with self._changed:
                self._changed.notify_all()

    @property
    def taken(self) -> int:
        """How many tasks were leased in all."""
        return self._taken

    def took(self, tasks: int) -> None:
        """Tasks were leased; the last of those that we came for has us take no more."""
        self._taken += tasks
        if self.options.tasks and self._taken >= self.options.tasks:
            self.drain("it has the tasks that it came for")

    def pause(self, seconds: float) -> None:
        """Wait between tries; gives up when the pilot ends."""
        if self.ending.wait(seconds):
            raise Unreachable("the pilot ends")

    @property
    def seconds_left(self) -> float:
        """Until the end of our lifetime."""
        return self.started + self.options.lifetime - time.monotonic()

    @property
    def _seconds_idle(self) -> float:
        return time.monotonic() - self.last_task

    def _look_at_limits(self) -> None:
        if self.seconds_left <= 0:
            self.drain("lifetime is over")
        elif (self.options.idle and self._was_ready and not self._running
              and self._seconds_idle > self.options.idle):
            self.drain("nothing to do")

    # -- slots and tasks

    def slot_is_free(self) -> None:
        """A slot can take a task."""
        with self._changed:
            if not self._was_ready:
                self._was_ready, self.last_task = True, time.monotonic()
            self._free_slots += 1
            self._dispatch()
            self._changed.notify_all()

    def wait_for_slot(self, seconds: float) -> int:
        """How many tasks we could take now; waits until it is one at least."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._wanted() or self.draining.is_set() or self.ending.is_set(), seconds)
            return self._wanted()

    def offer(self) -> dict[str, Any]:
        """What is free here, and for how many tasks: for none while the workers for pixels are starting."""
        kinds = {} if self.options.pixels else {"kind": "script"}
        return {**self.room.free(), "slots": self._free_slots, **kinds, **self.options.traits()}

    def ahead(self) -> int:
        """How many tasks to hold beyond those that run: some while tasks are short, else none."""
        return 0 if self.options.tasks else self.pace.ahead(self.options.cores)

    def has_tasks_ahead(self) -> bool:
        """Whether tasks wait here for their turn, which comes soon."""
        return bool(self._backlog)

    def _wanted(self) -> int:
        ahead, held = self.ahead(), len(self._backlog)
        if ahead:
            return self._free_slots + ahead - held if 2 * held <= ahead else 0
        most = self.options.tasks - self._taken if self.options.tasks else self.room.cpu
        return 0 if held else min(self._free_slots, self.room.cpu, most)

    def running(self) -> list[Running]:
        """The tasks that run or wait here to run."""
        with self._changed:
            return list(self._running.values())

    def held(self) -> list[tuple[str, str]]:
        """Task and instance of all that we hold a lease of: ended ones too, until they are reported."""
        ended = [(report.task_id, report.instance_id) for report in self.reports.held()]
        return [(running.task_id, running.instance_id) for running in self.running()] + ended

    def says(self) -> dict[str, Any]:
        """What every request says: what we hold, what is free, what is taken."""
        tasks = [{"task_id": task_id, "instance_id": instance_id} for task_id, instance_id in self.held()]
        return {"tasks": tasks, "resources_available": self.offer(),
                "resources_claimed": self.room.claimed()}

    def start(self, task: dict[str, Any]) -> bool:
        """Start a leased task, or soon; False, and the task is handed back, when there is no room for it."""
        running = Running(task, _NOTHING)
        with self._changed:
            self._running[running.task_id, running.instance_id] = running
            self._backlog.append(running)
            self._look.set()
            self._dispatch()
            if running not in self._backlog or self._may_wait(running):
                return True
            self._backlog.remove(running)
            del self._running[running.task_id, running.instance_id]
        self.reports.add(Report(running.task_id, running.instance_id, ends.End(ends.EVICT, "no room")))
        return False

    def _dispatch(self) -> None:
        """Hand tasks to free slots, in their order. To be called with the lock."""
        while self._backlog and self._free_slots:
            share = self.room.take(self._backlog[0].requirements)
            if share is None:
                return
            running = self._backlog.popleft()
            running.share = share
            self._free_slots -= 1
            self.tasks.put(running)

    def _may_wait(self, running: Running) -> bool:
        """Whether a task may wait here for its turn: others end soon, and then it fits."""
        return bool(self.ahead()) and running.kind == "script" and self.room.could_take(running.requirements)

    def _hand_back_late_ones(self) -> None:
        """Hand back tasks leased ahead whose turn does not come, for those before them are long."""
        with self._changed:
            if not self._backlog or self._backlog[0].seconds < _LONGEST_TURN:
                return
            late = list(self._backlog)
            self._backlog.clear()
            for running in late:
                self._running.pop((running.task_id, running.instance_id), None)
        for running in late:
            end = ends.End(ends.EVICT, "the tasks before it take long")
            self.reports.add(Report(running.task_id, running.instance_id, end))

    def _wake_all(self) -> None:
        """Have all threads see that we end."""
        for _ in range(self.options.cores):
            self.tasks.put(None)
        self.reports.close()
        with self._changed:
            self._changed.notify_all()

    def _forget_backlog(self) -> None:
        with self._changed:
            while self._backlog:
                running = self._backlog.popleft()
                self._running.pop((running.task_id, running.instance_id), None)

    def release(self, running: Running) -> None:
        """The task needs its slot and its share no longer: the next may be leased while it is reported."""
        if not running.released:
            running.released = True
            self.room.give(running.share)
            if not running.is_waiting:
                self.slot_is_free()

    def let_wait(self, running: Running) -> bool:
        """A task's outputs wait to be stored: its slot is free, its disk is not; False when too many wait."""
        with self._changed:
            waiting = sum(one.is_waiting for one in self._running.values())
            if running.stop or waiting >= _MOST_WAITING * self.options.cores:
                return False
            running.is_waiting = True
        share = running.share
        running.share = Share(0, 0.0, share.disk)
        self.room.give(replace(share, disk=0.0))
        self.slot_is_free()
        return True

    def tell_waiting(self) -> None:
        """Tell the server which tasks' outputs wait, and why: people ask it."""
        body = {"outputs_waiting": {one.task_id: one.waits_for for one in self.running() if one.waits_for}}
        try:
            self.client.request("PATCH", f"/pilots/{self.pilot_id}", body, repeat=True)
        except ClientError as error:
            log.warning("could not tell that outputs wait: %s", error)

    def lend(self, running: Running) -> dict[str, Any]:
        """What the server lends the task for its files, asked anew; nothing when it does not answer."""
        body = {"task_id": running.task_id, "instance_id": running.instance_id}
        try:
            answer = self.client.post("/task_actions/access", body, repeat=True)
        except ClientError as error:
            log.warning("task %s: no new credentials: %s", running.task_id, error)
            return {}
        return answer if isinstance(answer, dict) else {}

    def finish(self, running: Running) -> None:
        """The task is over, whatever became of it."""
        self.last_task = time.monotonic()
        with self._changed:
            self._running.pop((running.task_id, running.instance_id), None)
        self.release(running)

    def conclude(self, running: Running, end: ends.End, logs: dict[str, str] | None = None,
                 stats: dict[str, Any] | None = None) -> None:
        """Have a task's end reported, unless the task is not ours any more."""
        if running.stop:
            log.info("task %s stopped: %s", running.task_id, running.stop.reason)
            return
        running.outcome = end.outcome
        self._count_faults(end)
        if end.outcome == ends.COMPLETE:
            self.pace.note(running.kind, end.seconds)
        else:
            self.pace.forget()
        self.reports.add(Report(running.task_id, running.instance_id, end, logs or {}, stats or {},
                                trace=running.trace))

    def send(self, task_id: str, method: str, path: str, body: dict[str, Any]) -> bool:
        """Send what belongs to a task, as long as it may be of use; whether the server took it."""
        try:
            self.client.request(method, path, body, patience=self.grace_seconds, repeat=True)
        except Refused as error:
            log.warning("task %s: the server refused %s %s: %s", task_id, method, path, error)
            if error.status not in (404, 409):
                raise
            return False
        except Unreachable as error:
            log.warning("task %s: %s", task_id, error)
            return False
        return True

    def _count_faults(self, end: ends.End) -> None:
        self.faults = self.faults + 1 if end.outcome == ends.EVICT else 0
        if self.faults >= _SITE_FAULTS:
            self.drain(f"{self.faults} tasks in a row could not run here: {end.reason}")
