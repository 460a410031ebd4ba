"""What is said to who keeps a process running, and when its silence counts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from iceprod.processes import watchdog
from iceprod.processes.watchdog import Notifier, Watch


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)
    return clock


@pytest.fixture
def watch(clock: Clock) -> Iterator[Watch]:
    watch = Watch(60.0)
    yield watch
    watch.close()


def later(clock: Clock, watch: Watch, *pauses: float) -> list[bool]:
    """Whether it is silent after each pause."""
    found = []
    for pause in pauses:
        clock.now += pause
        found.append(watch.is_silent())
    return found


def test_silence_counts_from_the_first_word_on(clock: Clock, watch: Watch) -> None:
    assert later(clock, watch, 30, 30, 30, 30) == [False] * 4, "a start may take long"
    notifier = Notifier(watch.environment)
    notifier.works()
    assert later(clock, watch, 30, 30, 29) == [False] * 3
    notifier.works()
    assert later(clock, watch, 30, 30, 30) == [False, False, True]


def test_to_be_ready_is_no_work(clock: Clock, watch: Watch) -> None:
    Notifier(watch.environment).ready()
    assert later(clock, watch, 30, 30, 30, 30) == [False] * 4


def test_time_in_which_nobody_looked_hardly_counts(clock: Clock, watch: Watch) -> None:
    """The whole machine was stopped: who comes back with it gets time to say a word."""
    Notifier(watch.environment).works()
    assert later(clock, watch, 1, 9000, 29) == [False] * 3


def test_words_that_nobody_fetches_do_not_hold_up_who_says_them(watch: Watch) -> None:
    notifier = Notifier(watch.environment)
    for _ in range(10_000):
        notifier.works()
    watch.close()
    notifier.works()


def test_as_systemd_asks(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "120000000",
                       "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
        notifier = Notifier(environment)
        assert environment == {"HOME": "/"}, "children say nothing for us"
        assert notifier.seconds == 40.0
        notifier.ready()
        notifier.works()
        assert [systemd.recv(64), systemd.recv(64)] == [b"READY=1", b"WATCHDOG=1"]


@pytest.mark.parametrize("environment", [
    {}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
    {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"}])
def test_nobody_asked(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    assert not notifier.is_watched
    assert notifier.seconds == 0
    notifier.ready()
    notifier.works()
