"""Which figures there are in the object of each benchmark, and what they mean.

A sheet finds the rows of an object, each with the values of some columns. What another program is, such as a
peer, or what nobody wants less or more of, such as a size, is no figure here; it stays in the object.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from iceprod.cli.benching.records import Better, Figure, Kind, Run

__all__ = ["SHEETS", "Column", "Reading", "Sheet", "gathered", "readings"]

_Object = dict[str, Any]
_Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Column:
    """What the values of a column are, and its heading on pages."""

    title: str
    unit: str
    better: Better
    kind: Kind


@dataclass(frozen=True)
class Sheet:
    """The rows of one benchmark's object; `about` heads them on pages."""

    about: str
    rows: Callable[[_Object], Iterator[_Row]]
    columns: dict[str, Column]


@dataclass(frozen=True)
class Reading:
    """One value of one object."""

    name: str
    value: float
    column: Column


# -- rows, benchmark by benchmark


def _reco(found: _Object) -> Iterator[_Row]:
    for event, row in found.items():
        yield event, _only(row, "first_level", "refined_level", "ratio", "ns_per_module", "share_of_limit")


def _scan(found: _Object) -> Iterator[_Row]:
    for event, row in found.items():
        if event != "scaling":
            yield event, _only(row, "pixels_per_second", "wall_seconds")
    for count, speed in found.get("scaling", {}).items():
        yield f"{count} processes", {"all_pixels_per_second": speed}


def _event(found: _Object) -> Iterator[_Row]:
    for event, row in found.items():
        yield event, _only(row, "ms")


def _store(found: _Object) -> Iterator[_Row]:
    for row in found["measurements"]:
        if row["peer"] == "embedded":
            name = f"{row['waiting']} waiting, {row['clients']} client" + "s" * (row["clients"] != 1)
            yield name, _only(row, "cpu_milliseconds", "claims_per_second", "milliseconds")


def _answers(found: _Object) -> Iterator[_Row]:
    for row in found["measurements"]:
        yield row["name"], {"cpu_ms": row["cpu_ms"], "total_ms": row["total_ms"][0]}


def _load(found: _Object) -> Iterator[_Row]:
    for phase in found["phases"]:
        name = phase["name"]
        for what, seconds in phase["p99"].items():
            yield f"{name}: {what}", {"p99_s": seconds}
        if name == "sustainable":
            yield name, {"answered_per_second": phase["answered"]["200"]}


def _imports(found: _Object) -> Iterator[_Row]:
    for name in ("table", "table_again", "glade", "glade_again"):
        yield name, _only(found[name], "processor_seconds", "seconds")


def _alert(found: _Object) -> Iterator[_Row]:
    for step, spread in found["seconds"].items():
        yield step, {"median_s": spread["median"]}


def _tasks(found: _Object) -> Iterator[_Row]:
    rates = {}
    for row in found["tasks"]:
        rates[row["kind"]] = row["rate"]
        yield row["kind"], {"cpu_ms": sum(row["cpu"].values()), "commands": row["commands"],
                            "rate": row["rate"]}
    for row in found["claims"]:
        yield f"claim, {row['waiting']} waiting", {"median_ms": row["median"]}
    for row in found["peers"]:
        if row.get("rate") and "empty" in rates:
            yield f"empty, to {row['peer']}", {"times": rates["empty"] / row["rate"]}


def _pilots(found: _Object) -> Iterator[_Row]:
    yield f"{found['pilots']} pilots", _only(found, "rest_core", "beat_ms", "claim_report_ms", "claim_p50_ms",
                                             "claim_p99_ms")


def _start(found: _Object) -> Iterator[_Row]:
    for row in found["starts"]:
        ratio = {} if row["what"] == "nothing" else _only(row, "ratio")
        yield row["what"], {**_only(row, "cpu_s", "wall_s"), **ratio}


def _idle(found: _Object) -> Iterator[_Row]:
    yield f"{found['pilots']} pilots", _only(found, "core", "wakes")
    for name in dict.fromkeys(part["name"] for part in found["parts"]):
        parts = [part for part in found["parts"] if part["name"] == name]
        yield name, {key: sum(part[key] for part in parts) for key in ("core", "wakes")}


def _grid(found: _Object) -> Iterator[_Row]:
    for size, rate in found["submit_per_second"].items():
        yield f"submit in clusters of {size}", {"submit_per_second": rate}
    yield "first task, no pilot", {"first_task_s": found["first_task_cold_s"]}
    yield "first task, idle pilot", {"first_task_s": found["first_task_warm_s"]}
    yield f"{found['tasks']} tasks", _only(found, "utilisation")


