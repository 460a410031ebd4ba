"""Single parts: sorting beyond memory, logins, groups of writes."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import DBRef
from hypothesis import given
from hypothesis import strategies as st

from server.embedded import commands
from server.embedded.documents import sorting
from server.embedded.documents.errors import Code, CommandError, DataDirectoryError
from server.embedded.documents.values import decode, encode
from server.embedded.documents.wire import Message
from server.embedded.sessions import scram
from server.embedded.sessions.runner import Runner
from server.embedded.sessions.store import Store
from server.embedded.storage.storage import Storage
from tests.support import store_cases
from tests.unit.embedded.conftest import LocalStore


@pytest.mark.parametrize("limit", [0, 10])
def test_sorter_spills(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(sorting, "MEMORY_BYTES", 20_000)
    sorter = sorting.Sorter(limit)
    for i in range(1000):
        sorter.add(b"%03d" % (i * 7919 % 500), b"%d" % i)
    found = list(sorter.sorted())
    wanted = sorted(range(1000), key=lambda i: (i * 7919 % 500, i))
    assert found == [b"%d" % i for i in (wanted[:limit] if limit else wanted)]


@given(store_cases.documents())
def test_encoding_is_lossless(content: list[dict[str, Any]]) -> None:
    for document in content:
        raw = bson.encode(document)
        assert encode(decode(raw)) == raw


def test_references_are_objects(local: LocalStore) -> None:
    local.insert({"_id": 1, "r": DBRef("c", 5)})
    assert local.find({"r.$id": 5}) == [{"_id": 1, "r": DBRef("c", 5)}]
    local.update({"_id": 1}, {"$set": {"r.$id": 6}})
    assert local.find()[0]["r"] == DBRef("c", 6)


def test_login() -> None:
    credentials = scram.make_credentials("secret")
    conversation = scram.Conversation(lambda name: credentials if name == "ada" else None, skip_empty=True)
    first = conversation.first(b"n,,n=ada,r=abc").decode()
    assert first.startswith("r=abc")
    with pytest.raises(CommandError) as error:
        conversation.next(b"c=biws," + first.split(",")[0].encode() + b",p=" + b"A" * 43 + b"=")
    assert error.value.code == Code.AuthenticationFailed


@pytest.mark.parametrize("payload", [b"", b"\xff", b"n,,", b"n,,n=ada", b"p=tls-unique,,n=ada,r=x"])
def test_malformed_login(payload: bytes) -> None:
    with pytest.raises(CommandError) as error:
        scram.Conversation(lambda name: None, skip_empty=True).first(payload)
    assert error.value.code == Code.AuthenticationFailed


def test_directory_is_for_one(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "d")
    with pytest.raises(DataDirectoryError, match="another process"):
        Storage(tmp_path / "d")
    storage.close()
    Storage(tmp_path / "d").close()


def test_newer_format_is_refused(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "d")
    storage.db.execute("PRAGMA user_version = 99")
    storage.close()
    with pytest.raises(DataDirectoryError, match="format 99"):
        Storage(tmp_path / "d")


def test_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "store.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(DataDirectoryError, match="cannot open"):
        Storage(tmp_path / "d")


async def settled(answered: list[Any], number: int) -> None:
    """Let the event loop run until there are so many answers."""
    while len(answered) < number:  # noqa: ASYNC110 - it is the loop's turns that count
        await asyncio.sleep(0)


def test_writes_of_one_turn_share_a_commit(tmp_path: Path) -> None:
    """And nobody is answered before it."""

    async def main() -> None:
        store = Store(tmp_path / "d")
        runner, answered = Runner(store), []
        commits = []
        original = store.storage.commit
        store.storage.commit = lambda: (commits.append(len(answered)), original())  # type: ignore[method-assign]
        for i in range(20):
            body = {"insert": "c", "documents": [{"_id": i}], "$db": "t"}
            steps = commands.dispatch(store, commands.Peer(i), Message(i, body))
            runner.run(steps, answered.append)
        assert not answered
        await settled(answered, 20)
        assert commits == [0]
        store.close()

    asyncio.run(main())


def test_a_long_command_is_one_commit_unless_others_wait(tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.embedded.sessions.runner._GROUP_SECONDS", float("inf"))

    async def main() -> None:
        store = Store(tmp_path / "d")
        runner, answered = Runner(store), []
        commits = []
        original = store.storage.commit
        store.storage.commit = lambda: (commits.append(len(answered)), original())  # type: ignore[method-assign]

        def send(documents: list[dict[str, Any]]) -> None:
            body = {"insert": "c", "documents": documents, "$db": "t"}
            runner.run(commands.dispatch(store, commands.Peer(1), Message(1, body)), answered.append)

        send([{"_id": i} for i in range(3000)])
        await settled(answered, 1)
        assert len(commits) == 1
        send([{"_id": i} for i in range(3000, 6000)])
        send([{"_id": "short"}])
        await settled(answered, 2)
        assert answered[-1] == {"n": 1, "ok": 1.0}, "who is done does not wait for who is not"
        await settled(answered, 3)
        assert not store.storage.dirty
        store.close()

    asyncio.run(main())


def test_failed_group_is_told_to_all_who_were_in_it(tmp_path: Path) -> None:
    async def main() -> None:
        store = Store(tmp_path / "d")
        runner, answered = Runner(store), []

        def send(*ids: int, padding: int = 0) -> None:
            documents = [{"_id": i, "p": "x" * padding} for i in ids]
            steps = commands.dispatch(
                store, commands.Peer(1), Message(1, {"insert": "c", "documents": documents, "$db": "t"})
            )
            runner.run(steps, answered.append)

        send(1)
        await settled(answered, 1)
        store.storage.limit(store.storage.bytes_on_disk() // 4096 + 20)
        send(2)
        send(3, padding=1_000_000)
        send(4)
        await settled(answered, 4)
        codes = [getattr(answer, "code", None) for answer in answered]
        assert codes.count(Code.OutOfDiskSpace) >= 2
        collection = store.catalog.require("t", "c")
        found = {decode(raw)["_id"] for _, _, raw in store.storage.read(collection.scan_sql[0], (-1, 100))}
        acknowledged = {
            i for i, code in zip((1, 2, 3, 4), sorted(codes, key=str), strict=True) if code is None
        }
        assert len(found) == codes.count(None)
        assert 3 not in found
        assert 1 in found
        assert acknowledged
        store.close()

    asyncio.run(main())


def test_long_commands_fail_too_when_an_earlier_part_of_theirs_is_lost(tmp_path: Path) -> None:
    async def main() -> None:
        store = Store(tmp_path / "d")
        runner, answered = Runner(store), []
        documents = [{"_id": i, "p": "x" * 1000} for i in range(3000)]
        body = {"insert": "c", "documents": documents, "$db": "t"}
        store.storage.limit(300)
        runner.run(commands.dispatch(store, commands.Peer(1), Message(1, body)), answered.append)
        await settled(answered, 1)
        assert answered[0].code == Code.OutOfDiskSpace
        store.close()

    asyncio.run(main())


@given(st.text(max_size=20))
def test_passwords_are_normalised(password: str) -> None:
    credentials = scram.make_credentials(password)
    assert credentials.stored_key != credentials.server_key
    assert len(credentials.salt) == 28


def _indexed(local: LocalStore) -> None:
    local.index({"a": 1}, unique=True)
    local.index({"b": 1, "c": -1})
    local.index({"tags": 1})
    local.index({"d": 1}, sparse=True)


def _entries(local: LocalStore) -> list[list[tuple[Any, ...]]]:
    [collection] = local.store.catalog.collections("t")
    return [list(local.store.storage.read(f"SELECT key, rid FROM {index.table} ORDER BY key, rid"))
            for index in collection.indexes.values()]


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=40), st.booleans())
def test_many_documents_are_stored_as_one_by_one(values: list[int], ordered: bool) -> None:
    """Also when some are there already, or come twice."""
    documents = [{"_id": number, "a": value, "b": value % 3, "c": str(value),
                  "tags": [value % 2] * (value % 3),
                  **({"d": value} if value % 5 == 0 else {})} for number, value in enumerate(values)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        together, alone = LocalStore(Path(one)), LocalStore(Path(other))
        _indexed(together)
        _indexed(alone)
        answer = together.command({"insert": "c", "documents": documents, "ordered": ordered})
        failed = []
        for number, document in enumerate(documents):
            row = alone.command({"insert": "c", "documents": [document]})
            failed += [number] if row.get("writeErrors") else []
            if ordered and failed:
                break
        assert [error["index"] for error in answer.get("writeErrors", [])] == failed
        assert together.find(sort={"_id": 1}) == alone.find(sort={"_id": 1})
        assert _entries(together) == _entries(alone)
        assert together.command({"count": "c"})["n"] == alone.command({"count": "c"})["n"]
        for local in (together, alone):
            local.store.close()


def test_more_documents_than_are_stored_at_once(local: LocalStore) -> None:
    _indexed(local)
    local.insert(*({"_id": number, "a": number} for number in range(700)))
    answer = local.command({"insert": "c", "documents": [{"_id": number, "a": 699 - number if number == 1100
                            else number} for number in range(1000, 1600)], "ordered": False})
    assert answer["n"] == 600
    assert [row["_id"] for row in local.find({"a": {"$gte": 650}}, sort={"a": 1})][:52] == [
        *range(650, 700), 1000, 1001]
    answer = local.command({"insert": "c", "documents": [{"_id": number, "a": number} for number in
                            (5000, 5001, 5002, 5003, 3, 5004)], "ordered": False})
    assert (answer["n"], [error["index"] for error in answer["writeErrors"]]) == (5, [4])
