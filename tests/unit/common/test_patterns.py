"""Patterns from outside run in linear time, and there is no other way for one to come in."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator

import pytest

from server.common.logs import redact
from server.common.patterns import BadPattern, compile_pattern
from server.production.records.log_text import matching_lines
from server.rest.oidc import matching
from tools import wings

SOURCES = {path.relative_to(wings.ROOT).as_posix(): path for path in wings.modules().values()}

COMPILE = {
    "config/settings.py",  # checks that RE2 takes what the operator wrote
    "server/common/patterns.py",  # the one helper
    "server/embedded/documents/regexes.py",  # the store's own: RE2, or with a limit
    "server/embedded/expressions/dates.py",  # forms of dates, made of escaped text and our own parts
}
"""Who may make a regular expression of what is not written there."""

ASK = ("server/embedded/", "server/scans/manifests/filters.py", "iceprod/cli/common/naming.py")
"""Who may name the operator by which the database searches with a pattern; a client's server checks it."""


def made_patterns(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of re and re2 whose pattern is no literal."""
    for node in ast.walk(tree):
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name) and node.func.value.id in ("re", "re2")
                and node.func.attr in ("compile", "search", "match", "fullmatch", "sub", "split", "findall",
                                       "finditer", "subn")
                and not (node.args and isinstance(node.args[0], ast.Constant))):
            yield node


def test_patterns_are_written_here_or_compiled_by_the_one_helper() -> None:
    found = {name for name, path in SOURCES.items() if [*made_patterns(ast.parse(path.read_text()))]}
    assert found == COMPILE, "use server.common.patterns.compile_pattern for a pattern from outside"


def test_only_filters_of_scans_ask_the_database_for_patterns() -> None:
    found = [name for name, path in SOURCES.items()
             if '"$regex": ' in path.read_text().replace('"$regex": re.escape(', "")
             and not name.startswith(ASK)]
    assert not found, "search for a text by re.escape, not for a pattern; or check it as filters.py does"


def test_what_must_not_be_is_found() -> None:
    bad = "import re\nre.compile(text)\nre.search(f'{a}b', text)\nre.match('a', text)\nre.escape(text)"
    assert [node.lineno for node in made_patterns(ast.parse(bad))] == [2, 3]


NASTY = ["a?" * 28 + "a" * 28, "(a+)+$", "(a|aa)+$", "(.*a){20}$", "a{0,28}a{28}"]


@pytest.mark.parametrize("pattern", NASTY)
def test_a_pattern_that_others_try_for_ever_takes_a_moment(pattern: str) -> None:
    started = time.process_time()
    compile_pattern(pattern).search("a" * 27 + "!" + "a" * 27 + "b" * 100_000)
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(("pattern", "word"), [
    (r"(a)\1", "escape"), ("(?=a)", "perl"), ("(?<!a)b", "perl"), ("(", "missing"),
    ("((a{1000}){1000}){9}", "")])
def test_what_cannot_be_expressed_is_refused_with_a_reason(pattern: str, word: str) -> None:
    with pytest.raises(BadPattern, match=r"RE2 knows: .") as caught:
        compile_pattern(pattern)
    assert word in str(caught.value)


@pytest.mark.parametrize("pattern", NASTY)
def test_search_boxes_take_texts_not_patterns(pattern: str) -> None:
    assert matching_lines("a" * 60, pattern) == {}
    assert matching_lines(f"this is {pattern}", pattern) != {}


def test_rules_of_an_issuer_match_the_whole_value_and_its_case() -> None:
    rules = {"user": ["groups=/institutions/IceCube.*"]}
    assert matching(rules, {"groups": ["/institutions/IceCube/x"]}) == ["user"]
    assert matching(rules, {"groups": ["/institutions/icecube"]}) == []
    assert matching(rules, {"groups": ["no/institutions/IceCube"]}) == []


def test_a_line_full_of_beginnings_of_tokens_is_logged_in_a_moment() -> None:
    started = time.process_time()
    redact("message", "-eyJ" * 50_000)
    assert time.process_time() - started < 1.0
    assert redact("message", "got eyJh.eyJz.c2ln now") == "got *** now"
