"""What can happen to pilots at a site: the right end, tasks handed on at once, nobody lost or doubled.

Leases last an hour here, so that a task that comes back does so because HTCondor knew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.condor import Grid, Pool, running_grid, wait_for
from tests.support.condor_work import Work, task

pytestmark = pytest.mark.slow

LIMIT = 4


@pytest.fixture(scope="module")
def grid(pool_a: Pool, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    with running_grid(tmp_path_factory.mktemp("grid"), "siteA", pool_a, api,
                      limits={"pilots": LIMIT, "queued": LIMIT}) as running:
        yield running


@pytest.fixture
def busy(grid: Grid, work: Work) -> Iterator[str]:
    """A dataset whose two tasks run, each on a pilot of its own."""
    dataset_id = work.dataset(task("long", "sleep 600"), jobs=2)
    wait_for(lambda: work.counts(dataset_id).get("processing") == 2, why="two running tasks")
    wait_for(lambda: len(holders(work, dataset_id)) == 2, why="two busy pilots")
    yield dataset_id
    work.stop(dataset_id)


def holders(work: Work, dataset_id: str) -> dict[str, dict[str, Any]]:
    """The pilots that run a dataset's tasks, by the ids of their jobs."""
    ids = {one["task_id"] for one in work.tasks(dataset_id)}
    return {pilot["grid_queue_id"]: pilot for pilot in work.pilots().values() if ids & set(pilot["tasks"])}


def reasons(grid: Grid) -> list[str]:
    """Why the grid does what it does just now."""
    return list(grid.report()["decision"].get("reasons", []))


def evictions(work: Work, dataset_id: str) -> int:
    return sum(one["evictions"] for one in work.tasks(dataset_id))


def wait_handed_on(work: Work, dataset_id: str, job: str, count: int = 1) -> None:
    """Wait until tasks have left a job's pilot and run again elsewhere, and the pilot is no more."""
    wait_for(lambda: evictions(work, dataset_id) == count, why="a task that comes back")
    wait_for(lambda: work.counts(dataset_id).get("processing") == 2, why="the task running again")
    wait_for(lambda: job not in {pilot["grid_queue_id"] for pilot in work.pilots().values()},
             why="the pilot being gone")


def wait_end(grid: Grid, job: str, *kinds: str) -> dict[str, Any]:
    return wait_for(lambda: next((end for end in grid.ends(*kinds) if end["queue_id"] == job), None),
                    why=f"{job} being reported as {kinds}")


def test_a_held_pilot(grid: Grid, work: Work, busy: str) -> None:
    job = min(holders(work, busy))
    grid.pool.run("condor_hold", job)
    wait_handed_on(work, busy, job)
    assert "condor_hold" in wait_end(grid, job, "held")["reason"]
    wait_for(lambda: not grid.pool.jobs("JobStatus == 5"), why="the held job being removed")
    assert any("condor_hold" in reason for reason in grid.report()["top_errors"])


def test_a_vacated_pilot(grid: Grid, work: Work, busy: str) -> None:
    job = min(holders(work, busy))
    grid.pool.run("condor_vacate_job", "-fast", job)
    wait_handed_on(work, busy, job)
    wait_end(grid, job, "evicted")
    cluster, proc = job.split(".")
    wait_for(lambda: not grid.pool.jobs(f"ClusterId == {cluster} && ProcId == {proc}"),
             why="an evicted pilot leaving the queue")


def test_a_pilot_that_somebody_removed(grid: Grid, work: Work, busy: str) -> None:
    job = min(holders(work, busy))
    grid.pool.run("condor_rm", job)
    wait_handed_on(work, busy, job)
    wait_end(grid, job, "removed")


def test_a_pilot_that_was_killed(grid: Grid, work: Work, busy: str) -> None:
    job = min(holders(work, busy))
    pid = holders(work, busy)[job]["pid"]
    grid.pool.run("kill", "-9", str(pid))
    wait_handed_on(work, busy, job)
    end = wait_end(grid, job, "killed")
    assert "SIGKILL" in end["reason"]
    assert "registered as pilot" in end["output"]


def test_the_startd_is_killed(grid: Grid, work: Work, busy: str) -> None:
    jobs = holders(work, busy)
    grid.pool.kill_daemon("condor_startd")
    wait_for(lambda: evictions(work, busy) == 2, why="both tasks coming back")
    wait_for(lambda: work.counts(busy).get("processing") == 2, why="both tasks running again")
    assert not set(holders(work, busy)) & set(jobs)


def test_the_schedd_is_killed(grid: Grid, work: Work, busy: str) -> None:
    before = holders(work, busy)
    grid.pool.kill_daemon("condor_schedd")
    wait_for(lambda: set(before) <= set(grid.pool.running()), why="the schedd finding its jobs again")
    extra = work.dataset(task("short", "sleep 0.5"), jobs=2)
    work.wait_complete(extra, 2)
    assert evictions(work, busy) == 0
    assert {job: pilot["pilot_id"] for job, pilot in holders(work, busy).items()} == {
        job: pilot["pilot_id"] for job, pilot in before.items()}
    assert len(grid.pool.jobs()) <= LIMIT


