"""The ids of traces: read as the standard says, and as OpenTelemetry's own code reads them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import TraceState, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from iceprod.tracing import traces
from iceprod.tracing.traces import Trace

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{ID}-{SPAN}-01"
HEX = st.text("0123456789abcdef", min_size=1, max_size=34)


@st.composite
def headers(draw: st.DrawFn) -> str:
    """What looks like a traceparent: a right one with something else somewhere, or parts of any length."""
    if draw(st.booleans()):
        return "-".join(draw(st.lists(HEX, min_size=3, max_size=6)))
    place = draw(st.integers(0, len(HEADER)))
    put = draw(st.sampled_from(["", "0", "f", "A", "-", "g", "00", "é", ",", "\t", "-x", f"-{SPAN}"]))
    return HEADER[:place] + put + HEADER[place + draw(st.integers(0, 20)):]


def _as_opentelemetry(header: str) -> Trace | None:
    context = TraceContextTextMapPropagator().extract({"traceparent": header})
    found = get_current_span(context).get_span_context()
    sampled = bool(found.trace_flags & 1)
    return Trace(f"{found.trace_id:032x}", f"{found.span_id:016x}", sampled) if found.is_valid else None


@given(st.one_of(headers(), st.text(max_size=600), st.just(HEADER)))
def test_a_header_is_read_as_opentelemetry_reads_it(header: str) -> None:
    assert traces.parse(header) == _as_opentelemetry(header) or header != header.strip(" \t")


@pytest.mark.parametrize(("header", "why"), [
    ("", "nothing"), (HEADER.upper(), "capitals"), (f"{HEADER}-00", "too long for version 00"),
    (f"ff-{ID}-{SPAN}-01", "version ff"), (f"00-{'0' * 32}-{SPAN}-01", "no trace"),
    (f"00-{ID}-{'0' * 16}-01", "no span"), (f"00-{ID}-{SPAN}-1", "one digit of flags"),
    (f"{HEADER},{HEADER}", "two headers, as servers join them"), (f"00-{ID[1:]}-{SPAN}-01", "31 digits"),
    (f"01-{ID}-{SPAN}-01x", "a newer version goes on with a dash"), (HEADER + "\n", "a line end"),
    (f"cc-{ID}-{SPAN}-01-{'x' * 600}", "longer than any"), (f"00-{'é' * 32}-{SPAN}-01", "no ASCII"),
])
def test_what_is_no_traceparent_is_ignored(header: str, why: str) -> None:
    assert traces.parse(header) is None, why


def test_newer_versions_and_unknown_flags_are_understood() -> None:
    assert traces.parse(f"cc-{ID}-{SPAN}-03-what-comes-later") == Trace(ID, SPAN, True)
    assert traces.parse(f"00-{ID}-{SPAN}-fe") == Trace(ID, SPAN, False)
    read = traces.parse(f"cc-{ID}-{SPAN}-ff")
    assert read
    assert read.parent == HEADER


@given(st.one_of(st.text(max_size=200), st.lists(st.from_regex(
    r"[a-z][a-z0-9_*/-]{0,5}=[ -+\--<>-~]{0,200}[!-+\--<>-~]", fullmatch=True), max_size=40).map(",".join)))
def test_a_state_stays_within_its_limits(state: str) -> None:
    read = traces.parse(HEADER, state)
    assert read
    assert read[:3] == (ID, SPAN, True)
    members = [member for member in read.state.split(",") if member]
    assert len(read.state) <= 512
    assert len(members) <= 32
    assert TraceState.from_header([read.state]).to_header() == read.state
    assert all(member in state for member in members)


@pytest.mark.parametrize(("state", "kept"), [
    ("a=1, b=2 ,c=3", "a=1,b=2,c=3"), ("a=1,,b=2", "a=1,b=2"), ("t@v=x", "t@v=x"),
    ("a=1,a=2", ""), ("A=1", ""), ("a", ""), ("a=", ""), ("a=b=c", ""), ("a=\x00", ""), ("a=é", ""),
    (",".join(f"k{n}=v" for n in range(33)), ""), ("a=" + "x" * 9000, ""),
    ("a=1," + "b=" + "x" * 200 + "," + ",".join(f"k{n}={'v' * 100}" for n in range(4)),
     "a=1," + ",".join(f"k{n}={'v' * 100}" for n in range(4))),
])
def test_of_a_state_what_may_stay_stays(state: str, kept: str) -> None:
    read = traces.parse(HEADER, state)
    assert read
    assert read.state == kept


def test_a_trace_that_nobody_decided_about_says_so_until_somebody_does() -> None:
    mine = traces.new()
    heard = traces.of_document(mine.document())
    assert heard == mine
    assert heard.undecided
    done = heard.decided(SPAN, sampled=True)
    assert (done.trace_id, done.span_id, done.undecided, done.state) == (mine.trace_id, SPAN, False, "")
    assert not traces.unrecorded().undecided
    assert not Trace(ID, SPAN, True, mine.state).undecided  # whoever sampled it decided
    other = traces.parse(mine.parent, f"other=1,{mine.state}")
    assert other
    assert other.undecided
    assert other.decided(SPAN, sampled=False).document() == {
        "traceparent": f"00-{mine.trace_id}-{SPAN}-00", "tracestate": "other=1"}


@pytest.mark.parametrize("document", [{}, {"traceparent": 7}, {"traceparent": None}, {"traceparent": "x"}])
def test_a_document_without_a_trace(document: dict[str, object]) -> None:
    assert traces.of_document(document) is None


def test_tasks_that_run_at_once_keep_their_own_traces() -> None:
    async def one(trace: Trace) -> bool:
        with traces.within(trace):
            await asyncio.sleep(0)
            with traces.within(None):
                return traces.current.get() == trace

    async def both() -> list[bool]:
        return await asyncio.gather(*(one(traces.new()) for _ in range(3)))

    assert asyncio.run(both()) == [True] * 3
    assert traces.current.get() is None
