"""What clients send: any JSON is either taken or refused by field, and what is taken can be stored."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from bson import encode
from hypothesis import given
from hypothesis import strategies as st

from server.sensor.common.bodies import CREATE, REPLACE, UPDATE, Changes, read_changes
from server.sensor.common.errors import WHOLE, FieldErrors

SCALARS = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60)
           | st.sampled_from(["logger", "a-b_C9", 10, 5.0, 2**53, 2**53 + 1, -2**70, 1e300]))
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)
BODIES = st.dictionaries(st.sampled_from(UPDATE) | st.text(max_size=5), VALUES, max_size=9) | VALUES


def attempt(body: Any, is_new: bool) -> Changes | dict[str, list[str]]:
    """What is taken, or the texts of the refusal."""
    try:
        return read_changes(body, *((CREATE, REPLACE) if is_new else (UPDATE, ())))
    except FieldErrors as error:
        return error.texts


@given(BODIES, st.booleans())
def test_any_body_is_taken_or_refused_by_field(body: Any, is_new: bool) -> None:
    match attempt(body, is_new):
        case Changes() as taken:
            encode(msgspec.to_builtins(taken))
            numbers = [getattr(taken, name) for name in ("interval", "priority", "start", "stop")]
            assert all(number in (msgspec.UNSET, None) or type(number) is int for number in numbers)
            assert not isinstance(taken.interval, int) or taken.interval >= 1
        case texts:
            assert texts
            assert set(texts) <= {*UPDATE, WHOLE}
            assert all(lines and all(lines) for lines in texts.values())


@pytest.mark.parametrize(("body", "expected"), [
    ({"start": None, "priority": None}, Changes(priority=10)),
    ({"interval": None, "stop": None}, Changes(interval=None, stop=None)),
    ({"interval": 5.0, "relative_stop": None}, Changes(interval=5)),
    ({"stop": 60, "relative_stop": True}, Changes(stop=60, relative_stop=True)),
    ({"relative_stop": 60}, Changes(relative_stop=60)), ({"unknown": 1}, Changes()), ({}, Changes())])
def test_what_null_and_absence_mean(body: dict[str, Any], expected: Changes) -> None:
    assert read_changes(body, UPDATE) == expected


@pytest.mark.parametrize(("body", "texts"), [
    ({}, {"name": ["This field is required."], "action": ["This field is required."]}),
    ({"name": "", "action": None}, {"name": ["This field may not be blank."],
                                    "action": ["This field may not be null."]}),
    ({"name": "x" * 51, "action": "a"}, {"name": ["Ensure this field has no more than 50 characters."]}),
    ({"name": "a\n", "action": "a"}, {"name": [
        'Enter a valid "slug" consisting of letters, numbers, underscores or hyphens.']}),
    ({"name": "a", "action": "a", "interval": 0}, {"interval": [
        "Ensure this value is greater than or equal to 1."]}),
    ({"name": "a", "action": "a", "priority": "x"}, {"priority": ["A valid integer is required."]}),
    ([], {WHOLE: ["Invalid data. Expected a dictionary, but got list."]})])
def test_texts(body: Any, texts: dict[str, list[str]]) -> None:
    with pytest.raises(FieldErrors) as caught:
        read_changes(body, CREATE, REPLACE)
    assert caught.value.texts == texts
