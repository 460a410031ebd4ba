"""Tasks whose programs are done: their outputs wait on this machine until storage takes them.

The task keeps its lease and its disk; its slot takes the next task. It waits until the pilot's lifetime is
nearly over, and then says what storage said.
"""

from __future__ import annotations

import logging
import threading

from grid.pilot import ends
from grid.pilot.pilot import Pilot
from grid.pilot.script import Script
from iceprod.tracing import traces

__all__ = ["perform"]

_PARTING_SECONDS = 30.0  # before the end of our lifetime nothing waits any more

log = logging.getLogger("pilot")


def perform(pilot: Pilot, script: Script) -> None:
    """Run a task; when its outputs have to wait, a thread of their own goes on with them."""
    handed_on = False
    try:
        end = script.compute() or script.store()
        if end is None:
            log.warning("task %s: its outputs wait", script.running.task_id)
            handed_on = pilot.let_wait(script.running)
            end = None if handed_on else _keep_trying(pilot, script)
        if end is not None:
            _conclude(pilot, script, end)
    finally:
        if handed_on:
            threading.Thread(target=_store_later, args=(pilot, script), daemon=True).start()
        else:
            script.clean()


def _store_later(pilot: Pilot, script: Script) -> None:
    try:
        with traces.within(script.running.trace):
            _conclude(pilot, script, _keep_trying(pilot, script))
    except Exception:
        log.exception("task %s: the pilot failed", script.running.task_id)
    finally:
        script.clean()
        pilot.finish(script.running)
        pilot.tell_waiting()
        pilot.client.close()


def _keep_trying(pilot: Pilot, script: Script) -> ends.End:
    """Store the outputs as soon as storage takes them; the task's end."""
    while True:
        script.running.waits_for = script.reason
        pilot.tell_waiting()
        if script.next_try > pilot.seconds_left - _PARTING_SECONDS:
            return script.give_up()
        if script.wait(script.next_try):
            return ends.End(ends.EVICT, script.running.stop.reason)
        end = script.store()
        if end is not None:
            return end


def _conclude(pilot: Pilot, script: Script, end: ends.End) -> None:
    running, options = script.running, pilot.options
    logs = {} if running.stop else script.logs()
    stats = {"resources": end.resources, "time_used": end.seconds, "cpu_seconds": end.cpu_seconds,
             "outcome": end.outcome, "reason": end.reason, "site": options.site, "host": options.host,
             "steps": script.steps()}
    pilot.conclude(running, end, logs, stats)
