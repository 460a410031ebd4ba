"""What server processes of one installation tell each other: who listens to which topic.

A process tells by `ctx.signals.tell`. A topic that nobody listens to is a signal: it is counted, and wakes
who waits for it. What is told may be lost, so nobody may rely on it for more than being quick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from server.rest.admission import ASKING, REFUSED, TAKEN
from server.rest.context import Context

__all__ = ["hear", "listen"]

_listeners: dict[str, Callable[..., None]] = {}


def listen(topic: str, listener: Callable[..., None]) -> None:
    """Have `listener` called with the context and the values whenever another process tells of the topic."""
    _listeners[topic] = listener


def hear(ctx: Context, topic: str, values: Sequence[Any]) -> None:
    """Another process told this one."""
    listener = _listeners.get(topic)
    if listener is None:
        ctx.signals.hear(topic)
    else:
        listener(ctx, *values)


listen(TAKEN, lambda ctx, user: ctx.admission.hear_taken(user))
listen(REFUSED, lambda ctx, address: ctx.admission.hear_refused(address))
listen(ASKING, lambda ctx, server_id, user, number: ctx.admission.hear_asking(server_id, user, number))
