"""Everything that ``iceprod up`` runs, kept running: the store, the server, and pilots on this machine.

The supervisor holds the installation's lock. Its children die with it, whatever kills it, and a child that
dies is started again. ``python -m iceprod.supervisor`` is what ``iceprod up`` puts into the background.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from config.settings import Server, Settings, SettingsError, load
from iceprod.ids import timestamp
from iceprod.installation import Installation, Running, make_private, write_private
from iceprod.processes.children import Child, SignalWait, last_lines, rotate
from iceprod.processes.watchdog import Notifier
from iceprod.transport import Client, ClientError
from iceprod.walls.namespaces import hide_memory
from iceprod.walls.sandbox import View, find_sandbox

__all__ = ["Plan", "StartError", "Supervisor", "plan", "serving", "wait_healthy"]

_LOOK_SECONDS = 0.2  # while a child is to be started again
_QUIET_SECONDS = 30.0  # otherwise: signals wake us
_WORD_SECONDS = 10.0  # between words about a start that takes long
_TOKEN_HOURS, _RENEW_SECONDS = 48.0, 3600.0
_ROTATE_SECONDS = 60.0
_FIGURES, _NUMBER = "PROMETHEUS_MULTIPROC_DIR", "ICEPROD_PROCESS"  # see server/common/metrics.py
_CLAIMED = "another installation is starting there"
_PORTS = 100  # from the usual one on, that are looked at for a free one

log = logging.getLogger("supervisor")


class StartError(Exception):
    """The installation cannot start; the text says what to do."""


@dataclass(frozen=True)
class Plan:
    """What to run."""

    settings: Settings
    config: Path | None = None
    start_id: str = ""  # names this start; the server tells it, so that nobody takes another server for ours

    @property
    def installation(self) -> Installation:
        return Installation(self.settings.data)

    @property
    def url(self) -> str:
        """Where the server answers on this machine."""
        server = self.settings.server
        host = "127.0.0.1" if server.host in ("", "0.0.0.0", "::") else server.host
        return f"http://{host}:{server.port}"


def plan(config: Path | None, data: str | None, port: int | None, pilots: int | None,
         servers: int | None = None, start_id: str = "") -> Plan:
    """Settings with what the command line says; port 0 becomes a free one. Raises SettingsError, StartError.

    The usual port, which nobody chose, gives way to the next free one.
    """
    settings = load(config)
    changes: dict[str, object] = {"data": str(Path(data or settings.data).absolute())}
    number = _port(settings.server, port)
    changes["server"] = msgspec.structs.replace(settings.server, port=number,
                                                processes=servers or settings.server.processes)
    if pilots is not None:
        changes["pilots"] = msgspec.structs.replace(settings.pilots, count=pilots)
    return Plan(msgspec.structs.replace(settings, **changes), config.absolute() if config else None,
                start_id or secrets.token_hex(8))


def _port(server: Server, asked: int | None) -> int:
    if asked is not None:
        return asked or _free_port(server.host)
    if server.port != Server().port:
        return server.port
    tries = range(server.port, server.port + _PORTS)
    return next((number for number in tries if not _taken(server.host, number)), server.port)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _taken(host: str, port: int) -> str:
    """Why nobody can listen there; empty when one can."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect(_claim_of(host, port))
    except ConnectionRefusedError:  # nobody has claimed it
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return _CLAIMED


