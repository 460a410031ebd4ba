"""Places for requests: how many, for whom, and what happens to the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from config.settings import Limits, Settings, SettingsError, load
from iceprod.tokens import Caller
from server import app
from server.common.buckets import Buckets
from server.common.errors import TooManyRequests, Unavailable
from server.common.resting import current, resting
from server.common.signals import Signals
from server.rest import admission
from server.rest.admission import Admission, user_of, watch

LIMITS = Limits(requests_at_once=20, urgent_at_once=3, user_at_once=2, user_per_second=1.0, user_burst=5)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long."""
    monkeypatch.setattr(admission, "WAIT_SECONDS", 0.05)


async def test_ordinary_requests_beyond_the_places_wait_and_are_told_to_come_later(quick: None) -> None:
    gate = Admission(LIMITS)
    gate.places = 20.0
    tickets = [await gate.enter(False, 10) for _ in range(20)]
    with pytest.raises(Unavailable) as told:
        await gate.enter(False, 10)
    assert 1 <= told.value.retry_after <= 3
    urgent = [await gate.enter(True, 10) for _ in range(3)]  # they have places of their own
    with pytest.raises(Unavailable):
        await gate.enter(True, 10)
    for ticket in [*tickets, *urgent]:
        ticket.leave()
        ticket.leave()
    assert (gate.working, gate.urgent, gate.held) == (0, 0, 0)


async def test_who_waits_gets_the_next_place_in_order() -> None:
    gate = Admission(LIMITS)
    gate.places = 20.0
    tickets = [await gate.enter(False, 0) for _ in range(20)]
    waiting = [asyncio.create_task(gate.enter(False, 3, f"user{number}")) for number in range(3)]
    await asyncio.sleep(0)
    for number in range(3):
        assert [task.done() for task in waiting] == [n < number for n in range(3)]
        tickets[number].leave()
        await asyncio.sleep(0.01)
    assert (gate.working, gate.held) == (20, 9)
    for task in waiting:
        (await task).leave()
    assert (gate.working, gate.held, gate.of_users) == (17, 0, {})


async def test_more_places_let_the_waiting_in(quick: None) -> None:
    gate = Admission(LIMITS)
    gate.places = 1.0
    first = await gate.enter(False, 0)
    waiting = asyncio.create_task(gate.enter(False, 0))
    await asyncio.sleep(0)
    assert gate.is_short
    gate.observe(0.0)
    assert (await waiting) is not first


