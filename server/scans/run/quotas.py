"""How many scans may wait and run: per user, and per cluster that they ask for workers of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from config.settings import Scans
from server.common.errors import TooManyRequests
from server.rest.context import Context
from server.scans.pixels import runs
from server.scans.run import backlog
from server.scans.run.backlog import Entry

__all__ = ["URGENT", "Load", "check_waiting", "full", "load"]

URGENT = 100  # SkyDriver's: from this priority on, a scan starts at once, whatever runs


@dataclass
class Load:
    """How many scans run, of each user and with workers of each cluster."""

    scans: int = 0
    users: Counter[str] = field(default_factory=Counter)
    clusters: Counter[str] = field(default_factory=Counter)

    def add(self, username: str, clusters: Iterable[str]) -> None:
        """One more runs."""
        self.scans += 1
        self.users[username] += 1
        self.clusters.update(clusters)


async def load(ctx: Context) -> Load:
    """What runs now."""
    present = Load()
    for run in await runs.running(ctx):
        present.add(run.username, run.clusters)
    return present


async def check_waiting(ctx: Context, username: str) -> None:
    """Raise TooManyRequests when so many scans of a user wait that there can be no more."""
    most = ctx.settings.scans.backlog_per_user
    if await backlog.count_of(ctx, username) >= most:
        raise TooManyRequests(f"{most} scans of {username or 'this user'} wait in the backlog already, as "
                              "many as are allowed; delete some, or wait", retry_after=60)


def full(settings: Scans, present: Load, entry: Entry) -> str:
    """Which quota keeps a scan waiting, in words; "" when none does."""
    if entry.priority >= URGENT:
        return ""
    if (running := present.users[entry.username]) >= settings.running_per_user:
        return f"{running} scans of {entry.username} run, as many as may at once"
    for cluster in entry.clusters:
        if (running := present.clusters[cluster]) >= settings.running_per_cluster:
            return f"{running} scans run that ask for workers of {cluster}, as many as may at once"
    return ""
