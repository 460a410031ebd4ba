"""The thread that tells the server what we hold when nothing else did for a while."""

from __future__ import annotations

import logging
import time

from grid.pilot.exchange import tell
from grid.pilot.pilot import Pilot
from iceprod.transport import ClientError, Refused

__all__ = ["beat", "keep_beating"]

_TIMEOUT = 10.0

log = logging.getLogger("pilot")


def keep_beating(pilot: Pilot) -> None:
    """Send heartbeats until the pilot ends, whenever no other request carried one for so long."""
    try:
        while not pilot.ending.wait(_seconds_until_due(pilot)):
            if not _seconds_until_due(pilot):
                beat(pilot)
            _end_grace(pilot)
    finally:
        pilot.client.close()


def _seconds_until_due(pilot: Pilot) -> float:
    """How long nothing need be said. Who waits at the server for tasks and holds none is known to live."""
    if pilot.waits and not pilot.held():
        return pilot.beat_seconds
    return max(0.0, pilot.told + pilot.beat_seconds - time.monotonic())


def beat(pilot: Pilot) -> None:
    """Send one heartbeat, which extends our leases."""
    try:
        tell(pilot, timeout=_TIMEOUT)
    except Refused as error:
        log.warning("heartbeat refused: %s", error)
    except ClientError as error:
        log.warning("no heartbeat: %s", error)


def _end_grace(pilot: Pilot) -> None:
    """Stop what nobody asked about for so long that others must have it.

    A lease that ran out is ours again when we are the first to be heard of: until then we work on.
    """
    now = time.monotonic()
    for held in pilot.running():
        silent = now - max(pilot.last_contact, held.started)
        if silent > pilot.grace_seconds:
            held.stop(f"the server did not answer for {silent / 3600:.2g} hours")
