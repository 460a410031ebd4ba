"""Filters that clients may send."""

from __future__ import annotations

from typing import Any

import pytest

from server.common.errors import BadRequest
from server.scans.manifests.filters import check_filter


@pytest.mark.parametrize("query", [
    {}, {"scan_id": "x"}, {"classifiers.a": {"$in": [1, "b"]}}, {"$or": [{"a": 1}, {"b": {"$gt": 2}}]},
    {"a": {"$regex": "^run.*[*+]+x"}}, {"a": {"$regex": r"\(\*\+\)+"}}, {"a": {"$regex": 5}}])
def test_allowed(query: dict[str, Any]) -> None:
    check_filter(query)


@pytest.mark.parametrize("query", [
    {"$where": "1"}, {"$nor": [{"a": {"$where": "1"}}]}, {"$expr": {}}, {"a": {"$not": {"$function": {}}}},
    {"a": {"$regex": "(a+)+$"}}, {"a": {"$regex": "(a|a){2,}"}}, {"a": {"$regex": "a*b*c*"}},
    {"a": {"$regex": "a?" * 30 + "a" * 30}}, {"a": {"$regex": "(a|a)" * 30}}, {"a": {"$regex": r"(a)\1"}},
    {"a": {"$regex": "(?=a)"}}, {"a": {"$regex": "a", "$options": "ix"}},
    {"a": {"$regex": "("}}, {"a": {"$in": [{"$regex": "x" * 201}]}}, {"a": {"$regex": r"[\]]*x{1,9}y+"}}])
def test_refused(query: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="'filter': "):
        check_filter(query)
