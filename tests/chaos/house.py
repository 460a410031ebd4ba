"""Servers of one installation behind HAProxy, with a store, a grid and pilots.

    with behind_haproxy(tmp_path, servers=3, pilots=2) as house:
        house.kill_one()
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iceprod.client import Client, ClientError
from iceprod.installation import Installation
from tests.support.api import REPOSITORY, free_port
from tests.support.installation import MARK, Installed, wait_until
from tests.support.store import embedded_store

__all__ = ["House", "behind_haproxy"]

CONFIGURATION = REPOSITORY / "docs" / "proxy" / "haproxy.cfg"


@dataclass
class House:
    """What runs, by its processes."""

    here: Installed
    store: str
    port: int  # of the proxy
    ports: list[int]  # of the servers
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)  # by port
    kept: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        """A client with every role, that comes through the proxy."""
        return Client(self.url, self._token("test", "admin", "user", "system", "pilot"))

    def start_server(self, port: int) -> None:
        self.servers[port] = self._run(f"server-{port}", "-m", "server", "--data", str(self.here.data),
                                       "--port", str(port), "--database", self.store)

    def kill_one(self, which: random.Random) -> None:
        """Kill a server with what it is at, as soon as another one serves, and start it again."""
        port = which.choice(self.ports)
        wait_until(lambda: any(_serves(other) for other in self.ports if other != port))
        self.servers[port].kill()
        self.servers[port].wait()
        self.start_server(port)

    def start_proxy(self) -> None:
        """As the documentation has it, but for addresses and TLS."""
        text = re.sub(r"bind :443.*", f"bind 127.0.0.1:{self.port}", CONFIGURATION.read_text())
        line = re.search(r"^    server one 127\.0\.0\.1:8080 (.*)$", text, re.MULTILINE)
        assert line is not None
        lines = [f"    server s{port} 127.0.0.1:{port} {line[1]}" for port in self.ports]
        text = text.replace(line[0], "\n".join(lines))
        (self.here.root / "haproxy.cfg").write_text(text)
        self.kept.append(subprocess.Popen(["haproxy", "-db", "-f", str(self.here.root / "haproxy.cfg")],
                                          env=self._environment(), stdout=subprocess.DEVNULL))

    def start_grid(self, pilots: int) -> None:
        for name, role in (("grid", "system"), ("pilot", "pilot")):
            (self.here.root / name).write_text(self._token(name, role))
        self.kept.append(self._run("grid", "-m", "grid", "--server", self.url, "--data", str(self.here.data),
                                   "--token-file", str(self.here.root / "grid"), "--pilot-token-file",
                                   str(self.here.root / "pilot"), "--pilots", str(pilots)))

    def is_healthy(self) -> bool:
        """Whether a server answers through the proxy."""
        with self.client() as client, contextlib.suppress(ClientError):
            return bool(client.get("/healthz")["status"] == "ok")
        return False

    def stop(self) -> None:
        for process in [*reversed(self.kept), *self.servers.values()]:
            process.send_signal(signal.SIGTERM)
        for process in [*self.kept, *self.servers.values()]:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()

    def _token(self, name: str, *roles: str) -> str:
        return Installation(self.here.data).token(name, *roles)

    def _environment(self) -> dict[str, str]:
        return {**self.here.environment, MARK: self.here.mark}

    def _run(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        self.here.data.joinpath("logs").mkdir(parents=True, exist_ok=True)
        with (self.here.data / "logs" / f"{name}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, *arguments], cwd=REPOSITORY, env=self._environment(),
                                    stdout=log, stderr=log, start_new_session=True)


def _serves(port: int) -> bool:
    """Whether the server at a port answers."""
    with Client(f"http://127.0.0.1:{port}", timeout=5.0) as client, contextlib.suppress(ClientError):
        return bool(client.get("/healthz")["status"] == "ok")
    return False


@contextlib.contextmanager
def behind_haproxy(root: Path, servers: int, pilots: int, **settings: object) -> Iterator[House]:
    """Servers, each at a port of its own, pilots that reach them through the proxy, and one store."""
    os.environ["PATH"] += ":/usr/sbin"
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    root.mkdir(parents=True, exist_ok=True)
    with embedded_store(root) as url:
        ports = [free_port() for _ in range(servers)]
        house = House(Installed(root, settings), url, free_port(), ports)
        try:
            for port in ports:
                house.start_server(port)
            house.start_proxy()
            wait_until(house.is_healthy)
            house.start_grid(pilots)
            yield house
        finally:
            house.stop()
            house.here.kill()
