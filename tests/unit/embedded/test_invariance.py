"""Indexes, hints and the form of a question change no answer: each is compared with a plain scan's."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from server.embedded.documents import keys
from server.embedded.documents.errors import Code, CommandError
from tests.support import store_shapes as shapes
from tests.unit.embedded.conftest import LocalStore

_FORMS = 7  # in which each filter is asked

_check = settings(
    deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[
        HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)  # fmt: skip
_subsets = st.sets(st.sampled_from(range(len(shapes.INDEXES))), min_size=1, max_size=5)
_filters = st.lists(shapes.filters, min_size=4, max_size=4)
_numbers = itertools.count()
_PAIRS = [{"x": 1, "y": 2}, {"x": 3, "y": 4}]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalStore]:
    """In memory where there is a file system for that: durability is tested elsewhere."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        store = LocalStore(Path(folder) / "data")
        yield store
        store.store.close()


class Twins:
    """The same documents in two collections, of which one has indexes."""

    def __init__(self, local: LocalStore, documents: list[dict[str, Any]], indexes: set[int]) -> None:
        self.local = local
        number = next(_numbers)
        self.plain, self.indexed = f"plain{number}", f"indexed{number}"
        self.specs = shapes.distinct([{"name": f"i{i}", **shapes.INDEXES[i]} for i in sorted(indexes)])
        local.command({"create": self.plain})
        local.command({"createIndexes": self.indexed, "indexes": self.specs})
        if taken := self._taken(documents):
            local.command({"insert": self.plain, "documents": taken})

    def _taken(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All but those with two arrays in the fields of one index."""
        answer = self.local.command({"insert": self.indexed, "documents": documents, "ordered": False})
        errors = answer.get("writeErrors", [])
        assert all(error["code"] == Code.CannotIndexParallelArrays.value for error in errors), errors
        refused = {error["index"] for error in errors}
        return [document for i, document in enumerate(documents) if i not in refused]

    def drop(self) -> None:
        for name in (self.plain, self.indexed):
            self.local.command({"drop": name})

    def assert_same(self, ask: Callable[[str], Any], what: Any) -> None:
        expected, found = (_outcome(ask, name) for name in (self.plain, self.indexed))
        assert found == expected, f"{what}: {found} instead of {expected}; indexes {self.specs}"


def _outcome(ask: Callable[[str], Any], name: str) -> Any:
    try:
        return ask(name)
    except CommandError as error:
        return error.code


def _bytes(documents: list[Mapping[str, Any]]) -> list[bytes]:
    return sorted(bson.encode(document) for document in documents)


def _batch(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return answer["cursor"]["firstBatch"]


def _readings(local: LocalStore, spec: Any, order: Any) -> Iterator[tuple[str, Callable[[str], Any]]]:
    def found(name: str, **options: Any) -> list[dict[str, Any]]:
        return _batch(local.command({"find": name, "filter": spec, "batchSize": 1000, **options}))

    yield "find", lambda name: _bytes(found(name))
    yield "count", lambda name: local.command({"count": name, "query": spec})["n"]
    yield "limit", lambda name: len(found(name, limit=2))
    sort = {**order, "_id": 1}
    yield "sort", lambda name: [item["_id"] for item in found(name, sort=sort, skip=1, limit=3)]
    yield "project", lambda name: _bytes(found(name, projection={"a.x": 1, "b": 1}))
    for path in ("a", "a.x", "b"):
        yield f"distinct {path}", lambda name, path=path: _distinct(local, name, path, spec)
    match: list[dict[str, Any]] = [{"$match": spec}, {"$group": {"_id": "$_id"}}]
    yield "match", lambda name: _bytes(
        _batch(local.command({"aggregate": name, "pipeline": match, "cursor": {"batchSize": 1000}})))


def _distinct(local: LocalStore, name: str, path: str, spec: Any) -> list[bytes]:
    """Of equal values either may stand for both: 1 or 1.0."""
    values = local.command({"distinct": name, "key": path, "query": spec})["values"]
    return [keys.encode(value) for value in values]


def _writings(local: LocalStore, spec: Any) -> Iterator[tuple[str, Callable[[str], Any]]]:
    def update(name: str) -> Any:
        entry = {"q": spec, "u": {"$set": {"seen": True}}, "multi": True}
        return local.command({"update": name, "updates": [entry]})["n"], _seen(local, name)

    def modify(name: str) -> Any:
        change = {"sort": {"_id": -1}, "update": {"$inc": {"taken": 1}}}
        value = local.command({"findAndModify": name, "query": spec, **change})["value"]
        return value and value["_id"]

    def delete(name: str) -> Any:
        number = local.command({"delete": name, "deletes": [{"q": spec, "limit": 0}]})["n"]
        return number, _bytes(_batch(local.command({"find": name})))

    yield "update", update
    yield "findAndModify", modify
    yield "delete", delete


def _seen(local: LocalStore, name: str) -> list[Any]:
    return sorted(item["_id"] for item in _batch(local.command({"find": name, "filter": {"seen": True}})))


def check(local: LocalStore, documents: Any, indexes: set[int], specs: list[Any], order: Any) -> None:
    """Ask everything of both collections; at last change them."""
    twins = Twins(local, documents, indexes)
    try:
        for spec in specs:
            for what, ask in _readings(local, spec, order):
                twins.assert_same(ask, (what, spec, order))
            _check_hints(twins, spec)
        for what, ask in _writings(local, specs[0]):
            twins.assert_same(ask, (what, specs[0]))
    finally:
        twins.drop()


def _check_hints(twins: Twins, spec: Any) -> None:
    expected = _outcome(lambda name: _ids(twins.local, name, spec), twins.plain)
    for index in filter(shapes.whole, twins.specs):
        hint = index["name"]
        found = _outcome(lambda name, hint=hint: _ids(twins.local, name, spec, hint=hint), twins.indexed)
        assert found == expected, f"hint {index}, {spec}: {found} instead of {expected}"


def _ids(local: LocalStore, name: str, spec: Any, **options: Any) -> list[Any]:
    found = _batch(local.command({"find": name, "filter": spec, **options}))
    return sorted(item["_id"] for item in found)


@settings(_check, max_examples=60)
@given(shapes.documents(), _subsets, _filters, shapes.orders)
@example([{"_id": 0, "a": _PAIRS}], {2}, [{"a.x": 1, "a.y": 4}], {})
@example([{"_id": 0, "a": _PAIRS, "b": 0}], {4}, [{"a.x": 1, "b": 0, "a.y": 4}], {})
@example([{"_id": 0, "b": 1}, {"_id": 1, "c": 1}], {12}, [{"b": {"$exists": True}}], {})
@example([{"_id": 0, "a": [5, {"y": 1}]}], {3}, [{"a": 5, "a.y": 1}], {})
@example([{"_id": 0, "c": 1}], {14}, [{"c": {"$gt": 0}}], {})
@example([{"_id": 0, "b": 1}, {"_id": 1, "b": True}], {16}, [{"b": 1}], {})
def test_indexes_change_no_answer(
    local: LocalStore, documents: Any, indexes: set[int], specs: list[Any], order: Any
) -> None:
    check(local, documents, indexes, specs, order)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@settings(_check, max_examples=200_000 // (4 * _FORMS) + 1)
@given(shapes.documents(), _subsets, _filters, shapes.orders)
def test_indexes_change_no_answer_for_long(
    local: LocalStore, documents: Any, indexes: set[int], specs: list[Any], order: Any
) -> None:
    """200 000 questions."""
    check(local, documents, indexes, specs, order)


def test_one_element_tied_by_elem_match_bounds_both_fields(local: LocalStore) -> None:
    local.index({"a.x": 1, "a.y": 1})
    local.insert(*({"_id": i, "a": [{"x": i % 5, "y": i}, {"x": 9, "y": 9}]} for i in range(50)))
    spec = {"a": {"$elemMatch": {"x": 3, "y": 8}}}
    assert [item["_id"] for item in local.find(spec)] == [8]
    plan = local.command({"explain": {"find": "c", "filter": spec}, "verbosity": "executionStats"})
    assert plan["executionStats"]["totalKeysExamined"] == 1
