"""Random documents and operations on two collections, whose results must be equal.

Once with and once without indexes, which may change nothing but the time it takes; and on a second server,
whose answers are known to be right: set ICEPROD_ORACLE_URL to the URL of a MongoDB-compatible one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from pymongo.errors import ConnectionFailure, OperationFailure

from tests.support import store_cases as cases
from tests.support import store_shapes as shapes
from tests.support.installation import wait_until
from tests.support.store import StoreProcess

Client = pymongo.MongoClient[dict[str, Any]]
DATABASE = "comparison"

_queries = st.lists(st.tuples(cases.filters, cases.orders, cases.projections), min_size=3, max_size=3)
_updates = st.lists(st.tuples(cases.filters, cases.updates, st.booleans()), min_size=3, max_size=3)
_pipelines = st.lists(cases.pipelines, min_size=3, max_size=3)
_operations_each = 3 * 5 + 3 + 3  # of one example

_check = settings(
    deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[
        HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large,
    ],
)  # fmt: skip


def compare(left: Any, right: Any, content: Any, queries: Any, updates: Any, pipelines: Any) -> None:
    for collection in (left, right):
        cases.fill(collection, content)
    sortable = not cases.has_empty_array(content)
    todo = [case for query in queries for case in cases.query_cases(*query, sortable)]
    todo += [cases.pipeline_case(pipeline) for pipeline in pipelines]
    found = cases.differences(left, right, todo)
    for update in updates:
        for collection in (left, right):
            cases.fill(collection, content)
        found += cases.differences(left, right, [cases.update_case(*update)])
    assert not found, "\n".join([*found, f"documents: {content}"])


@pytest.fixture
def indexed_and_not(client: Client) -> Any:
    pair = client[DATABASE]["indexed"], client[DATABASE]["plain"]
    for keys in cases.INDEXES:
        pair[0].create_index(keys)
    pair[0].create_index("b", name="sparse", sparse=True)
    pair[0].create_index("c", name="partial", partialFilterExpression={"c": {"$gt": 0}})
    return pair


@settings(_check, max_examples=60)
@given(cases.documents(), _queries, _updates, _pipelines)
def test_indexes_change_no_result(
    indexed_and_not: Any, content: Any, queries: Any, updates: Any, pipelines: Any
) -> None:
    compare(*indexed_and_not, content, queries, updates, pipelines)


@settings(_check, max_examples=40)
@given(cases.plain_documents(), _queries, _updates, _pipelines)
def test_indexes_without_arrays(
    indexed_and_not: Any, content: Any, queries: Any, updates: Any, pipelines: Any
) -> None:
    """No array ever: these indexes are never multikey ones, and are used to the full."""
    compare(*indexed_and_not, content, queries, [], pipelines)


@settings(_check, max_examples=25)
@given(cases.documents(), _queries, _updates)
def test_transactions_see_their_own_changes(client: Client, content: Any, queries: Any, updates: Any) -> None:
    """Reading inside a transaction what it has written gives what reading gives after it."""
    inside, outside = client[DATABASE]["inside"], client[DATABASE]["outside"]
    for keys in cases.INDEXES:
        inside.create_index(keys)
    cases.fill(inside, content)
    cases.fill(outside, content)
    filters = [query[0] for query in queries]
    with client.start_session() as session:
        session.start_transaction()
        try:
            for spec, update, _ in updates:
                inside.update_many(spec, update, session=session)
            seen = [cases.unordered(inside.find(spec, session=session)) for spec in filters]
        except pymongo.errors.PyMongoError:
            return
        session.commit_transaction()
    for spec, update, _ in updates:
        outside.update_many(spec, update)
    assert seen == [cases.unordered(outside.find(spec)) for spec in filters]
    assert seen == [cases.unordered(inside.find(spec)) for spec in filters]


@pytest.fixture(scope="module")
def oracle() -> Iterator[Client]:
    url = os.environ.get("ICEPROD_ORACLE_URL")
    if not url:
        pytest.skip("needs ICEPROD_ORACLE_URL, the URL of a MongoDB-compatible server")
    with pymongo.MongoClient(url) as client:
        yield client
        client.drop_database(DATABASE)


@pytest.fixture(params=["plain", "indexed"])
def oracle_and_store(
    request: pytest.FixtureRequest, oracle: Client, shared_store: StoreProcess
) -> Iterator[Any]:
    with pymongo.MongoClient(shared_store.url) as client:
        pair = oracle[DATABASE]["c"], client[DATABASE]["c"]
        for collection in pair:
            collection.drop()
            for keys in cases.INDEXES if request.param == "indexed" else ():
                collection.create_index(keys)
        yield pair


@settings(_check, max_examples=30)
@given(cases.documents(), _queries, _updates, _pipelines)
def test_against_oracle(
    oracle_and_store: Any, content: Any, queries: Any, updates: Any, pipelines: Any
) -> None:
    compare(*oracle_and_store, content, queries, updates, pipelines)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@settings(_check, max_examples=20_000 // (2 * _operations_each) + 1)
@given(cases.documents(), _queries, _updates, _pipelines)
def test_against_oracle_for_long(
    oracle_and_store: Any, content: Any, queries: Any, updates: Any, pipelines: Any
) -> None:
    """20 000 operations."""
    compare(*oracle_and_store, content, queries, updates, pipelines)


# -- the shapes that the store is compared with itself on

_PROJECTION = {"a.x": 1, "b": 1}
_filters = st.lists(shapes.filters, min_size=4, max_size=4)
_questions_each = 4 * 6 + 3  # of one example
_any_year = CodecOptions[dict[str, Any]](datetime_conversion=DatetimeConversion.DATETIME_MS)


@pytest.fixture(params=["plain", "indexed"])
def wide_pair(request: pytest.FixtureRequest, oracle: Client, shared_store: StoreProcess) -> Iterator[Any]:
    with pymongo.MongoClient[dict[str, Any]](shared_store.url) as client:
        pair = [server[DATABASE].get_collection("wide", codec_options=_any_year)
                for server in (oracle, client)]
        for collection in pair:
            cases.patiently(collection.drop)
            if request.param == "indexed":
                collection.create_indexes([_index_model(index) for index in shapes.distinct(shapes.INDEXES)])
        yield pair


def _index_model(index: shapes.Document) -> pymongo.IndexModel:
    options = {name: value for name, value in index.items() if name != "key"}
    return pymongo.IndexModel(list(index["key"].items()), **options)


def _match_case(spec: Any) -> cases.Case:
    pipeline: list[dict[str, Any]] = [{"$match": spec}, {"$group": {"_id": "$_id"}}]
    return f"match {spec}", lambda c: sorted(item["_id"] for item in c.aggregate(pipeline))


@contextlib.contextmanager
def while_both_stand(pair: Any) -> Iterator[None]:
    """A question that the database we compare with dies of is none; it takes some seconds to recover."""
    try:
        yield
    except (OperationFailure, ConnectionFailure) as error:
        if "recovery" not in str(error) and "closed" not in str(error):
            raise
        wait_until(lambda: all(map(_answers, pair)))
        reject()


def _answers(collection: Any) -> bool:
    try:
        collection.count_documents({})
    except (OperationFailure, ConnectionFailure):
        return False
    return True


def compare_shapes(pair: Any, content: Any, specs: Any, order: Any) -> None:
    both = set.intersection(*(set(cases.accepted(collection, content)) for collection in pair))
    content = [document for document in content if document["_id"] in both]
    if not content:
        return
    sortable, found = not cases.has_empty_array(content), list[str]()
    reading = [case for spec in specs
               for case in [*cases.query_cases(spec, list(order.items()), _PROJECTION, sortable),
                            _match_case(spec)]]
    # DocumentDB's findAndModify takes {$all: []} for true; its other commands know that it matches nothing
    writing = cases.writing_cases(specs[0])[cases.has_empty_all(specs[0]):]
    for todo in [reading, *([case] for case in writing)]:
        for collection in pair:
            cases.fill(collection, content)
        found += cases.differences(*pair, todo)
    assert not found, "\n".join([*found, f"documents: {content}"])


@settings(_check, max_examples=30)
@given(shapes.documents(), _filters, shapes.orders)
def test_shapes_against_oracle(wide_pair: Any, content: Any, specs: Any, order: Any) -> None:
    with while_both_stand(wide_pair):
        compare_shapes(wide_pair, content, specs, order)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@settings(_check, max_examples=20_000 // (2 * _questions_each) + 1)
@given(shapes.documents(), _filters, shapes.orders)
def test_shapes_against_oracle_for_long(wide_pair: Any, content: Any, specs: Any, order: Any) -> None:
    """20 000 questions."""
    with while_both_stand(wide_pair):
        compare_shapes(wide_pair, content, specs, order)
