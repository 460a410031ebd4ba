"""One id from the command that submits to the program that runs, in spans, logs, errors and environment."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.installation import Installed, installation, wait_until
from tests.support.telemetry.collector import Collector, Received, collector

pytestmark = pytest.mark.slow

CONFIG = {"version": 3.2, "description": "traced", "tasks": [
    {"name": "say", "requirements": {"cpu": 1, "memory": 1.0},
     "trays": [{"modules": [
         {"src": "/bin/sh", "args": ["-c", "echo secret-word >&2; echo $TRACEPARENT"]}]}]}]}
NO_DATASET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Collector:
    with collector() as here:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", here.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        yield here


def _submitted(here: Installed) -> tuple[str, str]:
    """A dataset that is complete, and what its program printed."""
    (here.root / "config.json").write_text(json.dumps(CONFIG))
    dataset = here.iceprod("submit", "config.json", "--data", here.data).strip()
    here.iceprod("wait", dataset, "--data", here.data)
    with here.client() as client:
        task = next(iter(client.get(f"/datasets/{dataset}/tasks")))
    return dataset, here.iceprod("logs", task, "--name", "stdout", "--data", here.data).strip()


def test_one_trace_from_the_command_to_the_program(tmp_path: Path, spans: Collector) -> None:
    with installation(tmp_path, pilots=1, TELEMETRY__TRACES="true") as here:
        dataset, printed = _submitted(here)
        found = re.search(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01$", printed)
        assert found, printed
        trace_id, payload_id = found.groups()
        wait_until(lambda: {"iceprod submit", "make jobs", "lease task", "task", "payload"}
                   <= {span.name for span in spans.of(trace_id)})
    mine = spans.of(trace_id)
    by_id = {span.span_id: span for span in mine}
    [root] = [span for span in mine if span.name == "iceprod submit"]
    assert (root.service, root.parent) == ("iceprod-client", "")
    assert {span.parent for span in mine} <= {"", *by_id}, "a span whose parent nobody recorded"
    assert {span.span_id for span in mine if not span.parent} == {root.span_id}

    payload = by_id[payload_id]
    assert [(span.service, span.name) for span in _upwards(payload, by_id)] == [
        ("iceprod-pilot", "payload"), ("iceprod-pilot", "task"), ("iceprod-server", "lease task"),
        ("iceprod-server", "POST /datasets"), ("iceprod-client", "POST"),
        ("iceprod-client", "iceprod submit")]
    assert by_id[payload.parent].attributes["iceprod.outcome"] == "complete"

    [made] = [span for span in mine if span.name == "POST /datasets"]
    assert made.kind == 2
    assert made.attributes["http.response.status_code"] == 201
    assert made.attributes["http.route"] == made.attributes["url.path"] == "/datasets"
    below = [span for span in mine if span.parent == made.span_id]
    assert any(span.attributes.get("db.collection.name") == "datasets" for span in below)
    of_store = [span for span in mine if span.attributes.get("db.system.name") == "mongodb"]
    assert {span.kind for span in of_store} == {3}
    assert {"insert tasks"} & {span.name for span in of_store} or {"update tasks"} & {
        span.name for span in of_store}
    reports = [span for span in mine if span.attributes.get("http.route") == "/pilots/{pilot_id}/exchange"]
    assert reports, "the end of the task is not in its trace"

    everything = repr(spans.spans)
    assert dataset in everything  # in paths
    assert "secret-word" not in everything
    assert "Bearer" not in everything


def _upwards(span: Received, by_id: dict[str, Received]) -> list[Received]:
    return [span, *(_upwards(by_id[span.parent], by_id) if span.parent else [])]


def test_without_recording_the_id_goes_the_same_way(tmp_path: Path) -> None:
    """An error names it, the log has it, and a task's program knows it."""
    with installation(tmp_path, pilots=1) as here:
        _, printed = _submitted(here)
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", printed)
        said = here.iceprod("show", NO_DATASET, "--data", here.data, status=2)
        trace_id = re.search(r"\(trace ([0-9a-f]{32})\)$", said.strip())
        assert trace_id, said
        lines = [json.loads(line) for line in (here.data / "logs" / "server.log").read_text().splitlines()
                 if trace_id[1] in line]
        assert [(line["trace_id"], line["status"]) for line in lines] == [(trace_id[1], 404)]
        told, _ = here.iceprod("show", NO_DATASET, "--data", here.data, "--json", status=2).split("\n", 1)
        assert re.fullmatch("[0-9a-f]{32}", json.loads(told)["trace"])


def test_a_collector_that_is_away_disturbs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    with installation(tmp_path, pilots=1, TELEMETRY__TRACES="true") as here:
        _submitted(here)
        with here.client() as client:
            lost = wait_until(lambda: (found := _lost(client.get("/metrics").decode())) and
                              found.keys() >= {"failed", "dropped"} and found)
        assert lost.keys() == {"failed", "dropped"}
        assert "Traceback" not in (here.data / "logs" / "server.log").read_text()


def _lost(text: str) -> dict[str, float]:
    return {outcome: float(number) for outcome, number in
            re.findall(r'iceprod_spans_total\{outcome="(\w+)"\} (\S+)', text)}


def test_who_cannot_record_says_so_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hidden" / "opentelemetry").mkdir(parents=True)
    broken = "raise ImportError('not installed', name='opentelemetry')\n"
    (tmp_path / "hidden" / "opentelemetry" / "__init__.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    with installation(tmp_path / "here", pilots=None, TELEMETRY__TRACES="true") as here:
        said = here.iceprod("up", "--data", here.data, "--port", "0", "--no-pilots", status=1)
        assert re.search(r"error: the server ended.*pip install 'iceprod-scanner\[telemetry\]'", said)
