"""Bodies are checked against their schema, with the texts that SkyDriver's clients know."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.scans.manifests import bodies
from server.scans.manifests.schema import Body

TEXT = st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12)


def text_of(body: Body, document: dict[str, object]) -> str:
    with pytest.raises(BadRequest) as caught:
        body.check(document)
    return caught.value.reason


@pytest.mark.parametrize(("schema", "value", "text"), [
    ({"type": "object"}, 1, "'x': must be type 'object' (dict)"),
    ({"type": "integer"}, 1.5, "'x': must be type 'integer' (int)"),
    ({"type": "integer"}, 1e300, "'x': must be type 'integer' (int)"),
    ({"type": "integer"}, True, "'x': must be type 'integer' (int)"),
    ({"type": "number"}, "1", "'x': must be type 'number' (float or int)"),
    ({"enum": ["a", "b"]}, "c", "'x': must be one of: 'a', 'b'"),
    ({"minimum": 1}, 0, "'x': must be at least 1"),
    ({"maximum": 1}, 2, "'x': must be no more than 1"),
    ({"maxProperties": 1}, {"a": 1, "b": 1}, "'x': must have no more than 1 entries"),
    ({"propertyNames": {"maxLength": 2}}, {"abc": 1}, "'x': must be no more than 2 characters long"),
    (bodies.TEXT, " ", r"'x': must match the pattern '\\S'"),
    (bodies.TEXT, "", r"'x': must be at least 1 characters long; 'x': must match the pattern '\\S'"),
    ({"oneOf": [{"type": "null"}, {"type": "string"}]}, 1, "'x': must match one of the accepted types"),
    (bodies.PROJECTION, ["a", "a"], "'x': must match one of the accepted types"),
])
def test_texts(schema: dict[str, object], value: object, text: str) -> None:
    assert text_of(Body({"x": schema}), {"x": value}) == text


def test_missing_and_unknown_fields_come_in_one_text() -> None:
    text = text_of(Body({"x": {}}, required=["x"]), {"foo": 1})
    assert "'x' is a required property" in text
    assert "Additional properties are not allowed ('foo' was unexpected)" in text
    assert "; " in text


def test_a_whole_float_is_an_integer() -> None:
    assert Body({"x": {"type": "integer"}}).check({"x": 60.0})


def test_a_bad_union_says_what_is_wrong_inside() -> None:
    text = text_of(bodies.PATCH, {"progress": {"summary": 5}})
    assert text.startswith("'progress': must match one of the accepted types (")
    assert "'epilogue' is a required property" in text


@pytest.mark.parametrize("value", [
    {"$a": 1}, {"a\0": 1}, 1 << 63, -(1 << 63) - 1, [[{"$a": 1}]]])
def test_what_a_database_cannot_hold_is_refused(value: object) -> None:
    assert text_of(Body({"x": {}}), {"x": value}).startswith("'x': ")


NAN = float("nan")


@pytest.mark.parametrize(("schema", "value"), [
    ({}, NAN), ({"type": "object"}, {"a": [1, NAN]}), ({"type": ["null", "number"]}, NAN),
    ({"oneOf": [{"type": "object"}, {"type": "null"}]}, float("-inf"))])
def test_a_number_that_may_be_missing_is_null(schema: dict[str, object], value: object) -> None:
    kept = Body({"x": schema}).check({"x": value})["x"]
    assert kept == ({"a": [1, None]} if isinstance(value, dict) else None)


@pytest.mark.parametrize(("schema", "value", "text"), [
    ({"type": "number"}, NAN, "'x': NaN is not a JSON number"),
    ({"type": "integer"}, float("inf"), "'x': Infinity is not a JSON number"),
    ({"type": "array", "items": {"type": "number"}}, [1, -float("inf")],
     "'x[1]': -Infinity is not a JSON number"),
    ({"enum": [1]}, NAN, "'x': NaN is not a JSON number"),
    ({"oneOf": [{"type": "object", "properties": {"a": {"type": "number"}}}, {"type": "null"}]}, {"a": NAN},
     "'x.a': NaN is not a JSON number"),
])
def test_elsewhere_it_is_refused_with_path_and_value(schema: dict[str, object], value: object,
                                                     text: str) -> None:
    assert text_of(Body({"x": schema}), {"x": value}) == text


def test_a_query_holds_no_gap() -> None:
    assert "finite" in text_of(Body({"x": {}}, query="x"), {"x": {"a": NAN}})


def test_deep_nesting_is_refused() -> None:
    value: list[object] = []
    for _ in range(200):
        value = [value]
    assert "nested deeper" in text_of(Body({"x": {}}), {"x": value})


def test_opaque_values_and_queries_have_more_freedom() -> None:
    body = Body({"x": {}, "q": {}}, opaque=["x"], query="q")
    assert body.check({"x": {"$a": 1 << 70}, "q": {"a": {"$in": [1]}}})


@pytest.mark.parametrize("body", [
    bodies.SCAN, bodies.FIND, bodies.RESCAN, bodies.ADD_WORKERS, bodies.DELETE, bodies.PATCH, bodies.RESULT,
    bodies.WORKFLOW])
@given(data=st.data())
def test_anything_is_accepted_or_refused_with_a_text(body: Body, data: st.DataObject) -> None:
    names = st.sampled_from(sorted(body.schema["properties"])) | TEXT
    document = data.draw(st.dictionaries(names, JSON, max_size=5))
    with contextlib.suppress(BadRequest):
        assert body.check(document) is document
