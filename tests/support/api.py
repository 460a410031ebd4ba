"""The real server as a child process, for tests that talk to it over HTTP.

    with running_server(tmp_path) as api:
        api.session("admin").get(api.url + "/datasets")

The database is the one that the environment's ``ICEPROD_TEST_DATABASE`` names (every server gets a database
of its own in it), else an embedded store. With ``ICEPROD_TEST_SERVERS=3`` three processes share the server's
port, and every request makes a connection of its own, so that it may come to any of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from iceprod.tokens import ROLES, encode, read_secret

__all__ = ["Api", "ServerError", "free_port", "running_server"]

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 120  # of each process: the machine may have much else to do
SERVERS = "ICEPROD_TEST_SERVERS"  # how many processes a server has
_FIRST_PORT, _PORTS = 10_000, 22_000  # below those that the system chooses from
_numbers = itertools.count(211 * os.getpid())


class ServerError(RuntimeError):
    """The server did not start or did not stop; the text holds the end of its log."""


class Session(requests.Session):
    """A requests session whose paths are relative to the server."""

    def __init__(self, url: str, token: str | None, *, anew: bool = False) -> None:
        super().__init__()
        self.url = url
        if anew:
            self.headers["Connection"] = "close"
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        path = url.decode() if isinstance(url, bytes) else url
        kwargs.setdefault("timeout", 60)
        return super().request(method, path if "://" in path else self.url + path, *args, **kwargs)


@dataclass
class Api:
    """A running server: its address, its process, and tokens for it."""

    url: str
    data: Path
    process: subprocess.Popen[bytes]
    database_url: str
    database_name: str
    sessions: list[Session] = field(default_factory=list)
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)  # of the same server

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        """All processes of the server."""
        return [self.process, *self.others]

    def token(self, *roles: str, username: str = "tester", groups: tuple[str, ...] = ("users",),
              **claims: Any) -> str:
        """A token with the given roles; without any, one with all of them and the group admin."""
        if not roles:
            roles, groups = ROLES, ("users", "admin")
        return encode(read_secret(self.data / "secret"), username, roles, groups=groups, **claims)

    def session(self, *roles: str, **options: Any) -> Session:
        """A session that carries such a token; the role "nobody" stands for a token without roles."""
        return self._session(self.token(*roles, **options))

    def anonymous(self) -> Session:
        """A session without a token."""
        return self._session(None)

    def _session(self, token: str | None) -> Session:
        session = Session(self.url, token, anew=bool(self.others))
        self.sessions.append(session)
        return session

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        for process in self.processes:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Ask the server to stop, and see that it does. Raises ServerError."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        try:
            for process in self.processes:
                process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"the server did not stop:\n{_log_end(self.data)}") from None

    def close(self) -> None:
        for session in self.sessions:
            session.close()


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on just now.

    It is none that the system gives to whoever asks for any, which another process could get before the
    server listens that is to have it. Nor does another process of tests come to it soon.
    """
    for number in _numbers:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", _FIRST_PORT + number % _PORTS))
            return int(probe.getsockname()[1])
    raise AssertionError


@contextlib.contextmanager
def running_server(folder: Path, settings: Mapping[str, object] | None = None) -> Iterator[Api]:
    """Run a server with its own data directory and database below `folder`.

    `settings` are given as environment variables name them: ``{"LEASES__SECONDS": 2}``. Raises ServerError.
    """
    with contextlib.ExitStack() as stack:
        database_url = _database(stack, folder)
        api = start_server(folder / "server", database_url, f"test_{uuid.uuid4().hex[:12]}", settings or {})
        stack.callback(_end, api)
        yield api


def _database(stack: contextlib.ExitStack, folder: Path) -> str:
    if url := os.environ.get("ICEPROD_TEST_DATABASE"):
        return url
    from tests.support.store import embedded_store

    return str(stack.enter_context(embedded_store(folder)))


def start_server(data: Path, database_url: str, database_name: str, settings: Mapping[str, object],
                 *arguments: str, module: str = "server") -> Api:
    """Start a server on a free port and wait until it is healthy. Raises ServerError."""
    number = int(os.environ.get(SERVERS, "1")) if module == "server" else 1
    data.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ICEPROD__")}
    environment |= {"ICEPROD__DATABASE__NAME": database_name, "ICEPROD__LOGGING__LEVEL": "INFO",
                    **{f"ICEPROD__{name}": str(value) for name, value in settings.items()}}
    command = [sys.executable, "-m", module, *arguments, "--data", str(data), "--port", str(port),
               "--database", database_url]
    if number > 1:
        command += ["--processes", str(number), "--start-id", uuid.uuid4().hex]

    def start() -> subprocess.Popen[bytes]:
        with (data / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)

    api = Api(f"http://127.0.0.1:{port}", data, start(), database_url, database_name)
    _wait_until_healthy(api)
    api.others += [start() for _ in range(number - 1)]
    _wait_until_healthy(api)
    return api


def _wait_until_healthy(api: Api) -> None:
    end = time.monotonic() + START_SECONDS * len(api.processes)
    while time.monotonic() < end:
        for process in api.processes:
            if process.poll() is not None:
                raise ServerError(f"the server ended with {process.returncode}:\n{_log_end(api.data)}")
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(api.url + "/healthz", timeout=5)
            if answer.status_code == 200 and answer.json()["servers"]["here"] == len(api.processes):
                return
        time.sleep(0.05)
    api.kill()
    raise ServerError(f"the server did not become healthy:\n{_log_end(api.data)}")


def _log_end(data: Path) -> str:
    return (data / "log").read_text(errors="replace")[-4000:]


def _end(api: Api) -> None:
    api.close()
    if any(process.poll() is None for process in api.processes):
        api.stop()
