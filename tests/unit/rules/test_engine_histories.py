"""Any history of rules, rows and crashes ends as the pure rules say: the dry run of the whole log."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import uuid
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.settings import Database, Settings
from iceprod.ids import now
from server.rest.context import Context
from server.rules import decisions, engine, events, rules
from server.rules.conditions import Clause, Condition, always
from server.rules.decisions import Event, Rule
from server.store.database import connect, ensure_indexes
from tests.support.rules import COLLECTION, KIND, Crash, crashing, done, happen, rule

START = datetime(2026, 3, 1, 23, 59, 40)  # a day ends within the history
CONDITIONS: list[Condition] = [
    always, (), ((Clause("word", among=("a",)),),), ((Clause("number", least=2.0),),)]

steps = st.one_of(
    st.tuples(st.just("rule"), st.sampled_from(CONDITIONS), st.integers(1, 3)),
    # The last number: crashes after so many writes; 0: not at all.
    st.tuples(st.just("row"), st.sampled_from("ab"), st.integers(0, 4)),
    st.tuples(st.just("run"), st.just(""), st.integers(0, 12)),
)


@dataclasses.dataclass
class History:
    """A server, its model, and the clock of the history."""

    ctx: Context
    clock: datetime = START
    rules: list[Rule] = dataclasses.field(default_factory=list)
    events: list[Event] = dataclasses.field(default_factory=list)

    def fragile(self, writes: int) -> Context:
        return crashing(self.ctx, writes) if writes else self.ctx

    async def step(self, what: str, given: Any, number: int) -> None:
        self.clock += timedelta(seconds=5)
        match what:
            case "rule":
                await self.add(given, number)
            case "row":
                await self.row(given, number)
            case "run":
                await self.run(number)

    async def add(self, condition: Condition, limit: int) -> None:
        one = rule(len(self.rules) + 1, condition=condition, daily_limit=limit)
        await rules.add(self.ctx, one)
        await self.ctx.db.rules.update_one({"_id": one.key}, {"$set": {"since": self.clock}})
        self.rules.append(dataclasses.replace(one, since=self.clock))

    async def row(self, word: str, writes: int) -> None:
        key = len(self.events) + 1
        with contextlib.suppress(Crash):
            await happen(self.fragile(writes), key, word, self.clock)
        row = await self.ctx.db[COLLECTION].find_one({"_id": key})
        assert row is not None
        assert KIND.source is not None
        self.events.append(await KIND.source.read(self.ctx, row))

    async def run(self, writes: int) -> None:
        await self.ctx.db.rule_firings.update_many({"is_done": False}, {"$set": {"lease": now()}})
        with contextlib.suppress(Crash):
            await engine.run(self.fragile(writes))

    def expected(self) -> list[str]:
        return sorted(decisions.firing_key(one, each.event) for one in self.rules
                      for each in decisions.tried(one, self.events) if each.fires)


async def play(url: str, story: list[tuple[str, Any, int]]) -> None:
    db = connect(Database(url=url, name=f"t{uuid.uuid4().hex[:12]}"))
    try:
        await ensure_indexes(db, [*engine.INDEXES, events.unlogged(COLLECTION)])
        history = History(Context(Settings(), db, "s" * 48))
        for step in story:
            await history.step(*step)
            assert set(await done(history.ctx)) <= set(history.expected())
        await history.run(0)
        assert await done(history.ctx) == history.expected()
    finally:
        await db.client.drop_database(db.name)
        await db.client.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(steps, max_size=12))
def test_histories(store_url: str, story: list[tuple[str, Any, int]]) -> None:
    asyncio.run(play(store_url, story))
