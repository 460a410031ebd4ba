"""What comes when no files are left is closed quietly, and others are served."""

from __future__ import annotations

import logging
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tornado.netutil import bind_sockets

from server.common import listening, metrics
from server.common.listening import KEPT, Listener, raise_limit


class Limit:
    """How many files may be open, as a test wants it."""

    def __init__(self) -> None:
        self.files = 1 << 20

    def __call__(self) -> int:
        return self.files


@pytest.fixture
def limit() -> Limit:
    return Limit()


@pytest.fixture
def listener(limit: Limit) -> Iterator[Listener]:
    [bound] = bind_sockets(0, "127.0.0.1")
    with Listener.of(bound, limit) as found:
        yield found


def _connect(listener: Listener) -> socket.socket:
    return socket.create_connection(listener.getsockname())


def _shed() -> float:
    return float(metrics.SHED._value.get())


def test_what_there_is_room_for_is_taken(listener: Listener) -> None:
    with _connect(listener) as client:
        connection, address = listener.accept()
        assert address == client.getsockname()
        connection.close()
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_too_many_are_closed_with_one_warning(listener: Listener, limit: Limit,
                                              caplog: pytest.LogCaptureFixture) -> None:
    before, limit.files = _shed(), KEPT
    clients = [_connect(listener) for _ in range(5)]
    limit.files = 4  # fewer than are open
    with caplog.at_level(logging.WARNING), pytest.raises(BlockingIOError):
        listener.accept()
    assert _shed() - before == 5
    assert [record.exc_info for record in caplog.records] == [None]
    assert "LimitNOFILE" in caplog.text
    for client in clients:
        with client:
            assert client.recv(1) == b""
    limit.files = 1 << 20
    with _connect(listener):
        listener.accept()[0].close()


def test_near_the_limit_there_is_a_word(listener: Listener, limit: Limit, monkeypatch: pytest.MonkeyPatch,
                                        caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(listening, "KEPT", 1)
    others = [os.dup(0) for _ in range(40)]
    try:
        with _connect(listener), _connect(listener), caplog.at_level(logging.WARNING):
            connection, _ = listener.accept()
            assert not caplog.records
            limit.files = connection.fileno() + 3
            listener.accept()[0].close()
            connection.close()
    finally:
        for number in others:
            os.close(number)
    assert ["files are open" in record.getMessage() for record in caplog.records] == [True]


_WITHOUT_FILES = """
import os, resource, socket
from tornado.netutil import bind_sockets
from server.common.listening import Listener
[bound] = bind_sockets(0, "127.0.0.1")
listener = Listener.of(bound, lambda: 1 << 20)
clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(c.fileno() for c in clients) + 1, hard))
try:
    listener.accept()
except BlockingIOError:
    pass
assert [client.recv(1) for client in clients] == [b""] * 3
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
client = socket.create_connection(listener.getsockname())
listener.accept()[0].close()
print("served again")
"""


def test_when_the_system_has_none_left(tmp_path: object) -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT_FILES], capture_output=True, text=True, check=False)
    assert "served again" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


def test_the_limit_is_raised_to_what_is_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 512), before[1]))
        assert raise_limit() == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
