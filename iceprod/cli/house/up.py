"""``iceprod up``: start store, server and pilots on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click

from config.environment import require
from config.settings import MOST_PROCESSES, Server
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.house.web import login_address, open_page
from iceprod.installation import Installation, make_private
from iceprod.processes.children import last_lines
from iceprod.supervisor import Plan, StartError, Supervisor, main, plan, serving, wait_healthy

__all__ = ["up"]

_ANNOUNCE_SECONDS = 10.0


@click.command()
@click.option("--data", metavar="DIR", help="Where everything is kept [default: iceprod-data].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the server; 0: any free one.")
@click.option("--servers", type=click.IntRange(1, MOST_PROCESSES),
              help=f"How many processes of the server answer at the port [default: {Server().processes}].")
@click.option("--pilots", type=click.IntRange(0), help="How many pilots to keep running here.")
@click.option("--no-pilots", is_flag=True, help="Only the store and the server.")
@click.option("--foreground", is_flag=True, help="Stay in the terminal until Ctrl-C.")
@click.option("--config", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="YAML settings.")
@click.option("--no-open", is_flag=True, help="Do not open the web pages in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: where it runs.")
def up(data: str | None, port: int | None, servers: int | None, pilots: int | None, no_pilots: bool,
       foreground: bool, config: Path | None, no_open: bool, as_json: bool) -> int:
    """Start the store, the server and pilots on this machine.

    Returns when the server is healthy. What runs already is left alone; what died is started again.
    """
    if foreground and as_json:
        raise CommandError("--foreground and --json exclude each other: it ends when the server does", USAGE)
    require("server")
    what = plan(config, data, port, 0 if no_pilots else pilots, servers)
    here = what.installation
    if here.is_running():
        return _already(here, port, servers, as_json)
    _make(here)
    if foreground:
        return main(_arguments(what))
    process = _in_background(what)
    try:
        wait_healthy(what.url, what.start_id, lambda: _failure(process, here), _say)
    except StartError:
        if process.poll() is None or not here.is_running():
            raise
        return _already(here, port, servers, as_json)  # another `up` was faster
    if as_json:
        return _tell(what.url, here, already=False)
    print(f"running at {what.url}\n"
          f"  data in {here.data}; stop with: iceprod down --data {here.data}\n"
          f"  programs ask for a token: iceprod token --data {here.data} --user NAME --roles user")
    _show_login(here, no_open=no_open)
    running = here.running()
    if running and running.not_isolated:
        print("warning: tasks here can do all that this account can, also read the installation's secret\n"
              f"  {running.not_isolated}\n"
              "  install bubblewrap, or let only people submit whom you trust: docs/security.md",
              file=sys.stderr)
    return 0


def _show_login(here: Installation, *, no_open: bool) -> None:
    address = login_address(here)
    print(f"  log in to the web pages, once and within ten minutes: {address}\n"
          f"  later: iceprod web --data {here.data}", flush=True)
    if not no_open:
        open_page(address)


def _say(word: str) -> None:
    print(word, file=sys.stderr, flush=True)


def _tell(url: str, here: Installation, *, already: bool) -> int:
    print(json.dumps({"url": url, "data": str(here.data), "already_running": already}))
    return 0


def _already(here: Installation, port: int | None, servers: int | None, as_json: bool) -> int:
    deadline = time.monotonic() + _ANNOUNCE_SECONDS
    while (running := here.running()) is None:
        if time.monotonic() > deadline or not here.is_running():
            raise CommandError(f"{here.data} is just being started or stopped by process "
                               f"{here.supervisor()}; try again in a moment")
        time.sleep(0.05)
    wait_healthy(running.url, running.start_id,
                 lambda: "" if here.is_running() else "it has just been stopped", _say)
    if as_json:
        _tell(running.url, here, already=True)
    else:
        print(f"already running at {running.url} (process {running.pid}, data in {here.data})")
        _show_login(here, no_open=True)
    if port and not running.url.endswith(f":{port}"):
        print(f"to move it to port {port}, stop it first: iceprod down --data {here.data}", file=sys.stderr)
    if servers and servers != (now := serving(running.url)):
        print(f"to have {servers} server processes, not {now}, stop it first: "
              f"iceprod down --data {here.data}",
              file=sys.stderr)
    return 0


def _arguments(what: Plan) -> list[str]:
    settings = what.settings
    arguments = ["--data", settings.data, "--port", str(settings.server.port),
                 "--servers", str(settings.server.processes),
                 "--pilots", str(settings.pilots.count), "--start-id", what.start_id]
    return [*arguments, "--config", str(what.config)] if what.config else arguments


def _in_background(what: Plan) -> subprocess.Popen[bytes]:
    here = what.installation
    with os.fdopen(os.open(_log(here), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
        return subprocess.Popen([sys.executable, "-P", "-m", Supervisor.__module__, *_arguments(what)],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _make(here: Installation) -> None:
    """Make the directories that are written to first. Raises CommandError."""
    try:
        for directory in (here.data, here.logs):
            make_private(directory)
        os.close(os.open(_log(here), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    except OSError as error:
        raise CommandError(f"--data: cannot use {error.filename or here.data}: {error.strerror}; name a "
                           "directory that you may write", USAGE) from None


def _failure(process: subprocess.Popen[bytes], here: Installation) -> str:
    if process.poll() is None:
        return ""
    reason = last_lines(_log(here)).removeprefix("error: ")
    return reason or f"the supervisor ended with status {process.returncode}; see {_log(here)}"


def _log(here: Installation) -> Path:
    return here.logs / "up.log"
