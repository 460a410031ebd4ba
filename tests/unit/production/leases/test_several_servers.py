"""Server processes that share a database: what one does the others know at once, with no look into it.

Here they are contexts of one process, each with a client, signals and a socket of its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect

from config.settings import Database
from iceprod.ids import new_id
from iceprod.tokens import TokenError, decode, encode
from server.common.errors import TooManyRequests
from server.common.signals import Signals
from server.production.datasets import datasets
from server.production.failures import quarantine, trusted
from server.production.failures.places import Place
from server.production.leases import waits
from server.production.leases.leases import Claim
from server.production.submission import scripts
from server.production.tasks import classes, completion
from server.production.tasks.task_store import NewTask
from server.rest import admission
from server.rest.context import Context
from server.services import peers
from server.services.datagrams import Codec, Telling
from server.services.peers import Peers
from server.store.database import connect
from tests.unit.production.conftest import Maker

SOON = 20.0  # seconds; far less than anybody looks by himself here
OFFER = {"cpu": 8, "memory": 16.0, "time": 24.0}
NEVER = 1e6


class Servers:
    """Three of them."""

    def __init__(self, contexts: list[Context], known: list[Peers]) -> None:
        self.contexts, self.peers = contexts, known


@pytest.fixture
async def three(ctx: Context, store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Servers]:
    for module, name in ((waits, "LOOK_SECONDS"), (quarantine, "KEPT_SECONDS"), (scripts, "FRESH_SECONDS"),
                         (classes, "FRESH_SECONDS"), (admission, "ELSEWHERE_SECONDS")):
        monkeypatch.setattr(module, name, NEVER)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(_server(ctx, store_url, number)) for number in range(3)]
        await until(lambda: all(len(one.others) == 2 for _, one in servers))
        yield Servers([one for one, _ in servers], [one for _, one in servers])


@asynccontextmanager
async def _server(ctx: Context, url: str, number: int) -> AsyncIterator[tuple[Context, Peers]]:
    # clients with the same options are the same to PyMongo, and what a process knows goes by its client
    options = f"{'&' if '?' in url else '/?'}heartbeatFrequencyMS={10_001 + number}"
    db = connect(Database(url=url + options, name=ctx.db.name))
    await db.command("ping")
    tokens = msgspec.structs.replace(ctx.settings.tokens, revocation_seconds=NEVER)
    limits = msgspec.structs.replace(ctx.settings.limits, user_per_second=0.001, user_burst=9, user_at_once=2)
    settings = msgspec.structs.replace(ctx.settings, tokens=tokens, limits=limits)
    context = Context(settings, db, ctx.secret, Signals(), new_id())
    here = Peers(context)
    await here.join()
    try:
        yield context, here
    finally:
        await here.leave()
        await db.client.close()


async def until(what: Callable[[], bool]) -> None:
    async def look() -> bool:
        return what()

    await until_it_is(look)


async def until_it_is(what: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + SOON
    while not await what():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)


async def test_a_task_wakes_a_claim_that_waits_at_another(three: Servers) -> None:
    one, two, _ = three.contexts
    for turn in range(3):  # each in a requirement class that nobody had before
        claim = Claim(OFFER, pilot_id=f"p{turn}", host=f"h{turn}")
        waiting = asyncio.create_task(waits.claim_or_wait(two, claim, NEVER, asyncio.Event()))
        await until(lambda: waits.number_waiting(two) == 1)
        task = await Maker(one).task(requirements={"memory": 1.0 + 4 * turn})
        assert [got["task_id"] for got in await asyncio.wait_for(waiting, SOON)] == [task["task_id"]]


async def test_more_room_ends_a_wait_elsewhere_and_idle_cores_are_known(three: Servers) -> None:
    one, two, other = three.contexts
    claim = Claim(OFFER, pilot_id="p")
    waiting = asyncio.create_task(waits.claim_or_wait(two, claim, NEVER, asyncio.Event()))
    await until(lambda: waits.number_waiting(two) == 1)
    two.signals.notify("tasks")  # a round tells how many wait
    await until(lambda: waits.cores_waiting(one) == waits.cores_waiting(other) == 8)
    waits.end_waits(one, "p")
    assert await asyncio.wait_for(waiting, SOON) == []


async def test_the_last_two_jobs_may_end_in_two_processes(three: Servers) -> None:
    """Each knows the other's job to be at work just now, so neither of them would look."""
    one, two, _ = three.contexts
    make = Maker(one)
    dataset = await make.dataset(jobs=2)
    tasks = await make.tasks(dataset, NewTask(0, "a"), NewTask(1, "a"))
    row = await datasets.get(one, dataset)
    for ctx in (one, two):
        assert await completion.settle_dataset(ctx, row) == "processing"
    for task in tasks:
        await one.db.tasks.update_one({"task_id": task["task_id"]}, {"$set": {"status": "complete"}})
    await asyncio.gather(*(completion.follow_one(ctx, {**task, "status": "complete"})
                           for ctx, task in zip((one, two), tasks, strict=True)))

    async def is_complete() -> bool:
        return bool((await datasets.get(one, dataset))["status"] == "complete")

    await until_it_is(is_complete)


