"""The pilot's side of the protocol, against a small server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grid.pilot.exchange import keep_beating
from grid.pilot.leasing import lease_tasks
from grid.pilot.options import Options
from grid.pilot.pilot import Pilot
from grid.pilot.pixels import Events
from grid.pilot.reporting import keep_reporting
from grid.pilot.reports import Report, Reports
from grid.pilot.slot import Slot
from iceprod.transport import Line

# The other side of `grid.pilot.worker`: doubles the numbers, and does what some of them ask for.
WORKER = """
import json, os, sys, time
print('{"ready": true}', flush=True)
known = set()
for line in sys.stdin:
    request = json.loads(line)
    if request["event_id"] not in known and "event" not in request:
        answer = {"need": "event"}
    else:
        known.add(request["event_id"])
        assert request["pixels"] != [666], "asked to die"
        if request["pixels"] == [777]:
            time.sleep(60)
        for place, pixel in enumerate(request["pixels"][:-1] if "part_seconds" in request else []):
            print('{"begin": 1}', flush=True)
            time.sleep(60 if pixel == 888 else 0)
            row = {"rows": [[pixel, 2.0 * pixel]], "seconds": 0.1, "cpu_seconds": 0.1, "more": True}
            print(json.dumps(row), flush=True)
            request["pixels"] = request["pixels"][1:]
        if request["pixels"] == [400]:
            answer = {"error": "event e: frame P, byte 7: broken", "fault": "payload"}
        else:
            answer = {"rows": [[p, 2.0 * p] for p in request["pixels"]], "seconds": 0.1, "cpu_seconds": 0.1}
    print(json.dumps(answer), flush=True)
"""
WORKER_ARGV = [sys.executable, "-c", WORKER]


def shell(text: str) -> dict[str, Any]:
    return {"task": {"trays": [{"modules": [{"src": "/bin/sh", "args": ["-c", text]}]}]}}


def pixels(*numbers: int) -> dict[str, Any]:
    return {"scan_id": "s", "i3_event_id": "e", "reco_algo": "r", "nside": 8, "pixels": list(numbers),
            "seeds": None}


@contextlib.contextmanager
def running(options: Options, worker: list[str] | None = None) -> Iterator[Pilot]:
    """A pilot in threads of this process."""
    pilot = Pilot(options)
    pilot.register()
    events = Events(pilot.client, 5.0)
    bodies = [Slot(pilot, events, worker).run for _ in range(options.cores)]
    threads = [threading.Thread(target=body) for body in bodies]
    others = (lease_tasks, keep_beating, keep_reporting)
    threads += [threading.Thread(target=body, args=(pilot,)) for body in others]
    for thread in threads:
        thread.start()
    try:
        yield pilot
    finally:
        pilot.ending.set()
        pilot.leave()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)


def test_a_script_is_run_and_reported(server: Any, options: Options) -> None:
    with running(options):
        task_id = server.add(shell("echo hello"))
        [end] = server.wait_for(f"/tasks/{task_id}/task_actions/complete")
    assert end["instance_id"] == "lease-1"
    assert end["time_used"] >= 0
    assert [log["data"] for log in server.bodies("/logs")] == ["hello\n"]
    assert server.bodies("/task_stats")[0]["outcome"] == "complete"
    [registration] = server.bodies("/pilots")
    assert registration["resources"]["cpu"] == 2
    assert ("DELETE", "/pilots/pilot-1", None) in server.requests


def test_what_a_task_prints_is_sent_while_somebody_looks(server: Any, options: Options,
                                                        tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    with running(options):
        task_id = server.add(shell(f"echo started; while [ ! -e '{go_on}' ]; do sleep 0.05; done"))
        server.watch = [task_id]
        wanted = {"size": 8, "text": "started\n"}
        with server.changed:
            assert server.changed.wait_for(lambda: any(
                (body or {}).get("tails", {}).get(task_id, {}).get("stdout") == wanted
                for body in server.bodies("/exchange")), 30)
        go_on.touch()
        server.wait_for(f"/tasks/{task_id}/task_actions/complete")
    assert not any("tails" in body for body in server.bodies("/exchange")[:1])


def test_a_failure_is_reported_with_its_reason(server: Any, options: Options) -> None:
    with running(options):
        task_id = server.add(shell("echo no luck >&2; exit 9"))
        [end] = server.wait_for(f"/tasks/{task_id}/task_actions/reset")
    assert "status 9: no luck" in end["reason"]


def test_tasks_run_side_by_side(server: Any, options: Options, tmp_path: Path) -> None:
    """Each of the two waits for the other."""
    meet = "touch {0}/{1}; while [ ! -e {0}/{2} ]; do sleep 0.05; done"
    with running(options):
        server.add(shell(meet.format(tmp_path, "a", "b")))
        server.add(shell(meet.format(tmp_path, "b", "a")))
        server.wait_for("/task_actions/complete", 2)


def test_a_claim_waits_for_the_report_of_the_task_before_it(server: Any, options: Options,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the report would cut it short, and every task cost a request for nothing and a new connection."""
    cuts, interrupt, next_ones = [], Line._interrupt, Reports.next

    def count(line: Line) -> None:
        before = line._gave_way
        interrupt(line)
        cuts.append(line._gave_way and not before)

    def next_late(*arguments: Any) -> list[Report]:
        batch = next_ones(*arguments)
        time.sleep(0.1)  # the thread that claims is always the faster one
        return batch

    monkeypatch.setattr(Line, "_interrupt", count)
    monkeypatch.setattr(Reports, "next", next_late)
    options.cores, options.heartbeat, options.wait = 1, 60.0, 20.0
    for _ in range(4):
        server.add(shell("sleep 0.3"))  # too long to be leased ahead
    with running(options):
        server.wait_for("/task_actions/complete", 4)
        assert not any(cuts)  # here, for the pilot's end cuts its last one


