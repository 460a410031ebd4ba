"""Who holds a slot, and who gets it: idle pilots, endless work of others, and floods of low priority."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.condor import Pool, running_grid, wait_for
from tests.support.condor_work import Work, task

pytestmark = pytest.mark.slow

PILOT = {"pixels": False, "idle_minutes": 10.0, "heartbeat_seconds": 2.0, "share": "task"}
PACE = {"look_seconds": 0.5, "query_seconds": 5.0, "starve_seconds": 4.0, "step": 20}


def test_four_core_tasks_behind_idle_pilots(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """Eight one-core pilots keep all slots for ten minutes after their work; others do not wait so long."""
    with running_grid(tmp_path, "siteA", pool_a, api, pilot=PILOT, pace=PACE) as grid:
        small = work.dataset(task("small", "sleep 8"), jobs=8)
        work.wait_complete(small, 8)
        assert len(pool_a.running()) == 8
        began = time.monotonic()
        large = work.dataset(task("large", "sleep 1", cpu=4), jobs=5)
        work.wait_complete(large, 5)
        assert time.monotonic() - began < 500  # and not the ten minutes
        assert not grid.ends("failed", "killed", "held")


def test_a_long_task_behind_endless_short_ones(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """No pilot of the short ones lives long enough for it: one leaves after its task."""
    with running_grid(tmp_path, "siteA", pool_a, api, pilot=PILOT, pace=PACE):
        short = work.dataset(task("short", "sleep 3"), jobs=400)
        wait_for(lambda: work.counts(short).get("processing", 0) == 8, why="a full pool")
        long = work.dataset(task("long", "sleep 1", time=20.0))
        work.wait_complete(long, 1)
        assert work.counts(short).get("waiting", 0) > 50
        work.stop(short)


def test_a_class_of_high_priority_overtakes_a_flood(pool_a: Pool, api: Api, work: Work,
                                                    tmp_path: Path) -> None:
    """Its pilots have HTCondor's priority, and those of the flood give up their places in the queue."""
    with running_grid(tmp_path, "siteA", pool_a, api, pilot=PILOT, pace=PACE,
                      limits={"pilots": 100, "queued": 10}):
        flood = work.dataset(task("flood", "sleep 6"), jobs=300)
        wait_for(lambda: len(pool_a.jobs("JobStatus == 1")) == 10, why="a full queue")
        _set_priority(work, flood, 0.1)
        urgent = work.dataset(task("urgent", "sleep 1", memory=2.0), jobs=4)
        _set_priority(work, urgent, 1.0)
        # unless pilots that run already come to take the tasks first
        wait_for(lambda: pool_a.jobs("JobPrio >= 95") or work.counts(urgent).get("complete", 0) == 4,
                 why="jobs of high priority")
        work.wait_complete(urgent, 4, 90)
        assert work.counts(flood).get("waiting", 0) > 100
        work.stop(flood)


def test_pilots_share_nodes(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """Work that fills it gets half of a machine, and the next shape of tasks runs there, too."""
    with running_grid(tmp_path, "siteA", pool_a, api, pilot={**PILOT, "share": "auto"}, pace=PACE):
        small = work.dataset(task("small", "sleep 3"), jobs=8)
        work.wait_complete(small, 8)
        pilots = work.pilots()
        assert sorted(pilot["resources"]["cpu"] for pilot in pilots.values()) == [4, 4]
        large = work.dataset(task("large", "sleep 1", cpu=4), jobs=2)
        work.wait_complete(large, 2, 30)
        assert set(work.pilots()) == set(pilots), "no new pilot was needed"


def _set_priority(work: Work, dataset_id: str, priority: float) -> None:
    wait_for(lambda: work.tasks(dataset_id), why="tasks")
    for one in work.tasks(dataset_id):
        answer = work.session.patch(f"/tasks/{one['task_id']}", json={"priority": priority})
        assert answer.status_code == 200, answer.text
