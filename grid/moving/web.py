"""Speaking HTTP: the environment's proxies, redirects, tokens that go to nobody else, being cut short."""

from __future__ import annotations

import base64
import contextlib
import errno
import http.client
import os
import select
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from grid.moving import retries
from grid.moving.errors import Stopped, TransferFailed

__all__ = ["Answer", "Line", "as_web", "failure", "is_own", "refusal", "words"]

BLOCK = 1 << 18
_MOST_REDIRECTS = 8
_REDIRECTS = (301, 302, 303, 307, 308)
_AUTHORITIES = "/etc/grid-security/certificates"  # whom grid sites trust
_LOOK_BACK = 3  # patiences; who sends less than _LEAST bytes a second over so long has stalled
_LEAST = 100

_OWN = (errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.EACCES, errno.EROFS, errno.EISDIR, errno.EFBIG,
        errno.ENAMETOOLONG, errno.ENOTDIR)

Answer = http.client.HTTPResponse


class Line:
    """The one connection that a task's transfers have at a time; a wish to stop cuts it."""

    def __init__(self, patience: float = 60.0, stopped: Callable[[], str] = lambda: "") -> None:
        self.patience, self._stopped = patience, stopped
        self._socket: socket.socket | None = None

    def set(self) -> None:
        """The task has to stop (so an event says it): end what hangs."""
        held = self._socket
        if held is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise Stopped when the task has to end."""
        why = self._stopped()
        if why:
            raise Stopped(why)

    @contextlib.contextmanager
    def ask(self, method: str, address: str, headers: dict[str, str], body: BinaryIO | None = None,
            size: int = 0, token: str = "", follow: bool = True) -> Iterator[Answer]:
        """The answer to a request, after redirects; a token goes to nobody but the host it was meant for.

        Raises OSError and HTTPException, Stopped, and TransferFailed for what redirects without end.
        """
        first = address
        for _ in range(_MOST_REDIRECTS):
            own = {**headers, **({"Authorization": f"Bearer {token}"} if token and _same(first, address)
                                 else {})}
            connection = self._open(address)
            answer = None
            try:
                answer = self._answer(connection, method, address, own, body, size)
                if not follow or answer.status not in _REDIRECTS or not answer.headers.get("Location"):
                    yield answer
                    return
                address = urljoin(address, str(answer.headers["Location"]))
            except (OSError, http.client.HTTPException):
                self.check()  # that was why
                raise
            finally:
                self._socket = None
                connection.close()
                if answer is not None:
                    answer.close()
        raise TransferFailed(f"transfer failure: {first}: redirected more than {_MOST_REDIRECTS} times",
                             again=False)

    def blocks(self, answer: Answer) -> Iterator[bytes]:
        """The body of an answer, until it ends or is cut. Raises OSError, Stopped."""
        began, window = time.monotonic(), 0
        left = answer.length  # which read1 of older Pythons does not count
        while left != 0:
            most = BLOCK if left is None else min(BLOCK, left)
            try:
                block = answer.read(most) if answer.chunked else answer.read1(most)
            except (OSError, http.client.HTTPException):
                self.check()
                raise
            self.check()
            if not block:
                return
            left = None if left is None else left - len(block)
            window += len(block)
            now = time.monotonic()
            if now - began > _LOOK_BACK * self.patience:
                if window < _LEAST * (now - began):
                    raise TimeoutError(f"timed out: {window} bytes in {now - began:.0f} s")
                began, window = now, 0
            yield block

    def _open(self, address: str) -> http.client.HTTPConnection:
        self.check()
        parts = urlsplit(address)
        secure = parts.scheme == "https"
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TransferFailed(f"transfer failure: {address}: no web address", again=False)
        port = parts.port or (443 if secure else 80)
        proxy = _proxy(secure, parts.hostname, port)
        host, at = (proxy.hostname or "", proxy.port or 3128) if proxy else (parts.hostname, port)
        made = (http.client.HTTPSConnection(host, at, timeout=self.patience, context=_trust()) if secure
                else http.client.HTTPConnection(host, at, timeout=self.patience))
        if proxy and secure:
            made.set_tunnel(parts.hostname, port, headers=_to_proxy(proxy))
        made.connect()
        self._socket = made.sock
        return made

    def _answer(self, connection: http.client.HTTPConnection, method: str, address: str,
                headers: dict[str, str], body: BinaryIO | None, size: int) -> Answer:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        proxy = _proxy(False, parts.hostname or "", port) if parts.scheme == "http" else None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if proxy:
            headers = {**headers, **_to_proxy(proxy)}
            target = f"http://{parts.netloc.rpartition('@')[2]}{target}"
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in {"Accept-Encoding": "identity", **headers}.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(size))
        connection.endheaders()
        if body is not None:
            self._send(connection, body)
        return connection.getresponse()

    def _send(self, connection: http.client.HTTPConnection, body: BinaryIO) -> None:
        """Send the body, unless the server answers before it has it all: then it does not want it."""
        body.seek(0)
        try:
            while block := body.read(BLOCK):
                self.check()
                if select.select([connection.sock], [], [], 0)[0]:
                    return
                connection.send(block)
        except (BrokenPipeError, ConnectionResetError):
            pass  # maybe it said why; if not, reading the answer fails


def _same(first: str, second: str) -> bool:
    """Whether both are of one host, and the second is no less safe."""
    one, other = urlsplit(first), urlsplit(second)
    return one.netloc == other.netloc and one.scheme == other.scheme


def _proxy(secure: bool, host: str, port: int) -> SplitResult | None:
    """The proxy that the environment names for a host, if any."""
    address = urllib.request.getproxies().get("https" if secure else "http")
    if not address or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")


def _to_proxy(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    who = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(who).decode()}"}


def _trust() -> ssl.SSLContext:
    """Whom we believe: the system's authorities and, where there are any, the grid's."""
    context = ssl.create_default_context()
    folder = os.environ.get("X509_CERT_DIR") or _AUTHORITIES
    if Path(folder).is_dir():
        context.load_verify_locations(capath=folder)
    return context


def as_web(remote: str) -> str:
    """The web address of a file in a WebDAV folder."""
    return "http" + remote[3:] if remote.startswith(("dav://", "davs://")) else remote


# -- in words


def is_own(error: Exception) -> bool:
    """Whether it is this machine's own files that failed, and not a connection."""
    return isinstance(error, OSError) and error.errno in _OWN


def words(error: Exception) -> str:
    """What broke a connection."""
    if isinstance(error, (http.client.RemoteDisconnected, http.client.IncompleteRead, ssl.SSLEOFError)):
        return "the server closed connection before its answer was whole"
    if isinstance(error, http.client.HTTPException):
        return f"no HTTP: {type(error).__name__} {error}"
    if isinstance(error, (TimeoutError, socket.timeout)) and not str(error).startswith("timed out:"):
        return "timed out"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def failure(remote: str, error: Exception) -> TransferFailed:
    """A broken connection as the failure of a transfer."""
    return TransferFailed(f"transfer failure: {remote}: {words(error)}")


def refusal(remote: str, answer: Answer) -> TransferFailed:
    """A bad answer as the failure of a transfer."""
    return TransferFailed(f"transfer failure: {remote}: HTTP {answer.status}",
                          again=retries.of_status(answer.status), after=_wish(answer),
                          refused=answer.status in retries.REFUSALS)


def _wish(answer: Answer) -> float:
    """Seconds that the server wants us to wait (RFC 9110, Retry-After)."""
    text = (answer.headers.get("Retry-After") or "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) if text else 0.0
    except (TypeError, ValueError, OverflowError):
        return 0.0
