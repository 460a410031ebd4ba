"""The benchmarks by name, and which of them `iceprod bench all` runs, with which options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BENCHES", "LEFT_OUT", "PLAN", "Planned", "planned"]

BENCHES: dict[str, tuple[str, list[str]]] = {
    "reco": ("scanner.bench", ["reco"]),
    "scan": ("scanner.bench", ["scan"]),
    "event": ("scanner.bench", ["event"]),
    "coverage": ("scanner.coverage", []),
    "accuracy": ("scanner.accuracy", []),
    "choices": ("scanner.choices", []),
    "store": ("server.embedded", ["bench"]),
    "api": ("server.production.bench", []),
    "load": ("server.production.load", []),
    "sizing": ("server.archives.bench", []),
    "traces": ("server.bench_traces", []),
    "desk": ("server.desk.bench", []),
    "imports": ("server.desk.bench_imports", []),
    "alert": ("server.alerts.bench", []),
    "tasks": ("grid.bench", []),
    "pilots": ("grid.bench_pilots", []),
    "idle": ("grid.bench_idle", []),
    "wakes": ("grid.bench_wakes", []),
    "start": ("grid.bench_start", []),
    "grid": ("grid.condor.bench", []),
}
"""Each with the module that measures, run as a program of its own, and the arguments that choose in it."""


@dataclass(frozen=True)
class Form:
    """The options of a benchmark among all of them; `quick` is None where it takes minutes all the same."""

    usual: str
    quick: str | None = None
    events: str = ""
    """Events of the user's: ``may`` be measured too, or ``must`` be there."""


PLAN: dict[str, Form] = {
    "event": Form("", "", "may"),
    "reco": Form("", "--pixels 48", "may"),
    "scan": Form("", "--nsides 8:0,64:12", "may"),
    "start": Form("--rounds 3", "--rounds 2 --light"),
    "store": Form("--sizes 0 10000 100000", "--sizes 1000 --peers embedded"),
    "api": Form("--tasks 20000 --datasets 20 --rounds 20", "--tasks 2000 --datasets 4 --rounds 5"),
    "tasks": Form("--tasks 4000 --waiting 1000 10000 --peer-tasks 400",
                  "--tasks 400 --kinds empty --waiting 400 --peers"),
    "idle": Form("--seconds 60", "--settle 5 --seconds 10"),
    "load": Form("--seconds 6"),
    "desk": Form("--candidates 50000 --galaxies 50000"),
    "imports": Form("--rows 50000"),
    "pilots": Form("--pilots 500 --seconds 20"),
    "alert": Form("--rounds 3", "--rounds 1", "must"),
    "grid": Form(""),
}
"""In the order in which they run: what is short and depends on nothing comes first."""

_PHYSICS = "it measures the physics, not the machine, for hours or on a sample of yours: run it by itself"
LEFT_OUT = {"coverage": _PHYSICS, "accuracy": _PHYSICS, "choices": _PHYSICS,
            "wakes": "it measures waiting, which is what the machine's load makes of it",
            "sizing": "it measures sizes, which do not depend on the machine: run it by itself",
            "traces": "it compares ways to run one server with each other: run it by itself"}
"""Benchmarks that are never among all, and why."""


@dataclass(frozen=True)
class Planned:
    """A benchmark that is to run with these arguments; or, with a reason, that is not."""

    bench: str
    arguments: tuple[str, ...] = ()
    reason: str = ""


def planned(names: Iterable[str], *, quick: bool, events: Path | None) -> list[Planned]:
    """What to do for these names (none: for all), in the order of the plan. One that is named runs in its
    usual form where it has no quick one."""
    chosen = set(names)
    found = [_planned(name, form, quick=quick, named=bool(chosen), events=events)
             for name, form in PLAN.items() if name in (chosen or BENCHES)]
    return found if chosen else [*found, *(Planned(name, reason=why) for name, why in LEFT_OUT.items())]


def _planned(name: str, form: Form, *, quick: bool, named: bool, events: Path | None) -> Planned:
    if form.events == "must" and events is None:
        return Planned(name, reason="it needs events: --events DIR")
    if quick and form.quick is None and not named:
        return Planned(name, reason="it takes minutes: leave --quick out, or name it")
    options = form.quick if quick and form.quick is not None else form.usual
    with_events = ("--events", str(events)) if form.events and events is not None else ()
    return Planned(name, (*options.split(), *with_events))
