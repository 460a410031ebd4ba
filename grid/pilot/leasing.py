"""The thread that leases tasks."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from grid.pilot.exchange import ask
from grid.pilot.pilot import Pilot
from iceprod.transport import Refused, Unreachable

__all__ = ["lease_tasks"]

_BUSY_WAIT = 5.0  # a poll while some cores work lasts so long at least
_PATIENCE = 60.0  # whatever frees a core wakes us
_REPORT_PATIENCE = 2.0  # for reports to be answered, which would cut our request short
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0

log = logging.getLogger("pilot")


def lease_tasks(pilot: Pilot) -> None:
    """Lease whatever fits, until the pilot takes no more."""
    try:
        _keep_leasing(pilot)
    finally:
        pilot.client.close()


def _keep_leasing(pilot: Pilot) -> None:
    pause = _FIRST_PAUSE
    while not (pilot.draining.is_set() or pilot.ending.is_set()):
        if pilot.wait_for_slot(_PATIENCE) and not pilot.ahead():
            pilot.reports.settle(_REPORT_PATIENCE)
        count = pilot.wait_for_slot(0.0)
        if not count or pilot.draining.is_set() or pilot.ending.is_set():
            continue
        try:
            began, room = time.monotonic(), pilot.room.free()
            tasks = _lease(pilot, count)
            pause = _FIRST_PAUSE
            if tasks == 0 and time.monotonic() - began < 1.0 and room == pilot.room.free():
                _pause(pilot, 1.0)  # the server did not wait for us
        except (Refused, Unreachable) as error:
            if not pilot.ending.is_set():
                log.warning("no lease: %s", error)
            _pause(pilot, max(pause, 2 * error.retry_after))  # it waits half as long at least
            pause = min(2 * pause, _LONGEST_PAUSE)


def _lease(pilot: Pilot, count: int) -> int | None:
    """Lease and start up to `count` tasks; how many there were; None if we did not wait for the answer.

    The server looks at each task by itself, so several tasks are asked for with an equal part of the room
    each. What fits no part is asked for with the whole room, and that is also how we wait. While tasks are
    short we lease some ahead, which run one after the other, each with all the room that it needs. Their ends
    would cut most of our requests short, if these were made to wait before we know that there is nothing.
    """
    wait = _longest_wait(pilot)
    if pilot.ahead():
        tasks = _claim(pilot, pilot.room.total, count, 0.0) or _claim(pilot, pilot.room.total, count, wait)
    else:
        room = pilot.room.free()
        parts = min(count, room["gpu"]) if room["gpu"] else count
        tasks = _claim(pilot, _part(room, parts), parts, 0.0) if parts > 1 else []
        tasks = tasks or _claim(pilot, room, 1, wait)
    for task in tasks or ():
        pilot.start(task)
    pilot.took(len(tasks or ()))
    return None if tasks is None else len(tasks)


def _longest_wait(pilot: Pilot) -> float:
    """How long the server may let us wait: until we have to say that we live."""
    if pilot.running():
        return min(pilot.options.wait, max(_BUSY_WAIT, pilot.beat_seconds))
    return max(pilot.options.wait, pilot.beat_seconds)


def _part(room: dict[str, Any], parts: int) -> dict[str, Any]:
    return {name: free // parts if isinstance(free, int) else free / parts for name, free in room.items()}


def _claim(pilot: Pilot, room: dict[str, Any], count: int, wait: float) -> list[dict[str, Any]] | None:
    """The tasks that the server gave us; None when another thread had something to say meanwhile."""
    offer = {**room, "time": max(0.0, pilot.seconds_left) / 3600, "site": pilot.options.site,
             **pilot.options.traits()}
    offer["os"] = sorted(pilot.options.containers.systems)
    if not pilot.options.pixels:
        offer["kind"] = "script"  # nothing but programs
    answer = ask(pilot, {"num": count, "requirements": offer, "start": True, "wait": wait})
    if answer is None:
        return None
    tasks = answer.get("tasks")
    if not tasks and wait and pilot.client.gave_way:
        return None  # the server ended the wait when we had something to say: there may be tasks now
    return tasks if isinstance(tasks, list) else []


def _pause(pilot: Pilot, seconds: float) -> None:
    pilot.ending.wait(seconds * (0.5 + random.random()))
