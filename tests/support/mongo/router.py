"""A router of a sharded cluster, as far as a server meets one: its greeting, and which indexes it makes.

https://www.mongodb.com/docs/manual/core/sharded-cluster-requirements/
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from bson import decode

from server.embedded.documents.wire import Message
from server.sharding import SHARD_KEYS
from tests.support.mongo.front import Upstream, answer, document_of, name_of, running_loop
from tests.support.mongo.recorder import Recorder

__all__ = ["Router", "routing"]


class Router(Recorder):
    """Refuses unique indexes that no shard can see to."""

    async def handle(self, upstream: Upstream, message: Message, raw: bytes) -> bytes | None:
        name = name_of(message)
        if name == "createIndexes" and (refused := _refused(message.body)):
            return answer(message, refused)
        reply = await super().handle(upstream, message, raw)
        if reply and name in ("hello", "ismaster", "isMaster"):
            return answer(message, {**_document(reply), "msg": "isdbgrid"})
        return reply


def _document(reply: bytes) -> dict[str, Any]:
    """The greeting, which a driver may have asked for in the old way."""
    is_old = int.from_bytes(reply[12:16], "little") == 1
    return decode(reply[36:]) if is_old else document_of(reply)


def _refused(body: dict[str, Any]) -> dict[str, Any] | None:
    fields = [field for field, _ in SHARD_KEYS.get(body["createIndexes"], [])]
    for index in body["indexes"]:
        if index.get("unique") and list(index["key"])[:len(fields)] != fields:
            text = f"cannot create unique index over {dict(index['key'])} with shard key pattern {fields}"
            return {"ok": 0.0, "code": 67, "codeName": "CannotCreateIndex", "errmsg": text}
    return None


@contextlib.contextmanager
def routing(url: str) -> Iterator[Router]:
    """A router in front of a store."""
    with running_loop() as loop:
        router = Router(loop, url)
        try:
            yield router
        finally:
            router.stop()
