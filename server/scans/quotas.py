"""How many scans may wait and run: per user, and per cluster that they ask for workers of."""

from __future__ import annotations

from collections.abc import Iterable

from server.context import Context
from server.errors import TooManyRequests
from server.scans import backlog, runs

__all__ = ["URGENT", "check_waiting", "full"]

URGENT = 100  # SkyDriver's: from this priority on, a scan starts at once, whatever runs


async def check_waiting(ctx: Context, username: str) -> None:
    """Raise TooManyRequests when so many scans of a user wait that there can be no more."""
    most = ctx.settings.scans.backlog_per_user
    if await backlog.count_of(ctx, username) >= most:
        raise TooManyRequests(f"{most} scans of {username or 'this user'} wait in the backlog already, as "
                              "many as are allowed; delete some, or wait", retry_after=60)


async def full(ctx: Context, priority: int, username: str, clusters: Iterable[str]) -> str:
    """Which quota keeps a scan waiting, in words; "" when none does."""
    if priority >= URGENT:
        return ""
    settings = ctx.settings.scans
    if (running := await runs.count_of(ctx, username)) >= settings.running_per_user:
        return f"{running} scans of {username} run, as many as may at once"
    for cluster in clusters:
        if (running := await runs.count_on(ctx, cluster)) >= settings.running_per_cluster:
            return f"{running} scans run that ask for workers of {cluster}, as many as may at once"
    return ""
