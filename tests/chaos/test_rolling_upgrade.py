"""Servers are replaced one after the other by those of a newer program, behind a proxy, while work goes on.

The older program is the previous release's own code. For a while servers of both use the database, and pilots
of both speak with either; what was begun by one is ended by the other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from iceprod.client import Client
from iceprod.tokens import ROLES, encode, read_secret
from tests.chaos.previous import previous_program
from tests.support.api import REPOSITORY, free_port
from tests.support.chaos import PATIENCE, Chain, compile_kernels, finished_scan, start_scan
from tests.support.installation import Installed, wait_until
from tests.support.store import embedded_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

JOBS = 25
NSIDES = "8:0,64:12"
SETTINGS = {"ICEPROD__LEASES__SECONDS": "20", "ICEPROD__SERVICES__LEADER_SECONDS": "3",
            "ICEPROD__SERVICES__REPAIR_SECONDS": "2", "ICEPROD__SERVER__TRUSTED_PROXIES": "[127.0.0.1]"}
PROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 120s
    timeout server 120s
    retries 3
    option redispatch
    retry-on conn-failure empty-response 503
frontend iceprod
    bind 127.0.0.1:{port}
    option forwardfor
    default_backend servers
backend servers
    option httpchk GET /healthz
    default-server inter 300ms fall 2 rise 1
"""


@dataclass
class Site:
    """A database, a secret, a proxy, and whatever runs of both programs."""

    root: Path
    database: str
    ports: list[int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def serve(self, name: str, program: Path, port: int) -> None:
        """Start a server of a program, and wait until it answers."""
        self._start(name, program, "-m", "server", "--data", str(self.root / "data"), "--port", str(port),
                    "--database", self.database)
        wait_until(lambda: self._is_healthy(name, port), 120)

    def pilot(self, name: str, program: Path, url: str, *words: str) -> None:
        token = self.root / "pilot-token"
        token.write_text(self.token("pilot"))
        self._start(name, program, "-m", "grid.pilot", "--server", url, "--token-file", str(token),
                    "--cores", "1", "--memory", "4", "--heartbeat", "1", "--isolation", "off",
                    "--directory", str(self.root), *words)

    def token(self, *roles: str) -> str:
        return encode(read_secret(self.root / "data" / "secret"), "tester", roles, groups=("users", "admin"))

    def stop(self, name: str) -> None:
        """As systemd stops it."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(60)

    def _start(self, name: str, program: Path, *words: str) -> None:
        environment = {**os.environ, **SETTINGS, "PYTHONPATH": str(program)}
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen([sys.executable, *words], cwd=program, env=environment,
                                                    stdout=log, stderr=log)

    def _is_healthy(self, name: str, port: int) -> bool:
        log = (self.root / f"{name}.log").read_text(errors="replace")
        assert self.processes[name].poll() is None, log[-3000:]
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
        return False


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with embedded_store(tmp_path) as database:
        (tmp_path / "data").mkdir()
        here = Site(tmp_path, database, [free_port() for _ in range(5)])
        try:
            yield here
        finally:
            for process in here.processes.values():
                process.kill()
                process.wait()


def test_servers_are_replaced_one_by_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin:/sbin", prepend=":")
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    old = previous_program(site.root)
    compile_kernels()
    url = _proxy(site)
    site.serve("old 1", old, site.ports[0])
    site.serve("old 2", old, site.ports[1])
    here = Installed(site.root)
    here.iceprod("simulate", "--seed", "7", "--out", "event.json")
    with Client(url, site.token(*ROLES)) as client:
        wait_until(lambda: client.get("/healthz", patience=60)["status"] == "ok")
        site.pilot("old pilot", old, url, "--no-pixels")
        chain = Chain(site.root / "chain", JOBS)
        chain.submit(client)
        scan = start_scan(here, client, NSIDES)
        wait_until(lambda: chain.done(client) >= 10, PATIENCE)
        site.serve("new 1", REPOSITORY, site.ports[2])
        site.pilot("new pilot", REPOSITORY, url)
        wait_until(lambda: chain.done(client) >= 30, PATIENCE)  # both programs serve
        site.stop("old 1")
        site.serve("new 2", REPOSITORY, site.ports[3])
        wait_until(lambda: chain.done(client) >= 50, PATIENCE)
        site.stop("old 2")
        chain.check_books(client)
        assert finished_scan(client, scan)["is_final"]
        assert {"old pilot", "new pilot"} <= {name for name, process in site.processes.items()
                                              if process.poll() is None}
        assert len(client.get("/pilots", patience=60)) == 2


def _proxy(site: Site) -> str:
    """Start the proxy before all servers that will ever be; its address."""
    port = site.ports[4]
    servers = "".join(f"    server s{number} 127.0.0.1:{one} check\n"
                      for number, one in enumerate(site.ports[:4]))
    file = site.root / "haproxy.cfg"
    file.write_text(PROXY.format(port=port) + servers)
    site.processes["proxy"] = subprocess.Popen(["haproxy", "-db", "-f", str(file)])
    wait_until(lambda: site.processes["proxy"].poll() is None and time.sleep(0.2) is None)
    return f"http://127.0.0.1:{port}"
