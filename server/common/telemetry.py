"""Spans of this server: how many were sent and lost, and those of what it asks the database."""

from __future__ import annotations

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from iceprod.tracing import spans, traces
from iceprod.tracing.spans import Span
from server.common import metrics

__all__ = ["CommandSpans", "count"]


def count(outcome: str, number: int) -> None:
    """Count spans by what became of them."""
    metrics.SPANS.labels(outcome).inc(number)


class CommandSpans(CommandListener):
    """A span for each command to the database that is a part of a recorded trace; no value is in it."""

    def __init__(self) -> None:
        self._open: dict[int, Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        trace = traces.current.get()
        if trace is None or not trace.sampled or not spans.is_recording():
            return
        name = event.command_name
        collection = event.command.get("collection" if name == "getMore" else name)
        where = collection if isinstance(collection, str) else ""
        attributes = {"db.system.name": "mongodb", "db.operation.name": name,
                      "db.namespace": event.database_name,
                      **({"db.collection.name": where} if where else {})}
        if one := spans.recorded(f"{name} {where}".rstrip(), spans.CLIENT, trace, attributes):
            self._open[event.request_id] = one

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._end(event.request_id)

    def failed(self, event: CommandFailedEvent) -> None:
        self._end(event.request_id, str(event.failure.get("codeName") or event.failure.get("code", "error")))

    def _end(self, request_id: int, error: str = "") -> None:
        if (one := self._open.pop(request_id, None)) is not None:
            one.end(error)
