"""Requests as parts of traces, and what the database is asked for them."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from iceprod.tracing import spans, traces
from iceprod.tracing.traces import Trace
from server.common.logs import JsonFormatter
from server.common.telemetry import CommandSpans
from server.common.together import Together
from server.rest.traced import Traced

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Kept:
    """A recorder that keeps what was recorded."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []

    def start(self, name: str, kind: str, parent: Trace | None, attributes: Any,
              at: float | None = None) -> KeptSpan:
        self.spans.append({"name": name, "kind": kind, **attributes})
        assert parent
        return KeptSpan(self.spans[-1], Trace(parent.trace_id, "1" * 16, True))


class KeptSpan:
    """One of its spans."""

    def __init__(self, row: dict[str, Any], trace: Trace) -> None:
        self.row, self.trace = row, trace

    def set(self, name: str, value: Any) -> None:
        self.row[name] = value

    def end(self, error: str = "", at: float | None = None) -> None:
        self.row["error"] = error


@pytest.fixture
def kept() -> Any:
    found = Kept()
    spans.record_with(found)
    token = traces.current.set(None)
    yield found
    traces.current.reset(token)
    spans.record_with(None)


def _request(*headers: tuple[str, str], method: str = "GET", uri: str = "/datasets/7?token=x") -> Any:
    told = HTTPHeaders()
    for name, value in headers:
        told.add(name, value)
    line = RequestStartLine(method, uri, "HTTP/1.1")
    told.add("Host", "localhost")
    return HTTPServerRequest(headers=told, start_line=line, connection=SimpleNamespace(context=None))


@pytest.mark.parametrize("headers", [
    [], [("traceparent", "nonsense")], [("traceparent", f"00-{ID}-{SPAN}-01")] * 2,
    [("traceparent", "0" * 100_000)], [("traceparent", f"00-{ID}-{SPAN}-zz")],
    [("tracestate", "a=1")],
])
def test_a_request_without_a_trace_begins_one(headers: list[tuple[str, str]]) -> None:
    async def begun() -> Trace:
        trace = Traced(_request(*headers), "/x").trace
        assert traces.current.get() == trace
        return trace

    trace = asyncio.run(begun())
    assert trace.trace_id != ID
    assert trace.undecided
    assert traces.parse(trace.parent)


def test_a_request_goes_on_with_the_trace_that_it_names() -> None:
    async def heard() -> Trace:
        return Traced(_request(("Traceparent", f"00-{ID}-{SPAN}-01"), ("Tracestate", "v=" + "x" * 100)),
                      "/x").trace

    assert asyncio.run(heard()) == Trace(ID, SPAN, True, "v=" + "x" * 100)


@pytest.mark.parametrize(("method", "status", "name", "error"), [
    ("GET", 200, "GET /datasets/{dataset_id}", ""), ("PUT", 503, "PUT /datasets/{dataset_id}", "503"),
    ("BREW", 405, "HTTP /datasets/{dataset_id}", "")])
def test_a_span_has_the_words_of_the_standard_and_no_secrets(
        kept: Kept, method: str, status: int, name: str, error: str) -> None:
    traced = Traced(_request(method=method), "/datasets/{dataset_id}")
    traced.end(status)
    assert traces.current.get() == traced.trace
    assert kept.spans == [{
        "name": name, "kind": "server", "http.request.method": "_OTHER" if method == "BREW" else method,
        "url.path": "/datasets/7", "url.scheme": "http", "http.route": "/datasets/{dataset_id}",
        "http.response.status_code": status, "error": error}]


@pytest.mark.parametrize("route", ["/healthz", "/metrics"])
def test_what_machines_ask_all_the_time_is_not_recorded(kept: Kept, route: str) -> None:
    Traced(_request(uri=route), route).end(200)
    assert not kept.spans


def _started(command: dict[str, Any], number: int) -> CommandStartedEvent:
    return CommandStartedEvent(command, "iceprod", number, ("localhost", 1), number)


def test_commands_of_a_sampled_trace_are_spans_without_values(kept: Kept) -> None:
    listener = CommandSpans()
    listener.started(_started({"find": "tasks", "filter": {"secret": "word"}}, 1))  # of no trace
    with traces.within(Trace(ID, SPAN, sampled=False)):
        listener.started(_started({"find": "tasks"}, 2))
    assert not kept.spans
    with traces.within(Trace(ID, SPAN, sampled=True)):
        listener.started(_started({"find": "tasks", "filter": {"secret": "word"}}, 3))
        listener.started(_started({"getMore": 77, "collection": "jobs"}, 4))
        listener.started(_started({"ping": 1}, 5))
    listener.succeeded(CommandSucceededEvent(_duration(), {}, "find", 3, ("localhost", 1), 3))
    listener.failed(CommandFailedEvent(_duration(), {"code": 43, "codeName": "CursorNotFound"}, "getMore", 4,
                                       ("localhost", 1), 4))
    assert [(row["name"], row.get("db.collection.name"), row.get("error")) for row in kept.spans] == [
        ("find tasks", "tasks", ""), ("getMore jobs", "jobs", "CursorNotFound"), ("ping", None, None)]
    assert {row["db.system.name"] for row in kept.spans} == {"mongodb"}
    assert "word" not in repr(kept.spans)


def _duration() -> Any:
    return timedelta(milliseconds=1)


def test_a_line_of_log_names_its_trace() -> None:
    record = logging.LogRecord("server", logging.INFO, "", 0, "said", None, None)
    assert "trace_id" not in json.loads(JsonFormatter().format(record))
    with traces.within(Trace(ID, SPAN)):
        assert json.loads(JsonFormatter().format(record))["trace_id"] == ID


def test_what_is_done_for_several_at_once_is_nobodys_trace() -> None:
    seen: list[tuple[int, str]] = []

    async def act(context: None, items: Any) -> list[None]:
        trace = traces.current.get()
        seen.append((len(items), trace.trace_id if trace else ""))
        await asyncio.sleep(0)
        return [None] * len(items)

    async def run() -> list[str]:
        together, mine = Together[None, int, None](act), [traces.new() for _ in range(3)]

        async def one(trace: Trace, number: int) -> None:
            with traces.within(trace):
                await together.do(None, number)

        await asyncio.gather(*(one(trace, number) for number, trace in enumerate(mine)))
        await one(mine[1], 1)
        return [trace.trace_id for trace in mine]

    ids = asyncio.run(run())
    assert seen == [(3, ""), (1, ids[1])]
