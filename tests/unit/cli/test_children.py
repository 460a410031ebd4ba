"""Child processes: ended with us, started again, their logs kept small."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iceprod.processes import children
from iceprod.processes.children import Child, last_lines, rotate
from iceprod.processes.launch import NOT_FOUND, command

HANGS = """
import faulthandler, time
from iceprod.processes.watchdog import Notifier
faulthandler.enable()
def hang_here():
    print("hangs", flush=True)
    time.sleep(600)
Notifier().works()
hang_here()
"""


def wait_until(what: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # it is not there, or ended while we read
        return False


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    monkeypatch.setattr(children, "_FIRST_PAUSE", 0.05)
    child = Child("thing", ["/bin/sh", "-c", "echo here; exec sleep 60"], tmp_path / "thing.log", tmp_path)
    yield child
    child.stop()


def test_a_child_that_is_killed_is_started_again(child: Child) -> None:
    child.start()
    first = child.pid
    wait_until(lambda: child.log.read_text() == "here\n")
    assert child.keep() == ""
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first))
    assert child.keep() == "thing was killed by SIGKILL, starting again in 0.05 s"
    wait_until(lambda: "started as process" in child.keep())
    assert child.pid != first
    wait_until(lambda: child.log.read_text() == "here\nhere\n")


def test_one_that_hangs_is_ended_and_writes_where(child: Child) -> None:
    child.watchdog_seconds = 0.2
    child.argv = [sys.executable, "-c", HANGS]
    child.start()
    news: list[str] = []
    wait_until(lambda: news.append(child.keep()) or news[-1])
    assert news[-1].startswith("thing said nothing for 0.2 s and was killed by SIGABRT, starting again")
    assert "in hang_here" in child.log.read_text()
    wait_until(lambda: "started as process" in child.keep())


def test_one_that_is_stopped_is_ended_all_the_same(child: Child) -> None:
    child.watchdog_seconds = 0.2
    child.argv = [sys.executable, "-c", HANGS]
    child.start()
    wait_until(lambda: "hangs" in child.log.read_text())
    os.kill(child.pid, signal.SIGSTOP)
    news: list[str] = []
    wait_until(lambda: news.append(child.keep()) or news[-1])
    assert "killed by SIGKILL" in news[-1]


def test_one_that_never_said_a_word_is_left_alone(child: Child) -> None:
    child.watchdog_seconds = 0.01
    child.start()
    for _ in range(20):
        assert child.keep() == ""
        time.sleep(0.01)


def test_the_pause_grows(child: Child) -> None:
    child.argv = ["/bin/false"]
    child.start()
    pauses: list[str] = []

    def look() -> bool:
        news = child.keep()
        if "again in" in news:
            pauses.append(news.rpartition("in ")[2])
        return len(pauses) == 4

    wait_until(look)
    assert pauses == ["0.05 s", "0.1 s", "0.2 s", "0.4 s"]


def test_stop_asks_first_and_kills_in_the_end(child: Child, tmp_path: Path) -> None:
    child.argv = ["/bin/sh", "-c", "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"]
    child.stop_seconds = 0.5
    child.start()
    wait_until(lambda: "ready" in child.log.read_text())
    pid = child.pid
    child.stop()
    assert not is_alive(pid)
    assert "asked" in child.log.read_text()
    child.stop()


def test_the_log_is_for_the_owner_alone(child: Child) -> None:
    child.start()
    assert child.log.stat().st_mode & 0o777 == 0o600


def test_a_long_log_moves_aside_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_ROTATE_BYTES", 10)
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789")
        rotate(log)
        assert not (tmp_path / "a.log.1").exists()
        writer.write(b"x")
        rotate(log)
        writer.write(b"new")
    assert (tmp_path / "a.log.1").read_bytes() == b"0123456789x"
    assert log.read_bytes() == b"new"
    rotate(tmp_path / "absent.log")


def test_the_last_lines_that_say_something(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\n two \n\n")
    assert last_lines(tmp_path / "log") == "two"
    assert last_lines(tmp_path / "log", 5) == "one\ntwo"
    assert last_lines(tmp_path / "absent") == ""


@pytest.mark.parametrize(("program", "status"), [
    (["/bin/true"], 0), (["/bin/sh", "-c", "exit 7"], 7), (["/no/such/program"], NOT_FOUND),
    (["/bin/sh", "-c", "kill -TERM $$"], -signal.SIGTERM),
    (["/bin/sh", "-c", "kill -KILL $$"], -signal.SIGKILL),
])
def test_a_launched_program_ends_as_itself(program: list[str], status: int) -> None:
    argv = command(program)
    ended = subprocess.run(argv, start_new_session=True, stderr=subprocess.DEVNULL, check=False)
    assert ended.returncode == status


PARENT = """
import subprocess
from iceprod.processes.launch import command
child = subprocess.Popen(command(["/bin/sh", "-c", "echo $$; exec sleep 300"]), stdout=subprocess.PIPE,
                         start_new_session=True)
print(child.stdout.readline().decode(), flush=True)
child.wait()
"""


def test_a_launched_program_dies_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        program = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        wait_until(lambda: not is_alive(program))


_WAITS = """
import subprocess, sys, time
from iceprod.processes.children import SignalWait
wait = SignalWait()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
child.communicate(b"go on\\n")
began = time.monotonic()
wait(600)  # its end came before
assert time.monotonic() - began < 300
wait(0)
print("heard")
"""


def test_the_end_of_a_child_ends_the_wait_also_when_it_came_before() -> None:
    done = subprocess.run([sys.executable, "-c", _WAITS], capture_output=True, text=True, check=False)
    assert done.stdout == "heard\n", done.stderr
