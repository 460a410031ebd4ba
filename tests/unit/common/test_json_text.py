"""JSON from the outside: strict, but for the numbers that Python's own encoder writes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import json_text
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


# -- limits


@pytest.mark.parametrize(("text", "reason"), [
    (b"[" + b"[]," * 500_000 + b"1]", "more than 500000 lists and objects"),
    (b"[" + b"{}," * 500_000 + b"1]", "more than 500000 lists and objects"),
    (b"[" + b"1," * 8_000_000 + b"1]", "more than 8000000 values"),
    (b"[" * 101 + b"]" * 101, "nested deeper than 100"),
    (b'{"a":' * 101 + b"1" + b"}" * 101, "nested deeper than 100"),
    (b"[NaN," + b"[" * 101 + b"]" * 101 + b"]", "nested deeper than 100"),
    (b"[" * 50_000, "."), (b'{"a":' * 50_000, "."), (b"[" * 2000 + b"]" * 2000, ".")])
def test_a_text_that_makes_too_much_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(JsonError, match=reason):
        decode(text, gaps=True)


@pytest.mark.parametrize("text", [
    json.dumps({"data": 'a "quoted" [{,\\' * 600_000}), json.dumps(["[{\\" * 600_000, "x\\"]),
    "[" * 100 + "]" * 100, json.dumps([{}] * 499_999)])
def test_long_texts_with_the_signs_of_many_values_are_read(text: str) -> None:
    assert decode(text) == json.loads(text)
    assert decode(text.encode()) == json.loads(text)


@given(DOCUMENTS, st.integers(0, 30))
def test_parts_and_values_are_counted(document: Any, most: int) -> None:
    """Exactly, when there are too many by the signs alone."""
    def parts(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        return isinstance(value, (dict, list)) + sum(map(parts, inner))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_text, "MOST_PARTS", most)
        text = json.dumps([document, '[\\"{'])
        if parts(document) + 1 <= most:
            decode(text, gaps=True)
        else:
            with pytest.raises(JsonError, match="lists and objects"):
                decode(text, gaps=True)
