"""The glue between our spans and OpenTelemetry's SDK; imported only where spans are recorded.

Where they go, under which name and how many is said by OpenTelemetry's own variables
(OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER). A collector that does not answer slows
nothing: spans wait in a bounded queue, and those that find no place in it are counted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from importlib import metadata
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace.status import Status, StatusCode

from iceprod.tracing import spans
from iceprod.tracing.traces import Trace

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["start"]

_Count = Callable[[str, int], object]

_QUEUE, _BATCH = 2048, 512  # spans that wait to be sent, that are sent at once: the SDK's defaults
_KINDS = {spans.INTERNAL: SpanKind.INTERNAL, spans.SERVER: SpanKind.SERVER,
          spans.CLIENT: SpanKind.CLIENT, spans.CONSUMER: SpanKind.CONSUMER}


def start(service: str, count: _Count) -> Callable[[float], None]:
    """See `iceprod.tracing.recording.record`. Raises ValueError for variables that are none."""
    for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # losses are counted; a line for each helps nobody
    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or service,
                                "service.version": metadata.version("iceprod-scanner")})
    ids = _Ids()
    provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
    processor = _Bounded(OTLPSpanExporter(), count)
    provider.add_span_processor(processor)
    spans.record_with(_Recorder(provider.get_tracer("iceprod"), ids))

    def stop(seconds: float) -> None:
        spans.record_with(None)
        processor.part(seconds)

    return stop


class _Ids(RandomIdGenerator):
    """Random ids; but a span that begins a trace whose id is known gets that one."""

    def __init__(self) -> None:
        self.known = ContextVar[int]("known trace id", default=0)

    def generate_trace_id(self) -> int:
        return self.known.get() or super().generate_trace_id()


class _Counted(SpanExporter):
    """An exporter that tells how many spans it was given, and how many of them it could send."""

    def __init__(self, inner: SpanExporter, count: _Count) -> None:
        self._inner, self._count, self.given = inner, count, 0

    def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        self.given += len(batch)
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(batch)
        finally:
            self._count("sent" if result is SpanExportResult.SUCCESS else "failed", len(batch))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class _Bounded(BatchSpanProcessor):
    """Sends spans from a thread of its own; what comes while its queue is full is counted and dropped."""

    def __init__(self, exporter: SpanExporter, count: _Count) -> None:
        self._counted, self._count = _Counted(exporter, count), count
        self._taken, self._guard = 0, threading.Lock()
        self._most = _queue_size()
        super().__init__(self._counted, max_queue_size=self._most,
                         max_export_batch_size=min(_BATCH, self._most))

    def on_end(self, span: ReadableSpan) -> None:
        if span.context and span.context.trace_flags.sampled:
            if self._has_room():
                super().on_end(span)
            else:
                self._count("dropped", 1)

    def _has_room(self) -> bool:
        """Whether one more may wait; then it is counted as waiting."""
        with self._guard:
            if self._taken - self._counted.given >= self._most:
                return False
            self._taken += 1
            return True

    def part(self, seconds: float) -> None:
        """Send what waits, as far as that is done in time."""
        thread = threading.Thread(target=self.shutdown, daemon=True)  # retries for longer than one waits
        thread.start()
        thread.join(seconds)


def _queue_size() -> int:
    text = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "")
    return int(text) if text.isdigit() and int(text) else _QUEUE


class _Span:
    """A span of OpenTelemetry's, with the trace that goes on inside of it."""

    def __init__(self, inner: trace.Span, parent: Trace | None) -> None:
        self._inner = inner
        made = inner.get_span_context()
        above = parent or Trace(f"{made.trace_id:032x}", "")
        self.trace = above.decided(f"{made.span_id:016x}", made.trace_flags.sampled)

    def set(self, name: str, value: str | float | bool) -> None:
        self._inner.set_attribute(name, value)

    def end(self, error: str = "", at: float | None = None) -> None:
        if error:
            self._inner.set_attribute("error.type", error)
            self._inner.set_status(Status(StatusCode.ERROR))
        self._inner.end(None if at is None else _nanoseconds(at))


class _Recorder:
    """Makes OpenTelemetry's spans of ours. The sampler is asked with the parent, as the standard says.

    A trace that nobody decided about begins with our span, under the id that it has already.
    """

    def __init__(self, tracer: trace.Tracer, ids: _Ids) -> None:
        self._tracer, self._ids = tracer, ids

    def start(self, name: str, kind: str, parent: Trace | None, attributes: Mapping[str, Any],
              at: float | None = None) -> _Span:
        above = None if parent is None or parent.undecided else parent
        token = self._ids.known.set(int(parent.trace_id, 16) if parent and above is None else 0)
        try:
            inner = self._tracer.start_span(name, set_span_in_context(_remote(above)), _KINDS[kind],
                                            dict(attributes), start_time=_nanoseconds(at) if at else None)
        finally:
            self._ids.known.reset(token)
        return _Span(inner, parent)


def _remote(parent: Trace | None) -> NonRecordingSpan:
    """The parent as OpenTelemetry knows it; an invalid one for a span that begins a trace."""
    if parent is None:
        return NonRecordingSpan(SpanContext(0, 0, is_remote=False))
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return NonRecordingSpan(SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags,
        trace_state=TraceState.from_header([parent.state])))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
