"""A scan survives a crash after any of its writes: whoever goes on comes to the same map.

Each run of the test lets the server die at one write, throws away all that it had in memory, and lets a
new one go on from the database alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from config.settings import Database, Scans, Settings
from scanner.maps.result import ScanResult
from scanner.maps.rows import rows_from_table
from server.app import INDEXES
from server.common.errors import NotFound
from server.production.leases import leases
from server.production.leases.leases import Claim
from server.production.tasks import kinds
from server.rest.context import Context
from server.scans.results import results
from server.scans.run import backlog, launcher
from server.scans.run.backlog import Entry
from server.scans.run.collect import BatchResult, take_in
from server.scans.run.creation import create_scan
from server.store.database import connect, ensure_indexes
from tests.support.scans import made_up_map, made_up_rows, scan_body, simulated_event
from tests.support.store import embedded_store

pytestmark = pytest.mark.slow

NSIDES = {"1": 0, "4": 1}
WRITES = ("insert_one", "insert_many", "update_one", "update_many", "find_one_and_update", "delete_one",
          "bulk_write")
EVENT = simulated_event()


class Crash(BaseException):
    """The server dies here."""


class Countdown:
    """Lets the server die when the n-th write is done, which is before the next one."""

    def __init__(self, n: int) -> None:
        self.left = n

    async def run(self, write: Any, arguments: Any, options: Any) -> Any:
        result = await write(*arguments, **options)
        self.left -= 1
        if self.left == 0:
            raise Crash
        return result


class MortalCollection:
    def __init__(self, collection: Any, countdown: Countdown) -> None:
        self._collection, self._countdown = collection, countdown

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)
        if name not in WRITES:
            return method
        return lambda *arguments, **options: self._countdown.run(method, arguments, options)


class MortalDatabase:
    """A database whose client dies at some write."""

    def __init__(self, db: Any, countdown: Countdown) -> None:
        self._db, self._countdown = db, countdown

    def __getattr__(self, name: str) -> Any:
        return MortalCollection(getattr(self._db, name), self._countdown)

    __getitem__ = __getattr__


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_store(tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture
async def db(store: str, tmp_path: Path) -> AsyncIterator[Any]:
    database = connect(Database(url=store, name=tmp_path.name.replace("[", "_").replace("]", "")[:40]))
    await ensure_indexes(database, INDEXES)
    yield database
    await database.client.drop_database(database.name)
    await database.client.close()


def context(db: Any, countdown: Countdown | None = None) -> Context:
    """A new server: nothing in memory."""
    settings = msgspec.structs.replace(Settings(), scans=Scans(first_batch_pixels=7))
    return Context(settings, MortalDatabase(db, countdown or Countdown(-1)), "secret")


async def take_part(ctx: Context) -> bool:
    """One service round and one batch by a pilot; whether there was a batch."""
    await launcher.keep_going(ctx)
    return await do_a_batch(ctx)


async def do_a_batch(ctx: Context) -> bool:
    offer = {"cpu": 1, "memory": 4.0, "disk": 9.0, "time": 9.0}
    tasks = await leases.claim(ctx, Claim(offer, target="processing"))
    if not tasks:
        return False
    payload = (await kinds.payloads(ctx, tasks))[tasks[0]["task_id"]]
    rows = rows_from_table(made_up_rows(payload["nside"], np.array(payload["pixels"])))
    await take_in(ctx, tasks[0]["task_id"], BatchResult(tasks[0]["instance_id"], rows, 0.01, 0.01))
    return True


async def scan_until_over(ctx: Context, scan_id: str) -> None:
    for _ in range(60):
        if await results.is_final(ctx, scan_id) is not None:
            await launcher.keep_going(ctx)
            return
        await take_part(ctx)
    raise AssertionError("the scan does not end")


async def after_the_crash(db: Any) -> None:
    """Time passes: leases end, and so does the claim on the backlog's entry."""
    await db.tasks.update_many({"due": {"$exists": True}, "status": {"$in": ["queued", "processing"]}},
                               {"$set": {"due": "2000"}})
    await db.scan_backlog.update_many({}, {"$set": {"pending_timestamp": 0.0}})
    await leases.expire(context(db))