async def test_whoever_gives_up_leaves_nothing_behind(quick: None) -> None:
    gate = Admission(Limits(requests_at_once=1))
    first = await gate.enter(False, 5)
    with pytest.raises(Unavailable):
        await gate.enter(False, 7, "ada")
    gone = asyncio.create_task(gate.enter(False, 7, "ada"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    first.leave()
    assert (gate.working, gate.held, gate.of_users) == (0, 0, {})
    (await gate.enter(False, 0)).leave()


async def test_not_all_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Admission(Limits(requests_at_once=1))
    await gate.enter(False, 0)
    with pytest.raises(Unavailable):
        await gate.enter(False, admission.MOST_WAITING_BYTES + 1)
    monkeypatch.setattr(admission, "MOST_WAITING", 0)
    with pytest.raises(Unavailable):
        await gate.enter(False, 0)


async def test_large_bodies_have_a_share_of_the_memory() -> None:
    gate = Admission(LIMITS)
    first = await gate.enter(False, admission.MOST_HELD - 5)
    with pytest.raises(Unavailable):
        await gate.enter(False, 2 << 20)
    (await gate.enter(False, 5)).leave()
    first.leave()
    await gate.enter(False, admission.MOST_HELD + 1)  # alone, whatever its size


async def test_places_follow_how_long_one_waits_and_what_is_used(quick: None) -> None:
    gate = Admission(Limits(requests_at_once=32))
    for _ in range(50):
        gate.observe(0.01)
    assert gate.places == admission.FIRST
    for _ in range(50):
        gate.observe(1.0)
    assert gate.places == admission.FEWEST
    assert not gate.is_short
    for _ in range(50):
        while gate.working < gate.places:
            await gate.enter(False, 0)
        assert gate.is_short
        gate.observe(0.01)
    assert gate.places == 32


async def test_who_came_is_answered_before_the_server_ends(quick: None) -> None:
    gate = Admission(LIMITS)
    tickets = [await gate.enter(False, 10), await gate.enter(True, 10)]
    news = await gate.enter(False, 10)
    news.rest()
    closing = asyncio.create_task(gate.close())
    for ticket in tickets:
        await asyncio.sleep(0.2)
        assert gate.is_closing
        assert not closing.done()
        ticket.leave()
    await closing


async def test_who_waits_for_news_takes_no_place() -> None:
    gate = Admission(LIMITS)
    ticket = await gate.enter(False, 7, "ada")
    token = current.set(ticket)
    with resting(), resting():
        assert (gate.working, gate.held, gate.of_users) == (0, 0, {})
    assert (gate.working, gate.held, gate.of_users) == (1, 7, {"ada": 1})
    with resting():
        ticket.leave()
    assert (gate.working, gate.held, gate.of_users) == (0, 0, {})
    with resting():  # a task that outlives the request
        pass
    assert gate.working == 0
    current.reset(token)


async def test_waiting_for_a_signal_is_resting() -> None:
    gate, signals = Admission(LIMITS), Signals()
    current.set(await gate.enter(False, 0))
    waiting = asyncio.create_task(signals.wait("news", 10))
    await asyncio.sleep(0)
    assert gate.working == 0
    signals.notify("news")
    assert await waiting
    assert gate.working == 1


async def test_a_user_has_so_many_at_once(quick: None) -> None:
    gate = Admission(LIMITS)
    first, _ = [await gate.enter(False, 0, "ada") for _ in range(2)]
    with pytest.raises(TooManyRequests, match="2 requests of yours"):
        await gate.enter(True, 0, "ada")
    await gate.enter(False, 0, "bob")
    waiting = asyncio.create_task(gate.enter(False, 0, "ada"))
    await asyncio.sleep(0)
    first.leave()
    await waiting


async def test_a_user_has_so_many_a_second(quick: None) -> None:
    gate = Admission(LIMITS)
    for _ in range(5):
        (await gate.enter(False, 0, "ada")).leave()
    with pytest.raises(TooManyRequests, match="wait 1 s") as told:
        await gate.enter(False, 0, "ada")
    assert told.value.retry_after == 1
    await gate.enter(False, 0, "bob")
    free = Admission(Limits(user_at_once=0, user_per_second=0.0))
    for _ in range(5000):
        (await free.enter(False, 0, "ada")).leave()


async def test_refusals_come_late_to_those_who_had_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(admission, "REFUSALS", 10)
    monkeypatch.setattr(admission, "REFUSALS_PER_SECOND", 0.001)
    gate, loop = Admission(LIMITS), asyncio.get_running_loop()
    for _ in range(10):
        coming = gate.refuse("10.0.0.1")
        with pytest.raises(StopIteration):  # at once
            coming.send(None)
    started = loop.time()
    await gate.refuse("10.0.0.1")
    assert loop.time() - started >= 0.3


def test_buckets_fill_steadily() -> None:
    now = [0.0]
    buckets = Buckets(2.0, 3, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    now[0] += 0.25
    assert buckets.take("a") == 0.25
    now[0] += 0.25
    assert buckets.take("a") == 0
    now[0] += 100
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


@pytest.mark.parametrize(("roles", "machine"), [
    ({"user"}, False), ({"admin"}, False), ({"pilot"}, True), ({"client"}, True),
    ({"admin", "system"}, True)])
def test_pilots_grids_and_services_are_no_users(roles: set[str], machine: bool) -> None:
    assert (user_of(Caller("x", frozenset(roles))) == "") is machine


class Database:
    """Answers after a while, or not."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.seconds, self.error, self.asked = seconds, error, 0

    async def command(self, name: str) -> dict[str, Any]:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return {"ok": 1}


async def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("database", "slow", "is_short"), [
    (Database(), 60.0, False), (Database(0.4), 0.3, True),
    (Database(error=AutoReconnect("away")), 60.0, False)])
async def test_the_database_is_watched(database: Database, slow: float, is_short: bool,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SLOW", slow)
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.01)
    gate, before = Admission(Limits()), database.asked
    await gate.enter(False, 0)
    watching = asyncio.create_task(watch(gate, database))  # type: ignore[arg-type]
    await until(lambda: database.asked >= before + 3)  # so two answers were observed
    watching.cancel()
    assert (gate.places < admission.FIRST) is is_short


async def test_nobody_looks_while_only_pilots_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.0)
    gate, database = Admission(Limits()), Database()
    watching = asyncio.create_task(watch(gate, database))  # type: ignore[arg-type]
    for urgent, looks in ((True, False), (False, True)):
        (await gate.enter(urgent, 0)).leave()  # its work may be over before anybody could look
        for _ in range(20):
            await asyncio.sleep(0)
        assert bool(database.asked) is looks
    asked = database.asked
    for _ in range(20):
        await asyncio.sleep(0)
    assert database.asked == asked, "nobody came since"
    watching.cancel()


async def test_the_loop_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Admission(Limits())
    await gate.enter(False, 0)
    watching = asyncio.create_task(watch(gate, Database()))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    time.sleep(0.6)  # noqa: ASYNC251
    await until(lambda: gate.places < admission.FIRST)
    watching.cancel()


def test_what_keeps_work_alive_is_urgent_and_nothing_else() -> None:
    found = {f"{name.upper()} {route.openapi_path}" for route in app.ROUTES
             for name, method in route.methods().items() if getattr(method, "urgent", False)}
    assert found == {
        "GET /healthz", "GET /metrics", "POST /pilots/{pilot_id}/heartbeat", "DELETE /pilots/{pilot_id}",
        "POST /pilots", "POST /pilots/{pilot_id}/exchange",
        "PATCH /grids/{grid_id}", "PUT /pixel_batches/{task_id}", "POST /task_actions/report_many",
        *(f"POST /tasks/{{task_id}}/task_actions/{end}"
          for end in ("processing", "complete", "reset", "failed", "evict"))}


@pytest.mark.parametrize(("name", "value"), [
    ("REQUESTS_AT_ONCE", "0"), ("USER_BURST", "0"), ("USER_AT_ONCE", "-1"), ("USER_PER_SECOND", "-0.5")])
def test_limits_that_would_shut_everybody_out_are_refused(name: str, value: str) -> None:
    assert Settings().limits == Limits()
    with pytest.raises(SettingsError, match="limits"):
        load(None, {f"ICEPROD__LIMITS__{name}": value})