def test_several_tasks_are_asked_for_with_a_part_of_the_room_each(server: Any, options: Options) -> None:
    with running(options):
        first, second = server.wait_for("/queue_many", 2)[:2]
    assert (first["num"], first["requirements"]["cpu"], first["requirements"]["memory"]) == (2, 1, 2.0)
    assert (second["num"], second["requirements"]["cpu"], second["requirements"]["memory"]) == (1, 2, 4.0)
    assert first["pilot_id"] == "pilot-1"
    assert first["start"] is True


def test_what_does_not_fit_is_handed_back(server: Any, options: Options) -> None:
    with running(options):
        task_id = server.add(shell("true"), requirements={"cpu": 3})
        [end] = server.wait_for(f"/tasks/{task_id}/task_actions/evict")
    assert end == {"instance_id": "lease-1", "site": "local", "reason": "no room"}


def test_a_lost_task_is_stopped_without_a_report(server: Any, options: Options, tmp_path: Path) -> None:
    with running(options) as pilot:
        task_id = server.add(shell(f"touch {tmp_path}/started; sleep 60"))
        while not (tmp_path / "started").exists():
            time.sleep(0.02)
        server.stop = [task_id]
        while pilot.running():
            time.sleep(0.02)
    assert not server.bodies("/complete") + server.bodies("/reset") + server.bodies("/evict")


def test_a_forgotten_pilot_registers_again(server: Any, options: Options) -> None:
    server.answers["POST", "/pilots/pilot-1/heartbeat"] = (404, {"reason": "Pilot not found"})
    with running(options):
        server.wait_for("/pilots", 2)


def add_answered(server: Any, payload: dict[str, Any], answer: tuple[int, Any]) -> str:
    """Add a task whose end, however soon it comes, is answered so; the path of its end."""
    with server.changed:
        path = f"/tasks/{server.add(payload)}/task_actions/complete"
        server.answers["POST", path] = answer
    return path


def test_a_stale_report_is_dropped(server: Any, options: Options) -> None:
    with running(options) as pilot:
        path = add_answered(server, shell("true"), (404, {"reason": "Task not found"}))
        server.wait_for(path)
        after = server.add(shell("true"))
        server.wait_for(f"/tasks/{after}/task_actions/complete")
        assert not pilot.draining.is_set()


