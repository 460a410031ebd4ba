"""``iceprod bench grid``: what the grid of an HTCondor pool achieves.

    submit        pilots per second that the access point takes, in clusters of several sizes
    first task    seconds from a dataset's submission to its first task running, without and with a pilot
    utilisation   share of the slots' time that went into tasks, from the first task's start to the last's end

It brings a server of its own and needs a pool: CONDOR_CONFIG or --condor-config names its configuration.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from grid.base import GridError, PilotClass
from grid.condor import jobs
from grid.condor.roster import read_time
from grid.condor.service import SiteService
from grid.condor.site import Condor, Limits, Pace, Pilot, Site, Size
from iceprod.cli.common.errors import FAILED, USAGE, CommandError
from iceprod.client import Client, ClientError
from iceprod.installation import Installation

__all__ = ["Figures", "bench_grid"]

_CLUSTERS = (1, 10, 100, 1000)
_PILOTS_EACH = 1000  # in as many clusters as that takes, but not more than the next
_MOST_CLUSTERS = 50
_PATIENCE = 600.0


@dataclass(frozen=True)
class Figures:
    """What was measured."""

    submit_per_second: dict[int, float]  # by the size of a cluster
    first_task_cold_s: float
    first_task_warm_s: float
    tasks: int
    task_seconds: float
    slots: int
    makespan_s: float
    utilisation: float
    schedd: str


@click.command("grid")
@click.option("--condor-config", type=click.Path(dir_okay=False, exists=True),
              help="HTCondor's configuration file [$CONDOR_CONFIG].")
@click.option("--slots", type=click.IntRange(1), default=8, show_default=True, help="Cores to use.")
@click.option("--tasks", type=click.IntRange(1), default=500, show_default=True)
@click.option("--seconds", type=click.FloatRange(0), default=1.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
def bench_grid(condor_config: str | None, slots: int, tasks: int, seconds: float, as_json: bool) -> int:
    """Measure submission, start and utilisation on an HTCondor pool."""
    config = condor_config or os.environ.get("CONDOR_CONFIG")
    if not config:
        raise CommandError("no pool: set CONDOR_CONFIG or give --condor-config", USAGE)
    try:
        figures = measure(config, slots, tasks, seconds)
    except GridError as error:
        raise CommandError(str(error), FAILED) from None
    print(json.dumps(asdict(figures)) if as_json else _text(figures))
    return 0


def measure(config: str, slots: int, tasks: int, seconds: float) -> Figures:
    """All figures of one pool. Raises GridError, ClientError, CommandError."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _server(Path(folder)) as (url, token):
        site = _site(url, config, slots)
        with Client(url, token("system")) as client, Client(url, token("admin", "user")) as user:
            service = SiteService(site, client, Path(folder) / "state")
            service.open()
            service.register()
            rates = {size: _submit_rate(service, size) for size in _CLUSTERS}
            with _running(service):
                cold = _first_start(user, *_submitted(user, 1, 0.0))
                warm = _first_start(user, *_submitted(user, 1, 0.0))
                dataset_id, _ = _submitted(user, tasks, seconds)
                makespan, work = _run(user, dataset_id, tasks)
            _clear(service)
            return Figures(rates, round(cold, 2), round(warm, 2), tasks, seconds, slots, round(makespan, 2),
                           round(work / (slots * makespan), 3), service.schedd.version)


def _site(url: str, config: str, slots: int) -> Site:
    size = Size(cores=1, memory=1.0, disk=1.0, hours=1.0)
    return Site(site="bench", server=url, condor=Condor(config=config), smallest=size, largest=size,
                pilot=Pilot(pixels=False, idle_minutes=5, heartbeat_seconds=2.0),
                limits=Limits(pilots=slots, queued=slots), pace=Pace(look_seconds=1.0, step=slots))


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, Callable[..., str]]]:
    """A server without pilots; its address, and what makes tokens for it."""
    data = folder / "data"
    command = [sys.executable, "-m", "iceprod"]
    done = subprocess.run([*command, "up", "--data", data, "--no-pilots", "--port", "0"], capture_output=True,
                          text=True, check=False)
    here = Installation(data)
    running = here.running()
    if running is None:
        raise CommandError(f"no server: {done.stderr.strip()}", FAILED)
    try:
        yield running.url, lambda *roles: here.token("bench", *roles)
    finally:
        subprocess.run([*command, "down", "--data", data], capture_output=True, check=False)


