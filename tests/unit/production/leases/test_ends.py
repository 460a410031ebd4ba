"""Ends of tasks: fencing, repetition, growth, budgets, and what follows."""

from __future__ import annotations

import pytest

from server.common.errors import BadRequest, NotFound
from server.production import repair
from server.production.leases import ends, leases
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.tasks import completion, drawn, kinds, task_changes
from server.production.tasks.task_store import NewTask, soon
from server.rest.context import Context
from tests.unit.production.conftest import Maker

CLAIM = Claim({"cpu": 1, "memory": 64}, pilot_id="p")


async def test_complete(ctx: Context, make: Maker) -> None:
    await make.task()
    got = (await leases.claim(ctx, CLAIM))[0]
    before = await ends.complete(ctx, got["task_id"], got["instance_id"], time_used=7200, site="S")
    assert before["status"] == "queued"
    task = await make.read(got["task_id"])
    assert (task["status"], task["walltime"], task["site"]) == ("complete", 2.0, "S")
    await drawn.flush(ctx)
    task = await make.read(got["task_id"])
    assert "due" not in task


@pytest.mark.parametrize("end", ["complete", "reset", "fail", "evict"])
async def test_the_same_report_twice_answers_the_same(ctx: Context, make: Maker, end: str) -> None:
    await make.task()
    got = (await leases.claim(ctx, CLAIM))[0]

    async def report(instance_id: str) -> None:
        if end == "complete":
            await ends.complete(ctx, got["task_id"], instance_id, time_used=1)
        else:
            await getattr(ends, end)(ctx, got["task_id"], Report(instance_id, 1))

    await report(got["instance_id"])
    after = await make.read(got["task_id"])
    await report(got["instance_id"])
    assert await make.read(got["task_id"]) == after
    with pytest.raises(NotFound):
        await report("stale")
    assert await make.read(got["task_id"]) == after


@pytest.mark.parametrize("end", ["complete", "reset", "fail", "evict"])
async def test_a_zombie_cannot_end_its_successors_task(ctx: Context, make: Maker, end: str) -> None:
    await make.task()
    old = (await leases.claim(ctx, CLAIM))[0]
    await leases.release_pilot(ctx, "p")
    new = (await leases.claim(ctx, CLAIM))[0]
    before = await make.read(new["task_id"])
    stale = (ends.complete(ctx, old["task_id"], old["instance_id"]) if end == "complete"
             else getattr(ends, end)(ctx, old["task_id"], Report(old["instance_id"])))
    with pytest.raises(NotFound):
        await stale
    assert await make.read(new["task_id"]) == before


async def test_start(ctx: Context, make: Maker) -> None:
    await make.task()
    got = (await leases.claim(ctx, CLAIM))[0]
    with pytest.raises(NotFound):
        await ends.start(ctx, got["task_id"], Report("other"))
    for _ in range(2):
        await ends.start(ctx, got["task_id"], Report(got["instance_id"], site="S3"))
    task = await make.read(got["task_id"])
    assert (task["status"], task["site"]) == ("processing", "S3")


async def test_unknown_and_waiting_tasks(ctx: Context, make: Maker) -> None:
    task = await make.task()
    with pytest.raises(NotFound):
        await ends.complete(ctx, "nothing")
    with pytest.raises(BadRequest, match="Bad state transition"):
        await ends.complete(ctx, task["task_id"])


async def test_reset_grows_what_was_short(ctx: Context, make: Maker) -> None:
    await make.task(requirements={"memory": 2.0})
    got = (await leases.claim(ctx, CLAIM))[0]
    report = Report(got["instance_id"], 3600, "S", "memory limit exceeded", {"memory": 9})
    await ends.reset(ctx, got["task_id"], report)
    task = await make.read(got["task_id"])
    assert (task["status"], task["failures"], task["walltime_err"]) == ("waiting", 1, 1.0)
    assert (task["walltime_err_n"], task["reason"], task["site"]) == (1, "memory limit exceeded", "S")
    assert task["requirements"]["memory"] == 13.5
    assert await leases.claim(ctx, Claim({"memory": 13.0})) == []
    assert len(await leases.claim(ctx, Claim({"memory": 13.5}))) == 1


