"""The pilot itself: its threads share this object.

One thread leases tasks, one tells the server that we live, and one slot per core runs tasks. The main thread
waits for the end: a signal (tasks are handed back at once), or lifetime, idleness and the server's wish (no
new tasks, and the running ones finish).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Any

from grid.pilot import ends
from grid.pilot.options import Options, TokenFile
from grid.pilot.room import Room
from grid.pilot.running import Running
from iceprod.client import Client, ClientError, Refused, Unreachable

__all__ = ["VERSION", "Pilot"]

VERSION = "1"

_SITE_FAULTS = 3  # so many tasks in a row that this place could not run: leave
_STOP_PATIENCE = 3.0
_PARTING_PATIENCE = 2.0

log = logging.getLogger("pilot")


class Pilot:
    """State of a pilot, and what its threads do to it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.ending = threading.Event()  # stop everything
        self.draining = threading.Event()  # take no new tasks
        self.client = Client(options.server, TokenFile(options.token_file), pause=self.pause)
        self.room = Room(options.cores, options.memory, options.disk, list(options.gpus))
        self.started = self.last_task = time.monotonic()
        self.lease_seconds = 60.0
        self.last_contact = time.monotonic()
        self.pilot_id = ""
        self.tasks: queue.SimpleQueue[Running] = queue.SimpleQueue()
        self.faults = 0
        self._running: dict[tuple[str, str], Running] = {}
        self._free_slots = 0
        self._changed = threading.Condition()

    # -- life

    def register(self) -> None:
        """Make ourselves known, however long it takes. Raises Refused, and Unreachable when we end."""
        body = self.options.registration(VERSION)
        while True:
            try:
                self.pilot_id = self.client.post("/pilots", body, patience=60)["result"]
            except Unreachable as error:
                if self.ending.is_set():
                    raise
                log.warning("%s", error)
            else:
                log.info("registered as pilot %s at %s", self.pilot_id, self.options.server)
                return

    def wait_for_end(self) -> None:
        """Wait until a signal or a limit ends us."""
        while not self.ending.wait(0.2):
            self._look_at_limits()
            if self.draining.is_set() and not self._running:
                self.ending.set()

    def leave(self) -> None:
        """Stop what runs, and give its tasks and our name back to the server."""
        self.client.hang_up()
        held = self.running()
        for running in held:
            running.stop("the pilot ends", at_once=True)
        deadline = time.monotonic() + _STOP_PATIENCE
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.pilot_id:
            token = TokenFile(self.options.token_file)
            try:
                with Client(self.options.server, token, timeout=_PARTING_PATIENCE) as parting:
                    parting.delete(f"/pilots/{self.pilot_id}")
            except ClientError as error:
                log.warning("could not say goodbye, the leases will run out: %s", error)
        self.client.close()
        log.info("ended; %d tasks handed back", len(held))

    def drain(self, reason: str) -> None:
        """Take no new tasks, and end when the present ones are done."""
        if not self.draining.is_set():
            log.info("no new tasks: %s", reason)
            self.draining.set()
            with self._changed:
                self._changed.notify_all()

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
        elif self.options.idle and not self._running and self._seconds_idle > self.options.idle:
            self.drain("nothing to do")

    # -- slots and tasks

    def slot_is_free(self) -> None:
        """A slot can take a task."""
        with self._changed:
            self._free_slots += 1
            self._changed.notify_all()

    def wait_for_slot(self, seconds: float) -> int:
        """How many tasks could start now; waits until one could."""
        with self._changed:
            self._changed.wait_for(lambda: self._startable() or self.draining.is_set(), seconds)
            return self._startable()

    def _startable(self) -> int:
        return min(self._free_slots, self.room.cpu)

    def running(self) -> list[Running]:
        """The tasks we hold."""
        with self._changed:
            return list(self._running.values())

    def start(self, task: dict[str, Any]) -> bool:
        """Start a leased task; False, and the task is handed back, when there is no room for it."""
        requirements = task.get("requirements")
        share = self.room.take(requirements if isinstance(requirements, dict) else {})
        with self._changed:
            if share is None or not self._free_slots:
                room = False
            else:
                room = True
                self._free_slots -= 1
                running = Running(task, share)
                self._running[running.task_id, running.instance_id] = running
        if not room:
            if share is not None:
                self.room.give(share)
            end = ends.End(ends.EVICT, "no room")
            self.report(str(task["task_id"]), str(task.get("instance_id", "")), end)
            return False
        self.tasks.put(running)
        return True

    def release(self, running: Running) -> None:
        """The task needs its slot and its share no longer: the next may be leased while it is reported."""
        if not running.released:
            running.released = True
            self.room.give(running.share)
            self.slot_is_free()

    def finish(self, running: Running) -> None:
        """The task is over and reported, whatever became of it."""
        self.last_task = time.monotonic()
        with self._changed:
            self._running.pop((running.task_id, running.instance_id), None)
        self.release(running)

    def conclude(self, running: Running, end: ends.End) -> None:
        """Report a task's end, unless the task is not ours any more."""
        if running.stop:
            log.info("task %s stopped: %s", running.task_id, running.stop.reason)
            return
        self._count_faults(end)
        self.report(running.task_id, running.instance_id, end)

    def report(self, task_id: str, instance_id: str, end: ends.End) -> None:
        """Tell the server how a task ended. A report that nobody takes is dropped: the lease runs out."""
        body = end.report(instance_id, self.options.site)
        self.send(task_id, "POST", f"/tasks/{task_id}/task_actions/{end.outcome}", body)
        log.info("task %s: %s %s (%.2f s)", task_id, end.outcome, end.reason, end.seconds)

    def send(self, task_id: str, method: str, path: str, body: dict[str, Any]) -> bool:
        """Send what belongs to a task, as long as it may be of use; whether the server took it."""
        try:
            self.client.request(method, path, body, patience=2 * self.lease_seconds, repeat=True)
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
