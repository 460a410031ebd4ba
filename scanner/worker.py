"""``python -m scanner.worker``: reconstructs batches of pixels for a pilot, which starts one per core.

Requests and answers are lines of JSON on stdin and stdout. First comes ``{"ready": true, "seconds": …}``, at
once: code and tables are loaded when a request needs them; the seconds are the processor's. A request is
``{"event_id", "event"?, "reco_algo", "nside", "pixels", "seeds"}``; the event itself is only needed once. Its
answer is one of

``{"rows", "seconds", "cpu_seconds"}``   the results, one row per pixel
``{"need": "event"}``                    the event is not known (any more): send the request with it
``{"error", "fault"}``                   fault "payload": it can never work; "worker": it may elsewhere

A request with ``"part_seconds"`` is done in parts that should take no longer each: ``{"begin": n}`` says that
the next n pixels are begun, and all answers with rows but the last have ``"more": true``. The first
``"alone"`` pixels are parts of their own.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import msgspec

from scanner.batch import BatchResult, Prepared, run_batch, run_parts
from scanner.common.errors import ScannerError
from scanner.events.event import Event
from scanner.events.i3live import read_event
from scanner.maps.rows import BatchError
from scanner.recos.recos import UnknownReco

__all__ = ["Desk", "serve"]


class Desk:
    """Answers requests; keeps the last few events."""

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._events: OrderedDict[str, Event] = OrderedDict()
        self._prepared = Prepared(size)

    def answers(self, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The answers to one request, of which the last ends it."""
        try:
            event = self._event(request)
            if event is None:
                yield {"need": "event"}
            elif request.get("part_seconds") is None:
                yield _rows(run_batch(event, *_batch(request), self._prepared))
            else:
                yield from self._parts(event, request)
        except (BatchError, UnknownReco, ScannerError) as error:
            yield {"error": str(error), "fault": "payload"}
        except (KeyError, TypeError) as error:
            yield {"error": f"not a request: {type(error).__name__}: {error}", "fault": "payload"}
        except (ArithmeticError, ValueError, LookupError, MemoryError) as error:
            traceback.print_exc()
            yield {"error": f"{type(error).__name__}: {error}", "fault": "worker"}

    def _parts(self, event: Event, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        left = len(request["pixels"])
        for step in run_parts(event, *_batch(request), self._prepared, request["part_seconds"],
                              request.get("alone", 0)):
            if isinstance(step, int):
                yield {"begin": step}
            else:
                left -= len(step.rows)
                yield {**_rows(step), "more": True} if left else _rows(step)

    def _event(self, request: Mapping[str, Any]) -> Event | None:
        event_id = request["event_id"]
        if event_id not in self._events:
            if request.get("event") is None:
                return None
            self._events[event_id] = read_event(request["event"], name=f"event {event_id}")
        self._events.move_to_end(event_id)
        while len(self._events) > self._size:
            self._events.popitem(last=False)
        return self._events[event_id]


def _batch(request: Mapping[str, Any]) -> tuple[str, int, list[int], list[Any] | None]:
    return request["reco_algo"], request["nside"], request["pixels"], request.get("seeds")


def _rows(result: BatchResult) -> dict[str, Any]:
    return {"rows": result.rows, "seconds": result.seconds, "cpu_seconds": result.cpu_seconds}


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more requests."""
    desk = Desk()
    _write(answers, {"ready": True, "seconds": round(time.process_time(), 3)})
    for line in requests:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            _write(answers, {"error": f"not a request: {error}", "fault": "payload"})
            continue
        for answer in desk.answers(request):
            _write(answers, answer)


def _write(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(msgspec.json.encode(answer) + b"\n")
    answers.flush()


def main() -> None:
    """Serve on stdin and stdout; whatever else prints to stdout goes to stderr."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
