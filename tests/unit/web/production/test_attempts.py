"""Attempts at a task and the logs that belong to each."""

from __future__ import annotations

from typing import Any

from server.production.records.tails import Tail
from server.web.production.attempts import attempts_of
from server.web.production.task_pages import Shown


def log(moment: str, name: str = "stderr") -> dict[str, Any]:
    return {"log_id": name + moment, "name": name, "timestamp": f"2026-03-01T{moment}.500000"}


def task(status: str, *ends: tuple[str, str], **fields: Any) -> dict[str, Any]:
    rows = [{"time": f"2026-03-01T{time}.000000", "outcome": outcome, "host": "node1", "site": "north",
             "reason": "no luck", "seconds": 3.0} for time, outcome in ends]
    return {"status": status, "status_changed": "2026-03-01T18:00:00.000000", "attempts": rows,
            "site": "north", **fields}


def test_logs_belong_to_the_end_that_they_came_with() -> None:
    found = attempts_of(task("waiting", ("10:00:00", "reset"), ("11:00:00", "evicted")),
                        [log("10:00:00"), log("10:00:00", "stdout"), log("11:00:01")])
    assert [(one.state, len(one.logs)) for one in found] == [("evicted", 1), ("failed", 2)]


def test_a_good_end_and_what_runs_are_attempts_too() -> None:
    ended = {"outcome": "complete", "time": "2026-03-01T12:00:00.000000"}
    (good,) = attempts_of(task("complete", ended=ended, walltime=0.5), [log("12:00:00")])
    assert (good.state, good.seconds, len(good.logs)) == ("complete", 1800.0, 1)
    first, second = attempts_of(task("processing", ("10:00:00", "failed")), [])
    assert (first.state, second.state) == ("processing", "failed")


def test_logs_of_attempts_that_nobody_remembers_are_shown() -> None:
    found = attempts_of(task("waiting"), [log("09:00:00"), log("09:00:00", "stdout"), log("10:00:00")])
    assert [(one.outcome, len(one.logs)) for one in found] == [("ended", 1), ("ended", 2)]


def test_a_tail_begins_with_a_line_and_says_what_is_before_it() -> None:
    assert Shown.of(Tail(6, "a\nb\nc\n")) == Shown(6, 0, "a\nb\nc\n")
    assert Shown.of(Tail(100, "rest\nwhole line\n")) == Shown(100, 84, "whole line\n")
    assert Shown.of(Tail(100, "one long line")).text == "one long line"