async def test_a_dataset_that_changed_is_read_anew(three: Servers) -> None:
    one, two, _ = three.contexts
    dataset = await Maker(one).dataset()
    before = datasets.changes(two, dataset)
    await datasets.change(one, dataset, {"description": "other"})
    await until(lambda: datasets.changes(two, dataset) > before)


async def test_a_revoked_token_is_refused_everywhere(three: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are told before anybody is answered that it is revoked."""
    monkeypatch.setattr(peers, "GATHER", NEVER)
    one, two, _ = three.contexts
    caller = decode(one.secret, encode(one.secret, "ada", ["user"]))
    await two.tokens.revocations.check(caller)
    await one.tokens.revocations.revoke_user("ada")

    async def is_refused() -> bool:
        try:
            await two.tokens.revocations.check(caller)
        except TokenError:
            return True
        return False

    await until_it_is(is_refused)


async def test_a_quarantine_holds_everywhere(three: Servers) -> None:
    one, two, _ = three.contexts
    assert await quarantine.reason_against(two, Place("hole", "S")) == ""
    await quarantine.put(one, "host", "hole", {"reason": "it eats tasks"}, "ada")

    async def is_known() -> bool:
        return "it eats tasks" in await quarantine.reason_against(two, Place("hole", "S"))

    await until_it_is(is_known)


async def test_trust_in_a_host_is_of_all(three: Servers) -> None:
    one, two, _ = three.contexts
    trusted.leave(one, "other")
    await until(lambda: trusted.leave(two, "new").most == 4)
    tasks = [{"task_id": f"t{number}", "dataset_id": "d", "name": "a"} for number in range(4)]
    trusted.given(one, "new", tasks)
    await until(lambda: trusted.leave(two, "new").most == 0)
    trusted.ended(one, "new", tasks[0], 60.0, good=True)
    await until(lambda: trusted.leave(two, "new").most is None)


async def test_limits_of_a_user_hold_over_all(three: Servers) -> None:
    """A burst of nine, over three processes; and two at once."""
    one, two, other = (ctx.admission for ctx in three.contexts)
    for gate in (one, two, other) * 3:
        (await gate.enter(False, 0, "ada")).leave()
    await until(lambda: all(gate._buckets._left["ada"][0] < 1 for gate in (one, two, other)))
    for gate in (one, two, other):
        with pytest.raises(TooManyRequests, match="requests a second"):
            await gate.enter(False, 0, "ada")
    first, second = await one.enter(False, 0, "bob"), await two.enter(False, 0, "bob")
    await until(lambda: other._number_of("bob") == 2)
    with pytest.raises(TooManyRequests, match="2 requests of yours"):
        await other.enter(False, 0, "bob")
    first.leave()
    second.leave()
    await until(lambda: other._number_of("bob") == 0)
    (await other.enter(False, 0, "bob")).leave()


async def test_who_leaves_and_comes_is_known(three: Servers, ctx: Context, store_url: str) -> None:
    await three.peers[0].leave()
    await until(lambda: all(len(one.others) == 1 for one in three.peers[1:]))
    async with _server(ctx, store_url, 7) as (_, late):
        await until(lambda: all(len(one.others) == 2 for one in [*three.peers[1:], late]))


async def test_only_who_has_the_secret_is_heard_and_nothing_twice(three: Servers) -> None:
    one, two, _ = three.contexts
    address = three.peers[1]._transport.get_extra_info("sockname")  # type: ignore[union-attr]
    good = Codec.of(one.secret).encode(Telling(one.server_id, 1000, [("news", [])]))
    forged = Codec.of("another secret").encode(Telling(one.server_id, 2000, [("news", [])]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for data in (b"", b"x" * 2000, forged, good[:-1] + b"?", good, good):
            stranger.sendto(data, address)
    await until(lambda: two.signals.count("news") > 0)
    await asyncio.sleep(0.1)
    assert two.signals.count("news") == 1


async def test_what_is_not_understood_stands_in_no_others_way(three: Servers) -> None:
    one, two, _ = three.contexts
    one.signals.tell("users asking", "too", "many", "values", "by far")
    one.signals.tell("news")
    await until(lambda: two.signals.count("news") == 1)


async def test_news_are_not_lost_with_what_a_hostile_pilot_offers(three: Servers) -> None:
    one, two, _ = three.contexts
    claim = Claim({**OFFER, "cpu": 1e300}, pilot_id="p")
    waiting = asyncio.create_task(waits.claim_or_wait(one, claim, NEVER, asyncio.Event()))
    await until(lambda: waits.number_waiting(one) == 1)
    one.signals.tell(waits.WAITING, one.server_id, waits._cores_here(waits._of(one)))
    one.signals.tell("asked", "\ud800")
    one.signals.tell("news")
    await until(lambda: two.signals.count("news") == 1)
    waits.end_waits(one, "p")
    await waiting


async def test_what_is_told_twice_in_a_moment_counts_twice(three: Servers) -> None:
    one, two, _ = three.contexts
    for _ in range(5):
        one.signals.tell("address refused", "192.0.2.1")
    one.signals.tell("news")
    await until(lambda: two.signals.count("news") == 1)
    left, _ = two.admission._refusals._left["192.0.2.1"]
    assert left < admission.REFUSALS - 4


async def test_much_at_once_is_heard_whole(three: Servers) -> None:
    one, two, _ = three.contexts
    for number in range(500):
        one.signals.tell(f"news {number}")
    await until(lambda: all(two.signals.count(f"news {number}") == 1 for number in range(500)))


async def test_who_is_alone_tells_nobody(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Peers(replace(ctx, signals=Signals()))
    await alone.join()
    monkeypatch.setattr(alone, "_send", lambda told: pytest.fail("there is nobody"))
    alone.ctx.signals.notify("tasks")
    await asyncio.sleep(0.05)
    monkeypatch.undo()
    await alone.leave()


async def test_who_comes_while_we_look_for_another_is_found_too(three: Servers,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """As when several start together: the first look may have read too early for the second of them."""
    here, may_end, looks = three.peers[0], asyncio.Event(), list[int]()

    async def look() -> None:
        looks.append(1)
        await may_end.wait()

    monkeypatch.setattr(here, "_look", look)
    here._look_for("one")
    await until(lambda: bool(looks))
    here._look_for("another")
    may_end.set()
    assert here._looking is not None
    await here._looking
    assert len(looks) == 2


async def test_who_was_cut_off_and_shut_out_by_a_newer_program_stops(three: Servers) -> None:
    one, here = three.contexts[0], three.peers[0]
    row = await one.db.servers.find_one({"_id": one.server_id})
    assert row is not None
    assert row["schema"] == peers.MIGRATIONS[-1].version
    stopped = asyncio.Event()
    here.give_up = stopped.set
    await one.db.meta.update_one({"_id": "schema"}, {"$set": {"version": 99, "oldest": 99}}, upsert=True)
    await here._look()
    assert not stopped.is_set(), "nobody is shut out while his row is there"
    here._renewed -= peers.ALIVE
    await here._look()
    assert stopped.is_set()


async def test_one_that_lives_and_is_not_heard_is_told_of(three: Servers,
                                                          caplog: pytest.LogCaptureFixture) -> None:
    """As when a firewall lets no datagrams through."""
    deaf, mute = three.peers[0], three.contexts[1]
    deaf.datagram_received = lambda data, addr: None  # type: ignore[method-assign]
    for _ in range(peers.MISSED + 2):
        await three.peers[1]._look()
        await deaf._look()
        await asyncio.sleep(0.002)  # so that its row is seen to be renewed: the database keeps milliseconds
    assert deaf.others[mute.server_id].missed >= peers.MISSED
    assert "is not heard" in caplog.text


async def test_one_that_was_killed_is_not_counted_though_its_row_is_there(
        three: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a restart of one after the other stops one more while the killed one's successor starts."""
    one, here = three.contexts[0], three.peers[0]
    dead = await asyncio.create_subprocess_exec("true")
    await dead.wait()
    here.start_id = "ours"
    for other, process in zip(here.others.values(), (os.getpid(), dead.pid), strict=True):
        other.start_id, other.process = "ours", process
    monkeypatch.setitem(peers._all, one.db, here)
    assert await peers._servers(one) == {"processes": 2, "here": 2, "not_heard": 0}


async def test_who_was_cut_off_is_shut_out_also_when_it_tried_to_renew_its_row_meanwhile(
        three: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    one, here = three.contexts[0], three.peers[0]
    stopped = asyncio.Event()
    here.give_up = stopped.set
    here._renewed -= peers.ALIVE
    with monkeypatch.context() as cut_off:
        cut_off.setattr(AsyncCollection, "update_one", _no_database)
        with pytest.raises(AutoReconnect):
            await here._look()
    await one.db.meta.update_one({"_id": "schema"}, {"$set": {"version": 99, "oldest": 99}}, upsert=True)
    await here._look()
    assert stopped.is_set()


async def _no_database(*_: object, **__: object) -> None:
    raise AutoReconnect("away")
