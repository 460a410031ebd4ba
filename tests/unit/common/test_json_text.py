"""JSON from the outside: strict, but for the numbers that Python's own encoder writes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.json_text import JsonError, decode, first_gap, without_gaps

NUMBERS = st.integers(-2**63, 2**63 - 1) | st.floats()
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", max_size=3), inner), max_leaves=20)


@given(DOCUMENTS)
def test_what_python_writes_is_read(document: Any) -> None:
    text = json.dumps(document)
    assert repr(decode(text, gaps=True)) == repr(json.loads(text))
    assert repr(without_gaps(decode(text.encode(), gaps=True))) == repr(without_gaps(document))


@given(DOCUMENTS)
def test_without_leave_a_gap_is_refused_and_named(document: Any) -> None:
    gap = first_gap(document)
    if gap is None:
        assert repr(decode(json.dumps(document))) == repr(document)
        return
    with pytest.raises(JsonError, match="is not a JSON number"):
        decode(json.dumps(document))


@pytest.mark.parametrize(("text", "reason"), [
    ('{"a": {"b": [0, NaN]}}', r"^a\.b\[1\]: NaN is not a JSON number$"),
    ("-Infinity", "^the document: -Infinity is not"),
    ('{"a": 1e999}', "^a: Infinity is not"),
    ("{", r"line 1, column 2 \(byte 1\)"),
    ('{"ä": }', r"line 1, column 7 \(byte 7\)"),
])
def test_where_it_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(JsonError, match=reason):
        decode(text)


@pytest.mark.parametrize("text", [
    b"\xff", b'"\xed\xa0\x80"', '"\\ud800"', '[NaN, "\\ud800"]', "[" * 200_000, '{"a":' * 200_000, "9" * 5000,
    "nan", "[NaN", "", "NaN NaN"])
@pytest.mark.parametrize("gaps", [True, False])
def test_what_is_no_json_either_way(text: bytes | str, gaps: bool) -> None:
    with pytest.raises(JsonError):
        decode(text, gaps=gaps)


def test_gaps_come_as_they_are() -> None:
    found = decode("[NaN, Infinity, -Infinity]", gaps=True)
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf]
