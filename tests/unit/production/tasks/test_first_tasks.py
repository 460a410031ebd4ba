"""The tasks of the highest priority, read off an index class by class."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.production.tasks.first_tasks import applies, first_tasks
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(tasks=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50), st.booleans()), max_size=20),
       limit=st.integers(1, 8))
async def test_they_are_those_that_sorting_finds(ctx: Context, make: Maker,
                                                 tasks: list[tuple[int, int, bool]], limit: int) -> None:
    dataset = await make.dataset(jobs=100)
    await make.tasks(dataset, *(
        NewTask(index, "a", {"memory": float(memory)}, priority=priority / 50,
                status="waiting" if waits else "suspended")
        for index, (memory, priority, waits) in enumerate(tasks)))
    of_it = {"dataset_id": dataset}
    found = [task async for task in first_tasks(ctx, ["waiting"], of_it, None, limit)]
    best = sorted((priority / 50 for _, priority, waits in tasks if waits), reverse=True)[:limit]
    assert [task["priority"] for task in found] == best
    assert {task["status"] for task in found} <= {"waiting"}
    assert all("class_key" not in task for task in found)


async def test_only_the_wanted_fields(ctx: Context, make: Maker) -> None:
    task = await make.task(priority=0.5)
    found = [row async for row in first_tasks(ctx, ["waiting", "idle"], {}, {"name"}, 5)]
    assert found == [{"task_id": task["task_id"], "name": "gen"}]


@pytest.mark.parametrize(("states", "sort", "limit", "answer"), [
    (["waiting"], [("priority", -1)], 10, True), (["idle", "waiting"], [("priority", -1)], 10, True),
    (["complete"], [("priority", -1)], 10, False), ([], [("priority", -1)], 10, False),
    (["waiting"], [("priority", 1)], 10, False), (["waiting"], [("priority", -1)], 0, False),
    (["waiting"], [("priority", -1), ("name", 1)], 10, False)])
def test_when_it_applies(states: list[str], sort: list[tuple[str, int]], limit: int, answer: bool) -> None:
    assert applies(states, sort, limit) is answer
