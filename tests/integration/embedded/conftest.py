"""A store in a process of its own, for tests through PyMongo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from tests.support.store import StoreProcess, store_process

Client = pymongo.MongoClient[dict[str, Any]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes runs only when it is asked for."""
    if "nightly" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run it with -m nightly"))


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """One store for the tests of a module."""
    with store_process(tmp_path_factory.mktemp("embedded")) as store:
        yield store


@pytest.fixture
def client(shared_store: StoreProcess) -> Iterator[Client]:
    """A client of the shared store, emptied before."""
    with pymongo.MongoClient(shared_store.url) as client:
        for name in client.list_database_names():
            client.drop_database(name)
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreProcess]:
    """A store of the test's own, to stop, kill and restart."""
    with store_process(tmp_path) as store:
        yield store
