"""Comparing a store's indexes with its documents."""

from __future__ import annotations

from server.embedded.catalog import Collection
from server.embedded.store import Store
from server.embedded.values import decode
from server.embedded.writes import Steps


def check_collection(store: Store, collection: Collection) -> Steps[list[str]]:
    """What is wrong with the collection; nothing if it is sound."""
    problems: list[str] = []
    counts = dict.fromkeys(collection.indexes, 0)
    after, size = -1, 200
    while True:
        rows = store.storage.read(collection.scan_sql[0], (after, size)).fetchall()
        for _, rid, raw in rows:
            document = decode(raw)
            for index in collection.indexes.values():
                for key in index.keys(document):
                    counts[index.name] += 1
                    sql = f"SELECT 1 FROM {index.table} WHERE key = ? AND rid = ?"
                    if store.storage.read(sql, (key, rid)).fetchone() is None:
                        problems.append(
                            f"{collection.namespace}: document {rid} is missing in index {index.name}"
                        )
        if len(rows) < size:
            break
        after = rows[-1][1]
        yield None
    for index in collection.indexes.values():
        (number,) = store.storage.read(f"SELECT count(*) FROM {index.table}").fetchone()
        if number != counts[index.name]:
            problems.append(
                f"{collection.namespace}: index {index.name} has {number} keys, not {counts[index.name]}"
            )
    return problems
