"""What got worse or better between two runs, beyond what the same program measures twice.

Figures are compared by the logarithm of their quotient, so that A to B says the opposite of B to A. Each has
a noise: with three rounds or more what they spread, but no less than `LEAST`; else half of `USUAL` of its
kind. A change counts when it is more than the noises of both together. Time on the clock and rates depend on
what else the machine did, so they say something only between runs with like loads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from iceprod.cli.benching.records import Figure, Kind, Record

__all__ = ["ENOUGH_ROUNDS", "LEAST", "LIKE_LOADS", "USUAL", "Change", "Comparison", "Difference", "Unjudged",
           "compare", "noise"]

ENOUGH_ROUNDS = 3
LEAST = 0.02
USUAL: dict[Kind, float] = {"cpu": 0.25, "ratio": 0.25, "wall": 0.5, "rate": 0.5}
"""By which figures of one round may differ: 0.25 is a quarter more."""
LIKE_LOADS = 0.25
"""Loads are alike when they differ by no more than this for each core."""
_ON_THE_CLOCK = ("wall", "rate")

Verdict = Literal["worse", "better", "same"]


@dataclass(frozen=True)
class Change:
    """One figure in both runs; percent of the first."""

    name: str
    a: float
    b: float
    unit: str
    kind: Kind
    percent: float
    tolerance_percent: float


@dataclass(frozen=True)
class Unjudged:
    """A figure of both runs of which nothing can be said, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Difference:
    """What else is not the same in both runs; empty where it is not known."""

    what: str
    a: str
    b: str


@dataclass
class Comparison:
    """All of it; `missing` are figures of the first run alone, `new` those of the second."""

    differences: list[Difference] = field(default_factory=list)
    worse: list[Change] = field(default_factory=list)
    better: list[Change] = field(default_factory=list)
    same: list[Change] = field(default_factory=list)
    unjudged: list[Unjudged] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


def compare(a: Record, b: Record) -> Comparison:
    """From the first to the second."""
    olds, news = ({one.name: one for one in record.figures} for record in (a, b))
    found = Comparison([*_differences(a, b)], missing=[name for name in olds if name not in news],
                       new=[name for name in news if name not in olds])
    asked = _other_options(a, b)
    for name in (name for name in olds if name in news):
        reason = _unjudged(olds[name], news[name], a, b, asked)
        if reason:
            found.unjudged.append(Unjudged(name, reason))
        else:
            verdict, change = _change(olds[name], news[name])
            getattr(found, verdict).append(change)
    for changes in (found.worse, found.better):
        changes.sort(key=lambda change: -abs(math.log(change.b / change.a)))
    return found


def noise(figure: Figure) -> float:
    """Of a figure by itself: the logarithm of the factor by which it may be off."""
    if len(figure.rounds) >= ENOUGH_ROUNDS:
        return max(math.log1p(LEAST), math.log(max(figure.rounds)) - math.log(min(figure.rounds)))
    return math.log1p(USUAL[figure.kind]) / 2


def _change(old: Figure, new: Figure) -> tuple[Verdict, Change]:
    moved, tolerance = math.log(new.value) - math.log(old.value), noise(old) + noise(new)
    change = Change(old.name, old.value, new.value, old.unit, old.kind, _percent(moved), _percent(tolerance))
    if abs(moved) <= tolerance:
        return "same", change
    return ("better" if (moved > 0) == (old.better == "higher") else "worse"), change


def _percent(logarithm: float) -> float:
    return round(100 * math.expm1(min(logarithm, 100.0)), 1)


def _unjudged(old: Figure, new: Figure, a: Record, b: Record, asked: set[str]) -> str:
    """Why nothing can be said; empty when something can."""
    if (old.unit, old.better, old.kind) != (new.unit, new.better, new.kind):
        return "its unit or meaning is another"
    if old.bench in asked:
        return "measured with other options"
    if min(old.value, new.value, *old.rounds, *new.rounds) <= 0:
        return "zero or less: there is no quotient"
    if old.kind in _ON_THE_CLOCK and not _are_like(old.load / a.machine.cores, new.load / b.machine.cores):
        return f"the load was another: {old.load:g} and {new.load:g}"
    return ""


def _are_like(one: float, other: float) -> bool:
    return abs(one - other) <= LIKE_LOADS


def _other_options(a: Record, b: Record) -> set[str]:
    """Benchmarks that were not asked the same."""
    olds, news = ({run.bench: run.arguments for run in record.runs} for record in (a, b))
    return {name for name in olds if name in news and olds[name] != news[name]}


def _differences(a: Record, b: Record) -> Iterator[Difference]:
    for what in a.machine.__struct_fields__:
        yield from _difference(what.replace("_", " "), getattr(a.machine, what), getattr(b.machine, what))
    for name in dict.fromkeys([*a.versions, *b.versions]):
        yield from _difference(name, a.versions.get(name, ""), b.versions.get(name, ""))


def _difference(what: str, a: object, b: object) -> Iterator[Difference]:
    if a != b:
        yield Difference(what, str(a), str(b))
