"""Gathering: when what a rule has to tell becomes a message, and of how much.

The first note of a rule goes soon; what happens within its pause waits and goes together, and so does what
is beyond the messages of an hour, or what happens while a message is still on its way. So a thousand failing
datasets are a few messages.

A message's key is made of its oldest note, and it keeps the list of its notes. It is written before they are
marked, so a crash in between finds the same message again, and no note is in two.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pymongo.errors import PyMongoError

from config.notify import Notify
from server.common.errors import NotFound
from server.notifications import messages, notes, rules
from server.notifications.notes import Note
from server.notifications.rules import Rule
from server.rest.context import Context
from server.services.leader import Service

__all__ = ["MOST", "SERVICES", "Standing", "due_at", "gather"]

log = logging.getLogger("server.notifications")

MOST = 1000  # notes of a message
HOUR = 3600.0
PERIOD = 5.0  # seconds, as long as what happens is gathered at least


@dataclass(frozen=True)
class Standing:
    """What decides when a rule tells; seconds since 1970."""

    oldest: float  # of the notes that wait
    last: float = 0.0  # the rule's latest message
    recent: Sequence[float] = ()  # its owner's messages within the last hour, in their order
    is_on_way: bool = False  # whether a message of the rule is not settled yet


def due_at(standing: Standing, settings: Notify, pause_minutes: float) -> float | None:
    """When the next message of a rule may go; None while one is on its way."""
    if standing.is_on_way:
        return None
    due = standing.oldest + settings.gather_seconds
    if standing.last:
        due = max(due, standing.last + 60 * pause_minutes)
    if len(standing.recent) >= settings.messages_per_hour:
        due = max(due, standing.recent[-settings.messages_per_hour] + HOUR)
    return due


async def gather(ctx: Context) -> None:
    """Make the messages that are due."""
    for rule_id in await notes.waiting_rules(ctx):
        try:
            await _gather(ctx, await rules.find(ctx, rule_id))
        except NotFound:  # removed just when something happened
            await ctx.db.notification_notes.delete_many({"rule_id": rule_id, "parcel": ""})
        except PyMongoError:
            raise
        except Exception:  # a rule that cannot be read, as of another version, stops nobody else's
            log.exception("a rule's notes cannot be told", extra={"action": "notify", "rule": rule_id})


async def _gather(ctx: Context, rule: Rule) -> None:
    found = await notes.waiting(ctx, rule.rule_id, MOST)
    if not found:
        return
    key = _key(found[0])
    if (known := await messages.notes_of(ctx, key)) is not None:  # a crash came before they were marked
        await notes.assign(ctx, known, key)
        return
    moment = time.time()
    standing = Standing(found[0].created, await messages.last_of(ctx, rule.rule_id),
                        await messages.recent_of(ctx, rule.username, moment - HOUR),
                        await messages.is_on_way(ctx, rule.rule_id))
    due = due_at(standing, ctx.settings.notify, rule.pause_minutes)
    if due is not None and due <= moment:
        await messages.put(ctx, key, rule, found)
        await notes.assign(ctx, [note.note_id for note in found], key)


def _key(oldest: Note) -> str:
    return hashlib.sha256(f"message of {oldest.note_id}".encode()).hexdigest()[:32]


SERVICES = [Service("gather notifications", lambda ctx: PERIOD, gather)]
