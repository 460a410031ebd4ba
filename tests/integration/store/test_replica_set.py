"""What the server's client makes of a replica set: elections, silence, lost answers, late majorities."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from pymongo import InsertOne, UpdateMany
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import NotPrimaryError, PyMongoError

from config.settings import Database
from server.store.away import is_away
from server.store.database import connect
from tests.support.mongo.replicas import ReplicaSet, replica_set
from tests.support.store import embedded_store

QUICK = "&serverSelectionTimeoutMS=1500&heartbeatFrequencyMS=500&connectTimeoutMS=500"
"""Of a client whose tests need not wait."""

Do = Callable[[AsyncDatabase], Coroutine[Any, Any, Any]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_store(tmp_path_factory.mktemp("replicas")) as url:
        yield url


@pytest.fixture
def replicas(store: str) -> Iterator[ReplicaSet]:
    with replica_set(store) as replicas:
        yield replicas


def using(replicas: ReplicaSet, do: Do, options: str = QUICK) -> Any:
    """What comes of a task that has the database to itself."""
    async def whole() -> Any:
        db = connect(Database(url=replicas.url + options, name="replicas"))
        try:
            await db.things.drop()
            return await do(db)
        finally:
            await db.client.close()

    return asyncio.run(whole())


async def count(db: AsyncDatabase) -> None:
    """A write that counts how often it is done."""
    await db.things.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}}, upsert=True)


async def counted(db: AsyncDatabase) -> int:
    found = await db.things.find_one({"_id": 1})
    return found["n"] if found else 0


def test_every_write_asks_for_a_majority_and_the_journal(replicas: ReplicaSet) -> None:
    async def write(db: AsyncDatabase) -> None:
        await db.things.insert_one({"_id": 1})
        await db.things.update_many({}, {"$set": {"a": 1}})
        await db.things.bulk_write([InsertOne({"_id": 2}), UpdateMany({}, {"$set": {"a": 2}})])
        await count(db)
        await db.things.create_index("a")
        await db.things.delete_many({})

    using(replicas, write)
    concerns = [body["writeConcern"] for body in replicas.state.seen if "find" not in body]
    assert len(concerns) >= 7
    assert all(one == {"w": "majority", "j": True, "wtimeout": 20_000} for one in concerns)


@pytest.mark.parametrize("code", [0, 91, 189, 262, 10107, 11600, 11602])
@pytest.mark.parametrize("applied", [False, True])
def test_a_write_that_an_election_meets_is_done_once(replicas: ReplicaSet, code: int, applied: bool) -> None:
    async def meet(db: AsyncDatabase) -> int:
        await count(db)
        replicas.fail("findAndModify", code, applied=applied)
        await count(db)
        return await counted(db)

    assert using(replicas, meet) == 2
    assert set(replicas.state.applied.values()) == {1}


@pytest.mark.parametrize("code", [0, 10107, 11602])
def test_a_read_that_an_election_meets_is_read_again(replicas: ReplicaSet, code: int) -> None:
    async def meet(db: AsyncDatabase) -> int:
        await count(db)
        replicas.fail("find", code)
        return await counted(db)

    assert using(replicas, meet) == 1


def test_a_write_that_no_majority_has_in_time_is_told(replicas: ReplicaSet) -> None:
    """It is done, and may be undone by an election: whoever asked must ask again, and it must count once."""
    async def meet(db: AsyncDatabase) -> int:
        for command, work in (("findAndModify", count(db)),
                              ("update", db.things.update_many({}, {"$set": {"a": 1}})),
                              ("insert", db.things.bulk_write([InsertOne({"_id": 2})]))):
            replicas.fail(command, 64, applied=True)
            with pytest.raises(PyMongoError) as error:
                await work
            assert is_away(error.value)
        return await db.things.count_documents({})

    assert using(replicas, meet) == 2


def test_a_write_of_many_is_not_repeated_unasked(replicas: ReplicaSet) -> None:
    """MongoDB does not number them, so the driver cannot know; our caller hears that it should ask again."""
    async def meet(db: AsyncDatabase) -> int:
        await count(db)
        replicas.fail("update", applied=True)
        with pytest.raises(PyMongoError) as error:
            await db.things.update_many({}, {"$inc": {"n": 1}})
        assert is_away(error.value)
        return await counted(db)

    assert using(replicas, meet) == 2


def test_without_a_primary_nothing_is_read_or_written(replicas: ReplicaSet) -> None:
    """A secondary may not have yet what was just acknowledged."""
    async def meet(db: AsyncDatabase) -> None:
        await count(db)
        replicas.step_down()
        for work in (count(db), counted(db)):
            with pytest.raises(PyMongoError) as error:
                await work
            assert is_away(error.value)

    using(replicas, meet)


def test_an_election_is_a_pause(replicas: ReplicaSet) -> None:
    async def meet(db: AsyncDatabase) -> int:
        await count(db)
        replicas.lose(0)
        later = asyncio.get_running_loop().call_later(2.5, replicas.elect, 1)
        await count(db)
        later.cancel()
        return await counted(db)

    assert using(replicas, meet, "&heartbeatFrequencyMS=500") == 2


def test_a_primary_that_falls_silent_is_left(replicas: ReplicaSet) -> None:
    """Its network is gone: nothing closes the connection that a command waits on."""
    async def meet(db: AsyncDatabase) -> int:
        await count(db)
        replicas.silence(0)
        asyncio.get_running_loop().call_later(1, replicas.elect, 2)
        async with asyncio.timeout(30):
            await count(db)
            return await counted(db)

    assert using(replicas, meet, "&heartbeatFrequencyMS=500&connectTimeoutMS=500") == 2


def test_counting_through_elections_loses_nothing_and_counts_nothing_twice(replicas: ReplicaSet) -> None:
    """One trouble at a time for each write: the driver repeats once.

    A write that just as it is sent learns of another's failure goes without a number, so the driver does not
    repeat it; that it was not done is what the server says.
    """
    counts, progress = dict.fromkeys(range(6), 0), asyncio.Event()

    async def one(db: AsyncDatabase, name: int) -> None:
        while counts[name] < 60:
            with contextlib.suppress(NotPrimaryError):
                await db.things.update_one({"_id": name}, {"$inc": {"n": 1}}, upsert=True)
                counts[name] += 1
                progress.set()

    async def all_went_on() -> None:
        before = dict(counts)
        while any(counts[name] < min(60, before[name] + 2) for name in counts):
            progress.clear()
            await progress.wait()

    async def trouble() -> None:
        for turn in range(1, 7):
            replicas.fail("update", applied=True)
            await all_went_on()
            replicas.step_down()
            await asyncio.sleep(0.1)
            replicas.elect(turn % 3)
            await all_went_on()

    async def meet(db: AsyncDatabase) -> list[int]:
        await asyncio.gather(trouble(), *(one(db, name) for name in counts))
        return [row["n"] async for row in db.things.find()]

    assert using(replicas, meet, "&heartbeatFrequencyMS=500") == [60] * 6
    assert set(replicas.state.applied.values()) == {1}