def test_reports_survive_a_server_that_is_away(server: Any, options: Options) -> None:
    with running(options):
        path = add_answered(server, shell("true"), (503, {"reason": "later"}))
        server.wait_for(path)
        del server.answers["POST", path]
        server.wait_for(path, 2)


def _wait(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.02)


def test_work_goes_on_while_the_server_is_away(server: Any, options: Options, tmp_path: Path) -> None:
    """Its lease ended long ago, and nobody answers; the same instance ends, once."""
    server.lease_seconds = 0.2
    with running(options) as pilot:
        wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
        task_id = server.add(shell(f"touch {tmp_path}/started; {wait}"))
        _wait((tmp_path / "started").exists)
        for path in ("/pilots/pilot-1/heartbeat", "/task_actions/report_many", "/task_actions/queue_many"):
            server.answers["POST", path] = (503, {"reason": "away"})
        beats = len(server.bodies("/heartbeat"))
        _wait(lambda: time.monotonic() - pilot.last_contact > 10 * server.lease_seconds)
        assert len(server.bodies("/heartbeat")) > beats
        (tmp_path / "go").touch()
        server.wait_for("/task_actions/report_many")
        server.answers.clear()
        [end] = server.wait_for(f"/tasks/{task_id}/task_actions/complete")
    assert end["instance_id"] == "lease-1"


def test_work_ends_when_the_server_stays_away(server: Any, options: Options, tmp_path: Path) -> None:
    server.lease_seconds, server.grace_seconds = 0.1, 0.5
    with running(options) as pilot:
        server.add(shell(f"touch {tmp_path}/started; sleep 60"))
        _wait((tmp_path / "started").exists)
        server.answers["POST", "/pilots/pilot-1/heartbeat"] = (503, {"reason": "away"})
        [held] = pilot.running()
        _wait(lambda: held.stop)
        assert "did not answer for" in held.stop.reason


def test_a_pilot_leaves_a_place_where_nothing_runs(server: Any, options: Options) -> None:
    with running(options) as pilot:
        for _ in range(3):
            server.add({}, kind="unheard of")
        server.wait_for("/task_actions/evict", 3)
        assert pilot.draining.wait(20)


def test_the_server_can_send_a_pilot_home(server: Any, options: Options) -> None:
    server.drain = True
    with running(options) as pilot:
        assert pilot.draining.wait(20)
        pilot.wait_for_end()


def test_an_idle_pilot_ends(server: Any, options: Options) -> None:
    options.idle = 0.2
    with running(options) as pilot:
        pilot.wait_for_end()


def test_pixels_are_reconstructed_by_a_warm_worker(server: Any, options: Options) -> None:
    options.pixels, options.cores = True, 1
    with running(options, WORKER_ARGV):
        ids = [server.add(pixels(1, 2), kind="pixels"), server.add(pixels(3), kind="pixels")]
        results = [server.wait_for(f"/pixel_batches/{task_id}")[0] for task_id in ids]
    assert [result["rows"] for result in results] == [[[1, 2.0], [2, 4.0]], [[3, 6.0]]]
    assert results[0]["instance_id"] == "lease-1"
    assert results[0]["host"] == "testhost"
    events = [path for _, path, _ in server.requests if path.startswith("/i3-events/")]
    assert events == ["/i3-events/e"]


def test_a_dead_worker_is_replaced(server: Any, options: Options) -> None:
    options.pixels, options.cores = True, 1
    with running(options, WORKER_ARGV):
        broken = server.add(pixels(666), kind="pixels")
        [end] = server.wait_for(f"/tasks/{broken}/task_actions/reset")
        good = server.add(pixels(5), kind="pixels")
        server.wait_for(f"/pixel_batches/{good}")
    assert "worker ended with status 1" in end["reason"]


