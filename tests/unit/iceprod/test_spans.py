"""Spans: what OpenTelemetry makes of ours, and that losing them hurts nobody."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode

from iceprod.tracing import otel, recording, spans, traces
from iceprod.tracing.traces import Trace

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def _recording(share: float = 1.0) -> InMemorySpanExporter:
    ids, kept = otel._Ids(), InMemorySpanExporter()
    sampler = ParentBased(TraceIdRatioBased(share) if share else ALWAYS_OFF)
    provider = TracerProvider(sampler=sampler, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    spans.record_with(otel._Recorder(provider.get_tracer("test"), ids))
    return kept


@pytest.fixture(autouse=True)
def _nobody_records() -> Iterator[None]:
    yield
    spans.record_with(None)


def test_without_anybody_who_records_nothing_happens() -> None:
    mine = traces.new()
    with traces.within(mine), spans.span("work", attributes={"a": 1}) as one:
        assert one is None
        assert traces.current.get() == mine
    assert spans.recorded("work", spans.CLIENT, mine, {}) is None


def test_spans_lie_below_each_other_in_the_trace_that_there_is() -> None:
    kept = _recording()
    mine = traces.new()
    with traces.within(mine), spans.span("outer", spans.SERVER) as outer, spans.span("inner") as inner:
        assert outer
        assert inner
        inner.set("n", 3)
        assert traces.current.get() == inner.trace
    first, second = kept.get_finished_spans()
    assert (first.name, second.name) == ("inner", "outer")
    assert f"{second.context.trace_id:032x}" == mine.trace_id == inner.trace.trace_id
    assert second.parent is None  # of a trace that nobody decided about, there is no span above
    assert first.parent
    assert f"{first.parent.span_id:016x}" == outer.trace.span_id
    assert first.attributes == {"n": 3}
    assert inner.trace.sampled
    assert not inner.trace.state


def test_the_parent_decides_whether_a_span_is_recorded() -> None:
    kept = _recording()
    for sampled in (True, False):
        with traces.within(Trace(ID, SPAN, sampled, "other=1")), spans.span("work") as one:
            assert one
            assert one.trace.sampled is sampled
            assert one.trace.state == "other=1"
    [only] = kept.get_finished_spans()
    assert only.parent
    assert f"{only.parent.span_id:016x}" == SPAN
    assert only.context.trace_state.to_header() == "other=1"


def test_a_trace_that_nobody_decided_about_is_left_to_the_sampler() -> None:
    kept = _recording(share=0.0)
    with traces.within(traces.new()), spans.span("outer") as outer, spans.span("inner"):
        assert outer
        assert not outer.trace.sampled
        assert not outer.trace.undecided
    assert not kept.get_finished_spans()


def test_an_error_is_told_by_its_kind_alone() -> None:
    kept = _recording()
    with pytest.raises(ValueError, match="secret"), spans.span("work"):
        raise ValueError("secret")
    [one] = kept.get_finished_spans()
    assert one.status.status_code is StatusCode.ERROR
    assert one.attributes == {"error.type": "ValueError"}
    assert "secret" not in one.to_json()


class _Stuck(SpanExporter):
    """A collector that takes nothing until it is told to."""

    def __init__(self) -> None:
        self.go, self.asked = threading.Event(), threading.Event()

    def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.go.wait(60)
        return SpanExportResult.SUCCESS


def test_what_finds_no_place_in_the_queue_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    counted, stuck = Counter[str](), _Stuck()
    processor = otel._Bounded(stuck, lambda outcome, number: counted.update({outcome: number}))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")
    for _ in range(8):
        tracer.start_span("one").end()
    assert stuck.asked.wait(60)
    for _ in range(100):
        tracer.start_span("one").end()
    assert counted["dropped"] == 100 - 8
    began = time.monotonic()
    processor.part(0.05)
    assert time.monotonic() - began < 30  # it does not wait for the exporter, which would take a minute
    stuck.go.set()
    for _ in range(600):
        if counted["sent"] == 16:
            break
        time.sleep(0.1)
    assert counted == {"dropped": 92, "sent": 16}


def test_an_exporter_that_breaks_is_a_loss_that_is_counted() -> None:
    class Broken(SpanExporter):
        def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
            raise OSError("broken")

    counted = Counter[str]()
    with pytest.raises(OSError, match="broken"):
        otel._Counted(Broken(), lambda outcome, number: counted.update({outcome: number})).export([])
    assert counted.keys() == {"failed"}


def test_recording_without_the_library_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "iceprod.tracing.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(recording.CannotRecord, match=r"pip install 'iceprod-scanner\[telemetry\]'"):
        recording.record("test")


def test_a_variable_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "-5")
    with pytest.raises(recording.CannotRecord, match="must be positive"):
        recording.record("test")
