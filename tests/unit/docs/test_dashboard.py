"""The dashboard and the alerts ask for what there is, and the dashboard shows all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from server.app import ROUTES
from server.common.metrics import render
from server.reference import metrics
from tests.support.telemetry.dashboard import DASHBOARD, RULES, Query, named, queries

METRICS = metrics.described()
SERIES = {series: one for one in METRICS for series in one.series}
OUTSIDE = {"process_cpu_seconds_total", "process_resident_memory_bytes", "up"}
ADDED = {"job", "instance"}  # labels that Prometheus adds
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("text", [*(one.text for one in queries()), *(rule["expr"] for rule in ALERTS)])
def test_every_question_is_promql_about_series_and_labels_that_exist(text: str) -> None:
    series, labels = named(text)
    assert series
    assert series <= SERIES.keys() | OUTSIDE
    known = {label for name in series if name in SERIES for label in SERIES[name].labels}
    assert labels <= known | ADDED | ({"le"} if any(name.endswith("_bucket") for name in series) else set())


def test_every_metric_is_on_a_panel() -> None:
    asked = {SERIES[name].name for one in queries() for name in named(one.text)[0] if name in SERIES}
    assert asked == {one.name for one in METRICS}


def test_the_server_answers_what_the_panels_ask_for() -> None:
    """The names are those of a real answer, not only of the list that documents are made of."""
    assert "/metrics" in {route.path for route in ROUTES}
    families = {line.split()[2] for line in render().decode().splitlines() if line.startswith("# TYPE ")}
    for one in queries():
        for name in named(one.text)[0]:
            assert name.removesuffix("_bucket") in families or name in OUTSIDE, one


def test_grafana_can_load_it() -> None:
    """By the types that Grafana publishes: nothing in the file is lost on the way through them."""
    plugins.register_default_plugins()
    told = json.loads(DASHBOARD.read_text())
    board = Dashboard.from_json(told)
    assert _lost(told, json.loads(JSONEncoder().encode(board)), "") == []
    assert len({panel["id"] for panel in told["panels"]}) == len(told["panels"])
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in told["panels"]}
    assert len(places) == len(told["panels"])


def _lost(told: Any, known: Any, where: str) -> list[str]:
    """What of a document is not, or not the same, in another."""
    if isinstance(told, dict) and isinstance(known, dict):
        return [lost for name, value in told.items()
                for lost in _lost(value, known.get(name), f"{where}.{name}")]
    if isinstance(told, list) and isinstance(known, list) and len(told) == len(known):
        pairs = enumerate(zip(told, known, strict=True))
        return [lost for number, pair in pairs for lost in _lost(*pair, f"{where}[{number}]")]
    return [] if told == known else [f"{where}: {told!r} became {known!r}"]


def test_what_is_wrong_is_found() -> None:
    with pytest.raises(ValueError, match="no_such_function"):
        named("no_such_function(iceprod_tasks)")
    assert named('sum by (status) (iceprod_nothing{why="x"})') == ({"iceprod_nothing"}, {"status", "why"})
    assert Query("", 'up{job=~"$job"}').of_all_jobs() == 'up{job=~".*"}'
