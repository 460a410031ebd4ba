"""The disk is full: nothing is acknowledged, the source keeps it, the page says why; with room it goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from config.alerts import Alerts, AlertSource
from config.settings import Database, Settings
from server.alerts.common import alerts
from server.alerts.common.alerts import Search
from server.alerts.incoming import sources
from server.app import INDEXES
from server.rest.context import Context
from server.store.database import connect, ensure_indexes
from tests.support.alerts import event_bytes, running_kafka
from tests.support.storage.s3 import bucket
from tests.support.store import StoreProcess, store_process

DISK_MB = 48
SIZE = 2_000_000  # of a message: more than what is left


class Small:
    """A store on a small disk of its own, which is full or not."""

    def __init__(self, store: StoreProcess, filler: Path) -> None:
        self.store, self._filler = store, filler

    def fill(self) -> None:
        with contextlib.suppress(OSError), self._filler.open("wb") as file:
            while True:
                file.write(bytes(64 << 10))
                file.flush()

    def free(self) -> None:
        self._filler.unlink()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "alerts", str(disk)],
                             check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("needs root, and namespaces or rights that allow to mount a small disk")
    try:
        with store_process(disk) as store:
            yield Small(store, disk / "filler")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
async def ctx(small: Small, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Context]:
    monkeypatch.setattr(sources, "ROUND", 1.0)
    monkeypatch.setattr(sources, "NOTE", 0.0)
    db = connect(Database(url=small.store.url, name=f"t{uuid.uuid4().hex[:12]}"))
    await ensure_indexes(db, [one for one in INDEXES if one.collection.startswith(("alert", "desk_blobs"))])
    yield Context(Settings(), db, "s" * 48)
    await db.client.close()


def listening(ctx: Context, source: AlertSource) -> Context:
    settings = msgspec.structs.replace(ctx.settings, alerts=Alerts(sources={"here": source}))
    return replace(ctx, settings=settings)


async def refused_then_taken(ctx: Context, small: Small) -> None:
    """With a full disk nothing is stored and the page says why; with room all is there."""
    small.fill()
    await sources.listen(ctx)
    standing, = await sources.standings(ctx)
    assert "messages cannot be stored, so the source keeps them" in standing["error"]
    assert "full" in standing["error"]
    small.free()
    assert await alerts.listed(ctx, Search(), 0, 10) == []
    end = time.monotonic() + 60
    while not (found := await alerts.listed(ctx, Search(), 0, 10)):
        assert time.monotonic() < end
        await sources.listen(ctx)
    assert [await alerts.message_of(ctx, one) for one in found] == [MESSAGE]
    await sources.listen(ctx)
    standing, = await sources.standings(ctx)
    assert (standing["error"], standing["messages"]) == ("", 1)


MESSAGE = event_bytes() + b" " * SIZE


async def test_a_folder_keeps_its_file(ctx: Context, small: Small, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "a.json").write_bytes(MESSAGE)
    os.utime(inbox / "a.json", (1, 1))
    await refused_then_taken(listening(ctx, AlertSource(kind="folder", address=str(inbox))), small)
    assert (inbox / "taken" / "a.json").exists()


async def test_kafka_keeps_its_offset(ctx: Context, small: Small) -> None:
    with running_kafka() as cluster:
        cluster.producer.produce("alerts", value=MESSAGE[:900_000])
        assert cluster.producer.flush(20) == 0
        here = AlertSource(kind="kafka", address=cluster.address, topics=["alerts"], options={
            "auto.offset.reset": "earliest", "session.timeout.ms": "6000"})
        small.fill()
        here_ctx = listening(ctx, here)
        end = time.monotonic() + 60
        while "cannot be stored" not in (await sources.standings(here_ctx))[0]["error"]:
            assert time.monotonic() < end
            await sources.listen(here_ctx)
        small.free()
        while not await alerts.listed(ctx, Search(), 0, 10):
            assert time.monotonic() < end + 60
            await sources.listen(here_ctx)


async def test_a_bucket_keeps_its_object(ctx: Context, small: Small, tmp_path: Path) -> None:
    with bucket(tmp_path / "s3") as there:
        (there.folder / "a.json").write_bytes(MESSAGE)
        await refused_then_taken(listening(ctx, AlertSource(
            kind="s3", address=f"s3://{there.name}", endpoint=there.endpoint, access_key=there.access_key,
            secret_key=there.secret_key, delete_taken=True, look_seconds=0.1)), small)
        assert not (there.folder / "a.json").exists(), "once it is stored, it may go"
