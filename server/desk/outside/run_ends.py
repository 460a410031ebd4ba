"""Telling others how runs of the schedule ended: the callbacks of its entries.

The schedule says what is due (`server.sensor.acquisitions.callbacks`); it is told by the desk's calls, with
their limits, retries and records.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from server.common.errors import ApiError
from server.desk.outside.calls import Call, fetch
from server.rest.context import Context
from server.sensor.acquisitions import callbacks
from server.sensor.acquisitions.acquisitions import CALLBACKS, Acquisition
from server.sensor.acquisitions.showing import shown
from server.sensor.common.addresses import Addresses
from server.services.leader import Service

__all__ = ["SERVICES", "tell"]

PERIOD = 5.0  # seconds
_AT_ONCE = 8


async def tell(ctx: Context) -> None:
    """Tell all ends that are due, some side by side."""
    while True:
        runs: list[Acquisition] = []
        while len(runs) < _AT_ONCE and (run := await callbacks.claim(ctx, time.time())):
            runs.append(run)
        await asyncio.gather(*(_tell_one(ctx, run) for run in runs))
        if len(runs) < _AT_ONCE:
            return


async def _tell_one(ctx: Context, run: Acquisition) -> None:
    assert run.callback is not None
    body = {**shown(run, Addresses(run.callback.origin)), "callback": None}
    call = Call("The receiver of the callback", run.callback.url, body=msgspec.json.encode(body),
                headers={"Idempotency-Key": callbacks.key_of(run)})
    try:
        await fetch(ctx, call)
    except ApiError as error:
        await callbacks.failed(ctx, run, error.reason)
    else:
        await callbacks.delivered(ctx, run)


SERVICES = [Service("schedule callbacks", lambda ctx: PERIOD, tell, signal=CALLBACKS)]
