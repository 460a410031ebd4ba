"""TTL indexes: deleting documents whose time has come."""

from __future__ import annotations

import time
from typing import Any

from server.embedded.documents.paths import candidates, split
from server.embedded.documents.values import as_date, date_millis, is_date
from server.embedded.indexes.index import Index
from server.embedded.query import query
from server.embedded.reading.queries import search_tree
from server.embedded.sessions.store import Store
from server.embedded.storage.catalog import Collection
from server.embedded.storage.writes import Steps, Writer

INTERVAL_SECONDS = 10.0


def needed(store: Store) -> bool:
    """Is there a TTL index?"""
    return any(index.expire_after is not None for c in store.catalog.all() for index in c.indexes.values())


def expire(store: Store) -> Steps[int]:
    """Delete what has expired; how many documents."""
    deleted = 0
    for collection in list(store.catalog.all()):
        for index in list(collection.indexes.values()):
            if index.expire_after is not None and not collection.dropped:
                deleted += yield from _expire_index(store, collection, index)
    return deleted


def _expire_index(store: Store, collection: Collection, index: Index) -> Steps[int]:
    path = index.fields[0][0]
    limit = int(time.time() * 1000) - int(float(index.expire_after or 0) * 1000)
    tree = query.Every((query.Predicate(path, "$lte", as_date(limit)),))
    found = search_tree(store.direct, collection, tree, [])
    writer = Writer(store.direct, store.catalog, collection)
    deleted = 0
    for match in found.found():
        if match is None:
            yield None
            continue
        anew = found.still_matches(match[0])
        if anew is not None and _expired(anew[1], path, limit) and writer.delete(match[0], anew[0]) is None:
            deleted += 1
    return deleted


def _expired(document: Any, path: str, limit: int) -> bool:
    """Of several dates in an array the earliest counts."""
    dates = []
    for value in candidates(document, split(path)):
        dates += [item for item in (value if isinstance(value, list) else [value]) if is_date(item)]
    return bool(dates) and min(map(date_millis, dates)) <= limit
