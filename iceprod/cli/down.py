"""``iceprod down``: stop what ``iceprod up`` started."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import click

from config.settings import Settings
from iceprod.cli.errors import CommandError
from iceprod.installation import Installation

__all__ = ["down"]

_PATIENCE = 60.0


@click.command()
@click.option("--data", metavar="DIR", default=Settings().data, help="Directory of the installation.")
def down(data: str) -> int:
    """Stop everything that `iceprod up` started; running tasks are handed back first."""
    here = Installation(data)
    process = here.supervisor()
    if not process:
        print(f"nothing runs in {here.data}")
        return 0
    if not (_signal(here, process, signal.SIGTERM, _PATIENCE) or _signal(here, process, signal.SIGKILL, 5.0)):
        raise CommandError(f"process {process} does not end")
    here.withdraw()
    print(f"stopped (data stay in {here.data})")
    return 0


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
