"""Two small actions that every sensor has, to try the schedule with."""

from __future__ import annotations

import logging

import numpy as np

from server.rest.context import Context
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome
from server.sensor.actions.actions import Action, register
from server.sensor.common.sigmf import FLOATS

__all__ = ["SAMPLES"]

log = logging.getLogger("server.sensor")

SAMPLES = 1024


async def write_line(_: Context, run: Acquisition) -> Outcome:
    """Log the run, and keep the line."""
    line = f"running test {run.entry}/{run.task_id}"
    log.info(line, extra={"action": "logger", "entry": run.entry, "task_id": run.task_id})
    return Outcome(detail=line, data=line.encode() + b"\n")


async def ramp(_: Context, run: Acquisition) -> Outcome:
    """Samples that count from 0."""
    return Outcome(data=np.arange(SAMPLES, dtype="<f4").tobytes(), datatype=FLOATS)


register(Action("logger", """\
Write one line to the server's log.

The line is kept as the run's data. Useful to try the schedule.""", run=write_line))
register(Action("mock_acquire", f"""\
Record {SAMPLES} samples of a ramp.

0, 1, 2, … as 32-bit floats. Useful to try archives.""", run=ramp))
