"""Kinds of tasks: who makes what a pilot runs, and who is told of an end.

Production knows the kind "script" alone; another family registers its own when it is imported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from server.production.common.documents import Document
from server.rest.context import Context

__all__ = ["DEFAULT", "Kind", "announce_end", "kind_of", "payloads", "register_kind"]

DEFAULT = "script"

MakePayloads = Callable[[Context, list[Document]], Awaitable[dict[str, Any]]]
Ended = Callable[[Context, Document, str, str], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """`payloads` gives what to run by task id; `ended` hears of an end for good (task, outcome, reason)."""

    payloads: MakePayloads
    ended: Ended | None = None


_kinds: dict[str, Kind] = {}


def register_kind(name: str, payloads: MakePayloads, ended: Ended | None = None) -> None:
    """Make a kind of task known."""
    _kinds[name] = Kind(payloads, ended)


def kind_of(task: Document) -> str:
    return task.get("kind") or DEFAULT


async def payloads(ctx: Context, tasks: list[Document]) -> dict[str, Any]:
    """What to run, by task id; nothing for a kind that nobody registered."""
    by_kind: defaultdict[str, list[Document]] = defaultdict(list)
    for task in tasks:
        by_kind[kind_of(task)].append(task)
    result: dict[str, Any] = {}
    for name, members in by_kind.items():
        if name in _kinds:
            result |= await _kinds[name].payloads(ctx, members)
    return result


async def announce_end(ctx: Context, task: Document, outcome: str, reason: str) -> None:
    """Tell the task's kind that it ended for good, other than through the kind's own result."""
    kind = _kinds.get(kind_of(task))
    if kind and kind.ended:
        await kind.ended(ctx, task, outcome, reason)