def _claim(host: str, port: int) -> socket.socket:
    """What says that the port is ours as long as we live, also before anybody listens. Raises StartError.

    Processes of one account may listen at one port together: two installations that start at the same time
    would share it unnoticed, and have each other's requests.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(_claim_of(host, port))
    except OSError as error:
        claim.close()
        raise _no_port(host, port, _CLAIMED) from error
    return claim


def _claim_of(host: str, port: int) -> str:
    """An abstract name: of this network namespace, as ports are, and gone with who has it."""
    return f"\0iceprod {os.getuid()} {host}:{port}"


def _no_port(host: str, port: int, why: str) -> StartError:
    return StartError(f"cannot listen on {host}:{port}: {why}; choose another with --port N, or --port 0 for "
                      "any free one")


def wait_healthy(url: str, start_id: str, failed: Callable[[], str],
                 say: Callable[[str], object] = log.info) -> None:
    """Wait for a 200 of our own ``/healthz``, however long it takes, with a word now and then on what for.

    A database may be restored, migrated, or slow to come up; to give up would only begin that anew. Whose
    answer has another `start_id` is another installation's server. Raises StartError when `failed` says why
    there is nothing to wait for any more.
    """
    began = said = time.monotonic()
    with Client(url, timeout=1.0) as client:
        while not (why := failed()):
            try:
                found = client.get("/healthz")
                if start_id and not (isinstance(found, dict) and found.get("start_id") == start_id):
                    raise ClientError("another server answers there")
            except ClientError as error:
                if time.monotonic() - said > _WORD_SECONDS:
                    said = time.monotonic()
                    say(f"still starting after {said - began:.0f} s: {error}")
                time.sleep(0.1)
            else:
                return
    raise StartError(why)


class Supervisor:
    """Starts the parts in their order and looks after them."""

    def __init__(self, what: Plan) -> None:
        self.plan, self.settings, self.here = what, what.settings, what.installation
        self.children: list[Child] = []
        self.stopping = False
        self.servers: list[Child] = []  # among the children
        self._to_restart: list[Child] = []
        self._compiler: Child | None = None  # of what this machine has not compiled yet; ends by itself
        self._renewed = self._rotated = 0.0
        self._notifier = Notifier()
        self._port: socket.socket | None = None  # our claim to it, kept as long as we live

    def run(self) -> int:
        """Run until a signal; the exit status. Raises StartError."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop_soon)
        signal.signal(signal.SIGUSR1, self._restart_soon)
        wait = SignalWait()
        with self.here.lock() as ours:
            if not ours:
                raise StartError(f"{self.here.data} is in use by process {self.here.supervisor()}")
            try:
                self._start()
                self._notifier.ready()
                while not self.stopping:
                    self._notifier.works()
                    self._look_after()
                    lacking = any(child.process is None for child in self.children)
                    wait(_LOOK_SECONDS if lacking or self._to_restart else self._quiet_seconds())
            finally:
                self._stop()
        return 0

    def _quiet_seconds(self) -> float:
        """As long as who watches us, and our watching of the servers, allow."""
        watching = self.settings.server.watchdog_seconds / 2
        return min(seconds for seconds in (_QUIET_SECONDS, watching, self._notifier.seconds) if seconds)

    # -- start

    def _start(self) -> None:
        self._check_port()
        for directory in (self.here.data, self.here.logs, self._tokens):
            make_private(directory)
        not_isolated = self._check_isolation()
        self.here.announce(Running(
            pid=self.here.supervisor(), url=self.plan.url, data=str(self.here.data), started=timestamp(),
            secret_file=self.settings.tokens.secret_file, start_id=self.plan.start_id,
            not_isolated=not_isolated))
        self._renew_tokens()  # signed with the secret that was announced
        if self.settings.pilots.count > 0:
            self._compiler = self._child("compiler", ["-m", "scanner.recos.building", "--missing"])
            self._compiler.start()
        database = self.settings.database.url or self._start_store()
        self._start_server(database)
        if self.settings.pilots.count > 0:
            self._begin("grid", self._grid_arguments())
        log.info("running at %s", self.plan.url)

    def _check_port(self) -> None:
        host, port = self.settings.server.host, self.settings.server.port
        if why := _taken(host, port):
            raise _no_port(host, port, why)
        self._port = _claim(host, port)

    def _check_isolation(self) -> str:
        """Why tasks will run without walls here; empty when not. Raises StartError when they must not."""
        pilots = self.settings.pilots
        if not pilots.count:
            return ""
        found = find_sandbox(pilots.isolation, View(), pilots.account)
        if found.is_walled:
            log.info("tasks run isolated, by %s", found.means)
            return ""
        if pilots.isolation == "required":
            raise StartError(f"tasks cannot be isolated here, and pilots.isolation is required: {found.why}")
        log.warning("tasks run without isolation (%s): %s", found.means, found.why)
        return f"{found.means}: {found.why}"

    def _start_store(self) -> str:
        note = self.here.store / "store.json"
        note.unlink(missing_ok=True)
        child = self._begin("store", ["-m", "server.embedded", "serve", "--data", str(self.here.store)])
        return self._wait(child, lambda: _store_url(note))

    def _start_server(self, database: str) -> None:
        processes = self.settings.server.processes
        arguments = ["-m", "server", "--data", str(self.here.data), "--port", str(self.settings.server.port),
                     "--processes", str(processes)]
        if not self.settings.database.url:  # one with a password stays off the command line
            arguments += ["--database", database]
        arguments += ["--start-id", self.plan.start_id, *self._config()]
        self._clear_figures()
        for number in range(1, processes + 1):
            one = self._child("server", arguments) if processes == 1 else self._child(
                f"server-{number}", arguments, {_FIGURES: str(self._figures), _NUMBER: str(number)})
            one.watchdog_seconds = self.settings.server.watchdog_seconds
            one.start()
            self.children.append(one)
            self.servers.append(one)
            if number == 1:  # it prepares the database; the others need not
                wait_healthy(self.plan.url, self.plan.start_id, self._failure)

    @property
    def _figures(self) -> Path:
        """Where the server's processes keep what `/metrics` tells of all of them."""
        return self.here.data / "metrics"

    def _clear_figures(self) -> None:
        if self.settings.server.processes > 1:
            shutil.rmtree(self._figures, ignore_errors=True)
            make_private(self._figures)

    def _grid_arguments(self) -> list[str]:
        return ["-m", "grid", "--server", self.plan.url, "--data", str(self.here.data),
                "--token-file", str(self._tokens / "grid"), "--pilot-token-file", str(self._tokens / "pilot"),
                "--pilots", str(self.settings.pilots.count), *self._config()]

    def _config(self) -> list[str]:
        return ["--config", str(self.plan.config)] if self.plan.config else []

    def _child(self, name: str, arguments: list[str], environment: dict[str, str] | None = None) -> Child:
        return Child(name, [sys.executable, *arguments], self.here.logs / f"{name}.log", self.here.data,
                     environment or {}, stop_seconds=self.settings.server.shutdown_seconds + 5)

    def _begin(self, name: str, arguments: list[str]) -> Child:
        child = self._child(name, arguments)
        child.start()
        self.children.append(child)
        return child

    def _wait(self, child: Child, ready: Callable[[], str]) -> str:
        began = said = time.monotonic()
        while not (found := ready()):
            if why := self._failure():
                raise StartError(why)
            if time.monotonic() - said > _WORD_SECONDS:
                said = time.monotonic()
                log.info("the %s is still starting after %.0f s; see %s", child.name, said - began, child.log)
            time.sleep(0.05)
        return found

    def _failure(self) -> str:
        """Why the start cannot succeed any more."""
        if self.stopping:
            return "stopped before it was ready"
        for child in self.children:
            if not child.is_alive():
                return f"the {child.name} {child.ended}: {last_lines(child.log)} (see {child.log})"
        return ""

    # -- run

    def _look_after(self) -> None:
        for child in self.children:
            news = child.keep()
            if news:
                log.warning("%s", news)
        self._restart_next()
        now = time.monotonic()
        if now - self._renewed > _RENEW_SECONDS:
            self._renew_tokens()
        if now - self._rotated > _ROTATE_SECONDS:
            self._rotated = now
            for file in self.here.logs.glob("*.log"):
                rotate(file)

    def _restart_next(self) -> None:
        """Restart one of the server's processes that have to be, when as many serve as there should."""
        if self._to_restart and serving(self.plan.url) >= len(self.servers):
            child = self._to_restart.pop(0)
            child.stop()
            child.start()
            log.info("%s restarted as process %d", child.name, child.pid)

    @property
    def _tokens(self) -> Path:
        return self.here.data / "tokens"

    def _renew_tokens(self) -> None:
        """Tokens for the grid and its pilots, in files that they read again when a token has ended."""
        self._renewed = time.monotonic()
        site = {"site": self.settings.pilots.site}
        for name, role, bounds in (("grid", "system", {}), ("pilot", "pilot", site)):
            token = self.here.token(name, role, hours=_TOKEN_HOURS, **bounds)
            write_private(self._tokens / name, token.encode())

    def _restart_soon(self, number: int, frame: object) -> None:
        self._to_restart = list(self.servers)

    # -- stop

    def _stop_soon(self, number: int, frame: object) -> None:
        self.stopping = True

    def _stop(self) -> None:
        for child in reversed([*self.children, *([self._compiler] if self._compiler else [])]):
            child.stop()
        if self._port is not None:
            self._port.close()
        self.here.withdraw()
        log.info("stopped")