def _submit_rate(service: SiteService, size: int) -> float:
    """Pilots per second; they are held, so that none starts, and removed afterwards."""
    shape = PilotClass(1, 1.0, 1.0, 0, 1.0, service.site.site)
    clusters = min(_MOST_CLUSTERS, max(1, _PILOTS_EACH // size))
    described = jobs.description(service.site, shape, "bench", service.grid_id, service.files())
    held = {**described, "hold": "true"}
    began = time.perf_counter()
    for _ in range(clusters):
        service.schedd.submit(held, size, "false")
    rate = clusters * size / (time.perf_counter() - began)
    ads = service.schedd.query(jobs.batch_constraint("bench"), [])
    service.schedd.remove([ad["Id"] for ad in ads], "measured")
    return round(rate, 1)


@contextmanager
def _running(service: SiteService) -> Iterator[None]:
    """The grid does its rounds in a thread."""
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        service.ending.set()
        thread.join()


def _submitted(user: Client, tasks: int, seconds: float) -> tuple[str, float]:
    """Submit a dataset; its id, and when."""
    began = time.time()
    fields = {"description": "bench", "group": "users", "jobs_submitted": tasks, "tasks_submitted": tasks,
              "tasks_per_job": 1}
    dataset_id = str(user.post("/datasets", fields)["result"])
    module = {"src": "/bin/sleep", "args": [str(seconds)]}
    task = {"name": "sleep", "requirements": {"cpu": 1, "memory": 0.5, "disk": 0.5, "time": 0.1},
            "trays": [{"modules": [module]}]}
    user.put(f"/config/{dataset_id}", {"version": 3.2, "description": "bench", "tasks": [task]})
    return dataset_id, began


def _first_start(user: Client, dataset_id: str, began: float) -> float:
    """Seconds until a task of a dataset ran. It may be over when we see it, and ran for about nothing."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        for task in user.get(f"/datasets/{dataset_id}/tasks").values():
            if task["status"] in ("processing", "complete"):
                return read_time(task["status_changed"]) - task["walltime"] * 3600 - began
        time.sleep(0.05)
    raise CommandError("no pilot came to run a task", FAILED)


def _run(user: Client, dataset_id: str, tasks: int) -> tuple[float, float]:
    """Wait for a dataset; seconds from its first task's start to its last one's end, and seconds of work."""
    end = time.monotonic() + _PATIENCE
    while user.get(f"/datasets/{dataset_id}/task_counts/status").get("complete", 0) < tasks:
        if time.monotonic() > end:
            raise CommandError(f"the tasks were not done after {_PATIENCE:g} s", FAILED)
        time.sleep(0.5)
    rows = list(user.get(f"/datasets/{dataset_id}/tasks").values())
    spans = [(read_time(row["status_changed"]), row["walltime"] * 3600) for row in rows]
    first, last = min(stop - lasted for stop, lasted in spans), max(stop for stop, _ in spans)
    return last - first, sum(lasted for _, lasted in spans)


def _clear(service: SiteService) -> None:
    ads = service.schedd.query(jobs.constraint(service.site), [])
    service.schedd.remove([ad["Id"] for ad in ads], "measured")


def _text(figures: Figures) -> str:
    rates = ", ".join(f"{rate:.0f}/s in clusters of {size}"
                      for size, rate in figures.submit_per_second.items())
    return (f"submit: {rates}\n"
            f"first task: {figures.first_task_cold_s:g} s without a pilot, "
            f"{figures.first_task_warm_s:g} s with an idle one\n"
            f"{figures.tasks} tasks of {figures.task_seconds:g} s on {figures.slots} slots: "
            f"{figures.makespan_s:g} s, utilisation {figures.utilisation:.0%}\n{figures.schedd}")


def _main() -> None:
    try:
        sys.exit(bench_grid(prog_name="iceprod bench grid", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (ClientError, CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.status if isinstance(error, CommandError) else FAILED)


if __name__ == "__main__":
    _main()
