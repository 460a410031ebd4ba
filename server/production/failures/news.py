"""What others hear of quarantines: sites that get no work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind

__all__ = ["INDEXES", "KIND"]

INDEXES = [events.unlogged("quarantine")]


async def _read(ctx: Context, row: Mapping[str, Any]) -> Event:
    facts = {name: row[name] for name in ("name", "reason", "until", "times", "username", "since")}
    return events.made(KIND.name, row["_id"], datetime.fromisoformat(row["since"]), facts)


KIND = register_kind(Kind("site_quarantined", {
    "name": "which site", "reason": "why", "until": "when it ends (UTC)", "since": "when it began",
    "times": "how often in a row; 0: by hand", "username": "who did it; empty: the system"},
    Source("quarantine", _read, version="since")))