def serving(url: str) -> int:
    """How many processes of the server there answer."""
    try:
        with Client(url, timeout=2.0) as client:
            found = client.get("/healthz")
        return int(found["servers"]["here"])
    except (ClientError, KeyError, TypeError, ValueError):
        return 0


def _store_url(note: Path) -> str:
    """The store's address once it can be connected to; empty until then."""
    try:
        url = str(msgspec.json.decode(note.read_bytes())["url"])
    except (OSError, msgspec.MsgspecError, KeyError, TypeError):
        return ""
    return url if _accepts(url) else ""


def _accepts(url: str) -> bool:
    place = unquote(urlsplit(url).netloc.rpartition("@")[2])
    try:
        if place.startswith("/"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(place)
        else:
            host, _, port = place.partition(":")
            socket.create_connection((host, int(port or 27017)), 1.0).close()
    except OSError:
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """Run in the foreground with the options of ``iceprod up``; errors are the last line on stderr."""
    parser = argparse.ArgumentParser(prog="iceprod up")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--port", type=int)
    parser.add_argument("--pilots", type=int)
    parser.add_argument("--servers", type=int)
    parser.add_argument("--start-id", default="")
    given = parser.parse_args(arguments)
    hide_memory()
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return Supervisor(plan(given.config, given.data, given.port, given.pilots, given.servers,
                               given.start_id)).run()
    except (StartError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1


if __name__ == "__main__":
    sys.exit(main())
