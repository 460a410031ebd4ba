"""Kinds of pilots on a real pool: ClassAds of tasks, GPUs that will do, slots that may be taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.condor import Grid, Pool, running_grid, wait_for
from tests.support.condor_work import Work, task

pytestmark = pytest.mark.slow

LARGEST = {"cores": 2, "memory": 4.0, "disk": 4.0, "gpus": 1, "hours": 8.0}
A100 = {"gpu": 1, "gpus_minimum_capability": 8.0, "gpus_minimum_memory": 40.0, "gpus_device_name": "A100"}


@pytest.fixture(scope="module", params=["pilots", "direct"])
def grid(request: pytest.FixtureRequest, pool_b: Pool, api: Api,
         tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    folder = tmp_path_factory.mktemp(f"kinds-{request.param}")
    with running_grid(folder, f"kinds-{request.param}", pool_b, api, mode=request.param, largest=LARGEST,
                      pilot={"share": "task", "task_classads": ["Wanted*", "requirements"]}) as made:
        wait_for(lambda: made.report().get("gpus"), why="the pool's GPUs at the server")
        yield made


def with_classads(made: dict[str, Any], **classads: Any) -> dict[str, Any]:
    given = {name.replace("plus_", "+"): text for name, text in classads.items()}
    return {**made, "batchsys": {"condor": given}}


def test_the_job_has_what_its_tasks_ask_for(grid: Grid, work: Work) -> None:
    """Each task runs in a job with its attributes, and plain ones in jobs without."""
    show = "sleep 3"
    dataset_id = work.dataset(
        with_classads(task("special", show, site=grid.name), plus_WantedImage='"a b"', plus_WantedN=5,
                      requirements="TARGET.Cpus >= 1"),
        task("plain", show, site=grid.name), jobs=2)
    names = {one["task_id"]: one["name"] for one in wait_for(lambda: work.tasks(dataset_id), why="the tasks")}
    ran = dict[str, str]()

    def is_over() -> bool:
        for pilot in work.pilots().values():
            ran.update(dict.fromkeys((one for one in pilot["tasks"] if one in names), pilot["grid_queue_id"]))
        return work.counts(dataset_id).get("complete") == 4

    wait_for(is_over, why="four tasks")
    assert len(ran) == 4
    queue = grid.pool.jobs("WantedN =?= 5", "WantedImage")  # before the past, into which they go meanwhile
    past = grid.pool.run("condor_history", "-constraint", "WantedN =?= 5", "-json", "-limit", "50")
    jobs = [*queue, *json.loads(past or "[]")]
    special = {f"{job['ClusterId']}.{job['ProcId']}" for job in jobs if job["WantedImage"] == "a b"}
    assert {names[one] for one, job in ran.items() if job in special} == {"special"}
    assert {names[one] for one, job in ran.items() if job not in special} == {"plain"}


def test_what_the_site_lets_no_task_set_is_refused_at_submit(grid: Grid, work: Work) -> None:
    fields = {"description": "t", "group": "users", "jobs_submitted": 1, "tasks_per_job": 1,
              "tasks_submitted": 1}
    dataset_id = work.session.post("/datasets", json=fields).json()["result"]
    for classads, why in (({"+Other": "1"}, f"{grid.name} refuses +Other"), ({"+Cmd": "1"}, "set by us"),
                          ({"+Wanted": "1) || (true"}, "not expected")):
        made = {**task("a", "true"), "batchsys": {"condor": classads}}
        answer = work.session.put(f"/config/{dataset_id}",
                                  json={"version": 3.2, "description": "t", "tasks": [made]})
        assert answer.status_code == 400
        assert why in answer.text


def test_gpus_that_will_do(grid: Grid, work: Work) -> None:
    dataset_id = work.dataset(task("gpu", "true", site=grid.name, **A100))
    job = wait_for(lambda: grid.pool.jobs("RequestGPUs =?= 1", "RequireGPUs"), why="a job with a GPU")[0]
    assert all(part in str(job["RequireGPUs"]) for part in ("A100", "GPUsMinCapability", "GPUsMinMemory"))
    work.wait_complete(dataset_id, 1)


def test_gpus_that_nobody_has(grid: Grid, work: Work) -> None:
    """`why` tells which GPUs the site has, and no job is queued for what never matches."""
    needs = {"gpu": 1, "gpus_minimum_capability": 9.0, "site": grid.name}
    dataset_id = work.dataset(task("gpu", "true", **needs), lenient=True)
    [one] = wait_for(lambda: work.tasks(dataset_id), why="the task")

    def why() -> str:
        path = f"/datasets/{dataset_id}/tasks/{one['task_id']}/explain"
        return str(work.session.get(path).json()["reason"])

    wait_for(lambda: "this site has A100-SXM4-40GB" in why(), 60, "the site's reason")
    assert not grid.pool.jobs("GPUsMinCapability > 8.0")
    work.stop(dataset_id)


def test_the_schedd_s_own_limits(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """No more jobs than one owner may have, no more at once than a submit may bring; nothing is refused."""
    pool_a.set("MAX_JOBS_PER_OWNER = 4", "MAX_JOBS_PER_SUBMISSION = 2")
    try:
        with running_grid(tmp_path, "limited", pool_a, api, pilot={"share": "task"},
                          pace={"look_seconds": 0.5, "step": 20}) as grid:
            dataset_id = work.dataset(task("a", "sleep 4", site="limited"), jobs=8)
            wait_for(lambda: len(pool_a.jobs()) == 4, 60, "four jobs")
            reasons = wait_for(lambda: grid.report().get("decision", {}).get("reasons"), 60, "reasons")
            assert any("MAX_JOBS_PER_OWNER" in reason for reason in reasons), reasons
            work.wait_complete(dataset_id, 8, 100)
            assert not grid.report()["trouble"]
            assert "cannot submit" not in grid.log.read_text()
            assert max(int(job["ProcId"]) for job in pool_a.jobs() or [{"ProcId": 0}]) < 2
    finally:
        pool_a.set("MAX_JOBS_PER_OWNER = 100000", "MAX_JOBS_PER_SUBMISSION = 20000")


def test_slots_that_may_be_taken_back(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """Long tasks go there only if they may be begun again, and to lose them there costs nothing."""
    with running_grid(tmp_path, "backfill", pool_a, api,
                      pilot={"preemptible": True, "preemptible_hours": 0.5, "share": "task"}) as grid:
        long = work.dataset(task("long", "true", time=1.0, site="backfill"))
        again = work.dataset(task("again", "sleep 20", time=1.0, restartable=True, site="backfill"))
        short = work.dataset(task("short", "true", time=0.2, site="backfill"))
        busy = wait_for(lambda: [one for one in work.pilots().values() if one["tasks"]
                                 and one["tasks"][0] == work.tasks(again)[0]["task_id"]], why="a busy pilot")
        pool_a.run("condor_vacate_job", "-fast", busy[0]["grid_queue_id"])
        work.wait_complete(again, 1)
        work.wait_complete(short, 1)
        [one] = work.tasks(again)
        assert one["evictions"] == 1
        assert one["free_evictions"] == 2  # the second attempt would have cost nothing either
        [waiting] = work.tasks(long)
        assert waiting["status"] == "waiting"
        wait_for(lambda: any("restartable: true" in row["why"]
                             for row in grid.report()["decision"]["unserved"]), 30, "the site's reason")
        work.stop(long)
