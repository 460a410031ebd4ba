"""Outboxes: what nobody thought of is a failed try like others, and is given up in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from config.settings import Database, Settings
from server.rest.context import Context
from server.sending.outbox import DEAD, SENT, Outbox, Patience, Row
from server.store.database import connect, ensure_indexes
from tests.support.store import embedded_store


async def test_a_row_that_cannot_be_sent_is_given_up(tmp_path: Path) -> None:
    async def send(ctx: Context, row: Row) -> str:
        if row["_id"] == "a":
            raise KeyError("of a document that an older version wrote")
        return "taken"

    outbox = Outbox("letters", "to", "letters", send, lambda ctx: Patience(2, 0.0))
    with embedded_store(tmp_path) as url:
        db = connect(Database(url=url, name="t"))
        await ensure_indexes(db, outbox.indexes())
        ctx = Context(Settings(), db, "s" * 48)
        await outbox.put(ctx, "a", "here", scope="s", record_number=1)
        await outbox.put(ctx, "b", "here", scope="s", record_number=2)
        await outbox.deliver(ctx)
        rows: dict[str, Any] = {row["_id"]: row async for row in db.letters.find({})}
        await db.client.close()
    assert (rows["a"]["state"], rows["b"]["state"]) == (DEAD, SENT)
    assert rows["a"]["outcome"] == "KeyError: see the server's log"
