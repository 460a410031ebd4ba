"""A pool of two machines, one of which lets every pilot die at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.condor import Pool, pool, running_grid, wait_for
from tests.support.condor_work import Work, task

pytestmark = pytest.mark.slow

BAD = "bad.example.org"


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Four good cores, and four of a machine whose starter runs another program than it was told."""
    folder = tmp_path_factory.mktemp("hosts")
    starter, wrapper = folder / "starter", folder / "wrapper"
    wrapper.write_text("#!/bin/sh\nexit 3\n")
    with pool(folder / "two", cpus=4) as made:
        real = made.run("condor_config_val", "STARTER").strip()
        starter.write_text(f'#!/bin/sh\n_CONDOR_USER_JOB_WRAPPER={wrapper}\nexport _CONDOR_USER_JOB_WRAPPER\n'
                           f'exec {real} "$@"\n')
        for path in (starter, wrapper):
            path.chmod(0o755)
        (folder / "execute").mkdir(mode=0o755)
        made.set("DAEMON_LIST = $(DAEMON_LIST) STARTD_BAD", "STARTD_BAD = $(STARTD)",
                 "STARTD_BAD_ARGS = -local-name bad", f"BAD.STARTD_NAME = {BAD}",
                 f"BAD.NETWORK_HOSTNAME = {BAD}", "BAD.STARTD_LOG = $(LOG)/BadStartLog",
                 "BAD.STARTD_ADDRESS_FILE = $(LOG)/.bad_address", f"BAD.EXECUTE = {folder}/execute",
                 f"BAD.STARTER = {starter}",
                 "STARTD_ATTRS = $(STARTD_ATTRS) GLIDEIN_Site GLIDEIN_ResourceName",
                 'GLIDEIN_Site = "Hills"', 'GLIDEIN_ResourceName = "Hills-CE1"')
        made.run("condor_restart")
        wait_for(lambda: BAD in made.run("condor_status", "-af", "Machine", check=False), 60, "two machines")
        yield made


def test_one_bad_machine_does_not_slow_the_site_down(two_hosts: Pool, api: Api, work: Work,
                                                     tmp_path: Path) -> None:
    """The good one gets all the work at once; the bad one is named, and left out."""
    with running_grid(tmp_path, "siteA", two_hosts, api, pilot={"share": "task", "pixels": False},
                      pace={"backoff_seconds": 20.0, "look_seconds": 0.5, "query_seconds": 5.0}) as grid:
        dataset_id = work.dataset(task("short", "sleep 2"), jobs=24)
        work.wait_complete(dataset_id, 24, 120)
        (excluded,) = wait_for(lambda: grid.report().get("excluded_hosts"), why="an exclusion")
        assert (excluded["host"], "status 3" in excluded["reason"]) == (BAD, True)
        assert {pilot["resource"] for pilot in work.pilots().values()} == {"Hills/Hills-CE1"}
        failed = grid.report()["end_counts"]["failed"]
        more = work.dataset(task("short", "sleep 2"), jobs=12)
        work.wait_complete(more, 12, 60)
        assert grid.report()["end_counts"]["failed"] == failed, "nothing was sent there again"
        assert {one["site"] for one in work.tasks(more)} == {"siteA"}
