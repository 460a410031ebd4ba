"""Reports in batches, and tasks leased ahead."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.pilot import reports as reports_module
from grid.pilot.ends import COMPLETE, RESET, End
from grid.pilot.options import Options
from grid.pilot.pace import Pace
from grid.pilot.pilot import Pilot
from grid.pilot.reporting import keep_reporting
from grid.pilot.reports import Report, Reports, send_rest
from iceprod.client import Client


def report(number: int, log: str = "") -> Report:
    return Report(f"t{number}", "i", End(COMPLETE, seconds=0.1), {"stdout": log} if log else {})


def test_what_waits_goes_together_and_in_order() -> None:
    reports = Reports()
    for number in range(1100):
        reports.add(report(number))
    sizes, seen = [], []
    while batch := reports.next(0.0):
        sizes.append(len(batch))
        seen += [one.task_id for one in batch]
        reports.remove(batch)
    assert sizes == [500, 500, 100]
    assert seen == [f"t{number}" for number in range(1100)]


@pytest.mark.parametrize("why", ["nobody comes any more", "they are as many as one request takes", "closed"])
def test_who_gathers_is_woken_when_waiting_is_of_no_use(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(reports_module, "_GATHER_SECONDS", 60.0)
    monkeypatch.setattr(reports_module, "_MOST", 4)
    reports, others, batches = Reports(), [True], []
    asked = threading.Event()

    def others_come() -> bool:
        asked.set()
        return bool(others)

    thread = threading.Thread(target=lambda: batches.append(reports.next(60.0, others_come)))
    thread.start()
    reports.add(report(0))
    assert asked.wait(30), "the first has others gathered"
    reports.add(report(1))
    thread.join(0.2)
    assert thread.is_alive()
    if why == "closed":
        reports.close()
    else:
        others[:] = [] if why.startswith("nobody") else others
        for number in range(2, 3 if why.startswith("nobody") else 4):
            reports.add(report(number))
    thread.join(30)
    assert [one.task_id for one in batches[0]] == [f"t{number}" for number in range(len(reports))]


def test_the_first_report_wakes_who_gathers_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "_GATHER_SECONDS", 0.05)
    reports = Reports()
    reports.add(report(0))
    reports.remove(reports.next(60.0, lambda: True))
    threading.Timer(0.05, reports.add, [report(1)]).start()
    assert [one.task_id for one in reports.next(30.0, lambda: True)] == ["t1"]


def test_a_free_slot_wakes_who_leases_when_a_task_is_wanted(options: Options) -> None:
    pilot, counts = Pilot(options), []
    thread = threading.Thread(target=lambda: counts.append(pilot.wait_for_slot(60.0)))
    thread.start()
    pilot.slot_is_free()
    thread.join(30)
    assert counts == [1]
    pilot.client.close()


def test_long_logs_make_smaller_batches_but_never_none() -> None:
    reports = Reports()
    for number in range(3):
        reports.add(report(number, "x" * 3_000_000))
    assert len(reports.next(0.0)) == 1


def test_reports_that_nobody_sent_are_still_held(server: Any, options: Options) -> None:
    pilot = Pilot(options)
    pilot.reports.add(report(1))
    assert pilot.held() == [("t1", "i")]
    with Client(server.url) as client:
        send_rest(pilot.reports, client, pilot.options.site, pilot.pilot_id)
    assert pilot.held() == []
    assert server.bodies("/tasks/t1/task_actions/complete")
    pilot.client.close()


def test_a_refused_row_does_not_hold_up_the_others(server: Any, options: Options) -> None:
    server.answers["POST", "/tasks/t1/task_actions/complete"] = (404, {"reason": "stale"})
    pilot = Pilot(options)
    for number in range(3):
        pilot.reports.add(report(number))
    thread = threading.Thread(target=keep_reporting, args=(pilot,))
    thread.start()
    server.wait_for("/tasks/t2/task_actions/complete")
    pilot.ending.set()
    pilot.reports.close()
    thread.join(10)
    assert not thread.is_alive()
    assert len(pilot.reports) == 0
    assert sum(path == "/task_actions/report_many" for _, path, _ in server.requests) == 1


def test_an_end_says_no_more_than_the_server_needs() -> None:
    body = Report("t", "i", End(RESET, "bad", 2.0, 1.0, {"memory": 0.5})).body("S")
    assert body == {"task_id": "t", "instance_id": "i", "outcome": "reset", "site": "S", "reason": "bad",
                    "time_used": 2.0, "resources": {"memory": 0.5}}


@given(st.lists(st.floats(0, 1000)), st.integers(1, 64))
def test_only_short_programs_are_leased_ahead(seconds: list[float], slots: int) -> None:
    pace = Pace()
    for one in seconds:
        pace.note("script", one)
    assert 0 <= pace.ahead(slots) <= 500
    if all(one > 0.2 for one in seconds):
        assert pace.ahead(slots) == 0
    pace.note("pixels", 0.01)
    assert pace.ahead(slots) == 0


@pytest.mark.parametrize("memory", [1.0, 99.0])
def test_a_task_leased_ahead_waits_for_its_turn_if_it_can_ever_fit(options: Options, memory: float) -> None:
    pilot = Pilot(options)
    pilot.pace.note("script", 0.01)
    pilot.slot_is_free()
    tasks = [{"task_id": f"t{n}", "instance_id": "i", "requirements": {"cpu": 2, "memory": memory}}
             for n in range(2)]
    started = [pilot.start(task) for task in tasks]
    if memory > options.memory:
        assert started == [False, False]
        assert [one.end.reason for one in pilot.reports.held()] == ["no room", "no room"]
        return
    assert started == [True, True]
    first = pilot.tasks.get_nowait()
    assert pilot.tasks.empty()
    pilot.finish(first)
    assert pilot.tasks.get_nowait().task_id == "t1"
    pilot.client.close()


def test_tasks_leased_ahead_go_back_when_those_before_them_are_long(options: Options) -> None:
    pilot = Pilot(options)
    pilot.pace.note("script", 0.01)
    pilot.slot_is_free()
    for name in ("runs", "waits"):
        pilot.start({"task_id": name, "instance_id": "i", "requirements": {"cpu": 2}})
    pilot._hand_back_late_ones()
    assert len(pilot.running()) == 2
    for running in pilot.running():
        running.started -= 10.0
    pilot._hand_back_late_ones()
    assert [running.task_id for running in pilot.running()] == ["runs"]
    (report,) = pilot.reports.held()
    assert (report.task_id, report.end.outcome) == ("waits", "evict")
    pilot.client.close()


def test_a_report_waits_only_while_others_come() -> None:
    reports, more = Reports(), [True]
    reports.add(report(1))

    def last_one() -> None:
        more.clear()
        reports.add(report(2))

    timer = threading.Timer(0.05, last_one)
    timer.start()
    batch = reports.next(0.0, lambda: bool(more))
    timer.join()
    assert [one.task_id for one in batch] in (["t1", "t2"], ["t1"])  # the latter: it came too late
    assert len(reports.next(0.0)) == 2


def test_who_waits_for_reports_waits_for_those_that_are_there_now() -> None:
    reports, gone = Reports(), threading.Event()
    reports.settle(600.0)  # there are none
    reports.add(report(1))
    reports.settle(0.01)  # not for ever

    def wait() -> None:
        reports.settle(600.0)
        gone.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not gone.wait(0.2)
    batch = reports.next(0.0)
    reports.add(report(2))
    reports.remove(batch)
    thread.join(60)
    assert gone.is_set()
    assert [one.task_id for one in reports.held()] == ["t2"]
