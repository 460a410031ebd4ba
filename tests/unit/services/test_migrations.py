"""Bringing a database to the present version: in order, once, after crashes too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from iceprod.ids import now
from server.rest.context import Context
from server.rest.health import probes
from server.services.migrations import (
    MIGRATIONS,
    FromTheFuture,
    LeaseLost,
    is_excluded,
    migrate,
    read_version,
)
from tests.support.migrating import STEPS, context
from tests.support.store import embedded_store

ROOT = Path(__file__).parents[3]
THINGS = 1000


@pytest.fixture(scope="module")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_store(tmp_path_factory.mktemp("migrations")) as url:
        yield url


@pytest.fixture
async def ctx(store_url: str) -> AsyncIterator[Context]:
    ctx = context(store_url, f"m{uuid.uuid4().hex[:12]}")
    await ctx.db.things.insert_many([{"_id": n, "old": n, "times": 0} for n in range(THINGS)])
    yield ctx
    await ctx.db.client.drop_database(ctx.db.name)
    await ctx.db.client.close()


async def is_done(ctx: Context) -> None:
    """Every document was changed, once."""
    things = await ctx.db.things.find().sort("_id", 1).to_list()
    assert things == [{"_id": n, "new": 2 * n, "times": 1} for n in range(THINGS)]
    assert (await ctx.db.sums.find_one())["sum"] == THINGS * (THINGS - 1)
    assert await read_version(ctx.db) == 3


def test_the_steps_of_the_program_are_numbered_without_gaps() -> None:
    assert [step.version for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    assert all(step.about and step.run.__doc__ for step in MIGRATIONS)


async def test_steps_run_in_their_order_and_once(ctx: Context) -> None:
    assert await migrate(ctx, STEPS) == 3
    await is_done(ctx)
    await ctx.db.sums.delete_many({})
    assert await migrate(ctx, STEPS) == 3
    assert await ctx.db.sums.find_one() is None
    assert await ctx.db.leases.find_one() is None


async def test_only_what_is_missing_runs(ctx: Context) -> None:
    await migrate(ctx, STEPS[:2])
    assert (await read_version(ctx.db), await ctx.db.sums.find_one()) == (2, None)
    await migrate(ctx, STEPS)
    await is_done(ctx)


async def test_of_several_servers_one_works(ctx: Context, store_url: str) -> None:
    others = [context(store_url, ctx.db.name) for _ in range(4)]
    assert await asyncio.gather(*(migrate(one, STEPS) for one in (ctx, *others))) == [3] * 5
    await is_done(ctx)
    for one in others:
        await one.db.client.close()


async def test_a_database_from_the_future_is_refused_and_left_alone(ctx: Context) -> None:
    await migrate(ctx, STEPS)
    with pytest.raises(FromTheFuture, match=r"has version 3, this program knows version 2"):
        await migrate(ctx, STEPS[:2])
    assert await read_version(ctx.db) == 3


async def test_who_loses_the_lease_stops(ctx: Context) -> None:
    class Endless(Exception):
        pass

    async def endless(db: object) -> None:
        await ctx.db.leases.update_one({"_id": "migration"}, {"$set": {"holder": "another"}})
        await asyncio.sleep(60)
        raise Endless

    with pytest.raises(LeaseLost):
        await migrate(ctx, [STEPS[0], type(STEPS[0])(2, "endless", endless)])
    assert await read_version(ctx.db) == 1


async def test_killed_in_the_middle_it_goes_on(ctx: Context, store_url: str) -> None:
    """kill -9 after the first batches, again and again; in the end all is changed, and nothing twice."""
    command = [sys.executable, "-m", "tests.support.migrating", store_url, ctx.db.name]
    for batches in (3, 1, 4):
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        said = [await process.stdout.readline() for _ in range(batches)]
        process.kill()
        await process.communicate()
        assert said == [b"batch\n"] * batches
        assert await read_version(ctx.db) == 1
    changed = await ctx.db.things.count_documents({"new": {"$exists": True}})
    assert 50 * 8 <= changed < THINGS
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.splitlines()[-1] == b"3"
    await is_done(ctx)


async def test_health_tells_the_version(ctx: Context) -> None:
    await migrate(ctx)
    assert (await probes(ctx))["schema"] == {"version": MIGRATIONS[-1].version,
                                             "known": MIGRATIONS[-1].version}


async def test_datasets_of_before_get_counters_that_are_to_be_proved(ctx: Context) -> None:
    await ctx.db.datasets.insert_many([{"dataset_id": "a"}, {"dataset_id": "b"}])
    await ctx.db.task_totals.insert_one({"_id": "b", "whole": 7})
    await migrate(ctx)
    assert (await ctx.db.task_totals.find_one({"_id": "a"}))["doubt"] is True
    assert await ctx.db.task_totals.find_one({"_id": "b"}) == {"_id": "b", "whole": 7}
    assert (await ctx.db.meta.find_one({"_id": "totals"}))["until"] > now()


async def test_a_new_database_has_no_older_program_beside_it(ctx: Context) -> None:
    await migrate(ctx)
    assert await ctx.db.meta.find_one({"_id": "totals"}) is None


# -- two versions of the program side by side

BESIDE = (*STEPS[:2], type(STEPS[0])(3, "add something", STEPS[2].run, beside=2))


async def _server(ctx: Context, known: int, seconds: float = 60.0) -> str:
    """A row of a server that knows a version of the database; its id."""
    row = {"_id": f"server {known}", "schema": known, "machine": "north", "process": 4711,
           "until": now() + timedelta(seconds=seconds)}
    await ctx.db.servers.insert_one(row)
    return str(row["_id"])


async def test_an_older_program_goes_on_beside_a_step_that_it_stands(ctx: Context) -> None:
    await migrate(ctx, STEPS[:2])
    await _server(ctx, 2)
    assert await migrate(ctx, BESIDE) == 3
    assert await migrate(ctx, STEPS[:2]) == 3  # the older program may also start again
    assert not await is_excluded(ctx.db, 2)
    assert await is_excluded(ctx.db, 1)
    with pytest.raises(FromTheFuture, match="knows version 1"):
        await migrate(ctx, STEPS[:1])


async def test_a_step_waits_for_servers_that_it_excludes(ctx: Context) -> None:
    await migrate(ctx, STEPS[:2])
    await _server(ctx, 1, seconds=-1.0)  # one that died
    living = await _server(ctx, 2)
    said: asyncio.Queue[str] = asyncio.Queue()
    newer = asyncio.create_task(migrate(ctx, STEPS, said.put_nowait))
    waiting = await said.get()
    assert "process 4711 on north" in waiting
    assert "'sum'" in waiting
    assert not newer.done()
    assert await ctx.db.sums.find_one() is None
    assert not await is_excluded(ctx.db, 2)  # nobody is turned out while it waits
    await ctx.db.servers.delete_one({"_id": living})
    assert await newer == 3
    assert await is_excluded(ctx.db, 2)
    assert said.empty()
    await is_done(ctx)


async def test_what_starts_while_a_step_begins_is_kept_out(ctx: Context) -> None:
    """Killed after the door was closed and before the step: older programs stay out, newer ones go on."""
    await migrate(ctx, STEPS[:2])
    await ctx.db.meta.update_one({"_id": "schema"}, {"$set": {"oldest": 3}})
    with pytest.raises(FromTheFuture):
        await migrate(ctx, STEPS[:2])
    assert await migrate(ctx, STEPS) == 3
    await is_done(ctx)
