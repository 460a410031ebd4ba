"""The threads that run tasks, one per core, each with its own warm pixel worker."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from grid.pilot import ends, storing
from grid.pilot.pilot import Pilot
from grid.pilot.pixels import Events, Pixels
from grid.pilot.running import Running
from grid.pilot.script import Script
from grid.pilot.worker import Worker, WorkerEnded, WorkerStopped
from iceprod.tracing import spans, traces
from iceprod.transport import ClientError, Refused

__all__ = ["Slot"]

log = logging.getLogger("pilot")


class Slot:
    """Runs one task after the other; `run` is the body of a thread."""

    def __init__(self, pilot: Pilot, events: Events, worker_argv: list[str] | None = None) -> None:
        self.pilot, self.events = pilot, events
        self._argv = worker_argv
        self._worker: Worker | None = None
        self._no_worker = "this pilot reconstructs no pixels"
        self._wanted = pilot.options.pixels

    def run(self) -> None:
        """Take tasks until the pilot ends."""
        try:
            self._warm_up()
            self.pilot.slot_is_free()
            while (running := self.pilot.tasks.get()) is not None and not self.pilot.ending.is_set():
                self._perform(running)
        finally:
            self._drop_worker()
            self.pilot.client.close()

    def _perform(self, running: Running) -> None:
        running.started = time.monotonic()
        try:
            if not running.stop:
                self._traced(running)
        except ClientError as error:
            log.warning("task %s: %s", running.task_id, error)
        except Exception:
            log.exception("task %s: the pilot failed", running.task_id)
        finally:
            self._warm_up()
            if not running.is_waiting:
                self.pilot.finish(running)

    def _traced(self, running: Running) -> None:
        """Run a task as a part of its trace."""
        about = {"iceprod.task_id": running.task_id, "iceprod.kind": running.kind,
                 "iceprod.site": self.pilot.options.site, "iceprod.pilot_id": self.pilot.pilot_id}
        with traces.within(running.trace), spans.span("task", spans.CONSUMER, about) as span:
            running.trace = traces.current.get()
            self._run(running)
            if span is not None:
                span.set("iceprod.outcome", running.outcome or "handed back")

    def _run(self, running: Running) -> None:
        """Run a task and have its end told."""
        if running.kind == "script":
            self._script(running)
            return
        end = (self._pixels(running) if running.kind == "pixels"
               else ends.End(ends.EVICT, f"this pilot does not know tasks of kind {running.kind!r}"))
        if end is not None:
            self.pilot.conclude(running, end)

    # -- pixels

    def _pixels(self, running: Running) -> ends.End | None:
        if self._worker is None:
            return ends.End(ends.EVICT, self._no_worker)
        pixels = Pixels(running, self._worker, self.events)
        with spans.span("payload", attributes={"iceprod.pixels": len(running.payload.get("pixels") or ())}):
            end = pixels.run()
        if pixels.worker_lost:
            self._drop_worker()
        if end.outcome != ends.COMPLETE:
            return end
        body = {**pixels.result, **pixels.timing(), "instance_id": running.instance_id,
                "host": self.pilot.options.host}
        try:
            self.pilot.send(running.task_id, "PUT", f"/pixel_batches/{running.task_id}", body)
        except Refused as error:
            return ends.End(ends.RESET, f"the server refused the result: {error.reason}", end.seconds)
        running.outcome, self.pilot.faults = end.outcome, 0
        self.pilot.pace.note(running.kind, end.seconds)
        log.info("task %s: %d pixels in %.2f s", running.task_id, len(pixels.result["rows"]), end.seconds)
        return None

    def _warm_up(self) -> None:
        if not self._wanted or self._worker is not None or self.pilot.ending.is_set():
            return
        worker = Worker(self._argv)
        try:
            worker.wait_ready()
            self._worker = worker
        except (WorkerEnded, WorkerStopped) as error:
            worker.close()
            self._no_worker = f"no pixel worker: {error}"
            self._wanted = self.pilot.options.pixels = False
            log.warning("%s", self._no_worker)

    def _drop_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    # -- scripts

    def _script(self, running: Running) -> None:
        options, directories = self.pilot.options, self.pilot.directories
        running.directory = directories.take(running.dataset_id)
        script = Script(running, running.directory, self.pilot.launcher, options.means, options.sandbox,
                        self.pilot.cache, lambda: self.pilot.lend(running),
                        lambda directory: self._put_away(running, directory),
                        directories.contents(running.directory))
        storing.perform(self.pilot, script)

    def _put_away(self, running: Running, directory: Path) -> None:
        running.directory = None
        self.pilot.directories.give(running.dataset_id, directory)