async def assert_map(db: Any, scan_id: str) -> None:
    stored = await results.read(context(db), scan_id)
    assert stored is not None
    assert stored.is_final
    found = ScanResult.from_json(msgspec.json.decode(bytes(stored.skyscan_result)))
    wanted = made_up_map("1:0,4:1")
    assert {n: t.tobytes() for n, t in found.pixels.items()} == {n: t.tobytes() for n, t in wanted.items()}


async def assert_complete(db: Any, scan_id: str) -> None:
    await assert_map(db, scan_id)
    run = await db.scan_runs.find_one({"scan_id": scan_id})
    manifest = await db.manifests.find_one({"scan_id": scan_id})
    dataset = await db.datasets.find_one({"dataset_id": run["dataset_id"]})
    assert (run["phase"], run["is_closed"]) == ("final", True)
    assert manifest["progress"]["processing_stats"]["finished"] is True
    assert dataset["always_active"] is False
    assert not await db.tasks.count_documents({"status": {"$in": ["waiting", "idle"]}})
    assert not await backlog.entries(context(db))


async def crash_at(db: Any, n: int) -> bool:
    """A scan whose server dies at its n-th write; whether it lived to make so many."""
    body = scan_body(nsides=NSIDES, event_i3live_json=EVENT)
    scan_id = (await create_scan(context(db), body)).scan_id
    countdown = Countdown(n)
    try:
        await scan_until_over(context(db, countdown), scan_id)
    except Crash:
        await after_the_crash(db)
        await scan_until_over(context(db), scan_id)
    except NotFound as error:
        raise AssertionError(f"write {n}: {error}") from error
    await assert_complete(db, scan_id)
    for collection in ("tasks", "scan_backlog", "i3_events"):
        await db[collection].delete_many({})
    return countdown.left <= 0


async def test_a_crash_after_any_write(db: Any) -> None:
    crashes = 0
    while await crash_at(db, crashes + 1):
        crashes += 1
    assert crashes > 30


async def test_a_request_that_was_cut_short_is_no_scan(db: Any) -> None:
    for n in range(1, 20):
        try:
            manifest = await create_scan(context(db, Countdown(n)), scan_body())
        except Crash:
            known = await db.manifests.count_documents({})
            assert known in (0, 1)
            await launcher.keep_going(context(db))
            assert await db.scan_runs.count_documents({}) == known
            continue
        assert manifest.scan_id
        break
    else:
        raise AssertionError("a request never succeeds")


async def test_a_scan_that_cannot_go_on_stands_in_no_others_way(db: Any) -> None:
    ctx = context(db)
    bad, good = [(await create_scan(ctx, scan_body(nsides=NSIDES, event_i3live_json=EVENT))).scan_id
                 for _ in range(2)]
    await launcher.keep_going(ctx)
    await db.pixel_batches.update_many({"scan_id": bad}, {"$set": {"done": True, "rows": b"cut short"}})
    with pytest.raises(ExceptionGroup, match="cannot go on"):
        await launcher.keep_going(context(db))
    ctx = context(db)
    for _ in range(60):
        if await results.is_final(ctx, good) is not None:
            break
        with contextlib.suppress(ExceptionGroup):
            await launcher.keep_going(ctx)
        with contextlib.suppress(ValueError):  # a batch of the broken scan
            await do_a_batch(ctx)
    await assert_map(db, good)


class CountedDatabase:
    """A database that counts what it is asked."""

    def __init__(self, db: Any) -> None:
        self._db, self.asked = db, 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self._db, name)

    __getitem__ = __getattr__


@pytest.mark.parametrize("reco", ["elsewhere", "track_mpe"])
async def test_a_long_backlog_costs_no_more_than_a_short_one(db: Any, reco: str) -> None:
    asked = []
    for length in (3, 300):
        for number in range(length):
            entry = Entry(f"s{length}-{number}", number, 1, username="one", reco=reco, clusters=["osg"])
            await backlog.add(context(db), entry)
            await db.manifests.insert_one({"scan_id": entry.scan_id, "i3_event_id": "e"})
        counted = CountedDatabase(db)
        settings = msgspec.structs.replace(Settings(), scans=Scans(running_per_user=0))
        await launcher.keep_going(Context(settings, counted, "secret"))  # type: ignore[arg-type]
        asked.append(counted.asked)
    assert asked[0] == asked[1]
    present = await backlog.find(context(db), "s300-299")
    assert present is not None
    assert await backlog.place(context(db), present) == 300 + 3
    assert len(await backlog.entries(context(db))) == 303
