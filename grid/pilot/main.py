"""Start a pilot from the command line, with nothing but the standard library."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from grid.pilot.exchange import keep_beating
from grid.pilot.leasing import lease_tasks
from grid.pilot.options import Options, default_memory, gpu_kind, means_from
from grid.pilot.pilot import Pilot
from grid.pilot.pixels import Events
from grid.pilot.reporting import keep_reporting
from grid.pilot.slot import Slot
from grid.pilot.worker import missing
from iceprod.tracing import traces
from iceprod.tracing.recording import CannotRecord, record
from iceprod.transport import Client, ClientError
from iceprod.walls.containers import containers_from
from iceprod.walls.namespaces import hide_memory
from iceprod.walls.sandbox import ISOLATION, Sandbox, View, find_sandbox

__all__ = ["main", "run", "start_speaking"]

_PARTING_SECONDS = 2.0  # for spans that are not sent yet

log = logging.getLogger("pilot")


def run(options: Options, worker_argv: list[str] | None = None, *, as_json: bool = False) -> int:
    """Run a pilot to its end; the exit status."""
    options.sandbox = _sandbox(options)
    if options.isolation == "required" and not options.sandbox.is_walled:
        return _failed(f"tasks cannot be isolated here: {options.sandbox.why}", as_json=as_json)
    try:
        stop_recording = record("iceprod-pilot") if options.traces else None
    except CannotRecord as error:
        return _failed(str(error), 2, as_json=as_json)
    options.directory = _own_directory(options)
    try:
        pilot = Pilot(options)
        _run(pilot, worker_argv)
    except ClientError as error:
        return _failed(str(error), as_json=as_json)
    finally:
        shutil.rmtree(options.directory, ignore_errors=True)
        if stop_recording is not None:
            stop_recording(_PARTING_SECONDS)
    if as_json:
        print(json.dumps({"pilot_id": pilot.pilot_id, "site": options.site, "tasks": pilot.taken,
                          "faults": pilot.faults}))
    return 1 if pilot.faults else 0


def _failed(reason: str, status: int = 1, *, as_json: bool) -> int:
    """Tell people, and programs that asked for it, why there is no pilot; the exit status."""
    print(f"error: {reason}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": reason, "exit_status": status}))
    return status


def _sandbox(options: Options) -> Sandbox:
    """How tasks run here; they see neither our token nor what other tasks do."""
    ours = [str(options.directory), str(options.token_file.absolute().parent)]
    ours += [str(options.cache_directory.absolute())] if options.cache_directory else []
    view = replace(options.view, hidden=(*options.view.hidden, *ours))
    sandbox = find_sandbox(options.isolation, view, options.account)
    if not sandbox.is_walled and options.isolation != "off":
        log.warning("tasks are not isolated (%s): %s", sandbox.means, sandbox.why)
    return sandbox


def _own_directory(options: Options) -> Path:
    """Where tasks run. An account other than ours has to get there on its own feet."""
    by_account = options.sandbox.means == "account"
    path = Path(tempfile.mkdtemp(prefix="pilot-", dir="/var/tmp" if by_account else options.directory))
    if by_account:
        path.chmod(0o711)
    return path


def _run(pilot: Pilot, worker_argv: list[str] | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: pilot.end())
    pilot.register()
    # on a connection of their own: an event may take long to come, and heartbeats must not wait for it
    downloads = Client(pilot.options.server, pilot.token, pause=pilot.pause, begin=traces.unrecorded)
    events = Events(downloads, pilot.lease_seconds)
    slots = [threading.Thread(target=Slot(pilot, events, worker_argv).run, daemon=True)
             for _ in range(pilot.options.cores)]
    for thread in slots:
        thread.start()
    start_speaking(pilot)
    pilot.wait_for_end()
    pilot.leave()
    for thread in slots:
        thread.join(1.0)


def start_speaking(pilot: Pilot) -> None:
    """Start the threads that speak with the server: all of a pilot that it ever notices."""
    for body in (lease_tasks, keep_beating, keep_reporting):
        threading.Thread(target=body, args=(pilot,), daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """The command: ``iceprod pilot``, or the zip file itself."""
    hide_memory()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    given = make_parser().parse_args(arguments)
    try:
        options = _options(given)
    except ValueError as error:
        return _failed(str(error), 2, as_json=given.json)
    return run(options, as_json=given.json)


def make_parser() -> argparse.ArgumentParser:
    """What reads the command line."""
    parser = argparse.ArgumentParser(prog="iceprod pilot", description="Lease tasks and run them.")
    add = parser.add_argument
    add("--server", required=True, metavar="URL")
    add("--token-file", required=True, type=Path, metavar="FILE", help="read again when it was renewed")
    add("--cores", type=int, default=os.cpu_count() or 1)
    add("--memory", type=float, default=0.0, metavar="GB", help="default: what the machine has")
    add("--slot-memory", type=float, default=0.0, metavar="GB",
        help="what was asked of the batch system in all; near it we stop the task that is most above its own")
    add("--disk", type=float, default=10.0, metavar="GB")
    add("--gpus", default=os.environ.get("CUDA_VISIBLE_DEVICES", ""), help="names, separated by commas")
    add("--site", default="local")
    add("--grid-id", default="")
    add("--queue-id", default="", help="of our job in a batch system's queue")
    add("--batch", default="", help="of our job, for a queue's numbers may begin anew")
    add("--queue-host", default="", help="whose queue that is")
    add("--queue-version", default="", help="of the batch system")
    add("--lifetime", type=float, default=24.0, metavar="HOURS")
    add("--idle", type=float, default=0.0, metavar="SECONDS", help="end when so long without a task")
    add("--tasks", type=int, default=0, help="take so many and end; 0: as many as there are")
    add("--heartbeat", type=float, default=5.0, metavar="SECONDS")
    add("--directory", type=Path, default=Path(tempfile.gettempdir()), help="where tasks run")
    add("--transfer", action="append", default=[], metavar="SCHEME=COMMAND",
        help="how to move files of such addresses, with {source} and {target}; may be repeated "
             "(also: ICEPROD_TRANSFER_SCHEME)")
    add("--director", action="append", default=[], metavar="HOST=ADDRESS",
        help="of a Pelican federation, instead of the one that its host names; may be repeated")
    add("--cache", type=float, default=2.0, metavar="GB", help="of inputs that tasks share; 0: none")
    add("--cache-directory", type=Path, metavar="DIRECTORY", help="shared by the pilots of an account here")
    add("--temp", default="", metavar="ADDRESS", help="where temporary data lie (also: ICEPROD_TEMP)")
    add("--isolation", choices=ISOLATION, default="auto",
        help="whether tasks see their own files and processes alone: where possible, else not run, or off")
    add("--visible", action="append", default=[], metavar="PATH", help="tasks may read it, too")
    add("--writable", action="append", default=[], metavar="PATH",
        help="tasks may change it, as far as the account may; / is the whole machine")
    add("--hidden", action="append", default=[], metavar="PATH", help="tasks may not see it")
    add("--account", default="nobody", metavar="USER", help="that tasks run as when the pilot runs as root")
    add("--os", action="append", default=[], metavar="NAME[=IMAGE]",
        help="a system that tasks may ask for, and the image that has it; default: what this machine is")
    add("--bind", action="append", default=[], metavar="PATH[:PATH]", help="to be seen in containers")
    add("--classads", type=json.loads, default={}, metavar="JSON",
        help="of our job: for tasks that asked for them")
    add("--preemptible", type=float, default=0.0, metavar="HOURS",
        help="our slot may be taken back: only restartable tasks take longer than that")
    add("--no-pixels", action="store_true", help="keep no workers for tasks that reconstruct pixels")
    add("--traces", action="store_true", help="record spans with OpenTelemetry, which has to be installed")
    add("--json", action="store_true", help="print one JSON object at the end: what it did, or why it failed")
    return parser


def _reconstructs() -> bool:
    """Whether pixels can be reconstructed here; a pilot without the scanner runs programs alone."""
    name = missing()
    if name:
        log.info("this pilot runs programs and reconstructs no pixels, for %s is not installed here "
                 "(pip install 'iceprod-scanner[scanner]')", name)
    return not name


def _options(given: argparse.Namespace) -> Options:
    gpus = [name for name in given.gpus.split(",") if name]
    return Options(
        server=given.server, token_file=given.token_file, cores=given.cores,
        memory=given.memory or default_memory(), disk=given.disk,
        slot_memory=given.slot_memory,
        gpus=gpus, gpu_kind=gpu_kind(gpus), classads=given.classads, preemptible=given.preemptible,
        traces=given.traces, site=given.site, grid_id=given.grid_id,
        queue_id=given.queue_id, batch=given.batch, queue_host=given.queue_host,
        queue_version=given.queue_version,
        lifetime=given.lifetime * 3600, idle=given.idle, tasks=given.tasks, heartbeat=given.heartbeat,
        directory=given.directory, pixels=not given.no_pixels and _reconstructs(),
        means=means_from(given.transfer, given.temp, directors=given.director), cache=given.cache,
        cache_directory=given.cache_directory, isolation=given.isolation, account=given.account,
        containers=containers_from(given.os, given.bind),
        view=View(tuple(given.visible), tuple(given.writable), tuple(given.hidden)))
