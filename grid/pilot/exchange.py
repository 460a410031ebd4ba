"""What the pilot says to the server, and hears: every request tells what we hold, so each is a heartbeat."""

from __future__ import annotations

import logging
import time
from typing import Any

from grid.pilot.output import SECONDS
from grid.pilot.pilot import VERSION, Pilot
from iceprod.transport import ClientError, Refused

__all__ = ["ask", "beat", "keep_beating", "tell"]

_TIMEOUT, _CLAIM_TIMEOUT = 10.0, 15.0

log = logging.getLogger("pilot")


def tell(pilot: Pilot, *, patience: float = 0.0, timeout: float = 30.0, **news: Any) -> dict[str, Any]:
    """Say what we hold, and what is new; the answer, which is obeyed already. Raises the client's errors."""

    def send(path: str, body: dict[str, Any]) -> Any:
        return pilot.client.post(path, body, timeout=timeout, patience=patience, repeat=True)

    answer: dict[str, Any] = _exchange(pilot, send, news)
    return answer


def ask(pilot: Pilot, claim: dict[str, Any]) -> dict[str, Any] | None:
    """Ask for tasks, and wait for them; None when we stopped waiting because there was something to say.

    What is answered at once is never given up: the server would have to take back what it is about to give.
    """
    wait = float(claim.get("wait", 0.0))

    def send(path: str, body: dict[str, Any]) -> Any:
        if not wait:
            return pilot.client.post(path, body, timeout=_CLAIM_TIMEOUT)
        return pilot.client.poll(path, body, wait + _CLAIM_TIMEOUT)

    pilot.waits = True
    try:
        answer: dict[str, Any] | None = _exchange(pilot, send, {"claim": claim})
    finally:
        pilot.waits = False
    return answer


def _exchange(pilot: Pilot, send: Any, news: dict[str, Any]) -> Any:
    """Send something, under a new name if the server forgot us."""
    pilot_id = pilot.pilot_id
    try:
        return _once(pilot, send, news)
    except Refused as error:
        if error.status != 404:
            raise
        log.warning("the server does not know us: %s", error)
    _register_again(pilot, pilot_id)
    return _once(pilot, send, news)


def _once(pilot: Pilot, send: Any, news: dict[str, Any]) -> Any:
    sent = pilot.told = time.monotonic()
    renew = {"renew": True} if pilot.token.is_old else {}
    tails = pilot.tails.news(pilot.running())
    said = {**pilot.says(), **renew, **({"tails": tails} if tails else {}), **news}
    answer = send(f"/pilots/{pilot.pilot_id}/exchange", said)
    pilot.last_contact = max(pilot.last_contact, sent)
    if answer is not None:
        _obey(pilot, answer)
    return answer


def _obey(pilot: Pilot, answer: dict[str, Any]) -> None:
    pilot.hear_promise(answer)
    pilot.tails.hear(answer)
    pilot.token.renew(answer)
    lost = set(answer.get("stop") or ())
    for held in pilot.running():
        if held.task_id in lost:
            held.stop("the server gave the task to somebody else or took it back")
    if answer.get("drain"):
        pilot.drain("the server asks for it")


def _register_again(pilot: Pilot, forgotten: str) -> None:
    """Get a new name, unless another thread did. Raises the client's errors."""
    with pilot.naming:
        if pilot.pilot_id != forgotten:
            return
        pilot.token.drop()
        try:
            answer = pilot.client.post("/pilots", pilot.options.registration(VERSION), timeout=_TIMEOUT)
        except ClientError as error:
            log.warning("could not register again: %s", error)
            raise
        pilot.pilot_id = pilot.token.take(answer)
        log.info("registered again as pilot %s", pilot.pilot_id)


# -- when there is nothing else to say


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
    period = min(pilot.beat_seconds, SECONDS) if pilot.tails.watched else pilot.beat_seconds
    return max(0.0, pilot.told + period - time.monotonic())


def beat(pilot: Pilot) -> None:
    """Send one heartbeat, which extends our leases; one that is not answered is tried again until the next.

    The pauses grow and are by chance: thousands who lost the server at the same time come back one by one.
    """
    try:  # a server with thousands of pilots may be slow; to ask it again and again would make it slower
        tell(pilot, timeout=max(_TIMEOUT, pilot.beat_seconds / 2), patience=pilot.beat_seconds)
    except Refused as error:
        log.warning("heartbeat refused: %s", error)
    except ClientError as error:
        log.warning("no heartbeat: %s", error)
        pilot.ending.wait(getattr(error, "retry_after", 0.0))


def _end_grace(pilot: Pilot) -> None:
    """Stop what nobody asked about for so long that others must have it.

    A lease that ran out is ours again when we are the first to be heard of: until then we work on.
    """
    now = time.monotonic()
    for held in pilot.running():
        silent = now - max(pilot.last_contact, held.started)
        if silent > pilot.grace_seconds:
            held.stop(f"the server did not answer for {silent / 3600:.2g} hours")
