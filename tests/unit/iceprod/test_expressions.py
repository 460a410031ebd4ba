"""The ``$…`` expressions of dataset configurations."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceprod.expressions import MAX_SIZE, Budget, Scope, TooCostly, check, expand

CONFIG = {
    "description": "demo",
    "options": {"mode": "fast", "job": "shadowed"},
    "steering": {
        "parameters": {
            "seed": 10000,
            "list": ["a", "b", 3],
            "dict": {"key": "v", "k7": 70},
            "k7": "seven",
            "twice": "$steering(seed)$steering(seed)",
            "loop": "$steering(loop)",
            "nested": "$steering(dict)[key]",
        },
        "system": {"cores": 4},
    },
}
SCOPE = Scope(CONFIG, {"par": "near"}, {"job": 7, "task": 1, "dataset": 20000}, {"HOME": "/home/x"}, "s")

VECTORS = [
    ("$steering(seed)", 10000),
    ("$(job)", 7),
    ("$job", 7),
    ("$par", "near"),
    ("$description", "demo"),
    ("$(mode)", "fast"),
    ("$args(mode)", "fast"),
    ("$options(job)", 7),
    ("$system(cores)", 4),
    ("$environ(HOME)", "/home/x"),
    ('f_$sprintf("%06d",$(job)).i3', "f_000007.i3"),
    ('$sprintf("%06d",$(job))', "000007"),
    ("$sprintf('%s-%.2f', $(mode), 1.5)", "fast-1.50"),
    ("$eval(7/2)", 3.5),
    ("$eval(7//2)", 3),
    ("$eval(1+2*3)", 7),
    ("$eval($(job)**2)", 49),
    ("$eval(-2^1)", -1),
    ("$eval(~1)", -2),
    ("$max(1,5,3)", 5),
    ("$min(1,5,3)", 1),
    ("$sum(1,2,3.5)", 6.5),
    ("$len(a,b)", 2),
    ("$len($steering(list))", 3),
    ("$steering(list)[1]", "b"),
    ("$steering(list)[2]", 3),
    ("$steering(dict)[key]", "v"),
    ('$steering($sprintf("k%d",$(job)))', "seven"),
    ('$steering(dict)[$sprintf("k%d",$(job))]', 70),
    ("$steering(twice)", 1000010000),
    ("$steering(nested)x", "vx"),
    ("$steering(list)", ["a", "b", 3]),
    ("true", True),
    ("False", False),
    ("1.5", 1.5),
    ("1e3", 1000.0),
    ("007", "007"),
    ("-07", "-07"),
    ("-7", -7),
    ('{"a": [1]}', {"a": [1]}),
    ("[1, 2", "[1, 2"),
    ("a $ b", "a $ b"),
    ("$", "$"),
    ("", ""),
    ("price: $5", "price: $5"),
]
VERBATIM = [
    "$eval(1<2)", "$(missing)", "$missing", "$max([1,5,3])", "$eval(import os)", "$eval(open('x'))",
    "$eval(__import__('os'))", "$eval(1/0)", "$eval(9**9**9)", "$(job", "$sprintf(\"%d\",$(missing))",
    "$sprintf('%999999999d', 1)", "$sprintf('%d')", "$steering(loop)", "$nofunction(1)", "$steering(list)[9]",
    "$environ(PATH)", "$eval((-8)**0.5)", "$eval(1e308*10)", "$sprintf('%d', x)",
]


@pytest.mark.parametrize(("text", "value"), VECTORS)
def test_value(text: str, value: object) -> None:
    got = expand(text, SCOPE)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("text", VERBATIM)
def test_what_has_no_value_stays(text: str) -> None:
    assert expand(text, SCOPE) == text


def test_lists_dicts_and_keys() -> None:
    got = expand({"k_$(job)": ["$(job)", {"x": "$(mode)"}], "n": 3, "none": None}, SCOPE)
    assert got == {"k_7": [7, {"x": "fast"}], "n": 3, "none": None}


def test_choice_is_the_same_for_the_same_task() -> None:
    drawn = {expand("$choice(a,b,c,d)", Scope(seed=str(n))) for n in range(50)}
    assert drawn == {"a", "b", "c", "d"}
    assert len({expand("$choice(a,b,c,d)", Scope(seed="x")) for _ in range(5)}) == 1


def test_a_text_that_grows_without_bound_is_left_alone() -> None:
    names = {f"a{n}": f"$a{n + 1}$a{n + 1}$a{n + 1}$a{n + 1}" for n in range(19)} | {"a19": "x" * 1000}
    assert len(str(expand("$a0", Scope(parameters=names)))) < 3_000_000


@pytest.mark.parametrize(("text", "good"), [("$(job)", True), ("$(job", False), ("a $eval((1+2)", False),
                                            ("($)", True), ("$steering(x)[1]", True), ("plain (", True)])
def test_check(text: str, good: bool) -> None:
    assert (check(text) is None) is good


@given(st.text(alphabet="$()[]{}\"',abjo %d0123.*/+-\\e\n", max_size=60))
def test_nothing_raises(text: str) -> None:
    expand(text, SCOPE)
    check(text)


@given(st.text().filter(lambda text: "$" not in text))
def test_texts_without_expressions_keep_their_characters(text: str) -> None:
    got = expand(text, SCOPE)
    assert not isinstance(got, str) or got == text


# -- what they may cost


COSTLY = {
    "quotes": "$(" + "\"'" * 100_000 + ")",
    "parentheses": "$(" * 3_000 + "a" + ")" * 3_000,
    "arguments": "$len(" + "'a'," * 200_000 + ")",
    "lists over and over": "$len($steering(long))" * 9_000,
    "doubling": "$steering(d20)" * 1000,
    "wide": "$sprintf('" + "%1000d" * 30 + "'" + ",1" * 30 + ")",
    "indexes": "$steering(long)[1]" * 9_000,
}
DOUBLES = {"d0": "x" * 50} | {f"d{n}": f"$steering(d{n - 1})$steering(d{n - 1})" for n in range(1, 21)}


@pytest.mark.parametrize("name", COSTLY)
def test_no_text_takes_long(name: str) -> None:
    """However it ends: its cost is bounded, for one text and for many with one budget."""
    config = {"steering": {"parameters": {"long": list(range(10_000)), **DOUBLES}}}
    scope, started, made = Scope(config), time.process_time(), 0
    with contextlib.suppress(TooCostly):
        for _ in range(3_000):
            made += len(str(expand(COSTLY[name], scope)))
    assert time.process_time() - started < 12
    assert made < 4 * MAX_SIZE
    assert min(scope.budget.steps, scope.budget.size) < 0


@pytest.mark.parametrize("text", ["$(a" * 50_000, "$('" * 100_000, "$(" * 3000 + ")" * 2999])
def test_looking_at_the_form_of_a_text_takes_a_moment(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(TooCostly):
        check(text)
    assert time.process_time() - started < 6


def test_texts_without_expressions_cost_nothing() -> None:
    scope = Scope(budget=Budget(10, 10))
    assert expand({"a": ["x" * 10_000] * 100, "b": "12"}, scope) == {"a": ["x" * 10_000] * 100, "b": 12}
    with pytest.raises(TooCostly, match="too many steps"):
        expand("$(job) and more", scope)


def test_too_much_text_is_told() -> None:
    with pytest.raises(TooCostly, match="too much text"):
        expand(["$(a) x" * 10] * 10, Scope({"a": "b" * 50}, budget=Budget(10_000, 1_000)))
