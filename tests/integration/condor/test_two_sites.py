"""A dataset of two hundred tasks over two sites, each with what the other lacks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.api import Api
from tests.support.condor import Grid, Pool, running_grid, wait_for
from tests.support.condor_work import Work, task

pytestmark = pytest.mark.slow

JOBS = 50


@pytest.fixture(scope="module")
def grids(pool_a: Pool, pool_b: Pool, api: Api,
          tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Grid, Grid]]:
    folder = tmp_path_factory.mktemp("grids")
    small = {"cores": 4, "memory": 4.0, "disk": 10.0, "hours": 4}
    large = {"cores": 4, "memory": 14.0, "disk": 10.0, "hours": 4, "gpus": 1}
    with ExitStack() as stack:
        a = stack.enter_context(running_grid(folder / "a", "siteA", pool_a, api, largest=small))
        b = stack.enter_context(running_grid(folder / "b", "siteB", pool_b, api, largest=large))
        yield a, b


def test_each_task_runs_where_it_can(grids: tuple[Grid, Grid], work: Work) -> None:
    """First anywhere; then, after the first, one with much memory and one with a GPU; then at one site."""
    impossible = work.dataset(task("impossible", "true", gpu=4))
    dataset_id = work.dataset(
        task("first", "true"), task("memory", "true", ("first",), memory=12.0),
        task("gpu", 'test -n "$CUDA_VISIBLE_DEVICES"', ("first",), gpu=1),
        task("here", "true", ("memory", "gpu"), site="siteA"), jobs=JOBS)
    wait_for(lambda: work.counts(dataset_id), why="tasks")
    most: dict[str, int] = {}
    while work.counts(dataset_id).get("complete", 0) < 4 * JOBS:
        for grid in grids:
            pilots = grid.report().get("pilots", {})
            most[grid.name] = max(most.get(grid.name, 0), sum(pilots.values()))
        time.sleep(0.2)
        assert not set(work.counts(dataset_id)) & {"failed", "suspended"}
    tasks = work.tasks(dataset_id)
    sites = {name: {one["site"] for one in tasks if one["name"] == name}
             for name in ("memory", "gpu", "here")}
    assert sites == {"memory": {"siteB"}, "gpu": {"siteB"}, "here": {"siteA"}}
    assert sum(one["failures"] for one in tasks) == 0
    assert all(count <= 100 for count in most.values())
    wait_for(lambda: work.session.get(f"/datasets/{dataset_id}").json()["status"] == "complete",
             why="the dataset's end")
    for grid, has in zip(grids, (0, 1), strict=True):
        why = {one["why"] for one in grid.report()["decision"]["unserved"]}
        assert f"it needs 4 GPUs, a pilot of this site has at most {has}" in why
    work.stop(impossible)


def test_the_sites_are_empty_when_the_work_is_done(grids: tuple[Grid, Grid], work: Work) -> None:
    wait_for(lambda: not work.pilots(), why="no pilots")
    for grid in grids:
        wait_for(lambda grid=grid: not grid.pool.jobs(), why="an empty queue")
        assert not grid.ends("failed", "killed", "held", "lost", "vanished"), grid.report()["ends"]


def test_one_task_is_one_pilot(grids: tuple[Grid, Grid], work: Work) -> None:
    """The sites share what waits: not one pilot at each."""
    wait_for(lambda: not any(grid.pool.jobs() for grid in grids), why="empty queues")
    dataset_id = work.dataset(task("single", "sleep 3"))
    seen: set[tuple[str, int]] = set()
    while not work.counts(dataset_id).get("complete"):
        seen |= {(grid.name, job["ClusterId"]) for grid in grids for job in grid.pool.jobs()}
        time.sleep(0.2)
    assert len(seen) == 1
