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


@pytest.mark.parametrize(("text", "seconds"), [
    ("2026-03-14T05:06:07Z", 1773464767), ("2026-03-14T05:06:07.900Z", 1773464767),
    ("2026-03-14T06:06:07+01:00", 1773464767), ("2026-03-14 05:06:07", 1773464767),
    ("2026-03-14", 1773446400), ("1969-12-31T23:59:59.5Z", -1),
])  # fmt: skip
def test_dates(text: str, seconds: int) -> None:
    assert read_changes({"start": text}, UPDATE).start == seconds


@pytest.mark.parametrize("text", [
    "", "soon", "1773464767", "20260314", "2026-3-14", "2026-02-30", "2026-03-14T25:00:00Z", "0000-01-01",
    "2026-03-14T05:06:07Zx", "\ud800",
])  # fmt: skip
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(FieldErrors, match="ISO 8601"):
        read_changes({"start": text}, UPDATE)


def test_a_relative_stop_is_no_date() -> None:
    with pytest.raises(FieldErrors, match="not a date"):
        read_changes({"stop": "2026-03-14T05:06:07Z", "relative_stop": True}, UPDATE)
    with pytest.raises(FieldErrors, match="not after start"):
        read_changes({"start": "2026-03-14T05:06:07Z", "stop": "2026-03-14T05:06:07Z"}, UPDATE)


@pytest.mark.parametrize(("value", "taken"), [
    ("", None), (None, None), ("https://example.org/a", "https://example.org/a")])
def test_addresses(value: str | None, taken: str | None) -> None:
    assert read_changes({"callback_url": value}, UPDATE).callback_url == taken
    assert read_changes({"validate_only": None}, UPDATE).validate_only is False
