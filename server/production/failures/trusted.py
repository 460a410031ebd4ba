"""This process's trust in hosts, and what a claim may get by it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from server.production.common.documents import Document
from server.production.failures.trust import Failure, Trust
from server.production.tasks import kinds
from server.rest.context import Context

__all__ = ["Leave", "dropped", "ended", "given", "leave", "of"]

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
    return Leave(trust.allowance(host, now), tuple(sorted(trust.paused(host, now))))


def given(ctx: Context, host: str, tasks: list[Document]) -> None:
    """A host was given tasks."""
    if host and tasks:
        of(ctx).claimed(host, {task["task_id"]: task["dataset_id"] for task in tasks}, time.monotonic())


def dropped(ctx: Context, host: str, task: Document) -> None:
    """A host gave a task back."""
    of(ctx).dropped(host, task["task_id"])


def ended(ctx: Context, host: str, task: Document, seconds: float, *, good: bool) -> None:
    """A task ended at a host. Bad ends of pixels count for nothing: a scan looks for the pixel at fault."""
    trust, now = of(ctx), time.monotonic()
    if not host:
        return
    if good:
        trust.succeeded(host, task["task_id"], task["dataset_id"], now)
    elif kinds.kind_of(task) == kinds.DEFAULT:
        trust.failed(host, Failure(now, task["task_id"], task["dataset_id"], seconds))
    else:
        trust.dropped(host, task["task_id"])
