"""Playing stored alerts again: which file when, handing them in, and waiting for what comes of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from iceprod.client import Client, Refused

__all__ = ["Stored", "play", "schedule", "stored_alerts", "wait_for_report"]

MOST_BYTES = 64 << 20
_ENDINGS = (".json", ".xml", ".fits", ".fits.gz", ".fit")
_ISO_TIME = re.compile(rb"<ISOTime>\s*([^<]{10,40}?)\s*</ISOTime>")


@dataclass(frozen=True, order=True)
class Stored:
    """A stored alert and its time, seconds since 1970."""

    moment: float
    path: Path


def stored_alerts(folder: Path) -> list[Stored]:
    """The alerts in a folder, the oldest first. Raises OSError."""
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
             and path.name.endswith(_ENDINGS)]
    return sorted(Stored(_moment(path), path) for path in files)


def schedule(alerts: Sequence[Stored], speed: float, longest_pause: float) -> Iterator[tuple[float, Stored]]:
    """Each alert with the seconds to wait before it: the gaps between them, so many times shorter."""
    for number, alert in enumerate(alerts):
        gap = alert.moment - alerts[number - 1].moment if number else 0.0
        yield min(gap / speed, longest_pause), alert


def play(client: Client, name: str, alerts: Sequence[Stored], speed: float = 60.0,
         longest_pause: float = 60.0) -> Iterator[tuple[Stored, dict[str, Any] | str]]:
    """Hand in alerts in their rhythm; each with what the server says of it, or why it refuses it."""
    for pause, alert in schedule(alerts, speed, longest_pause):
        time.sleep(pause)
        try:
            data = alert.path.read_bytes()
            yield alert, client.post(f"/alerts?replay={name}", data, timeout=120, patience=60)
        except Refused as error:
            yield alert, error.reason


def wait_for_report(client: Client, name: str, seconds: float) -> dict[str, Any]:
    """The report of a rehearsal once nothing of it is at work any more, or when the time is over."""
    end = time.monotonic() + seconds
    while True:
        report: dict[str, Any] = client.get(f"/alert_replays/{name}", patience=60)
        if not report["open"] or time.monotonic() > end:
            return report
        time.sleep(0.5)


def _moment(path: Path) -> float:
    """When an alert was sent: what it says, or the time of its file."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES)
    text = _said(data)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
    except ValueError:
        moment = None
    if moment is None:
        return path.stat().st_mtime
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _said(data: bytes) -> str:
    if found := _ISO_TIME.search(data):
        return found[1].decode("ascii", "replace")
    try:
        document = json.loads(data) if data[:1] == b"{" else None
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    for name in ("time", "alert_datetime", "trigger_time"):
        if isinstance(document.get(name), str):
            return str(document[name])
    return ""
