"""What others hear of alerts: maps that wait for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind

__all__ = ["INDEXES", "KIND"]

INDEXES = [events.unlogged("alert_revisions")]


async def _read(ctx: Context, row: Mapping[str, Any]) -> Event:
    alert = await ctx.db.alerts.find_one({"_id": row["alert_id"]}) or {}
    facts = {"alert_id": row["alert_id"], "revision": row["number"], "reco": row["step"]["reco"],
             "reason": row["reason"][:500], "held": row["ended"], "title": alert.get("title", ""),
             "stream": alert.get("stream", ""), "is_test": alert.get("is_test", False),
             "replay": alert.get("replay", "")}
    return events.made(KIND.name, f"{row['alert_id']}.{row['number']}", events.at(row["ended"]), facts)


KIND = register_kind(Kind("alert_held", {
    "alert_id": "which alert", "revision": "of its maps", "reco": "the map's reconstruction",
    "reason": "what waits for a person", "held": "when", "title": "which event", "stream": "of the alert",
    "is_test": "whether it is simulated or a rehearsal", "replay": "the rehearsal that it belongs to"},
    Source("alert_revisions", _read, version="ended")))
