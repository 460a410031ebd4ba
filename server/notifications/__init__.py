"""Notifications: users are told what happened, by rules that they make, without being drowned in it.

    event of the rules → note for each rule that wants it → message when it is time → outbox → recipient

Every step may be repeated: a note is named by rule and event, a message by its oldest note, and a recipient
is given that name with every try. So a crash anywhere leaves something that is found again.

A new event to be told of is a topic (`topics.py`) on a kind of event that its family registers; a new way to
send is a kind of recipient (`recipients.py`, `messages.py`) with its form (`rendering.py`).
"""

from __future__ import annotations

from server.notifications import (
    filters,
    gathering,
    log_routes,
    messages,
    notes,
    owners,
    recipients,
    rule_routes,
    rules,
    topics,
)
from server.rest.routing import Route
from server.rules.kinds import register_follower
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "ROUTES", "SERVICES", "filters", "messages", "notes", "owners", "recipients", "rules",
           "topics"]

ROUTES: list[Route] = [*rule_routes.ROUTES, *log_routes.ROUTES]
INDEXES: list[Index] = [*rules.INDEXES, *notes.INDEXES, *messages.INDEXES]
SERVICES: list[Service] = [*gathering.SERVICES, *messages.SERVICES]

register_follower("notifications", notes.hear)
