"""A store without network, for tests of single commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.embedded import commands
from server.embedded.documents.values import decode, encode
from server.embedded.documents.wire import Message, Reply
from server.embedded.sessions.runner import drain
from server.embedded.sessions.store import Store


class LocalStore:
    """Runs commands on a store, one at a time."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory)
        self.peer = commands.Peer(1)

    def command(self, body: dict[str, Any], database: str = "t") -> dict[str, Any]:
        """The answer of a command.

        Raises CommandError.
        """
        message = Message(1, decode(encode({**body, "$db": database})))
        reply = drain(commands.dispatch(self.store, self.peer, message))
        self.store.storage.commit()
        return decode(reply.encode()) if isinstance(reply, Reply) else dict(reply)

    def insert(self, *documents: dict[str, Any]) -> dict[str, Any]:
        return self.command({"insert": "c", "documents": list(documents)})

    def find(self, spec: Any = None, **options: Any) -> list[dict[str, Any]]:
        reply = self.command({"find": "c", "filter": spec or {}, "batchSize": 100_000, **options})
        return reply["cursor"]["firstBatch"]

    def update(self, spec: Any, update: Any, **options: Any) -> dict[str, Any]:
        return self.command({"update": "c", "updates": [{"q": spec, "u": update, **options}]})

    def aggregate(self, *stages: dict[str, Any]) -> list[dict[str, Any]]:
        reply = self.command({"aggregate": "c", "pipeline": list(stages), "cursor": {"batchSize": 100_000}})
        return reply["cursor"]["firstBatch"]

    def index(self, keys: dict[str, int], **options: Any) -> None:
        name = options.pop("name", "_".join(f"{path}_{way}" for path, way in keys.items()))
        self.command({"createIndexes": "c", "indexes": [{"key": keys, "name": name, **options}]})

    def explain(self, spec: Any, **options: Any) -> dict[str, Any]:
        """The innermost stage of the plan for a find."""
        reply = self.command(
            {"explain": {"find": "c", "filter": spec, **options}, "verbosity": "queryPlanner"}
        )
        stage = reply["queryPlanner"]["winningPlan"]
        while "inputStage" in stage:
            stage = stage["inputStage"]
        return stage


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path / "data")
    yield store
    store.store.close()