async def test_given_up_when_the_budget_is_spent(ctx: Context, make: Maker) -> None:
    made = await make.task()
    for n in range(ctx.settings.failures.max_failures + 1):
        got = (await leases.claim(ctx, CLAIM))[0]
        assert got["failures"] == n
        await ends.reset(ctx, got["task_id"], Report(got["instance_id"], reason="exit code 1"))
    assert (await make.read(made["task_id"]))["status"] == "failed"


async def test_tasks_of_debug_datasets_are_suspended(ctx: Context, make: Maker) -> None:
    await make.task(await make.dataset(debug=True))
    got = (await leases.claim(ctx, CLAIM))[0]
    await ends.reset(ctx, got["task_id"], Report(got["instance_id"]))
    assert (await make.read(got["task_id"]))["status"] == "suspended"


async def test_the_kind_hears_of_a_failure(ctx: Context, make: Maker) -> None:
    heard = []

    async def payloads(ctx: Context, tasks: list) -> dict:
        return {}

    async def ended(ctx: Context, task: dict, outcome: str, reason: str) -> None:
        heard.append((task["name"], outcome, reason))

    kinds.register_kind("test", payloads, ended)
    await make.task(kind="test")
    got = (await leases.claim(ctx, CLAIM))[0]
    await ends.fail(ctx, got["task_id"], Report(got["instance_id"], reason="broken"))
    assert heard == [("gen", "failed", "broken")]


# -- what follows


async def chain(make: Maker, per_job: int = 3, jobs: int = 1, **fields: object) -> tuple[str, list]:
    """A dataset with jobs of tasks that depend one on the other."""
    dataset = await make.dataset(jobs=jobs, per_job=per_job, **fields)
    made: list = []
    for job in range(jobs):
        previous: tuple[str, ...] = ()
        for index in range(per_job):
            task = (await make.tasks(dataset, NewTask(job, f"t{index}", task_index=index, depends=previous)))[
                0
            ]
            made.append(task)
            previous = (task["task_id"],)
    return dataset, made


async def states(ctx: Context, dataset: str) -> tuple[list[str], list[str], str]:
    tasks = await ctx.db.tasks.find(
        {"dataset_id": dataset}, sort=[("job_index", 1), ("task_index", 1)]
    ).to_list()
    jobs = await ctx.db.jobs.find({"dataset_id": dataset}, sort=[("job_index", 1)]).to_list()
    found = await ctx.db.datasets.find_one({"dataset_id": dataset})
    assert found
    return [t["status"] for t in tasks], [j["status"] for j in jobs], found["status"]


async def run_one(ctx: Context, fail: bool = False) -> None:
    got = (await leases.claim(ctx, CLAIM))[0]
    if fail:
        await ends.fail(ctx, got["task_id"], Report(got["instance_id"]))
    else:
        await ends.complete(ctx, got["task_id"], got["instance_id"])


async def test_completion_goes_up_in_the_same_call(ctx: Context, make: Maker) -> None:
    dataset, _ = await chain(make, 2, 2)
    seen = []
    for _ in range(4):
        await run_one(ctx)
        seen.append((await states(ctx, dataset))[1:])
    assert seen[-1] == (["complete", "complete"], "complete")
    assert all(status == "processing" for _, status in seen[:-1])


async def test_a_failure_ends_job_and_dataset_in_errors_and_a_reset_revives_them(
    ctx: Context, make: Maker
) -> None:
    from server.production.tasks import bulk

    dataset, _ = await chain(make)
    await run_one(ctx)
    await run_one(ctx, fail=True)
    assert await states(ctx, dataset) == (["complete", "failed", "idle"], ["errors"], "errors")
    await bulk.reset_tasks(ctx, bulk.Selection(dataset))
    assert await states(ctx, dataset) == (["complete", "waiting", "idle"], ["processing"], "processing")
    await run_one(ctx)
    await run_one(ctx)
    assert await states(ctx, dataset) == (["complete"] * 3, ["complete"], "complete")


