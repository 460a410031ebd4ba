"""A task's life against a model: claims, heartbeats, ends, zombies, expiries and crashes in any order."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from config.settings import Database, Settings
from server import production
from server.common.errors import ApiError, BadRequest, NotFound
from server.production import repair
from server.production.datasets import datasets
from server.production.datasets.datasets import NewDataset
from server.production.leases import ends, leases
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.tasks import bulk, task_changes
from server.production.tasks.task_store import NewTask, create_tasks, soon
from server.rest.context import Context
from server.store.database import connect, ensure_indexes
from tests.unit.production.conftest import long_up

LEASED = ("queued", "processing")
JOBS = 2


class LeaseMachine(RuleBasedStateMachine):
    """Two jobs of two tasks, the second of which depends on the first.

    The model knows of every lease whether it is alive. The system must act on reports of live leases, and of
    those that ran out in silence while nobody else had the task; it must refuse those of dead ones without a
    change, and never run two instances of one task.
    """

    url = ""
    held = Bundle("held")

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        db = connect(Database(url=self.url, name=f"m{uuid.uuid4().hex[:12]}"))
        self.ctx = Context(Settings(), db, "secret")
        self.loop.run_until_complete(self._make())

    async def _make(self) -> None:
        await ensure_indexes(
            self.ctx.db, [i for i in production.INDEXES if i.collection in ("tasks", "jobs")]
        )
        await long_up(self.ctx.db)
        new = NewDataset("m", "users", JOBS, 2 * JOBS, 2, username="u")
        self.dataset = await datasets.create_dataset(self.ctx, new)
        self.alive: dict[str, str] = {}  # instance_id by task_id
        self.silent: set[tuple[str, str]] = set()  # leases that ran out, of tasks that nobody took since
        self.ended: dict[tuple[str, str], str] = {}  # how an instance ended a task
        for job in range(JOBS):
            first = await create_tasks(self.ctx, self.dataset, [NewTask(job, "a")])
            second = NewTask(job, "b", task_index=1, depends=(first[0]["task_id"],))
            await create_tasks(self.ctx, self.dataset, [second])

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run_until_complete(self.ctx.db.client.drop_database(self.ctx.db.name))
            self.loop.run_until_complete(self.ctx.db.client.close())
            self.loop.close()

    def do(self, action: Any) -> Any:
        return self.loop.run_until_complete(action)

    def tasks(self) -> dict[str, dict[str, Any]]:
        found = self.do(self.ctx.db.tasks.find({"dataset_id": self.dataset}).to_list())
        return {task["task_id"]: task for task in found}

    def may_come_back(self, task_id: str, instance_id: str) -> bool:
        """Whether a lease ran out in silence, and its task still waits for somebody to take it."""
        task = self.tasks()[task_id]
        return (task_id, instance_id) in self.silent and task["status"] == "waiting"

    # -- what pilots do

    @rule(target=held, num=st.integers(1, 3), start=st.booleans())
    def claim(self, num: int, start: bool) -> list[tuple[str, str]]:
        request = Claim({"cpu": 1}, num=num, pilot_id="p", target="processing" if start else "queued")
        waiting = sum(task["status"] == "waiting" and "parked" not in task for task in self.tasks().values())
        got = self.do(leases.claim(self.ctx, request))
        assert len(got) == min(num, waiting)
        for task in got:
            assert task["task_id"] not in self.alive
            self.alive[task["task_id"]] = task["instance_id"]
            self.silent = {lease for lease in self.silent if lease[0] != task["task_id"]}
        return [(task["task_id"], task["instance_id"]) for task in got]

    @rule(lease=held, end=st.sampled_from(["complete", "reset", "fail", "evict", "start"]))
    def report(self, lease: list[tuple[str, str]], end: str) -> None:
        for task_id, instance_id in lease:
            before = self.tasks()[task_id]
            if end != "start" and self.may_come_back(task_id, instance_id):
                self.come_back(task_id, instance_id)
            mine = self.alive.get(task_id) == instance_id
            earlier = self.ended.get((task_id, instance_id))
            repeated = before.get("ended", {}).get("instance_id") == instance_id and (
                # an eviction too many ends as a failure
                earlier == end or (earlier, end) == ("fail", "evict"))
            try:
                self.do(self._report(task_id, instance_id, end))
            except (NotFound, BadRequest):
                assert not repeated
                assert not mine or (end == "start" and before["status"] != "queued")
                assert self.tasks()[task_id] == before
                continue
            if not mine:
                assert repeated or end == "start" or before["status"] == "complete"
                assert self.tasks()[task_id] == before
            elif end != "start":
                del self.alive[task_id]
                self.ended[task_id, instance_id] = end

    async def _report(self, task_id: str, instance_id: str, end: str) -> None:
        if end == "complete":
            await ends.complete(self.ctx, task_id, instance_id, time_used=60)
        else:
            await getattr(ends, end)(self.ctx, task_id, Report(instance_id, 60, reason="exit code 1"))

    @rule(lease=held)
    def heartbeat(self, lease: list[tuple[str, str]]) -> None:
        for task_id, instance_id in lease:
            if self.may_come_back(task_id, instance_id):
                self.come_back(task_id, instance_id)
        stop = self.do(leases.extend(self.ctx, "p", dict(lease)))
        assert set(stop) == {task for task, instance in lease if self.alive.get(task) != instance}

    def come_back(self, task_id: str, instance_id: str) -> None:
        self.silent.discard((task_id, instance_id))
        self.alive[task_id] = instance_id

    # -- what happens to them

    @rule()
    def leases_end(self) -> None:
        late = {"status": {"$in": list(LEASED)}, "due": {"$exists": True}}
        self.do(self.ctx.db.tasks.update_many(late, {"$set": {"due": soon(-1)}}))
        assert self.do(repair.sweep_leases(self.ctx)) == len(self.alive)
        self.silent |= set(self.alive.items())
        self.alive.clear()

    @rule()
    def time_passes(self) -> None:
        """Everything that is due comes to be looked at, but the leases are alive."""
        self.do(self.ctx.db.tasks.update_many(
            {"due": {"$exists": True}, "status": {"$nin": list(LEASED)}}, {"$set": {"due": soon(-1)}}))
        self.do(repair.sweep_tasks(self.ctx))

    @rule()
    def the_pilot_ends(self) -> None:
        self.do(leases.release_pilot(self.ctx, "p"))
        self.alive.clear()

    @rule(
        status=st.sampled_from(["idle", "waiting", "suspended", "reset", "queued"]), number=st.integers(0, 3)
    )
    def somebody_sets_a_status(self, status: str, number: int) -> None:
        task_id = sorted(self.tasks())[number]
        before = self.tasks()[task_id]["status"]
        try:
            self.do(task_changes.set_status(self.ctx, task_id, status))
        except ApiError:
            return
        if before != status:
            self.alive.pop(task_id, None)

    @rule()
    def somebody_resets(self) -> None:
        self.do(bulk.reset_tasks(self.ctx, bulk.Selection(self.dataset)))
        tasks = self.tasks()
        self.alive = {
            task: instance for task, instance in self.alive.items() if tasks[task]["status"] in LEASED
        }

    # -- what is always true

    @invariant()
    def leases_are_those_of_the_model(self) -> None:
        if hasattr(self, "alive"):
            for task_id, task in self.tasks().items():
                if task_id in self.alive:
                    assert task["status"] in LEASED
                    assert task["instance_id"] == self.alive[task_id]
                    assert task["due"]

    @invariant()
    def jobs_are_complete_when_their_tasks_are(self) -> None:
        if hasattr(self, "alive"):
            tasks = list(self.tasks().values())
            for job in self.do(self.ctx.db.jobs.find({"dataset_id": self.dataset}).to_list()):
                states = {task["status"] for task in tasks if task["job_id"] == job["job_id"]}
                assert (job["status"] == "complete") == (states == {"complete"})


@pytest.mark.slow
def test_leases(store_url: str) -> None:
    LeaseMachine.url = store_url
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        LeaseMachine, settings=settings(max_examples=15, stateful_step_count=25, deadline=None,
                                        suppress_health_check=checks))
