"""Notifications on a real embedded store, with everything else beside them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from config.settings import Database, Settings
from server.app import INDEXES
from server.rest.context import Context
from server.store.database import connect, ensure_indexes
from tests.support.store import embedded_store


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_store(tmp_path_factory.mktemp("notifications")) as url:
        yield url


@pytest.fixture
async def ctx(store_url: str) -> AsyncIterator[Context]:
    db = connect(Database(url=store_url, name=f"t{uuid.uuid4().hex[:12]}"))
    await ensure_indexes(db, INDEXES)
    yield Context(Settings(), db, "s" * 48)
    await db.client.drop_database(db.name)
    await db.client.close()