async def test_a_job_whose_tasks_are_not_all_made_is_not_over(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset(jobs=1, per_job=2)
    await make.task(dataset)
    await run_one(ctx)
    assert await states(ctx, dataset) == (["complete"], ["processing"], "processing")


async def test_a_dataset_whose_jobs_are_not_all_made_is_not_over_unless_truncated(
    ctx: Context, make: Maker
) -> None:
    from server.production.datasets import datasets

    dataset = await make.dataset(jobs=5)
    await make.task(dataset)
    await run_one(ctx)
    assert (await states(ctx, dataset))[2] == "processing"
    await datasets.truncate(ctx, dataset)
    await repair.settle(ctx)
    assert (await states(ctx, dataset))[2] == "complete"


async def test_always_active_datasets_stay(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset(jobs=1, always_active=True)
    await make.task(dataset)
    await run_one(ctx)
    assert await states(ctx, dataset) == (["complete"], ["complete"], "processing")


async def test_an_end_that_was_cut_short_is_followed_up(ctx: Context, make: Maker,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, _ = await chain(make, 2)

    async def crash(*args: object) -> None:
        raise RuntimeError("the server dies here")

    with monkeypatch.context() as patch:
        patch.setattr(completion, "follow_one", crash)
        with pytest.raises(RuntimeError):
            await run_one(ctx)
    assert (await states(ctx, dataset))[0] == ["complete", "idle"]
    assert await repair.sweep_tasks(ctx) == 0
    await ctx.db.tasks.update_many({"due": {"$exists": True}}, {"$set": {"due": soon(-1)}})
    assert await repair.sweep_tasks(ctx) == 2
    assert (await states(ctx, dataset))[0] == ["complete", "waiting"]
    assert await repair.sweep_tasks(ctx) == 0


async def test_dependencies_on_other_datasets(ctx: Context, make: Maker) -> None:
    first = await make.task()
    second = await make.task(depends=(first["task_id"],))
    assert second["status"] == "idle"
    await run_one(ctx)
    assert (await make.read(second["task_id"]))["status"] == "waiting"


async def test_idle_tasks_that_are_ready_are_found(ctx: Context, make: Maker) -> None:
    ready = await make.task(status="idle")
    await ctx.db.tasks.update_many({}, {"$set": {"due": soon(-1)}})
    await repair.sweep_tasks(ctx)
    task = await make.read(ready["task_id"])
    assert task["status"] == "waiting"
    assert "due" not in task


async def test_the_state_reset_is_decided_by_the_repair_pass(ctx: Context, make: Maker) -> None:
    made = await make.task()
    await task_changes.set_status(ctx, made["task_id"], "reset")
    await ctx.db.tasks.update_many({}, {"$set": {"due": soon(-1)}})
    await repair.sweep_tasks(ctx)
    assert (await make.read(made["task_id"]))["status"] == "waiting"


def task(task_id: str, status: str, *depends: str) -> dict:
    return {"task_id": task_id, "status": status, "depends": list(depends)}


@pytest.mark.parametrize(("tasks", "outcome"), [
    ([task("a", "complete")], "complete"), ([task("a", "complete"), task("b", "waiting")], "processing"),
    ([task("a", "failed"), task("b", "idle", "a"), task("c", "idle", "b")], "errors"),
    ([task("a", "suspended"), task("b", "idle", "a")], "suspended"),
    ([task("a", "suspended"), task("b", "failed"), task("c", "complete")], "errors"),
    ([task("a", "failed"), task("b", "processing")], "processing"),
    ([task("a", "failed"), task("b", "idle", "elsewhere")], "processing"),
    ([task("a", "reset")], "processing")])
def test_job_outcome(tasks: list, outcome: str) -> None:
    assert completion.job_outcome(tasks) == outcome