def test_the_collector_is_killed(grid: Grid, work: Work, busy: str) -> None:
    grid.pool.kill_daemon("condor_collector")
    extra = work.dataset(task("short", "sleep 0.5"), jobs=2)
    work.wait_complete(extra, 2)
    assert evictions(work, busy) == 0


def test_the_grid_is_killed(grid: Grid, work: Work, busy: str) -> None:
    before, identity = holders(work, busy), grid.report()["grid_id"]
    grid.kill()
    job = min(before)
    grid.pool.run("condor_hold", job)
    grid.start()
    wait_handed_on(work, busy, job)
    (other,) = set(before) - {job}
    assert holders(work, busy)[other]["pilot_id"] == before[other]["pilot_id"]
    assert grid.report()["grid_id"] == identity
    assert len(grid.pool.jobs()) <= LIMIT


def test_the_server_forgot_everything_about_pilots(grid: Grid, work: Work, busy: str) -> None:
    """Pilots register again, and the grid goes on with them."""
    before = set(holders(work, busy))
    for pilot_id in work.pilots():
        work.session.delete(f"/pilots/{pilot_id}")
    wait_for(lambda: work.counts(busy).get("processing") == 2, why="the tasks running again")
    wait_for(lambda: before <= {pilot["grid_queue_id"] for pilot in work.pilots().values()},
             why="the pilots being registered again")


def test_nothing_secret_in_the_queue_or_the_logs(grid: Grid, work: Work, busy: str) -> None:
    token = (grid.file.parent / "state" / "token").read_text()
    assert len(token) > 100
    secrets = {token, token.split(".")[2], grid.api.token("system").split(".")[2]}
    shown = grid.pool.run("condor_q", "-allusers", "-long") + grid.log.read_text()
    state = grid.file.parent / "state"
    for path in (*(state / "events").iterdir(), *(state / "out").iterdir(),
                 *(grid.pool.directory / "log").iterdir(), grid.api.data / "log"):
        shown += path.read_text(errors="replace") if path.is_file() else ""
    assert "IceProdSite" in shown
    assert not any(secret in shown for secret in secrets)


def test_the_queue_is_full(grid: Grid, work: Work) -> None:
    """HTCondor takes no more jobs: the grid says so, waits, and goes on when it may."""
    wait_for(lambda: not grid.pool.jobs(), why="an empty queue")
    grid.pool.set("MAX_JOBS_PER_OWNER = 1")
    try:
        dataset_id = work.dataset(task("short", "sleep 1"), jobs=6)
        wait_for(lambda: "cannot submit" in grid.report()["trouble"], why="the trouble being reported")
        wait_for(lambda: any("pause of" in reason for reason in reasons(grid)), why="a pause")
    finally:
        grid.pool.set("MAX_JOBS_PER_OWNER = 100000")
    work.wait_complete(dataset_id, 6)


def test_an_administrator_pauses_limits_and_drains(grid: Grid, work: Work, tmp_path: Path) -> None:
    wait_for(lambda: not grid.pool.jobs(), why="an empty queue")
    assert "paused" in grid.command("pause", "siteA", "--reason", "cooling")
    wait_for(lambda: grid.report()["state"] == "paused", why="the grid hearing of it")
    dataset_id = work.dataset(task("long", "sleep 600"), jobs=3)
    wait_for(lambda: any("cooling" in reason for reason in reasons(grid)), why="the pause being the reason")
    assert not grid.pool.jobs()
    grid.command("limit", "siteA", "2")
    assert "siteA" in grid.command("list")
    grid.command("resume", "siteA")
    wait_for(lambda: work.counts(dataset_id).get("processing") == 2, why="two running tasks")
    assert len(grid.pool.jobs()) == 2
    grid.command("drain", "siteA")
    work.stop(dataset_id)
    wait_for(lambda: not grid.pool.jobs(), why="an empty site")
    grid.command("resume", "siteA")
    grid.command("limit", "siteA")


def test_a_dry_run_changes_nothing(grid: Grid, work: Work) -> None:
    dataset_id = work.dataset(task("huge", "true", memory=900.0), lenient=True)
    wait_for(lambda: grid.report()["decision"]["unserved"], why="the grid knowing of the task")
    before = grid.pool.jobs()
    said = grid.command("--config", str(grid.file), "--dry-run")
    assert "900 GB of memory, a pilot of this site has at most 32" in said
    assert "would do nothing" in said
    assert grid.pool.jobs() == before
    work.stop(dataset_id)


def test_the_doctor_sees_the_pool_of_a_site(grid: Grid) -> None:
    command = [sys.executable, "-m", "iceprod", "doctor", "--site", str(grid.file), "--json"]
    done = subprocess.run(command, cwd=grid.file.parent, capture_output=True, text=True, check=False)
    told = {finding["text"]: finding["state"] for finding in json.loads(done.stdout)["findings"]
            if finding["check"].startswith(grid.name)}
    assert any("schedd" in text and state == "ok" for text, state in told.items()), told
    assert any("machines would take pilots" in text and state == "ok" for text, state in told.items()), told
    assert any("accepts it" in text and state == "ok" for text, state in told.items()), told
