"""A database of its own for every test, a clock that steps, and an action that remembers its runs."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from config.settings import Database, Settings
from server import production, scans, sensor
from server.rest.context import Context
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome
from server.sensor.actions import actions
from server.sensor.actions.actions import Action, Overlap
from server.sensor.clock.scheduler import Scheduler
from server.sensor.common.bodies import Changes, read_changes
from server.sensor.schedule import entries
from server.sensor.schedule.entries import Entry
from server.store.database import connect, ensure_indexes
from tests.support.store import embedded_store

T0 = 1_800_000_000


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_store(tmp_path_factory.mktemp("sensor")) as url:
        yield url


@pytest.fixture
async def ctx(store_url: str, tmp_path: Any) -> AsyncIterator[Context]:
    settings = msgspec.structs.replace(Settings(), data=str(tmp_path))
    db = connect(Database(url=store_url, name=f"s{uuid.uuid4().hex[:12]}"))
    await ensure_indexes(db, [*sensor.INDEXES, *production.INDEXES, *scans.INDEXES])
    yield Context(settings, db, "s" * 48)
    await db.client.drop_database(db.name)
    await db.client.close()


@dataclass
class Clock:
    """Seconds since 1970, as the test says."""

    now: float = T0

    def __call__(self) -> float:
        return self.now


@dataclass
class Recorder:
    """An action that remembers for which entry, id and time it ran; `trouble` makes it fail."""

    runs: list[tuple[str, int, int]] = field(default_factory=list)
    trouble: str = ""

    async def __call__(self, _: Context, run: Acquisition) -> Outcome:
        self.runs.append((run.entry, run.task_id, run.time))
        if self.trouble:
            raise ValueError(self.trouble)
        return Outcome(detail="did it", data=b"data")

    @property
    def times(self) -> list[int]:
        return [at for _, _, at in self.runs]

    def assert_nothing_twice(self) -> None:
        assert max(Counter((name, number) for name, number, _ in self.runs).values(), default=1) == 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The actions `record`, `parallel` and `replace`, with the rules that the names tell."""
    recorder = Recorder()
    monkeypatch.setattr(actions, "_actions", dict(actions._actions))
    for name, overlap in (("record", Overlap.SKIP), ("parallel", Overlap.PARALLEL),
                          ("replace", Overlap.REPLACE)):
        actions.register(Action(name, "Remember the run.", run=recorder, overlap=overlap))
    return recorder


@dataclass
class Sensor:
    """One server process's scheduler, and what people do through the API."""

    ctx: Context
    clock: Clock
    scheduler: Scheduler

    async def make(self, name: str = "e", **fields: Any) -> Entry:
        body = {"name": name, "action": "record", "start": T0, **fields}
        return await entries.create(self.ctx, read_changes(body, body), "alice", self.clock.now)

    async def patch(self, name: str = "e", **fields: Any) -> Entry:
        changes: Changes = read_changes(fields, fields)
        return await entries.change(self.ctx, name, changes, self.clock.now)

    async def at(self, *moments: float) -> None:
        """Let the clock show these times one after the other, with a tick at each, and wait for the runs."""
        for moment in moments:
            self.clock.now = moment
            await self.scheduler.tick()
            await self.scheduler.settle()

    async def runs(self, name: str = "e") -> list[Acquisition]:
        return await acquisitions.listed(self.ctx, name)

    async def entry(self, name: str = "e") -> Entry:
        return await entries.get(self.ctx, name)


@pytest.fixture
def sensor_(ctx: Context, clock: Clock, record: Recorder) -> Sensor:
    return Sensor(ctx, clock, Scheduler(ctx, clock))
