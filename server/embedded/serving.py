"""Running the server in the foreground, and telling clients where it is."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import logging
import os
import secrets
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus

from server.embedded import limits
from server.embedded.commands.authentication import set_password
from server.embedded.documents import budget
from server.embedded.documents.errors import DataDirectoryError
from server.embedded.network import Server

log = logging.getLogger(__name__)

ADDRESS_FILE = "store.json"
USER = "iceprod"
_MOST_SOCKET_PATH = 107


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve a data directory; without a port only on a unix socket."""

    data: Path
    socket: Path | None = None
    port: int | None = None
    host: str = "127.0.0.1"
    no_auth: bool = False
    max_pages: int | None = None  # of the database file


def socket_path(data: Path) -> Path:
    """Where the socket is by default: in the data directory, or where its path is short enough."""
    path = data.absolute() / "store.sock"
    if len(os.fsencode(path)) <= _MOST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f"iceprod-store-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid() or directory.stat().st_mode & 0o077:
        raise DataDirectoryError(f"{directory} belongs to somebody else; give a short path with --socket")
    return directory / f"{digest}.sock"


def unix_url(path: Path) -> str:
    """The URL of a server on a unix socket, as PyMongo takes it."""
    return f"mongodb://{quote_plus(str(path.absolute()))}"


def url_of(data: Path) -> str:
    """The URL of the server that runs on a data directory.

    Raises DataDirectoryError when none does.
    """
    try:
        return str(json.loads((data / ADDRESS_FILE).read_text())["url"])
    except (OSError, ValueError, KeyError):
        raise DataDirectoryError(f"no store is being served from {data}") from None


async def serve(options: Options, ready: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then stop in order.

    Raises DataDirectoryError when the directory, the socket or the port cannot be used.
    """
    if options.no_auth and not ipaddress.ip_address(options.host).is_loopback:
        raise DataDirectoryError(
            "--no-auth is only for loopback addresses: everybody could read and change all data"
        )
    budget.install()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(options.data)
    if options.max_pages is not None:
        server.store.storage.limit(options.max_pages)
    _warn(server, options.data)
    try:
        address = await _listen(server, options)
        server.start()
        _write_address(options.data, address)
        log.info("serving %s at %s", options.data, address["socket"], extra={"action": "store_ready"})
        if ready is not None:
            ready.set()
        await stopped.wait()
    finally:
        (options.data / ADDRESS_FILE).unlink(missing_ok=True)
        await server.stop()
    log.info("stopped", extra={"action": "store_stopped"})


def _warn(server: Server, data: Path) -> None:
    catalog = server.store.catalog
    documents = {f"{one.database}.{one.name}": catalog.count(one) for one in catalog.all()}
    for warning in limits.Size(documents, *limits.file_size(data)).warnings():
        log.warning("near to where the embedded store ends: %s", warning, extra={"action": "store_limit"})


async def _listen(server: Server, options: Options) -> dict[str, object]:
    path = options.socket.absolute() if options.socket else socket_path(options.data)
    await server.listen_unix(path)
    address: dict[str, object] = {"pid": os.getpid(), "socket": str(path), "url": unix_url(path)}
    if options.port is not None:
        port = await server.listen_tcp(options.host, options.port, trusted=options.no_auth)
        login = "" if options.no_auth else f"{USER}:{_password(server, options.data)}@"
        address["tcp_url"] = f"mongodb://{login}{options.host}:{port}/"
    return address


def _password(server: Server, data: Path) -> str:
    """The password for TCP, made at its first use; only this user can read it."""
    path = data / "store.password"
    if path.exists():
        return path.read_text().strip()
    password = secrets.token_urlsafe(24)
    _write_private(path, password + "\n")
    set_password(server.store, USER, password)
    server.store.storage.commit()
    return password


def _write_address(data: Path, address: dict[str, object]) -> None:
    temporary = data / f"{ADDRESS_FILE}.new"
    _write_private(temporary, json.dumps(address) + "\n")
    temporary.replace(data / ADDRESS_FILE)


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def run(options: Options) -> None:
    """`serve` in an event loop of its own."""
    asyncio.run(serve(options))
