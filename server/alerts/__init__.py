"""Alerts: from the detector's message to the world's, unattended.

    message → stored once → read → rule → scan → gate → notice → every target
                              ╰ a notice of others → an event on the desk

A message counts as received when it is stored. Everything after is a change of a row that holds only in the
state before it (`way/advance.py`), so a crash anywhere repeats a step and nothing twice.

A new source is an adaptor with `poll`, `done` and `close` (`incoming/sources.py`), a new target a function
(`outgoing/targets.py`), a new check of the gate a pure function (`rules/gate.py`).
"""

from __future__ import annotations

from server.alerts import alert_routes, notice_routes, rule_routes
from server.alerts.common import alerts, news, revisions
from server.alerts.incoming import s3_source, sources
from server.alerts.outgoing import names, notices, outbox
from server.alerts.way import advance, linked_maps, retention
from server.rest.routing import Route
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "ROUTES", "SERVICES"]

ROUTES: list[Route] = [*alert_routes.ROUTES, *rule_routes.ROUTES, *notice_routes.ROUTES]

INDEXES: list[Index] = [
    *alerts.INDEXES, *revisions.INDEXES, *news.INDEXES, *names.INDEXES, *notices.INDEXES, *outbox.INDEXES,
    *s3_source.INDEXES]

SERVICES: list[Service] = [*sources.SERVICES, *advance.SERVICES, *outbox.SERVICES,
                           *linked_maps.SERVICES, *retention.SERVICES]
