"""Figures in the objects of benchmarks."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceprod.cli.benching.plan import BENCHES, LEFT_OUT, PLAN, planned
from iceprod.cli.benching.sheets import SHEETS, gathered, readings
from tests.unit.cli.benching.making import EVENTS, STARTS, a_run

RECO = {"first_level": 900.0, "refined_level": 4000.0, "plain": 2.0, "ratio": 450.0, "llh_difference": -0.1,
        "ns_per_module": 22.0, "share_of_limit": 0.5, "event": "x", "modules": 90}
ANSWERS = {"measurements": [{"name": "one task", "cpu_ms": 3.0, "total_ms": [6.0, 9.0], "first_ms": [1, 2]}]}
OBJECTS: dict[str, dict[str, Any]] = {
    "event": EVENTS, "start": STARTS, "reco": {"x": RECO}, "api": ANSWERS, "desk": ANSWERS,
    "scan": {"x": {"pixels_per_second": 1000.0, "wall_seconds": 3.0, "degrees_off": None},
             "scaling": {"1": 900.0, "2": 1700.0}},
    "store": {"measurements": [
        {"peer": "embedded", "waiting": 0, "clients": 1, "claims_per_second": 900.0, "milliseconds": 1.0,
         "cpu_milliseconds": 0.5},
        {"peer": "mongomock", "waiting": 0, "clients": 1, "claims_per_second": 9.0, "milliseconds": 1.0,
         "cpu_milliseconds": None}]},
    "load": {"phases": [{"name": "sustainable", "p99": {"health": 0.1, "task ends": None},
                         "answered": {"200": 400.0}}]},
    "imports": {name: {"processor_seconds": 2.0, "seconds": 3.0}
                for name in ("table", "table_again", "glade", "glade_again")},
    "alert": {"seconds": {"published": {"median": 2.0, "worst": 3.0}}},
    "tasks": {"tasks": [{"kind": "empty", "cpu": {"store": 0.3, "server": 0.2}, "commands": 0.2,
                         "rate": 2000.0}],
              "claims": [{"waiting": 400, "median": 3.0, "p95": 5.0}],
              "peers": [{"peer": "parsl", "rate": 1000.0}, {"peer": "iceprod", "reason": "not here"}]},
    "pilots": {"pilots": 9, "rest_core": 0.1, "beat_ms": 2.0, "claim_report_ms": 3.0, "claim_p50_ms": 4.0,
               "claim_p99_ms": 5.0},
    "idle": {"pilots": 2, "core": 0.01, "wakes": 12.0, "parts": [
        {"name": "server", "core": 0.004, "wakes": 4.0}, {"name": "pilot", "core": 0.001, "wakes": 1.0},
        {"name": "pilot", "core": 0.002, "wakes": 2.0}]},
    "grid": {"submit_per_second": {"1": 20.0}, "first_task_cold_s": 9.0, "first_task_warm_s": 1.0, "tasks": 5,
             "utilisation": 0.9},
}


def values(bench: str) -> dict[str, float]:
    return {one.name: one.value for one in readings(bench, OBJECTS[bench])}


@pytest.mark.parametrize("bench", sorted(SHEETS))
def test_every_column_is_read_somewhere(bench: str) -> None:
    assert {name.rpartition("/")[2] for name in values(bench)} == {*SHEETS[bench].columns}


def test_figures_are_named_by_row_and_column() -> None:
    assert values("start") == {
        "start/nothing/cpu_s": 0.02, "start/nothing/wall_s": 0.1, "start/help/cpu_s": 0.1,
        "start/help/wall_s": 0.3, "start/help/ratio": 5.0}
    assert values("tasks")["tasks/empty, to parsl/times"] == 2.0
    assert values("tasks")["tasks/empty/cpu_ms"] == 0.5
    assert values("idle")["idle/pilot/core"] == pytest.approx(0.003)
    assert [*values("load")] == ["load/sustainable: health/p99_s", "load/sustainable/answered_per_second"]
    assert not [name for name in values("store") if "mongomock" in name]


def test_rounds_become_their_median_with_the_mean_load() -> None:
    runs = [a_run(found={"x": {"ms": ms}}, number=number, load=load)
            for number, (ms, load) in enumerate(((3.0, 1.0), (9.0, 2.0), (4.0, 3.0)), 1)]
    [figure] = gathered(runs)
    assert (figure.value, figure.rounds, figure.load) == (4.0, [3.0, 9.0, 4.0], 2.0)
    assert gathered(runs[:1])[0].rounds == []


def test_what_runs_among_all_has_a_sheet_and_the_rest_a_reason() -> None:
    assert {*BENCHES} <= {*PLAN} | {*LEFT_OUT}
    assert {*PLAN} == {*SHEETS}
    assert {one.bench for one in planned([], quick=True, events=None)} == {*BENCHES}


def test_the_quick_form_leaves_out_what_takes_minutes() -> None:
    plan = {one.bench: one for one in planned([], quick=True, events=None)}
    assert plan["api"].arguments[:2] == ("--tasks", "2000")
    assert "takes minutes" in plan["load"].reason
    assert "--events DIR" in plan["alert"].reason
    [named] = planned(["load"], quick=True, events=None)
    assert named.arguments == ("--seconds", "6")


def test_events_are_given_to_those_that_take_some() -> None:
    plan = planned([], quick=True, events=Path("/e"))
    assert {one.bench for one in plan if "--events" in one.arguments} == {"event", "reco", "scan", "alert"}


@pytest.mark.parametrize("bench", sorted({*BENCHES} & {*PLAN}))
def test_options_of_the_plan_exist(bench: str) -> None:
    module = BENCHES[bench][0].replace(".", "/")
    root = Path(__file__).parents[4]
    path = next(path for path in (root / f"{module}.py", root / module / "__main__.py") if path.exists())
    texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    for form in (PLAN[bench].usual, PLAN[bench].quick or ""):
        assert {word for word in form.split() if word.startswith("--")} <= texts
    assert "--json" in texts


@given(st.sampled_from(sorted(SHEETS)), st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["measurements", "phases", "parts", "tasks", "name", "seconds", "starts", "x"]),
        inner, max_size=4), max_leaves=12))
def test_objects_of_another_kind_are_found_out(bench: str, found: Any) -> None:
    try:
        readings(bench, found)
    except (LookupError, TypeError, ValueError, AttributeError):
        return
