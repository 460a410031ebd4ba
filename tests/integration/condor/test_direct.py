"""``mode: direct``: a job of HTCondor's for each task."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.condor import Grid, Pool, running_grid, wait_for
from tests.support.condor_work import Work, task

pytestmark = pytest.mark.slow


def test_one_job_for_each_task(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """As many jobs as tasks, each with what its task needs; one that was evicted has its task run again."""
    with running_grid(tmp_path, "siteA", pool_a, api, mode="direct",
                      pace={"look_seconds": 0.5, "query_seconds": 5.0, "step": 20}) as grid:
        dataset_id = work.dataset(task("small", "sleep 14", memory=1.5), task("large", "sleep 14", cpu=2),
                                  jobs=3)
        wait_for(lambda: len(pool_a.jobs("true")) == 6, why="six jobs")
        asked = {(job["RequestCpus"], job["IceProdMemory"]) for job in pool_a.jobs("true", "RequestCpus",
                                                                                   "IceProdMemory")}
        assert asked == {(1, 1.5), (2, 1.0)}
        wait_for(lambda: work.counts(dataset_id).get("processing"), why="a running task")
        busy = wait_for(lambda: [one for one in work.pilots().values() if one["tasks"]], why="a busy job")
        pool_a.run("condor_vacate_job", "-fast", busy[0]["grid_queue_id"])
        work.wait_complete(dataset_id, 6, 120)
        wait_for(lambda: not pool_a.jobs(), why="an empty queue")
        counts = wait_for(lambda: _ends_of_six(grid), why="six ends")
        assert not set(counts) & {"failed", "killed", "held"}
        assert sum(one["evictions"] for one in work.tasks(dataset_id)) == 1


def _ends_of_six(grid: Grid) -> dict[str, int]:
    """How jobs ended, once six are over, which the grid hears of a little later than the queue."""
    counts: dict[str, int] = grid.report()["end_counts"]
    return counts if counts.get("finished", 0) + counts.get("removed", 0) >= 6 else {}
