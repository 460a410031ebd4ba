"""``iceprod demo``: everything once, from an empty directory to a sky map."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from config.environment import require
from iceprod.cli.common.errors import CommandError
from iceprod.cli.common.screen import bare
from iceprod.installation import Installation

__all__ = ["demo"]

_SEED = "7"


@click.command()
@click.option("--dir", "directory", default="demo", show_default=True,
              type=click.Path(file_okay=False, path_type=Path), help="Where everything goes.")
@click.option("--keep", is_flag=True, help="Leave it running at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def demo(directory: Path, keep: bool, as_json: bool) -> int:
    """Start everything in a directory of its own, simulate a neutrino event, scan it, and stop again.

    Each step is a command that you could type; it is shown before it runs.
    """
    require("server")
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        told = _story(directory, keep)
    if as_json:
        print(json.dumps(told))
    return 0


def _story(directory: Path, keep: bool) -> dict[str, Any]:
    """Do all of it, telling each step; what came out."""
    directory.mkdir(parents=True, exist_ok=True)
    data, event = directory / "data", directory / "event.json"
    if not Installation(data).running():
        _run("up", "--data", data, "--port", "0")
    try:
        _run("simulate", "--seed", _SEED, "--out", event)
        print("\n(Where nothing was compiled yet, the first scan waits some seconds for the reconstruction.)")
        stays = () if keep else ("--no-address",)
        _run("scan", event, "--data", data, "--out", directory, *stays)
    except (CommandError, KeyboardInterrupt):
        if not keep:
            _run("down", "--data", data)
        raise
    _part(data, keep)
    print(f"\nThe sky map is in {directory / 'skymap.png'}, the surroundings of the best fit in "
          f"{directory / 'zoom.png'}.")
    pictures = {"skymap": directory / "skymap.png", "zoom": directory / "zoom.png"}
    return {"directory": str(directory), "event": str(event), "result": str(directory / "result.json"),
            **{name: str(path) for name, path in pictures.items()}, "running": keep}


def _part(data: Path, keep: bool) -> None:
    if keep:
        print(f"\nstill running; stop it with: iceprod down --data {data}")
        return
    _run("down", "--data", data)
    print("The server is stopped. To see the scan in a browser, start it again; it prints the address: "
          f"iceprod up --data {data}")


def _run(*words: str | Path) -> None:
    """Run one of our commands as the user would; it says where we say. Raises CommandError when it fails."""
    arguments = [str(word) for word in words]
    print(f"\n$ iceprod {shlex.join(arguments)}", flush=True)
    status = subprocess.run([sys.executable, "-P", "-m", "iceprod", *arguments], check=False,
                            stdout=bare(sys.stdout)).returncode
    if status:
        raise CommandError(f"`iceprod {shlex.join(arguments)}` ended with status {status}", status)
