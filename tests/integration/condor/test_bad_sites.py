"""Sites where pilots cannot work: they are not flooded, and people can read why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.condor import Pool, running_grid, wait_for
from tests.support.condor_work import Work, task

pytestmark = pytest.mark.slow


def test_a_site_without_the_program(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """HTCondor holds the jobs: few are submitted, the holds are removed, and the reason is shown."""
    dataset_id = work.dataset(task("any", "true"), jobs=50)
    pilot, pace = {"python": "/nowhere/python3"}, {"step": 3, "backoff_seconds": 600.0}
    with running_grid(tmp_path, "siteA", pool_a, api, pilot=pilot, pace=pace) as grid:
        wait_for(lambda: grid.ends("start"), why="pilots that cannot start")
        wait_for(lambda: not pool_a.jobs(), why="the held jobs being removed")
        wait_for(lambda: any("pause of" in reason for reason in grid.report()["decision"]["reasons"]),
                 why="a pause")
        report = grid.report()
    assert 1 <= sum(report["end_counts"].values()) <= 3
    assert any("/nowhere/python3" in reason for reason in report["top_errors"])
    work.stop(dataset_id)


def test_it_says_so_and_comes_back_by_itself(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """The trouble is shown where people look; when somebody mends the site, nobody needs to tell the grid."""
    python = tmp_path / "python3"
    dataset_id = work.dataset(task("any", "sleep 1"), jobs=2)
    pace = {"backoff_seconds": 5.0, "look_seconds": 0.5, "query_seconds": 5.0}
    with running_grid(tmp_path / "grid", "siteA", pool_a, api, pilot={"python": str(python), "pixels": False},
                      pace=pace) as grid:
        wait_for(lambda: f"Failed to execute '{python}'" in (grid.report().get("trouble") or ""),
                 why="the trouble being told")
        assert "Failed to execute" in grid.command("list")
        (one, *_) = work.tasks(dataset_id)
        why = work.session.get(f"/datasets/{dataset_id}/tasks/{one['task_id']}/explain").json()
        assert "no site can send one: siteA: no pilots for" in why["reason"]
        python.symlink_to(sys.executable)
        work.wait_complete(dataset_id, 2, 120)
        wait_for(lambda: not grid.report().get("trouble"), why="no trouble any more")


def test_a_site_that_does_not_reach_the_server(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """Pilots that the server never hears of are given up, and say what they tried."""
    dataset_id = work.dataset(task("any", "true"))
    pilot = {"register_minutes": 0.05}
    with running_grid(tmp_path, "siteA", pool_a, api, pilot=pilot,
                      pilot_token_file=str(_wrong_token(tmp_path))) as grid:
        end = wait_for(lambda: grid.ends("failed", "silent"), why="pilots being given up")[0]
    assert "authentication failed" in end["output"]
    work.stop(dataset_id)


def test_authentication_by_token(pool_a: Pool, api: Api, work: Work, tmp_path: Path) -> None:
    """IDTOKENS instead of the file system."""
    directory = tmp_path / "tokens.d"
    directory.mkdir(mode=0o700)
    identity = pool_a.run("sh", "-c", "condor_ping -table WRITE | awk '/WRITE/ {print $NF}'").strip()
    token = pool_a.run("condor_token_create", "-identity", identity)
    (directory / "site").write_text(token)
    (directory / "site").chmod(0o600)
    condor = {"authentication": "idtokens", "token_directory": str(directory)}
    dataset_id = work.dataset(task("any", "true"), jobs=2)
    with running_grid(tmp_path / "grid", "siteA", pool_a, api, condor=condor) as grid:
        work.wait_complete(dataset_id, 2)
        assert token.strip() not in grid.log.read_text()


def _wrong_token(folder: Path) -> Path:
    path = folder / "wrong"
    path.write_text("not-a-token")
    return path
