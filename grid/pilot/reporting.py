"""The thread that tells the server how tasks ended."""

from __future__ import annotations

import logging

from grid.pilot.exchange import tell
from grid.pilot.pilot import Pilot
from grid.pilot.reports import Report, note_results, trace_of
from iceprod.tracing import traces
from iceprod.transport import Refused, Unreachable

__all__ = ["keep_reporting"]

_PATIENCE = 60.0  # seconds; a report wakes us, and so does the pilot's end

log = logging.getLogger("pilot")


def keep_reporting(pilot: Pilot) -> None:
    """Send reports until the pilot ends; what is left then, `send_rest` sends."""
    try:
        while not pilot.ending.is_set():
            batch = pilot.reports.next(_PATIENCE, pilot.has_tasks_ahead)
            if batch:
                pilot.reports.sending(True)
                _try(pilot, batch)
                pilot.reports.sending(False)
    finally:
        pilot.reports.sending(False)
        pilot.client.close()


def _try(pilot: Pilot, batch: list[Report]) -> None:
    """Send a batch; one that nobody takes for as long as we may work without an answer is dropped."""
    try:
        rows = [report.body(pilot.options.site) for report in batch]
        with traces.within(trace_of(batch)):
            note_results(batch, tell(pilot, reports=rows, patience=pilot.grace_seconds))
    except Refused as error:
        log.warning("%d reports were refused: %s", len(batch), error)
    except Unreachable as error:
        if pilot.ending.is_set():
            return
        log.warning("%d reports are lost, the leases run out: %s", len(batch), error)
    pilot.reports.remove(batch)