def _only(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


# -- what the columns are


_ANSWERS = {"cpu_ms": Column("processor ms, server and store", "ms", "lower", "cpu"),
            "total_ms": Column("whole answer, median ms", "ms", "lower", "wall")}

SHEETS: dict[str, Sheet] = {
    "event": Sheet("event", _event, {"ms": Column("processor ms", "ms", "lower", "cpu")}),
    "reco": Sheet("event", _reco, {
        "first_level": Column("first level, pixels per processor second", "1/s", "higher", "cpu"),
        "refined_level": Column("refined, pixels per processor second", "1/s", "higher", "cpu"),
        "ratio": Column("times the plain fit", "", "higher", "ratio"),
        "ns_per_module": Column("ns per evaluation and module", "ns", "lower", "cpu"),
        "share_of_limit": Column("share of the arithmetic limit", "", "higher", "ratio")}),
    "scan": Sheet("event", _scan, {
        "pixels_per_second": Column("pixels per processor second", "1/s", "higher", "cpu"),
        "wall_seconds": Column("whole scan, s", "s", "lower", "wall"),
        "all_pixels_per_second": Column("pixels a second", "1/s", "higher", "rate")}),
    "start": Sheet("start", _start, {
        "cpu_s": Column("processor s", "s", "lower", "cpu"),
        "ratio": Column("times the interpreter alone", "", "lower", "ratio"),
        "wall_s": Column("s", "s", "lower", "wall")}),
    "store": Sheet("claims", _store, {
        "cpu_milliseconds": Column("processor ms a claim, store", "ms", "lower", "cpu"),
        "claims_per_second": Column("claims a second", "1/s", "higher", "rate"),
        "milliseconds": Column("median ms", "ms", "lower", "wall")}),
    "api": Sheet("answer", _answers, _ANSWERS),
    "desk": Sheet("answer", _answers, _ANSWERS),
    "load": Sheet("phase", _load, {
        "p99_s": Column("99th percentile, s", "s", "lower", "wall"),
        "answered_per_second": Column("answers a second", "1/s", "higher", "rate")}),
    "imports": Sheet("import", _imports, {
        "processor_seconds": Column("processor s", "s", "lower", "cpu"),
        "seconds": Column("s", "s", "lower", "wall")}),
    "tasks": Sheet("tasks", _tasks, {
        "cpu_ms": Column("processor ms a task", "ms", "lower", "cpu"),
        "commands": Column("database commands a task", "", "lower", "ratio"),
        "rate": Column("a second", "1/s", "higher", "rate"),
        "median_ms": Column("median ms", "ms", "lower", "wall"),
        "times": Column("times as fast", "", "higher", "ratio")}),
    "idle": Sheet("at rest", _idle, {
        "core": Column("share of a core", "", "lower", "cpu"),
        "wakes": Column("wake-ups a second", "1/s", "lower", "rate")}),
    "pilots": Sheet("pilots", _pilots, {
        "rest_core": Column("all idle, share of a core", "", "lower", "cpu"),
        "beat_ms": Column("heartbeat, processor ms", "ms", "lower", "cpu"),
        "claim_report_ms": Column("report and claim, processor ms", "ms", "lower", "cpu"),
        "claim_p50_ms": Column("claim, median ms", "ms", "lower", "wall"),
        "claim_p99_ms": Column("claim, 99 % ms", "ms", "lower", "wall")}),
    "alert": Sheet("until", _alert, {"median_s": Column("median s", "s", "lower", "wall")}),
    "grid": Sheet("pool", _grid, {
        "submit_per_second": Column("pilots a second", "1/s", "higher", "rate"),
        "first_task_s": Column("s", "s", "lower", "wall"),
        "utilisation": Column("utilisation", "", "higher", "ratio")}),
}


def readings(bench: str, found: _Object) -> list[Reading]:
    """The figures in an object, without those that are no numbers. Raises LookupError, TypeError, ValueError,
    AttributeError for an object of another kind."""
    sheet = SHEETS[bench]
    return [Reading(f"{bench}/{row}/{key}", float(value), sheet.columns[key])
            for row, values in sheet.rows(found) for key, value in values.items()
            if value is not None and math.isfinite(value)]


def gathered(runs: Iterable[Run]) -> list[Figure]:
    """The figures of all runs; those of several rounds become one, their median."""
    found: dict[str, list[tuple[Reading, float]]] = {}
    for run in runs:
        for reading in readings(run.bench, run.object):
            found.setdefault(reading.name, []).append((reading, run.load))
    return [_figure(name, measured) for name, measured in found.items()]


def _figure(name: str, measured: list[tuple[Reading, float]]) -> Figure:
    values, column = [reading.value for reading, _ in measured], measured[0][0].column
    return Figure(name, statistics.median(values), column.unit, column.better, column.kind,
                  round(statistics.fmean(load for _, load in measured), 2),
                  values if len(values) > 1 else [])
