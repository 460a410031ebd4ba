"""Storing galaxies: new ones, changed ones, the same ones, and two imports at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from iceprod.ids import now
from server.desk.common import jobs
from server.desk.common.access import Visitor
from server.desk.objects import galaxies, galaxy_imports
from server.desk.objects.galaxy_text import Galaxy
from server.rest.context import Context

WHO = Visitor(3, "eva", groups=frozenset({1}))
TABLE = "name,ra,dec,distmpc\n" + "".join(
    f"g{number},{number % 360},5,{number + 1}\n" for number in range(4500))


def galaxy(name: str, **more: Any) -> Galaxy:
    return Galaxy(name=name, ra=10.0, dec=5.0, **more)


async def row(ctx: Context, name: str) -> dict[str, Any]:
    return await galaxies.find_named(ctx, name)


async def test_what_is_the_same_is_not_written(ctx: Context) -> None:
    assert await galaxies.store(ctx, "c", [galaxy("a", distmpc=3.0), galaxy("b")]) == 2
    before = await row(ctx, "a")
    assert await galaxies.store(ctx, "c", [galaxy("a", distmpc=3.0), galaxy("d")]) == 1
    assert await row(ctx, "a") == before
    assert galaxies.shown(before)["magb"] is None


async def test_what_changed_is_changed_and_what_is_gone_goes(ctx: Context) -> None:
    await galaxies.store(ctx, "c", [galaxy("a", distmpc=3.0, magb=12.0)])
    before = await row(ctx, "a")
    assert await galaxies.store(ctx, "other", [galaxy("a", magb=13.0)]) == 0
    after = await row(ctx, "a")
    assert (after["_id"], after["created_at"]) == (before["_id"], before["created_at"])
    assert (after["magb"], after["catalog_name"], "distmpc" in after) == (13.0, "other", False)
    assert after["modified"] >= before["modified"]


async def test_imports_at_once_store_each_name_once(ctx: Context) -> None:
    some = [galaxy(f"g{number}", distmpc=float(number)) for number in range(300)]
    new = await asyncio.gather(*(galaxies.store(ctx, "c", some) for _ in range(4)))
    assert sum(new) == 300
    assert await ctx.db.desk_galaxies.count_documents({}) == 300


async def test_a_table_goes_on_where_it_was(ctx: Context) -> None:
    assert await galaxy_imports.add_table(ctx, WHO, "c", TABLE) == 4500
    await ctx.db.desk_jobs.update_many({}, {"$set": {"progress": {"rows": 4000, "new": 4000}}})
    await galaxy_imports.SERVICES[0].run(ctx)
    job = await ctx.db.desk_jobs.find_one({})
    assert job
    assert job["status"] == "completed: 4500 new galaxies, 0 brought up to date"
    assert job["progress"] == {"rows": 4500, "new": 4500, "of": 4500}
    assert await ctx.db.desk_galaxies.count_documents({}) == 500
    assert await ctx.db.desk_blobs.count_documents({}) == 0


def test_how_far_a_job_is() -> None:
    job = {"is_done": False, "progress": {"rows": 1, "of": 4}}
    assert jobs.share(job) == 0.25
    assert jobs.share({**job, "progress": {"offset": 30, "bytes": 60, "rows": 1}}) == 0.5
    assert jobs.share({**job, "progress": {"offset": 30, "bytes": None}}) is None
    assert jobs.share({**job, "is_done": True}) == 1.0


async def test_an_import_that_gets_on_is_not_given_up(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galaxy_imports, "_LINES", 10)
    text = "name,ra,dec\n" + "".join(f"g{number},10,10\n" for number in range(95))
    await galaxy_imports.add_table(ctx, WHO, "mine", text)
    store, calls = galaxies.store, 0

    async def dying(ctx: Context, catalog: str, some: Sequence[Galaxy]) -> int:
        nonlocal calls
        calls += 1
        new = await store(ctx, catalog, some)
        if calls % 2 == 0:  # every second batch is the last one that the server lives to store
            raise RuntimeError("killed")
        return new

    monkeypatch.setattr(galaxies, "store", dying)
    free = {"$set": {"lease": now() - timedelta(seconds=1)}}
    for _ in range(9):  # more often than a job may be tried that does not get on
        with pytest.raises(RuntimeError):
            await jobs.work(ctx, "galaxies", galaxy_imports._store_table)
        await ctx.db.desk_jobs.update_one({}, free)
    await jobs.work(ctx, "galaxies", galaxy_imports._store_table)
    await ctx.db.desk_jobs.update_one({}, {"$set": {**free["$set"], "is_done": False}})
    await jobs.work(ctx, "galaxies", galaxy_imports._store_table)  # killed before it said that all is stored
    job = await ctx.db.desk_jobs.find_one({})
    assert job is not None
    assert job["status"].startswith("completed")
    assert await ctx.db.desk_galaxies.count_documents({}) == 95


async def test_two_jobs_of_one_table(ctx: Context) -> None:
    for _ in range(2):
        await galaxy_imports.add_table(ctx, WHO, "mine", "name,ra,dec\nA,1,1\n")
    await jobs.work(ctx, "galaxies", galaxy_imports._store_table)
    found = [row["status"] async for row in ctx.db.desk_jobs.find({})]
    assert sorted(found) == ["completed: 0 new galaxies, 1 brought up to date",
                             "completed: 1 new galaxies, 0 brought up to date"]
