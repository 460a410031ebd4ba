"""What counts as worse: the same both ways, tolerant to noise, silent where nothing can be said."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceprod.cli.benching.comparing import ENOUGH_ROUNDS, LEAST, LIKE_LOADS, USUAL, compare, noise
from iceprod.cli.benching.records import Figure
from tests.unit.cli.benching.making import a_figure, a_record, a_run

POSITIVE = st.floats(1e-6, 1e9)
NAMES = st.sampled_from([f"event/{row}/ms" for row in "abcdef"])


@st.composite
def figures(draw: st.DrawFn, name: str = "event/x/ms", values: st.SearchStrategy[float] = POSITIVE) -> Figure:
    rounds = draw(st.lists(values, min_size=1, max_size=6))
    return a_figure(statistics.median(rounds), name=name, kind=draw(st.sampled_from([*USUAL])),
                    better=draw(st.sampled_from(["lower", "higher"])), load=draw(st.floats(0, 20)),
                    rounds=rounds if len(rounds) > 1 else [])


@st.composite
def runs_of_all(draw: st.DrawFn) -> list[Figure]:
    return [draw(figures(name, st.floats(0, 1e9))) for name in draw(st.sets(NAMES))]


@given(runs_of_all(), runs_of_all())
def test_it_says_the_opposite_the_other_way(one: list[Figure], other: list[Figure]) -> None:
    a, b = a_record(*one), a_record(*other)
    there, back = compare(a, b), compare(b, a)
    assert {change.name for change in there.worse} == {change.name for change in back.better}
    assert {change.name for change in there.better} == {change.name for change in back.worse}
    assert {change.name for change in there.same} == {change.name for change in back.same}
    assert {one.name for one in there.unjudged} == {one.name for one in back.unjudged}
    assert (set(there.missing), set(there.new)) == (set(back.new), set(back.missing))


@given(runs_of_all(), runs_of_all())
def test_every_figure_is_told_once(one: list[Figure], other: list[Figure]) -> None:
    found = compare(a_record(*one), a_record(*other))
    told = [*(change.name for changes in (found.worse, found.better, found.same) for change in changes),
            *(one.name for one in found.unjudged), *found.missing, *found.new]
    assert sorted(told) == sorted({figure.name for figure in (*one, *other)})


@given(runs_of_all())
def test_a_run_is_no_worse_than_itself(one: list[Figure]) -> None:
    found = compare(a_record(*one), a_record(*one))
    assert [found.worse, found.better, found.missing, found.new, found.differences] == [[]] * 5


@given(st.lists(POSITIVE, min_size=ENOUGH_ROUNDS, max_size=6), st.data())
def test_rounds_that_overlap_are_noise(rounds: list[float], data: st.DataObject) -> None:
    inside = st.floats(min(rounds), max(rounds))
    others = [data.draw(inside), *data.draw(st.lists(POSITIVE, min_size=ENOUGH_ROUNDS, max_size=6))]
    found = compare(a_record(a_figure(statistics.median(rounds), rounds=rounds)),
                    a_record(a_figure(statistics.median(others), rounds=others)))
    assert [found.worse, found.better] == [[], []]


@given(POSITIVE, st.floats(1.01, 100))
def test_a_change_beyond_noise_is_told(value: float, beyond: float) -> None:
    factor = (1 + USUAL["cpu"]) * beyond
    found = compare(a_record(a_figure(value)), a_record(a_figure(value * factor)))
    [change] = found.worse
    assert change.percent == pytest.approx(100 * (factor - 1), abs=0.1)
    assert change.tolerance_percent == 100 * USUAL["cpu"]


def test_more_is_better_of_what_is_wanted_more_of() -> None:
    old, new = (a_figure(value, better="higher") for value in (10.0, 20.0))
    assert compare(a_record(old), a_record(new)).better[0].percent == 100.0
    assert compare(a_record(new), a_record(old)).worse[0].percent == -50.0


def test_steady_rounds_tell_small_changes() -> None:
    steady = [10.0, 10.05, 10.1]
    old = a_figure(10.05, rounds=steady)
    new = a_figure(10.65, rounds=[value + 0.6 for value in steady])
    assert compare(a_record(old), a_record(new)).worse
    assert not compare(a_record(a_figure(10.05)), a_record(a_figure(10.65))).worse
    assert noise(a_figure(rounds=[10.0, 10.0, 10.0])) == math.log1p(LEAST)


def test_two_rounds_are_not_enough() -> None:
    assert noise(a_figure(rounds=[10.0, 10.0])) == noise(a_figure())


@pytest.mark.parametrize("kind", ["wall", "rate"])
def test_the_clock_is_judged_only_under_like_loads(kind: str) -> None:
    old = a_figure(1.0, kind=kind, load=1.0)  # type: ignore[arg-type]
    busy = a_figure(9.0, kind=kind, load=1.0 + 2 * LIKE_LOADS + 0.1)  # type: ignore[arg-type]
    like = a_figure(9.0, kind=kind, load=1.0 + 2 * LIKE_LOADS)  # type: ignore[arg-type]
    [told] = compare(a_record(old), a_record(busy)).unjudged
    assert told.reason == "the load was another: 1 and 1.6"
    assert compare(a_record(old), a_record(like)).worse
    processor = [a_figure(value, load=load) for value, load in ((1.0, 0.0), (9.0, 30.0))]
    assert compare(a_record(processor[0]), a_record(processor[1])).worse


def test_loads_count_for_each_core() -> None:
    old, new = (a_figure(value, kind="wall", load=load) for value, load in ((1.0, 2.0), (9.0, 16.0)))
    assert compare(a_record(old, cores=2), a_record(new, cores=16)).worse


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_what_has_no_quotient_is_said(value: float) -> None:
    for one, other in ((value, 1.0), (1.0, value)):
        [told] = compare(a_record(a_figure(one)), a_record(a_figure(other))).unjudged
        assert told.reason.startswith("zero or less")


def test_figures_of_other_options_are_not_compared() -> None:
    a, b = (a_record(a_figure(value), runs=[a_run(arguments=words)])
            for value, words in ((1.0, ["--tasks", "5"]), (9.0, ["--tasks", "9"])))
    assert compare(a, b).unjudged[0].reason == "measured with other options"


def test_figures_that_mean_something_else_are_not_compared() -> None:
    for changed in (a_figure(unit="s"), a_figure(kind="wall"), a_figure(better="higher")):
        assert compare(a_record(a_figure()), a_record(changed)).unjudged


def test_machines_and_versions_are_named() -> None:
    found = compare(a_record(processor="One", versions={"numpy": "1", "commit": "a"}),
                    a_record(processor="Two", cores=4, versions={"numpy": "1", "numba": "2"}))
    assert [(one.what, one.a, one.b) for one in found.differences] == [
        ("processor", "One", "Two"), ("cores", "2", "4"), ("commit", "a", ""), ("numba", "", "2")]


def test_the_worst_comes_first() -> None:
    old = [a_figure(1.0, name=f"event/{row}/ms") for row in "abc"]
    new = [a_figure(value, name=f"event/{row}/ms") for row, value in zip("abc", (2.0, 9.0, 3.0), strict=True)]
    found = compare(a_record(*old), a_record(*new))
    assert [change.b for change in found.worse] == [9.0, 3.0, 2.0]