def test_a_broken_event_fails_for_good(server: Any, options: Options) -> None:
    options.pixels, options.cores = True, 1
    with running(options, WORKER_ARGV):
        task_id = server.add(pixels(400), kind="pixels")
        [end] = server.wait_for(f"/tasks/{task_id}/task_actions/failed")
    assert end["reason"] == "event e: frame P, byte 7: broken"


def test_a_batch_that_takes_too_long_is_given_up(server: Any, options: Options) -> None:
    options.pixels, options.cores = True, 1
    with running(options, WORKER_ARGV):
        task_id = server.add(pixels(777), kind="pixels", requirements={"time": 0.5 / 3600})
        [end] = server.wait_for(f"/tasks/{task_id}/task_actions/reset")
    assert end["reason"].startswith("time limit")


def test_a_slow_pixel_is_named_and_the_others_are_kept(server: Any, options: Options) -> None:
    options.pixels, options.cores = True, 1
    with running(options, WORKER_ARGV):
        good = server.add({**pixels(1, 2, 3), "pixel_limit_s": 1}, kind="pixels")
        slow = server.add({**pixels(1, 2, 888, 3), "pixel_limit_s": 1}, kind="pixels")
        after = server.add(pixels(5), kind="pixels")
        results = [server.wait_for(f"/pixel_batches/{task_id}")[0] for task_id in (good, slow, after)]
    assert [result["rows"] for result in results] == [
        [[1, 2.0], [2, 4.0], [3, 6.0]], [[1, 2.0], [2, 4.0]], [[5, 10.0]]]
    assert [result.get("slow") for result in results] == [None, [888], None]
    assert results[0]["seconds"] == pytest.approx(0.3)


def test_a_refused_result_is_a_failure(server: Any, options: Options) -> None:
    options.pixels, options.cores = True, 1
    with running(options, WORKER_ARGV):
        with server.changed:  # nobody has it before the answer is there
            task_id = server.add(pixels(1), kind="pixels")
            server.answers["PUT", f"/pixel_batches/{task_id}"] = (400, {"reason": "rows: bad"})
        [end] = server.wait_for(f"/tasks/{task_id}/task_actions/reset")
    assert end["reason"] == "the server refused the result: rows: bad"


def test_without_a_worker_pixels_are_handed_back(server: Any, options: Options) -> None:
    options.pixels, options.cores = True, 1
    with running(options, [sys.executable, "-c", "raise SystemExit(4)"]):
        task_id = server.add(pixels(1), kind="pixels")
        [end] = server.wait_for(f"/tasks/{task_id}/task_actions/evict")
    assert end["reason"] == "no pixel worker: the pixel worker ended with status 4"


@pytest.fixture
def process(server: Any, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A pilot as a process of its own."""
    (tmp_path / "token").write_text("secret")
    argv = [sys.executable, "-m", "grid.pilot", "--server", server.url,
            "--token-file", str(tmp_path / "token"), "--cores", "1", "--no-pixels",
            "--directory", str(tmp_path), "--heartbeat", "0.1", "--isolation", "off"]
    child = subprocess.Popen(argv, start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_sigterm_hands_back_and_leaves_nothing(server: Any, tmp_path: Path,
                                               process: subprocess.Popen[bytes]) -> None:
    server.add(shell(f"echo $$ > {tmp_path}/pid; sleep 300"))
    pid_file = tmp_path / "pid"
    while not pid_file.exists() or not pid_file.read_text().strip():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert ("DELETE", "/pilots/pilot-1", None) in server.requests
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
    assert not list(tmp_path.glob("pilot-*"))


def test_a_refused_pilot_says_why(server: Any, tmp_path: Path) -> None:
    server.answers["POST", "/pilots"] = (403, {"reason": "authentication failed"})
    (tmp_path / "token").write_text("wrong")
    child = subprocess.run([sys.executable, "-m", "grid.pilot", "--server", server.url, "--token-file",
                            str(tmp_path / "token"), "--isolation", "off"],
                           capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert child.stderr == "error: authentication failed (HTTP 403)\n"


