"""Hosts earn their share, black holes are found while long tasks still run elsewhere."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.production.failures import quarantine, trusted
from server.production.failures.trust import FIRST_TASKS, PROVEN_SECONDS, Failure, Trust
from server.production.leases import ends, leases
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.sites import pilots
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker


def _many(host: str, count: int) -> dict[str, str]:
    return {f"{host}-{number}": "d" for number in range(count)}


def test_an_unknown_host_gets_a_few_and_proves_itself_by_time_or_success() -> None:
    trust = Trust()
    for host in ("a", "b"):
        trust.asked(host, 0.0)
    assert trust.allowance("a", 0.0) == FIRST_TASKS
    trust.claimed("a", _many("a", FIRST_TASKS), 0.0)
    assert trust.allowance("a", 1.0) == 0
    assert trust.allowance("a", PROVEN_SECONDS + 1) is None
    trust.claimed("b", {"x": "d"}, 0.0)
    trust.succeeded("b", "x", "d", 0.5)
    assert trust.allowance("b", 1.0) is None


def test_a_host_alone_is_never_kept_short() -> None:
    trust = Trust()
    trust.asked("a", 0.0)
    for number in range(20):
        trust.failed("a", Failure(1.0, str(number), "d", 0.1))
    assert trust.allowance("a", 1.0) is None
    assert trust.paused("a", 1.0) == {}


def test_broken_work_pauses_where_it_failed_and_other_work_goes_on() -> None:
    trust = Trust()
    trust.asked("other", 0.0)
    trust.claimed("a", {"good": "fine"}, 0.0)
    trust.succeeded("a", "good", "fine", 1.0)
    for number in range(3):
        trust.failed("a", Failure(2.0 + number, str(number), "broken", 0.1))
    trust.claimed("a", {"long": "fine"}, 5.0)
    assert list(trust.paused("a", 6.0)) == ["broken"]
    assert trust.allowance("a", 40.0) is None, "a task of other work runs there"
    assert trust.paused("a", 100.0) == {}, "one is tried again"
    trust.claimed("a", {"trial": "broken"}, 100.0)
    assert list(trust.paused("a", 101.0)) == ["broken"], "and no other meanwhile"
    assert trust.black_hole("a", 101.0) == ""


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["claim", "good", "bad", "drop"]),
                          st.integers(0, 5), st.floats(0, 100)), max_size=60))
def test_a_host_is_asked_again_within_an_hour(steps: list[tuple[str, str, int, float]]) -> None:
    trust, now = Trust(), 0.0
    for host, what, number, passed in steps:
        now += passed
        task = f"{host}{number}"
        if what == "claim":
            trust.claimed(host, {task: "d"}, now)
        elif what == "good":
            trust.succeeded(host, task, "d", now)
        elif what == "bad":
            trust.failed(host, Failure(now, task, "d", passed))
        else:
            trust.dropped(host, task)
    for host in "abc":
        for number in range(6):
            trust.dropped(host, f"{host}{number}")
        trust.asked(host, now + 3601)
        assert trust.allowance(host, now + 3601) != 0
        assert trust.paused(host, now + 3601) == {}


class _Clock:
    """The monotonic clock of the server's process, as a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        monkeypatch.setattr(trusted.time, "monotonic", lambda: self.now)


@pytest.mark.parametrize("are_new", [False, True])
async def test_a_black_hole_costs_no_task_and_few_starts(ctx: Context, make: Maker, are_new: bool,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside 8 good slots with tasks of 15 minutes, 4 slots where every task fails at once."""
    clock = _Clock(monkeypatch)
    dataset = await make.dataset(jobs=150)
    await make.tasks(dataset, *(NewTask(job, "gen", {"cpu": 1}) for job in range(150)))
    about = {"queue_version": "1", "resources": {}}
    names = {host: await pilots.create(ctx, {**about, "queue_host": host, "host": host})
             for host in ("hole", *(f"g{n}" for n in range(8)))}
    good = [host for host in names if host != "hole"]

    async def claim(host: str, num: int) -> list:
        place = await quarantine.reason_against(ctx, quarantine.Place(host, ""))
        request = Claim({"cpu": 1}, num, pilot_id=names[host], host=host)
        return [] if place else await leases.claim(ctx, request)

    held: dict[str, tuple[float, dict]] = {}
    if not are_new:
        for host in good:
            trusted.of(ctx).succeeded(host, "before", "earlier", clock.now)
    wasted, begin = 0, clock.now
    while clock.now - begin < 6 * 3600 and await ctx.db.tasks.count_documents({"status": "complete"}) < 150:
        for host in good:
            until, task = held.get(host, (0.0, {}))
            if task and clock.now >= until:
                await ends.complete(ctx, task["task_id"], task["instance_id"], time_used=900)
                del held[host]
            if host not in held and (got := await claim(host, 1)):
                held[host] = clock.now + 900, got[0]
        for task in await claim("hole", 4):
            wasted += 1
            report = Report(task["instance_id"], 0.1, reason="sh ended with status 1")
            await ends.reset(ctx, task["task_id"], report)
            quarantine._state(ctx).judged_at = -1e9
        clock.now += 30
    states = await ctx.db.tasks.distinct("status", {"dataset_id": dataset})
    assert states == ["complete"]
    assert wasted <= 10, wasted
    assert [row["name"] for row in await quarantine.listed(ctx)] == ["hole"]
    assert await ctx.db.tasks.count_documents({"failures": {"$gt": 0}}) == 0, "what it spent is given back"


async def test_tasks_that_a_black_hole_made_fail_are_revived(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset(jobs=1)
    [task] = await make.tasks(dataset, NewTask(0, "gen", {"cpu": 1}))
    about = {"queue_host": "h", "queue_version": "1", "resources": {}, "host": "hole"}
    hole = await pilots.create(ctx, about)
    await ctx.db.tasks.update_one({"task_id": task["task_id"]}, {"$set": {"max_failures": 2}})
    for _ in range(3):
        [got] = await leases.claim(ctx, Claim({"cpu": 1}, pilot_id=hole, host="hole"))
        await ends.reset(ctx, got["task_id"], Report(got["instance_id"], reason="sh ended with status 1"))
    assert (await make.read(task["task_id"]))["status"] == "failed"
    trust, now = trusted.of(ctx), time.monotonic()
    for number in range(3):
        trust.claimed(f"g{number}", {f"t{number}": dataset}, now - 60)
    assert await quarantine.judge_speed(ctx, "hole")
    after = await make.read(task["task_id"])
    assert (after["status"], after["failures"], after["failure_counts"]) == ("waiting", 0, {"other": 0})
    job = await ctx.db.jobs.find_one({"job_id": task["job_id"]})
    assert job
    assert job["status"] == "processing"
