"""Tasks that reconstruct pixels, through a warm worker."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

from grid.pilot import ends
from grid.pilot.running import Running
from grid.pilot.worker import PartStopped, Worker, WorkerEnded, WorkerStopped
from iceprod.transport import Client

__all__ = ["Events", "Pixels"]

_PART_SHARE, _PART_SECONDS = 0.125, 0.25  # a part takes no more than this share of a pixel's limit, and time


class Events:
    """The last few events that scans needed, fetched once for all workers of the pilot."""

    def __init__(self, client: Client, patience: float, size: int = 4) -> None:
        self._client, self._patience, self._size = client, patience, size
        self._known: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, event_id: str) -> Any:
        """The event's JSON document. Raises the client's errors."""
        with self._lock:
            if event_id not in self._known:
                try:
                    answer = self._client.get(f"/i3-events/{event_id}", patience=self._patience)
                finally:
                    self._client.close()  # seldom needed; the server has to hold every connection
                self._known[event_id] = answer["i3_event"]
            self._known.move_to_end(event_id)
            while len(self._known) > self._size:
                self._known.popitem(last=False)
            return self._known[event_id]


class Pixels:
    """One batch of pixels. `result` is what the server stores, once `run` says that it is complete.

    A worker that takes longer for a part than one pixel may is given up. What it did until then is the
    result, and the pixels of that part are named in it as `slow`.
    """

    def __init__(self, running: Running, worker: Worker, events: Events) -> None:
        self.running, self.worker, self.events = running, worker, events
        self.result: dict[str, Any] = {"rows": [], "seconds": 0.0, "cpu_seconds": 0.0}
        self.worker_lost = False
        self._begun = 0  # pixels of the part that the worker is at
        self._before: float | None = None  # seconds from the lease until it began

    def run(self) -> ends.End:
        """Have the worker do it. Raises the client's errors when the event cannot be had."""
        try:
            answer = self._ask()
        except WorkerEnded as error:
            self.worker_lost = True
            return self._end(ends.RESET, str(error))
        except PartStopped:
            self.worker_lost = True
            return self._without_slow_ones()
        except WorkerStopped as error:
            self.worker_lost = True
            if self.running.stop:
                return self._end(ends.EVICT, self.running.stop.reason)
            return self._end(ends.RESET, str(error))
        if self.running.stop:
            return self._end(ends.EVICT, self.running.stop.reason)
        if "error" in answer:
            outcome = ends.FAILED if answer.get("fault") == "payload" else ends.RESET
            return self._end(outcome, str(answer["error"]))
        return self._end(ends.COMPLETE, "", self.result["cpu_seconds"])

    def timing(self) -> dict[str, float]:
        """How long the worker had to be waited for, for a server that keeps it."""
        known = self._before is not None and self.running.payload.get("timed")
        return {"before": round(self._before or 0.0, 4)} if known else {}

    def _ask(self) -> dict[str, Any]:
        """The last answer; rows and times of all are added to the result."""
        request = self._request()
        answer = self._answer(request)
        if answer.get("need") == "event":
            request["event"] = self.events.get(request["event_id"])
            answer = self._answer(request)
        return answer

    def _request(self) -> dict[str, Any]:
        payload = self.running.payload
        request = {name: payload.get(name) for name in ("reco_algo", "nside", "pixels", "seeds")}
        request["event_id"] = str(payload.get("i3_event_id"))
        if limit := payload.get("pixel_limit_s"):
            request["part_seconds"] = min(_PART_SECONDS, _PART_SHARE * limit)
            request["alone"] = payload.get("alone") or 0
        return request

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        payload, answer = self.running.payload, {}
        limit = self.running.limit("time") * 3600
        limit = min(limit, payload.get("limit_s") or limit)  # so many pixels may take so long
        part_limit = payload.get("pixel_limit_s") or limit
        for answer in self.worker.ask(request, self.running.stop, limit, part_limit):
            self._begun = answer.get("begin", 0)
            if self._begun and self._before is None:
                self._before = time.monotonic() - self.running.leased
            for name in self.result.keys() & answer.keys():
                self.result[name] += answer[name]
        return answer

    def _without_slow_ones(self) -> ends.End:
        done = len(self.result["rows"])
        self.result["slow"] = self.running.payload["pixels"][done:done + self._begun]
        return self._end(ends.COMPLETE, "", self.result["cpu_seconds"])

    def _end(self, outcome: str, reason: str, cpu_seconds: float = 0.0) -> ends.End:
        seconds = self.running.seconds
        used = {"time": round(seconds / 3600, 6)}
        if not self.worker_lost:
            used["memory"] = round(self.worker.usage().memory, 3)
        return ends.End(outcome, reason, seconds, cpu_seconds, used)
