"""Why tasks wait, and the errors of a dataset."""

from __future__ import annotations

import pytest

from server.common.errors import NotFound
from server.production.failures.explain import explain
from server.production.leases import ends, leases
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.records.problems import form, top_errors
from server.production.sites import grids, pilots
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker


async def pilot(ctx: Context, site: str = "S", **resources: float) -> None:
    await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": resources, "site": site})


async def test_rank_and_fitting_pilots(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    one, two = await make.tasks(dataset, NewTask(0, "a", {"memory": 2.0}, priority=0.3),
                                NewTask(1, "a", {"memory": 2.0}, priority=0.9))
    answer = await explain(ctx, dataset, one["task_id"])
    assert (answer["tasks_before"], answer["pilots"]) == (1, 0)
    await pilot(ctx, cpu=1, memory=4.0)
    await pilot(ctx, cpu=1, memory=1.0)
    answer = await explain(ctx, dataset, two["task_id"])
    assert (answer["tasks_before"], answer["pilots"], answer["fitting_pilots"]) == (0, 2, 1)


async def test_the_missing_requirement_is_named(ctx: Context, make: Maker) -> None:
    task = await make.task(requirements={"memory": 64.0, "cpu": 1, "site": "T"})
    await pilot(ctx, cpu=8, memory=16.0)
    await pilot(ctx, cpu=8, memory=32.0)
    answer = await explain(ctx, task["dataset_id"], task["task_id"])
    assert answer["fitting_pilots"] == 0
    assert answer["missing"] == [{"resource": "memory", "wanted": 64.0, "offered": 32.0},
                                 {"resource": "site", "wanted": "T", "offered": ["S"]}]
    assert "memory" in answer["reason"]


async def test_a_pilot_that_runs_programs_alone_fits_no_pixels(ctx: Context, make: Maker) -> None:
    task = await make.task(requirements={"cpu": 1, "kind": "pixels"}, kind="pixels")
    room = {"resources": {"cpu": 1}, "resources_available": {"cpu": 1, "kind": "script"}}
    await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", **room})
    answer = await explain(ctx, task["dataset_id"], task["task_id"])
    assert answer["fitting_pilots"] == 0
    assert answer["missing"] == [{"resource": "kind", "wanted": "pixels", "offered": ["script"]}]


async def test_sites_say_why_they_send_no_pilot(ctx: Context, make: Maker) -> None:
    task = await make.task(requirements={"gpu": 4})

    async def site(name: str, **fields: object) -> None:
        grid_id = await grids.create(ctx, {"host": "h", "queues": {}, "version": "1", "site": name}, "g")
        await grids.patch(ctx, grid_id, fields)

    refused = {"class_key": task["class_key"], "why": "it needs 4 GPUs"}
    await site("A", decision={"unserved": [refused]})
    await site("B", trouble="cannot query the queue")
    answer = await explain(ctx, task["dataset_id"], task["task_id"])
    assert answer["sites"] == [{"site": "A", "why": "it needs 4 GPUs"},
                               {"site": "B", "why": "cannot query the queue"}]
    assert answer["reason"].endswith(
        "no site can send one: A: it needs 4 GPUs; B: cannot query the queue")
    await site("C", decision={"unserved": []})
    assert (await explain(ctx, task["dataset_id"], task["task_id"]))["reason"].endswith("C can send one")


async def test_open_dependencies(ctx: Context, make: Maker) -> None:
    first = await make.task()
    second = await make.task(depends=(first["task_id"],))
    answer = await explain(ctx, second["dataset_id"], second["task_id"])
    assert [row["task_id"] for row in answer["depends_on"]] == [first["task_id"]]


async def test_unknown_task(ctx: Context) -> None:
    with pytest.raises(NotFound):
        await explain(ctx, "none", "none")


async def test_the_same_errors_are_counted_together(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.tasks(dataset, *(NewTask(n, "gen") for n in range(4)))
    for n, task in enumerate(await leases.claim(ctx, Claim({}, num=4))):
        reason = f"job {n}: file /data/{n}.i3 not found" if n < 3 else "exit code 1"
        await ends.fail(ctx, task["task_id"], Report(task["instance_id"], reason=reason, site="S"))
    errors = await top_errors(ctx, dataset)
    assert [row["count"] for row in errors] == [3, 1]
    assert errors[0]["error"] == "job …: file … not found"
    assert errors[0]["statuses"] == {"failed": 3}


def test_form() -> None:
    assert form("at 0xdeadbeef after 12.5 s\n in /tmp/x") == "at … after … s in …"
