"""What others hear of the schedule: runs that failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from server.rest.context import Context
from server.rules import events
from server.rules.decisions import Event
from server.rules.kinds import Kind, Source, register_kind

__all__ = ["INDEXES", "KIND"]

INDEXES = [events.unlogged("acquisitions")]


async def _read(ctx: Context, row: Mapping[str, Any]) -> Event:
    moment = datetime.fromisoformat(row["finished"]).replace(tzinfo=None)
    facts = {"entry": row["entry"], "task_id": row["task_id"], "action": row["action"],
             "owner": row["owner"], "detail": row["detail"], "finished": row["finished"]}
    return events.made(KIND.name, row["_id"], moment, facts)


KIND = register_kind(Kind("schedule_run_failed", {
    "entry": "of which entry", "task_id": "its number", "action": "what it did", "owner": "of the entry",
    "detail": "why it failed", "finished": "when"}, Source("acquisitions", _read, version="finished")))
