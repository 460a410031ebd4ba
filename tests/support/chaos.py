"""What can happen to an installation, and what its books must say afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iceprod.client import Client
from tests.support.installation import Installed, wait_until
from tests.support.proxy import Proxy

__all__ = ["Chain", "Trouble", "compile_kernels", "far_pilot", "finished_scan", "map_of", "start_scan"]

PATIENCE = 600.0  # the machine may have much else to do
TASKS_PER_JOB = 4


# -- tasks that depend on each other


@dataclass
class Chain:
    """Jobs of four tasks: each adds a line to what the one before it left, and notes that it ran."""

    root: Path
    jobs: int
    dataset_id: str = ""

    def submit(self, client: Client) -> None:
        for name in ("runs", "results"):
            (self.root / name).mkdir(parents=True)
        dataset = {"description": "chaos", "group": "users", "jobs_submitted": self.jobs,
                   "tasks_per_job": TASKS_PER_JOB, "tasks_submitted": TASKS_PER_JOB * self.jobs,
                   "status": "suspended"}
        self.dataset_id = client.post("/datasets", dataset)["result"]
        client.put(f"/config/{self.dataset_id}", {"version": 3, "tasks": list(self._tasks())})
        client.put(f"/datasets/{self.dataset_id}/status", {"status": "processing"})

    def _tasks(self) -> Iterator[dict[str, Any]]:
        for number in range(TASKS_PER_JOB):
            script = (f"echo $$ >> {self.root}/runs/$(job)_{number}; [ -e before ] && cat before > after; "
                      f"echo {number} >> after; sleep 0.05")
            data = [{"movement": "output", "local": "after",
                     "remote": f"file://{self.root}/results/$(job)_{number}"}]
            if number:
                data.append({"movement": "input", "local": "before",
                             "remote": f"file://{self.root}/results/$(job)_{number - 1}"})
            yield {"name": f"t{number}", "depends": [f"t{number - 1}"] if number else [], "data": data,
                   "requirements": {"cpu": 1, "memory": 0.2, "disk": 0.1, "time": 1.0},
                   "trays": [{"modules": [{"src": "/bin/sh", "args": ["-c", script]}]}]}

    def done(self, client: Client) -> int:
        """How many tasks are complete."""
        path = f"/datasets/{self.dataset_id}/task_counts/status"
        return int(client.get(path, patience=PATIENCE).get("complete", 0))

    def check_books(self, client: Client) -> None:
        """Every task ended exactly once in the books, every result is there, and all counters agree."""
        whole = self.jobs * TASKS_PER_JOB
        wait_until(lambda: self.done(client) >= whole, PATIENCE)
        path = f"/datasets/{self.dataset_id}"
        wait_until(lambda: client.get(path, patience=PATIENCE)["status"] == "complete", PATIENCE)
        tasks = client.get(f"{path}/tasks", patience=PATIENCE)
        jobs = client.get(f"{path}/jobs", patience=PATIENCE)
        assert Counter(task["status"] for task in tasks.values()) == {"complete": whole}
        assert Counter(job["status"] for job in jobs.values()) == {"complete": self.jobs}
        assert len({(task["job_index"], task["task_index"]) for task in tasks.values()}) == whole
        assert client.get(f"{path}/task_counts/status") == {"complete": whole}
        by_name = client.get(f"{path}/task_counts/name_status")
        assert by_name == {f"t{n}": {"complete": self.jobs} for n in range(TASKS_PER_JOB)}
        self._check_ends(client, tasks)
        self._check_results()

    def _check_ends(self, client: Client, tasks: dict[str, Any]) -> None:
        """What comes with an end is stored with it alone, so no task may have two of a good end.

        It may have none: when server and pilot die between the end and the store of the rest.
        """
        for task_id, task in tasks.items():
            path = f"/datasets/{self.dataset_id}/tasks/{task_id}/task_stats"
            stats = client.get(path, patience=PATIENCE).values()
            good = [row for row in stats if row["stats"]["outcome"] == "complete"]
            assert len(good) <= 1, (task, stats)
            assert not task.get("pilot_id"), task

    def _check_results(self) -> None:
        for job in range(self.jobs):
            for number in range(TASKS_PER_JOB):
                text = (self.root / f"results/{job}_{number}").read_text()
                assert text == "".join(f"{n}\n" for n in range(number + 1))
                assert (self.root / f"runs/{job}_{number}").read_text().count("\n") >= 1


# -- scans


def compile_kernels() -> None:
    """Have a process compile the kernels, and end.

    A process that compiles them itself reconstructs with other last digits than those that load what it kept,
    so a map that both worked on would differ from one of either by rounding.
    """
    argv = [sys.executable, "-m", "scanner.worker"]
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def start_scan(here: Installed, client: Client, nsides: str) -> str:
    """Start a scan of ``event.json``; its id."""
    event = json.loads((here.root / "event.json").read_text())
    levels = dict(level.split(":") for level in nsides.split(","))
    request = {"docker_tag": "latest", "reco_algo": "track_mpe", "real_or_simulated_event": "simulated",
               "nsides": {nside: int(extension) for nside, extension in levels.items()}, "priority": 100,
               "max_pixel_reco_time": 60, "request_clusters": {"local": 1}, "event_i3live_json": event}
    return str(client.post("/scan", request, patience=PATIENCE)["scan_id"])


def finished_scan(client: Client, scan_id: str) -> dict[str, Any]:
    """The final progress of a scan."""
    def look() -> dict[str, Any] | None:
        progress: dict[str, Any] = client.get(f"/scan/{scan_id}/progress", patience=PATIENCE)
        assert "ABORTED" not in progress["state"], progress["state_reason"]
        return progress if progress["is_final"] else None

    found: dict[str, Any] = wait_until(look, PATIENCE)
    return found


def map_of(client: Client, scan_id: str) -> dict[str, Any]:
    """All rows of a final map, by nside."""
    finished_scan(client, scan_id)
    document = client.get(f"/scan/{scan_id}/skymap.json", patience=PATIENCE)
    return {name: table["data"] for name, table in document.items()}


# -- trouble


@dataclass
class Trouble:
    """Random misfortune from a seed; each piece is over when the method returns, but for its consequences."""

    here: Installed
    seed: int
    proxy: Proxy
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def strike(self) -> None:
        """One piece of misfortune."""
        what: Callable[[], str] = self.random.choice([
            self.kill_a_pilot, self.kill_a_pilot, self.kill_the_server, self.kill_the_store,
            self.freeze_a_pilot, self.freeze_the_server, self.freeze_the_store, self.cut, self.delay])
        self.told.append(what())

    def kill_a_pilot(self) -> str:
        return self._kill("-m grid.pilot")

    def kill_the_server(self) -> str:
        return self._kill("-m server --data")

    def kill_the_store(self) -> str:
        return self._kill("-m server.embedded")

    def freeze_a_pilot(self) -> str:
        return self._freeze("-m grid.pilot", self.random.uniform(1, 9))

    def freeze_the_server(self) -> str:
        return self._freeze("-m server --data", self.random.uniform(0.5, 3))

    def freeze_the_store(self) -> str:
        return self._freeze("-m server.embedded", self.random.uniform(0.5, 3))

    def cut(self) -> str:
        self.proxy.cut()
        return "cut connections"

    def delay(self) -> str:
        self.proxy.delay = self.random.uniform(0.05, 0.5)
        time.sleep(1.0)
        self.proxy.delay = 0.0
        return "delayed connections"

    def _kill(self, words: str) -> str:
        found = wait_until(lambda: self.here.processes(words), PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.random.choice(found), signal.SIGKILL)
        return f"killed {words}"

    def _freeze(self, words: str, seconds: float) -> str:
        process = self.random.choice(wait_until(lambda: self.here.processes(words), PATIENCE))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(process, signal.SIGCONT)
        return f"froze {words} for {seconds:.1f} s"


@contextlib.contextmanager
def far_pilot(here: Installed, proxy: Proxy) -> Iterator[None]:
    """A pilot that reaches the server through the proxy."""
    token = here.root / "far-token"
    token.write_text(here.iceprod("token", "--data", here.data, "--user", "far", "--roles", "pilot").strip())
    argv = [sys.executable, "-m", "grid.pilot", "--server", proxy.url, "--token-file", str(token), "--cores",
            "1", "--memory", "4", "--heartbeat", "1", "--isolation", "off", "--directory",
            str(here.root)]
    log = (here.root / "far.log").open("ab")
    child = subprocess.Popen(argv, env=here.environment, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        child.terminate()
        child.wait(60)
        log.close()
