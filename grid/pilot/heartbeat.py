"""The thread that tells the server what we hold, and hears what we lost."""

from __future__ import annotations

import logging
import time
from typing import Any

from grid.pilot.pilot import VERSION, Pilot
from iceprod.transport import ClientError, Refused

__all__ = ["beat", "keep_beating"]

_TIMEOUT = 10.0

log = logging.getLogger("pilot")


def keep_beating(pilot: Pilot) -> None:
    """Send heartbeats until the pilot ends."""
    try:
        while not pilot.ending.wait(pilot.beat_seconds):
            beat(pilot)
    finally:
        pilot.client.close()


def beat(pilot: Pilot) -> None:
    """Send one heartbeat, which extends our leases, and obey the answer."""
    sent = time.monotonic()
    try:
        answer = pilot.client.post(f"/pilots/{pilot.pilot_id}/heartbeat", _body(pilot), timeout=_TIMEOUT,
                                   repeat=True)
    except Refused as error:
        log.warning("heartbeat refused: %s", error)
        if error.status == 404:
            _register_again(pilot)
    except ClientError as error:
        log.warning("no heartbeat: %s", error)
        pilot.ending.wait(getattr(error, "retry_after", 0.0))
    else:
        pilot.last_contact = sent
        _obey(pilot, answer)
    _end_grace(pilot)


def _body(pilot: Pilot) -> dict[str, Any]:
    tasks = [{"task_id": task_id, "instance_id": instance_id} for task_id, instance_id in pilot.held()]
    room = pilot.room
    renew = {"renew": True} if pilot.token.is_old else {}
    return {"tasks": tasks, "resources_available": pilot.offer(), "resources_claimed": room.claimed(),
            **renew}


def _obey(pilot: Pilot, answer: dict[str, Any]) -> None:
    pilot.hear_promise(answer)
    pilot.token.renew(answer)
    lost = set(answer.get("stop") or ())
    for held in pilot.running():
        if held.task_id in lost:
            held.stop("the server gave the task to somebody else or took it back")
    if answer.get("drain"):
        pilot.drain("the server asks for it")


def _register_again(pilot: Pilot) -> None:
    pilot.token.drop()
    try:
        answer = pilot.client.post("/pilots", pilot.options.registration(VERSION), timeout=_TIMEOUT)
        pilot.pilot_id = pilot.token.take(answer)
        log.info("registered again as pilot %s", pilot.pilot_id)
    except ClientError as error:
        log.warning("could not register again: %s", error)


def _end_grace(pilot: Pilot) -> None:
    """Stop what nobody asked about for so long that others must have it.

    A lease that ran out is ours again when we are the first to be heard of: until then we work on.
    """
    now = time.monotonic()
    for held in pilot.running():
        silent = now - max(pilot.last_contact, held.started)
        if silent > pilot.grace_seconds:
            held.stop(f"the server did not answer for {silent / 3600:.2g} hours")
