"""The schedule's life against a model: people change entries, time passes, leaders come and go."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from config.settings import Database, Settings
from server import sensor
from server.common.errors import NotFound
from server.rest.context import Context
from server.sensor.acquisitions import acquisitions
from server.sensor.actions import actions
from server.sensor.actions.actions import Action
from server.sensor.clock.scheduler import Scheduler
from server.sensor.common.bodies import read_changes
from server.sensor.common.errors import FieldErrors, Protected
from server.sensor.schedule import entries
from server.store.database import connect, ensure_indexes
from tests.unit.sensor.conftest import T0, Clock, Recorder

NAMES = st.sampled_from(["a", "b", "c"])
MOMENTS = st.integers(T0 - 50, T0 + 400)
INTERVALS = st.none() | st.integers(1, 40)


@dataclass
class Model:
    """An entry as its rules in words say, worked out one time after the other."""

    start: int
    stop: int | None
    interval: int | None
    next: int
    active: bool = True
    number: int = 1
    asked: bool = False

    def tick(self, now: int) -> int | None:
        """The time for which it runs now, if it does."""
        due = None
        if self.active:
            at = self.next
            while at <= now and (self.stop is None or at < self.stop):
                due = at
                if self.interval is None:
                    self.active = False
                    break
                at += self.interval
            self.next = at
            if self.stop is not None and self.next >= self.stop:
                self.active = False
        if due is None and self.asked:
            due = now
        if due is not None:
            self.asked = False
            self.number += 1
        return due


class ScheduleMachine(RuleBasedStateMachine):
    """Every step is done by the system and by the model."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        db = connect(Database(url=self.url, name=f"m{uuid.uuid4().hex[:12]}"))
        self.ctx = Context(Settings(), db, "secret")
        self.do(ensure_indexes(db, [i for i in sensor.INDEXES if i.collection != "manifests"]))
        self.record, self.clock = Recorder(), Clock()
        actions.register(Action("machine", "Remember the run.", run=self.record))
        self.scheduler = Scheduler(self.ctx, self.clock)
        self.models: dict[str, Model] = {}
        self.expected: list[tuple[str, int, int]] = []

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.do(self.ctx.db.client.drop_database(self.ctx.db.name))
            self.do(self.ctx.db.client.close())
            self.loop.close()
            actions._actions.pop("machine", None)

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    # -- what people do

    @rule(name=NAMES, start=MOMENTS, stop=st.none() | MOMENTS, interval=INTERVALS)
    def create(self, name: str, start: int, stop: int | None, interval: int | None) -> None:
        body = {"name": name, "action": "machine", "start": start, "stop": stop, "interval": interval}
        try:
            self.do(entries.create(self.ctx, read_changes(body, body), "alice", self.clock.now))
        except FieldErrors:
            assert name in self.models or (stop is not None and stop <= start)
            return
        assert name not in self.models
        self.models[name] = Model(start, stop, interval, start)

    @rule(name=NAMES, fields=st.fixed_dictionaries({}, optional={
        "start": MOMENTS, "stop": st.none() | MOMENTS, "interval": INTERVALS, "is_active": st.booleans()}))
    def change(self, name: str, fields: dict[str, Any]) -> None:
        try:
            self.do(entries.change(self.ctx, name, read_changes(fields, fields), self.clock.now))
        except NotFound:
            assert name not in self.models
            return
        except FieldErrors:
            assert fields["stop"] <= fields["start"]
            return
        model = self.models[name]
        before = (model.start, model.interval)
        model.start = fields.get("start", model.start)
        model.interval = fields.get("interval", model.interval)
        model.stop = fields.get("stop", model.stop)
        model.active = fields.get("is_active", model.active)
        if before != (model.start, model.interval):
            model.next = max(model.start, int(self.clock.now) + 1)

    @rule(name=NAMES)
    def ask(self, name: str) -> None:
        if name in self.models:
            self.do(entries.ask(self.ctx, name, "bob"))
            self.models[name].asked = True

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if name not in self.models:
            return
        seen = self.do(entries.get(self.ctx, name))
        kept = [(run.entry, run.task_id) for run in self.do(acquisitions.listed(self.ctx, name))]
        try:
            self.do(entries.delete(self.ctx, name, kept, seen))
        except Protected:
            assert self.models[name].number > 1
        else:
            assert self.models.pop(name).number == 1

    # -- time and servers

    @rule(seconds=st.integers(0, 90))
    def pass_time(self, seconds: int) -> None:
        self.clock.now += seconds
        self.do(self._tick())
        for name in sorted(self.models):
            model = self.models[name]
            number = model.number
            at = model.tick(int(self.clock.now))
            if at is not None:
                self.expected.append((name, number, at))

    async def _tick(self) -> None:
        await self.scheduler.tick()
        await self.scheduler.settle()

    @rule()
    def another_leader(self) -> None:
        self.scheduler = Scheduler(replace(self.ctx, server_id=uuid.uuid4().hex), self.clock)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "models"):
            return
        assert sorted(self.record.runs) == sorted(self.expected)
        found = {entry.name: entry for entry in self.do(entries.all_entries(self.ctx))}
        assert found.keys() == self.models.keys()
        for name, model in self.models.items():
            entry = found[name]
            assert (entry.next_time, entry.is_active, entry.next_task_id) == (
                model.next, model.active, model.number)
            assert entry.pending is None


@pytest.mark.slow
def test_schedule_machine(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScheduleMachine, "url", store_url)
    run_state_machine_as_test(ScheduleMachine, settings=settings(
        max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)))
