"""The disk guard: when the disk fills, the oldest data of an entry make room."""

from __future__ import annotations

from typing import Any

import psutil

from server.rest.context import Context
from server.sensor.acquisitions.acquisitions import Acquisition, trim

__all__ = ["guard", "share_used"]

KEEP_WHEN_FULL = 1


def share_used(ctx: Context) -> float:
    """How much of the disk with the installation's data is used, from 0 to 1."""
    usage: Any = psutil.disk_usage(ctx.settings.data)
    return float(usage.percent) / 100


async def guard(ctx: Context, run: Acquisition) -> None:
    """Above the share that the settings allow, keep of this run's entry the newest data alone."""
    if share_used(ctx) > ctx.settings.schedule.disk_share:
        await trim(ctx, run, KEEP_WHEN_FULL, rows=False)
