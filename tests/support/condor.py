"""Real HTCondor pools and grids of them, for tests.

A pool is made by the tool `condor-pool.sh` of the test data; where that is absent, tests are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.api import REPOSITORY, Api
from tests.support.data import TOOLS

__all__ = ["Grid", "Pool", "pool", "running_grid", "wait_for"]

PATIENCE = 400.0  # seconds; only what never happens takes so long, however busy the machine is


def tool() -> Path:
    """The tool that makes pools; skips the test where HTCondor's bindings are missing."""
    pytest.importorskip("htcondor2", reason="needs HTCondor's Python bindings: pip install 'htcondor>=25'")
    return TOOLS / "condor-pool.sh"


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE, why: str = "") -> Any:
    """The first true value of `what`; fails when none comes."""
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, f"waited {seconds:g} s for {why or what}"
        time.sleep(0.2)
    return value


@dataclass(frozen=True)
class Pool:
    """A running pool of one machine."""

    directory: Path
    environment: dict[str, str]

    @property
    def config(self) -> Path:
        return self.directory / "condor_config"

    def run(self, *argv: str, check: bool = True) -> str:
        """Run one of HTCondor's commands; what it printed."""
        done = self._run(argv)
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done.stdout

    def jobs(self, constraint: str = "true", *names: str) -> list[dict[str, Any]]:
        """Jobs in the queue. While the schedd is away it is asked again."""
        wanted = ",".join(("ClusterId", "ProcId", "JobStatus", *names))
        ask = ("condor_q", "-allusers", "-json", "-attributes", wanted, "-constraint", constraint)
        for _ in range(20):
            done = self._run(ask)
            if done.returncode == 0:
                return list(json.loads(done.stdout or "[]"))
            time.sleep(0.5)
        raise AssertionError(done.stderr)

    def running(self) -> list[str]:
        """Ids of the running jobs."""
        return [f"{job['ClusterId']}.{job['ProcId']}" for job in self.jobs("JobStatus == 2")]

    def kill_daemon(self, name: str) -> None:
        """Kill one of the pool's daemons as a crash would; the master starts it again."""
        found = [process for process in Path("/proc").iterdir() if process.name.isdigit()
                 and self._is_ours(process, name)]
        assert found, name
        for process in found:
            os.kill(int(process.name), signal.SIGKILL)

    def set(self, *lines: str) -> None:
        """Append lines to the pool's configuration and let its daemons read it."""
        with self.config.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))
        self.run("condor_reconfig")

    def empty(self) -> None:
        """Remove all jobs, and see that they are gone."""
        self.run("condor_rm", "-all", check=False)
        wait_for(lambda: not self.jobs(), why="an empty queue")

    def _run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, env={**os.environ, **self.environment}, capture_output=True, text=True,
                              check=False, timeout=120)

    def _is_ours(self, process: Path, name: str) -> bool:
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() == name[:15]:
                wanted = f"CONDOR_CONFIG={self.config}".encode()
                return wanted in (process / "environ").read_bytes().split(b"\0")
        return False


@contextlib.contextmanager
def pool(directory: Path, cpus: int = 8, gpus: int = 0) -> Iterator[Pool]:
    """Start a pool in a directory; it is gone afterwards."""
    program = tool()
    settings = {"CONDOR_POOL_CPUS": str(cpus), "CONDOR_POOL_GPUS": str(gpus)}
    made = subprocess.run([program, "up", directory], env={**os.environ, **settings}, capture_output=True,
                          text=True, check=False, timeout=280)
    if made.returncode:
        pytest.skip(f"no HTCondor pool here: {made.stderr[-500:]}")
    try:
        yield Pool(directory, _environment(program, directory))
    finally:
        subprocess.run([program, "purge", directory], capture_output=True, check=False, timeout=120)


def _environment(program: Path, directory: Path) -> dict[str, str]:
    text = subprocess.run(["bash", "-c", f'eval "$({program} env {directory})" && env -0'], check=True,
                          capture_output=True, text=True).stdout
    variables = dict(line.partition("=")[::2] for line in text.split("\0") if line)
    return {name: variables[name] for name in ("CONDOR_CONFIG", "CONDOR_POOL_DIR", "PATH")}


@dataclass
class Grid:
    """The grid of one site as a process."""

    name: str
    pool: Pool
    api: Api
    file: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "grid", "--config", str(self.file)]
            self.process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def command(self, *words: str) -> str:
        """Run ``iceprod grid`` with some arguments; what it printed."""
        variables = {**os.environ, "ICEPROD_TOKEN": self.api.token(), "ICEPROD_SERVER": self.api.url}
        done = subprocess.run([sys.executable, "-m", "grid", *words], cwd=REPOSITORY, capture_output=True,
                              text=True, timeout=60, check=False, env=variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def report(self) -> dict[str, Any]:
        """What the server shows of the site; empty before it registered."""
        with self.api.session("admin") as session:
            grids = session.get("/grids").json().values()
        return next((grid for grid in grids if grid.get("site") == self.name), {})

    def ends(self, *kinds: str) -> list[dict[str, Any]]:
        """The reported ends of some kinds."""
        return [end for end in self.report().get("ends", []) if end["kind"] in kinds]


@contextlib.contextmanager
def running_grid(folder: Path, name: str, pool: Pool, api: Api, **settings: Any) -> Iterator[Grid]:
    """A grid of a site, whose file has quick defaults and `settings`."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token"
    token.write_text(api.token("system", hours=100))
    document: dict[str, Any] = {
        "site": name, "server": api.url, "token_file": str(token), "state": str(folder / "state"),
        "condor": {"config": str(pool.config)},
        "pilot": {"pixels": False, "idle_minutes": 0.1, "heartbeat_seconds": 1.0},
        "pace": {"look_seconds": 0.5, "surplus_seconds": 2.0, "query_seconds": 5.0, "backoff_seconds": 2.0}}
    for section, values in settings.items():
        document[section] = {**document.get(section, {}), **values} if isinstance(values, dict) else values
    (folder / "site.yaml").write_text(yaml.safe_dump(document))
    grid = Grid(name, pool, api, folder / "site.yaml", folder / "grid.log")
    grid.start()
    try:
        yield grid
    finally:
        if grid.process is not None and grid.process.poll() is None:
            grid.stop()
        pool.empty()


