"""Acquisitions as clients see them: in answers, and in what callbacks bring."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from server.sensor.acquisitions.acquisitions import Acquisition, Callback
from server.sensor.common.addresses import Addresses

__all__ = ["duration", "shown"]


def shown(run: Acquisition, addresses: Addresses) -> dict[str, Any]:
    """An acquisition: fields of the API's first age, then those of later ones."""
    address = addresses.run(run.entry, run.task_id)
    archive, described = f"{address}archive", run.described()
    data = [{"recording_id": 1, "archive": archive, "metadata": described}] if run.size else []
    return {
        "url": address, "task_id": run.task_id, "created": run.created, "archive": archive,
        "sigmf_metadata": described, "self": address, "schedule_entry": addresses.entry(run.entry),
        "status": run.status.value, "detail": run.detail, "started": run.started,
        "finished": run.finished, "duration": duration(run), "data": data, "grid": run.grid,
        "action": run.action, "time": run.time, "missed": run.missed, "skipped": run.skipped,
        "asked_by": run.asked_by, "callback": run.callback and _shown_callback(run.callback)}


def _shown_callback(one: Callback) -> dict[str, Any]:
    return {"url": one.url, "status": one.status, "tries": one.tries, "detail": one.detail, "at": one.at}


def duration(run: Acquisition) -> str | None:
    """How long a run took, as ``HH:MM:SS.ffffff`` (with days before it); None while it lasts."""
    if run.finished is None:
        return None
    spent = (datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)).total_seconds()
    minutes, seconds = divmod(max(spent, 0.0), 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    return (f"{days} " if days else "") + f"{hours:02}:{minutes:02}:{seconds:09.6f}"
