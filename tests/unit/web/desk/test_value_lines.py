"""Lines of name = value: what is written is read as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.web.desk.value_lines import read_lines, words, write_lines

NAMES = st.from_regex(r"[a-zA-Z_]\w{0,8}", fullmatch=True)
PLAIN = st.none() | st.booleans() | st.integers(-9**9, 9**9) | st.floats(-1e9, 1e9) | st.text(max_size=9)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3)
                      | st.dictionaries(NAMES, inner, max_size=3))


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_written_is_read(values: dict[str, Any]) -> None:
    assert read_lines(write_lines(values), "payload") == values


def test_what_people_write() -> None:
    text = "\n filters = ztfr \r\nexposure_time=300\n\nobservation_choices = [\"ztfg\"]\nempty ="
    assert read_lines(text, "payload") == {
        "filters": "ztfr", "exposure_time": 300, "observation_choices": ["ztfg"], "empty": ""}
    assert words(" a, b c ,, ") == ["a", "b c"]


@pytest.mark.parametrize(("text", "problem"), [("no sign", "name = value"), ("= 5", "name = value"),
                                               ("a = 1\na = 2", "twice")])
def test_what_is_no_line(text: str, problem: str) -> None:
    with pytest.raises(BadRequest) as error:
        read_lines(text, "payload")
    assert error.value.reason.startswith("payload: ")
    assert problem in error.value.reason
