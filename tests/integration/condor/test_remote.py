"""A schedd that shares no files with the grid: jobs are spooled, and what they print is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.condor import Pool, running_grid, wait_for
from tests.support.condor_work import Work, task

pytestmark = pytest.mark.slow

SPOOL = {"spool": "always", "schedd": "schedd@siteA"}


def test_work_by_way_of_the_spool(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    with running_grid(tmp_path, "siteA", pool_a, api, condor={"config": str(pool_a.config), **SPOOL}) as grid:
        dataset_id = work.dataset(task("short", "sleep 1"), jobs=4)
        wait_for(lambda: pool_a.jobs('StageInFinish > 0', "Iwd"), why="spooled jobs")
        work.wait_complete(dataset_id, 4)
        wait_for(lambda: not pool_a.jobs(), why="an empty queue")
        wait_for(lambda: grid.ends("finished"), why="the ends of pilots")
        assert not grid.ends("held", "failed", "files", "evicted")


def test_what_a_bad_pilot_printed_comes_back(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not-a-token")
    dataset_id = work.dataset(task("any", "sleep 1"))
    with running_grid(tmp_path / "grid", "siteA", pool_a, api, pilot_token_file=str(wrong),
                      condor={"config": str(pool_a.config), **SPOOL}) as grid:
        end = wait_for(lambda: grid.ends("failed"), why="a pilot that failed")[0]
    assert "authentication failed" in end["output"]
    work.stop(dataset_id)
