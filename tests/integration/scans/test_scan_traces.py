"""A scan belongs to the trace of its request: its launch, its rounds, and what its pilots run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.api import running_server
from tests.support.scans import PixelPilot, scan_body, wait_for
from tests.support.telemetry.collector import collector

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_scan_goes_on_with_the_trace_of_its_request(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as spans:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", spans.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        with running_server(tmp_path, {"TELEMETRY__TRACES": "true", "SERVICES__REPAIR_SECONDS": 1}) as api:
            user, pilot = api.session("user"), PixelPilot(api.session("pilot")).register()
            header = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            answer = user.post("/scan", json=scan_body(nsides={"1": 0, "2": 4}), headers=header)
            assert answer.headers["traceresponse"].startswith(f"00-{TRACE}-")
            scan_id = answer.json()["scan_id"]
            seen: set[str] = set()

            def over() -> bool:
                for task in pilot.claim(1):
                    seen.add(task["payload"]["traceparent"])
                    pilot.put(task)
                return bool(user.get(f"/scan/{scan_id}/progress").json()["is_final"])

            wait_for(over, "the final map", 300.0)
            wanted = {"POST /scan", "launch scan", "plan round", "cut round", "lease task"}
            wait_for(lambda: wanted <= {span.name for span in spans.of(TRACE)}, "its spans", 300.0)
    mine = spans.of(TRACE)
    by_id = {span.span_id: span for span in mine}
    assert {span.parent for span in mine if span.parent not in by_id} == {SPAN}
    [asked] = [span for span in mine if span.name == "POST /scan"]
    [launched] = [span for span in mine if span.name == "launch scan"]
    assert launched.parent == asked.span_id
    rounds = [span for span in mine if span.name == "cut round"]
    assert sorted(span.attributes["iceprod.round"] for span in rounds) == [1, 2]
    assert all(span.attributes["iceprod.scan_id"] == scan_id for span in rounds)
    given = [by_id[text.split("-")[2]] for text in seen]
    assert {span.name for span in given} == {"lease task"}
    services = [span for span in spans.spans if span.name.startswith("service ")]
    assert services
    assert not {span.trace_id for span in services} & {TRACE}
