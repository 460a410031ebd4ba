"""Outputs wait on this machine until storage takes them: nothing that was computed is computed again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grid.moving import retries, steps
from grid.pilot import pilot as whole
from grid.pilot import storing
from grid.pilot.options import Options
from tests.support.storage.web import Storage, stalls, status
from tests.unit.grid.test_pilot import running


@pytest.fixture
def storage() -> Iterator[Storage]:
    made = Storage()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "pause", lambda failures, after, chance: 0.05)
    monkeypatch.setattr(steps.random, "random", lambda: 0.5)


def work(storage: Storage, text: str, name: str = "out", **more: Any) -> dict[str, Any]:
    """A task that runs a shell and stores what it made."""
    return {"task": {"trays": [{"modules": [{"src": "/bin/sh", "args": ["-c", text]}]}],
                     "data": [{"movement": "output", "local": "out", "remote": f"{storage.url}/o/{name}"}]},
            **more}


def wait_until(told: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_failed_upload_is_not_a_failed_computation(server: Any, options: Options, storage: Storage,
                                                     tmp_path: Path) -> None:
    storage.faults["PUT", "/o/out"] = [status(503)] * 5
    options.cores = 1
    task = server.add(work(storage, f"echo ran >> {tmp_path}/runs; echo result > out"))
    with running(options):
        server.wait_for(f"/tasks/{task}/task_actions/complete")
        stats = server.wait_for(f"/tasks/{task}/task_stats")[0]
    assert storage.files["/o/out"] == b"result\n"
    assert (tmp_path / "runs").read_text() == "ran\n"
    assert stats["steps"]["store"] == {"files": 1, "bytes": 7, "retries": 5, "cached": 0,
                                       "seconds": stats["steps"]["store"]["seconds"]}
    assert stats["steps"]["run"]["seconds"] > 0
    assert stats["steps"]["fetch"]["files"] == 0


def test_others_compute_while_outputs_wait(server: Any, options: Options, storage: Storage) -> None:
    storage.always["PUT", "/o/slow"] = status(503)
    options.cores = 1
    slow = server.add(work(storage, "echo 1 > out", "slow"), requirements={"cpu": 1, "disk": 4.0})
    with running(options) as pilot:
        wait_until(lambda: any(one.is_waiting for one in pilot.running()))
        assert (pilot.room.cpu, pilot.room.disk) == (1, 6.0)  # its files stay
        quick = server.add(work(storage, "echo 2 > out", "quick"))
        server.wait_for(f"/tasks/{quick}/task_actions/complete")
        assert not server.bodies(f"/tasks/{slow}/task_actions/complete")
        held = [one["task_id"] for body in server.bodies("/heartbeat")[-1:] for one in body["tasks"]]
        assert slow in held  # the lease goes on
        told = server.bodies("/pilots/pilot-1")[0]["outputs_waiting"]
        assert f"{storage.url}/o/slow: HTTP 503" in told[slow]
        del storage.always["PUT", "/o/slow"]
        server.wait_for(f"/tasks/{slow}/task_actions/complete")
        wait_until(lambda: pilot.room.disk == 10.0)
        assert pilot.offer()["slots"] == 1
        wait_until(lambda: server.bodies("/pilots/pilot-1")[-1] == {"outputs_waiting": {}})
    assert storage.files == {"/o/slow": b"1\n", "/o/quick": b"2\n"}
    assert not [*options.directory.glob("task*")]


def test_at_the_end_of_the_pilot_the_task_says_what_storage_said(server: Any, options: Options,
                                                                 storage: Storage) -> None:
    storage.always["PUT", "/o/out"] = status(503)
    options.lifetime = 1.0
    assert options.lifetime < storing._PARTING_SECONDS  # its time for that is over when it begins
    task = server.add(work(storage, "echo 1 > out"))
    with running(options):
        end = server.wait_for(f"/tasks/{task}/task_actions/reset")[0]
    assert end["reason"].startswith(f"transfer failure: output {storage.url}/o/out: HTTP 503; the outputs "
                                    "waited here for ")


def test_what_storage_refuses_is_not_computed_again(server: Any, options: Options, storage: Storage) -> None:
    storage.always["PUT", "/o/out"] = status(403)
    task = server.add(work(storage, "echo 1 > out"))
    with running(options):
        end = server.wait_for(f"/tasks/{task}/task_actions/failed")[0]
    assert end["reason"] == f"transfer failure: output {storage.url}/o/out: HTTP 403"
    assert storage.methods() == ["PUT"] * retries.STORE_TRIES


def test_a_credential_that_ended_while_the_task_ran_is_renewed(server: Any, options: Options,
                                                               storage: Storage) -> None:
    storage.token = "new"
    told = {"tokens": [{"prefix": storage.url, "token": "old", "expires": time.time() + 60}]}
    server.answers["POST", "/task_actions/access"] = (
        200, {"tokens": [{"prefix": storage.url, "token": "new", "expires": time.time() + 3600}]})
    task = server.add(work(storage, "echo 1 > out; env > env", access=told))
    with running(options):
        server.wait_for(f"/tasks/{task}/task_actions/complete")
        asked = server.bodies("/task_actions/access")
    assert asked == [{"task_id": task, "instance_id": "lease-1"}]
    assert storage.methods() == ["PUT", "HEAD"]


def test_a_task_that_was_lost_waits_no_longer(server: Any, options: Options, storage: Storage) -> None:
    storage.always["PUT", "/o/out"] = status(503)
    task = server.add(work(storage, "echo 1 > out"))
    with running(options) as pilot:
        wait_until(lambda: any(one.is_waiting for one in pilot.running()))
        server.stop.append(task)
        wait_until(lambda: not pilot.running())
        assert not [*options.directory.glob("task*")]
    assert not [path for _, path, _ in server.requests if f"/tasks/{task}/" in path]


def test_no_more_wait_than_there_may(server: Any, options: Options, storage: Storage,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "_MOST_WAITING", 1)
    options.cores = 1
    for name in "abc":
        storage.always["PUT", f"/o/{name}"] = status(503)
        server.add(work(storage, "echo 1 > out", name))
    with running(options) as pilot:
        wait_until(lambda: len({one.path for one in storage.asked}) == 2)
        time.sleep(0.3)
        assert len({one.path for one in storage.asked}) == 2  # the slot itself waits with the second
        storage.always.clear()
        server.wait_for("/task_actions/complete", 3)
        wait_until(lambda: not pilot.running())


def test_tasks_of_one_pilot_share_an_input(server: Any, options: Options, storage: Storage) -> None:
    storage.files["/background"] = b"x" * 500_000
    config = {"trays": [{"modules": [{"src": "/bin/sh", "args": ["-c", "test $(wc -c < bg) = 500000"]}]}],
              "data": [{"movement": "input", "local": "bg", "remote": f"{storage.url}/background"}]}
    for _ in range(6):
        server.add({"task": config})
    with running(options):
        server.wait_for("/task_actions/complete", 6)
        stats = server.wait_for("/task_stats", 6)
    assert sum(one["steps"]["fetch"]["bytes"] for one in stats) == 500_000
    assert sum(one["steps"]["fetch"]["cached"] for one in stats) == 5


def test_a_hanging_download_ends_with_its_task(server: Any, options: Options, storage: Storage) -> None:
    storage.files["/x"] = b"x" * 1000
    storage.always["GET", "/x"] = stalls(10, 60.0)
    task = server.add({"task": {"trays": [{"modules": [{"src": "/bin/true"}]}],
                                "data": [{"movement": "input", "remote": f"{storage.url}/x"}]}})
    with running(options) as pilot:
        wait_until(lambda: storage.asked)
        began = time.monotonic()
        server.stop.append(task)
        wait_until(lambda: not pilot.running())
        assert time.monotonic() - began < 50  # and not the minute that the storage takes
