"""``iceprod down``: stop what ``iceprod up`` started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

import click

from config.settings import Settings
from iceprod.cli.common.errors import CommandError
from iceprod.installation import Installation

__all__ = ["down"]

_PATIENCE = 60.0


@click.command()
@click.option("--data", metavar="DIR", default=Settings().data, help="Directory of the installation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def down(data: str, as_json: bool) -> int:
    """Stop everything that `iceprod up` started; running tasks are handed back first."""
    here = Installation(data)
    process = here.supervisor()
    if not process:
        _tell(here, as_json, False, f"nothing runs in {here.data}")
        return 0
    if not (_signal(here, process, signal.SIGTERM, _PATIENCE) or _signal(here, process, signal.SIGKILL, 5.0)):
        raise CommandError(f"process {process} does not end")
    here.withdraw()
    _tell(here, as_json, True, f"stopped (data stay in {here.data})")
    return 0


def _tell(here: Installation, as_json: bool, stopped: bool, text: str) -> None:
    print(json.dumps({"data": str(here.data), "stopped": stopped}) if as_json else text)


def _signal(here: Installation, process: int, number: int, seconds: float) -> bool:
    """Send a signal to the supervisor and wait for its end; whether it came."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
    deadline = time.monotonic() + seconds
    while here.is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
