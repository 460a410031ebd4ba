"""Regular expressions mean what PCRE's do, and stop nobody for long."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest
from bson import Regex
from hypothesis import given
from hypothesis import strategies as st

from server.embedded.documents import budget
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.regexes import compile_regex


@pytest.fixture
def limited() -> Iterator[None]:
    before = signal.getsignal(signal.SIGVTALRM)
    budget.install()
    yield
    budget.limit(0)
    budget._budget.installed = False
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize(
    ("pattern", "flags", "text", "found"),
    [
        (r"\s+$", 0, "a \x0b", " \x0b"),
        (r"[\s]", 0, "\x0b", "\x0b"),
        (r"[^\S]x", 0, " x", " x"),
        (r"\S", 0, "\x0b", None),
        ("a$", 0, "a\n", "a"),
        ("a$", 0, "a\n\n", None),
        (r"a\z", 0, "a\n", None),
        (r"a\Z", 0, "a\n", "a"),
        ("^b$", re.M, "a\nb\nc", "b"),
        ("a.b", 0, "a\nb", None),
        ("a.b", re.S, "a\nb", "a\nb"),
        ("a b", re.X, "ab", "ab"),
        ("É", re.I, "é", "é"),
        (r"\w+", 0, "é", None),
        ("[[:alpha:]]+", 0, "1ab", "ab"),
        ("[]a]", 0, "]", "]"),
        ("(?<=x)a", 0, "xa", "a"),
        (r"(a)\1", 0, "baa", "aa"),
        ("(?<n>a)(?=b)", 0, "ab", "a"),
    ],
)
def test_meaning(pattern: str, flags: int, text: str, found: str | None) -> None:
    match = compile_regex(Regex(pattern, flags)).search(text)
    assert (match and match[0]) == found


@pytest.mark.parametrize("pattern", ["(", r"\R(?=a)", "(?|a)", "[[:alpha:]](?=b)", "a\0b", "*"])
def test_what_neither_engine_knows_is_refused(pattern: str) -> None:
    with pytest.raises(CommandError) as refused:
        compile_regex(Regex(pattern, 0))
    assert refused.value.code == Code.Location51091


@given(st.text("ab\n$^.*+?|()[]", max_size=12), st.text("ab\n", max_size=12))
def test_as_pythons_engine(pattern: str, text: str) -> None:
    try:
        expected = re.compile(pattern).search(text)
        found = compile_regex(Regex(pattern, 0)).search(text)
    except (re.error, FutureWarning, CommandError):
        return
    assert (found is None) == (expected is None)


def test_nested_choices_take_linear_time() -> None:
    assert compile_regex(Regex("a?" * 100 + "a" * 100, 0)).search("a" * 100) is not None
    assert compile_regex(Regex("(a*)*b", 0)).search("a" * 100_000) is None


def test_backtracking_is_given_up(limited: None) -> None:
    with pytest.raises(CommandError) as given_up:
        compile_regex(Regex("(?=x|a)" + "a?" * 40 + "a" * 40 + "(?=c)", 0)).search("a" * 40)
    assert given_up.value.code == Code.MaxTimeMSExpired


def test_only_computing_is_interrupted(limited: None) -> None:
    budget.limit(0.001)
    for _ in range(10_000_000):  # takes longer than that, and is let alone
        pass
    endless = budget.computing(lambda: [None for _ in iter(int, 1)])
    with pytest.raises(CommandError) as given_up:
        endless()
    assert given_up.value.code == Code.MaxTimeMSExpired
