"""This process's trust in hosts, and what a claim may get by it.

A host's pilots may speak to several processes: each tells the others what it sees, so all know the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from cachetools import TTLCache
from pymongo.asynchronous.database import AsyncDatabase

from server.production.common.documents import Document
from server.production.failures.trust import MOST_HOSTS, MOST_KEPT, Failure, Trust
from server.production.tasks import kinds
from server.rest.context import Context
from server.rest.hearing import listen

__all__ = ["Leave", "dropped", "ended", "forget", "given", "leave", "of"]

GOOD, BAD, NEITHER = "good", "bad", ""  # how a task ended
TOLD_SECONDS = 60.0  # between two words to the others that a host asks
TOLD_TOGETHER = 12  # tasks

_told: WeakKeyDictionary[AsyncDatabase, TTLCache[str, bool]] = WeakKeyDictionary()
_trusts: WeakKeyDictionary[AsyncDatabase, Trust] = WeakKeyDictionary()


@dataclass(frozen=True)
class Leave:
    """What a host may have just now: so many tasks (None: any number), and nothing of some datasets."""

    most: int | None = None
    not_of: tuple[str, ...] = ()


def of(ctx: Context) -> Trust:
    """This process's trust in the hosts of the context's database."""
    return _trusts.setdefault(ctx.db, Trust())


def leave(ctx: Context, host: str) -> Leave:
    """What a host that asks may have; whoever names none may have anything."""
    if not host:
        return Leave()
    trust, now = of(ctx), time.monotonic()
    trust.asked(host, now)
    if host not in (told := _told.setdefault(ctx.db, TTLCache(MOST_HOSTS, TOLD_SECONDS))):
        told[host] = True
        ctx.signals.tell("host asked", host)
    return Leave(trust.allowance(host, now), tuple(sorted(trust.paused(host, now))))


def given(ctx: Context, host: str, tasks: list[Document]) -> None:
    """A host was given tasks."""
    if host and tasks:
        _given(ctx, host, given := [(task["task_id"], task["dataset_id"]) for task in tasks[:MOST_KEPT]])
        for start in range(0, len(given), TOLD_TOGETHER):
            ctx.signals.tell("host given", host, given[start:start + TOLD_TOGETHER])


def dropped(ctx: Context, host: str, task: Document) -> None:
    """A host gave a task back."""
    _ended(ctx, host, task["task_id"], "", 0.0, NEITHER)
    ctx.signals.tell("host ended", host, task["task_id"], "", 0.0, NEITHER)


def ended(ctx: Context, host: str, task: Document, seconds: float, *, good: bool) -> None:
    """A task ended at a host. Bad ends of pixels count for nothing: a scan looks for the pixel at fault."""
    if not host:
        return
    how = GOOD if good else BAD if kinds.kind_of(task) == kinds.DEFAULT else NEITHER
    said = host, task["task_id"], task["dataset_id"], seconds, how
    _ended(ctx, *said)
    ctx.signals.tell("host ended", *said)


def forget(ctx: Context, host: str) -> None:
    """What was held against a host is dealt with."""
    of(ctx).forget(host)
    ctx.signals.tell("host forgotten", host)


# -- here, or in another process


def _given(ctx: Context, host: str, tasks: list[tuple[str, str]]) -> None:
    of(ctx).claimed(host, dict(tasks), time.monotonic())


def _ended(ctx: Context, host: str, task_id: str, dataset_id: str, seconds: float, how: str) -> None:
    trust, now = of(ctx), time.monotonic()
    if how == GOOD:
        trust.succeeded(host, task_id, dataset_id, now)
    elif how == BAD:
        trust.failed(host, Failure(now, task_id, dataset_id, seconds))
    else:
        trust.dropped(host, task_id)


listen("host asked", lambda ctx, host: of(ctx).asked(host, time.monotonic()))
listen("host given", _given)
listen("host ended", _ended)
listen("host forgotten", lambda ctx, host: of(ctx).forget(host))
