"""Requests to the REST API, from the standard library alone.

`Client` sends single requests; `iceprod.client` gives datasets and scans as objects above it. Pilots carry
this module to worker nodes, so it keeps to Python 3.9 and imports nothing of ours but `iceprod.tracing`:
every request carries the trace that it is a part of. ::

    ClientError
    ├── Unreachable   nobody answers, or only "try later" came for as long as the caller was patient
    └── Refused       the server answered with an error; `status` and `reason` say which
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from iceprod.tracing import spans, traces
from iceprod.tracing.traces import Trace

__all__ = ["Client", "ClientError", "Line", "Refused", "Unreachable"]

_LATER = frozenset({429, 502, 503, 504})
_MAY_BE_DONE = frozenset({502, 504})  # a proxy says so of a server that said nothing: it may have done it
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_LONGEST_ASKED = 120.0  # seconds that a server may ask us to wait
_REDIRECTS = 5

_Answer = tuple[int, http.client.HTTPMessage, bytes]


class ClientError(Exception):
    """A request did not bring what was asked for."""


class Unreachable(ClientError):
    """The server does not answer.

    Attributes
    ----------
    later : bool
        Whether something did answer, and said to try again later: the server starts, or is overloaded.
    retry_after : float
        So many seconds later at the earliest, it said; 0 when it did not.
    """

    def __init__(self, text: str, later: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.later, self.retry_after = later, retry_after


class Refused(ClientError):
    """The server answered with an error.

    Attributes
    ----------
    status : int
        The HTTP status, 400 or more.
    reason : str
        The server's own words.
    retry_after : float
        After so many seconds one may ask again, says the server; 0 when it does not say.
    trace_id : str
        By which the server's logs have the request; empty when it does not say.
    """

    def __init__(self, status: int, reason: str, retry_after: float = 0.0, trace_id: str = "") -> None:
        super().__init__(f"{reason} (HTTP {status}{f', trace {trace_id}' if trace_id else ''})")
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.trace_id = trace_id


class _Broken(Exception):
    """The connection failed; `sent` tells whether the server may have got the request."""

    def __init__(self, error: Exception, sent: bool) -> None:
        super().__init__(str(error) or type(error).__name__)
        self.sent = sent


class Client:
    """Sends requests over one kept-alive connection per thread.

    `token` is a text or a function that gives one; a function is asked again when the server refuses the
    token, so that it may be renewed in a file. `pause` waits for some seconds between tries. `begin` makes
    the trace of a request that is not part of one.
    """

    def __init__(self, url: str, token: str | Callable[[], str] = "", *, timeout: float = 30.0,
                 pause: Callable[[float], object] = time.sleep,
                 begin: Callable[[], Trace] = traces.new) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"not a server address: {url!r} (expected something like http://localhost:8080)")
        place = parts.netloc.rpartition("@")[2]  # a name and password there would stand in errors and spans
        self.url = f"{parts.scheme}://{place}{parts.path.rstrip('/')}"
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._proxy = _proxy_for(parts.scheme, self._host)
        self._ask = token if callable(token) else (lambda: token)
        self._token = self._ask()
        self._timeout, self.pause, self._begin = timeout, pause, begin
        self._local: Any = threading.local()
        self._open: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connections of all threads, which must have done with them."""
        self.close()
        with self._lock:
            while self._open:
                self._open.pop().close()

    @property
    def token(self) -> str:
        """The token that it speaks with; empty without one."""
        return self._token

    # -- the verbs

    def get(self, path: str, query: dict[str, Any] | None = None, **how: Any) -> Any:
        return self.request("GET", path + (f"?{urlencode(query)}" if query else ""), **how)

    def post(self, path: str, body: Any = None, **how: Any) -> Any:
        return self.request("POST", path, body, **how)

    def put(self, path: str, body: Any = None, **how: Any) -> Any:
        return self.request("PUT", path, body, **how)

    def patch(self, path: str, body: Any = None, **how: Any) -> Any:
        return self.request("PATCH", path, body, **how)

    def delete(self, path: str, **how: Any) -> Any:
        return self.request("DELETE", path, **how)

    def request(self, method: str, path: str, body: Any = None, *, patience: float = 0.0,
                timeout: float | None = None, repeat: bool | None = None) -> Any:
        """Send a request; the decoded JSON of the answer, or its bytes when it is something else.

        While nobody answers it is tried again for `patience` seconds, with growing, jittered pauses, and
        not before the server says (Retry-After).
        A request that the server may have got already is only sent again when `repeat` allows it
        (default: GET, PUT and DELETE). Raises Unreachable and Refused.
        """
        again = method in ("GET", "PUT", "DELETE") if repeat is None else repeat
        deadline, pause = time.monotonic() + patience, _FIRST_PAUSE
        while True:
            reason, safe, later, asked = "", True, False, 0.0
            try:
                return self._once(method, path, body, timeout or self._timeout, again)
            except _Broken as error:
                reason, safe = str(error), again or not error.sent
            except Refused as error:
                if error.status not in _LATER:
                    raise
                reason, later, asked = str(error), True, error.retry_after
                safe = again or error.status not in _MAY_BE_DONE
            left = deadline - time.monotonic()
            if not safe or left <= asked:
                raise Unreachable(f"{self.url} does not answer: {reason}", later, asked)
            self.away(reason, left)
            self.pause(min(left, max(asked, pause) * (0.5 + random.random()) + asked / 2))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def away(self, reason: str, seconds: float) -> None:
        """Nobody answers, and it is tried again for so many more seconds: a subclass may tell somebody."""

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            with self._lock:
                self._open.discard(connection)
            connection.close()
            self._local.connection = None

    def hang_up(self) -> None:
        """Break every connection, so that threads which wait for an answer do not wait any longer."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    # -- one try

    def _once(self, method: str, path: str, body: Any, timeout: float, again: bool) -> Any:
        with traces.within(traces.current.get() or self._begin()), \
                spans.span(method, spans.CLIENT, self._about(method, path)) as span:
            status, headers, content = self._follow(method, path, body, timeout, again)
            if status in (401, 403) and self._renewed():
                status, headers, content = self._follow(method, path, body, timeout, again)
            if span is not None:
                span.set("http.response.status_code", status)
            if status >= 400:
                raise Refused(status, _reason(headers, content), _retry_after(headers), _trace_id(headers))
        return _decoded(headers, content)

    def _about(self, method: str, path: str) -> dict[str, Any]:
        """What a span tells of a request, in OpenTelemetry's words."""
        if not spans.is_recording():
            return {}
        return {"http.request.method": method, "server.address": self._host,
                "server.port": self._port or (443 if self._secure else 80),
                "url.full": self.url + path.partition("?")[0]}  # what is asked is nobody else's business

    def _renewed(self) -> bool:
        old, self._token = self._token, self._ask()
        return old != self._token

    def _follow(self, method: str, path: str, body: Any, timeout: float,
                again: bool) -> _Answer:
        """The answer, after redirects within the server (a replaced scan points to its successor)."""
        for _ in range(_REDIRECTS):
            status, headers, content = self._exchange(method, path, body, timeout, again)
            target = headers.get("Location")
            if status not in (301, 302, 303, 307, 308) or not target:
                return status, headers, content
            parts = urlsplit(target)
            if parts.netloc and parts.hostname != self._host:
                return status, headers, content
            path = parts.path[len(self._prefix):] if parts.path.startswith(self._prefix) else parts.path
            path += f"?{parts.query}" if parts.query else ""
        raise Refused(508, f"{path} redirects in a circle")

    def _exchange(self, method: str, path: str, body: Any, timeout: float,
                  again: bool) -> _Answer:
        kept = getattr(self._local, "connection", None) is not None
        try:
            return self._talk(method, path, body, timeout)
        except _Broken as error:
            # The server may have closed an idle connection just before we used it again.
            if not kept or (error.sent and not again):
                raise
        return self._talk(method, path, body, timeout)

    def _talk(self, method: str, path: str, body: Any, timeout: float) -> _Answer:
        sent = False
        try:
            connection = self._connection(timeout)
            sent = True
            connection.request(method, self._target(path), *self._message(body))
            response = self._answer(connection)
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise _Broken(error, sent) from None
        if response.will_close:
            self.close()
        return response.status, response.headers, content

    def _answer(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        return connection.getresponse()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._new_connection(timeout)
            connection.connect()
            self._local.connection = connection
            with self._lock:
                self._open.add(connection)
        connection.sock.settimeout(timeout)
        return connection

    def _new_connection(self, timeout: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        if self._proxy is None:
            return kind(self._host, self._port, timeout=timeout)
        host, port, headers = self._proxy
        connection = kind(host, port, timeout=timeout)
        if self._secure:
            connection.set_tunnel(self._host, self._port, headers)
        return connection

    def _target(self, path: str) -> str:
        """What a request line says: a proxy wants the whole address, unless it only passes bytes on."""
        if self._proxy is None or self._secure:
            return self._prefix + path
        return self.url + path

    def _message(self, body: Any) -> tuple[bytes | None, dict[str, str]]:
        trace = traces.current.get()
        headers = {"Accept": "application/json", **(trace.document() if trace else {})}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._proxy is not None and not self._secure:
            headers.update(self._proxy[2])
        if body is None:
            return None, headers
        if isinstance(body, bytes):  # a file, sent as it is
            headers["Content-Type"] = "application/octet-stream"
            return body, headers
        headers["Content-Type"] = "application/json"
        return json.dumps(body, separators=(",", ":")).encode(), headers


def _proxy_for(scheme: str, host: str) -> tuple[str, int, dict[str, str]] | None:
    """Host, port and headers of the proxy that the environment names; this machine needs none."""
    if host == "localhost" or host.startswith("127.") or host == "::1" or proxy_bypass(host):
        return None
    address = getproxies_environment().get(scheme, "")
    parts = urlsplit(address if "//" in address else f"//{address}")
    if not parts.hostname:
        return None
    headers = {}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return parts.hostname, parts.port or 3128, headers


def _retry_after(headers: http.client.HTTPMessage) -> float:
    """Seconds to wait; our servers never send the dates that there may be instead (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    return min(float(text), _LONGEST_ASKED) if text.isdigit() and len(text) < 9 else 0.0


def _trace_id(headers: http.client.HTTPMessage) -> str:
    """The id under which the server's logs have the request."""
    trace = traces.parse(headers.get("traceresponse"))
    return trace.trace_id if trace else ""


class Line(Client):
    """A client with one connection for all threads; requests go one after another.

    A poll, which waits at the server, gives way as soon as another thread has something to say: the server
    hears that nothing more will come on this connection and gives the poll up (or has answered it just
    before, and that is read); the next request opens the connection again.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._local = SimpleNamespace()
        self._turn = threading.RLock()  # whose turn it is to use the connection
        self._guard = threading.Condition()  # of all below
        self._wanted = 0  # threads that wait for their turn
        self._polling = False  # whether the one whose turn it is would give way
        self._poll: socket.socket | None = None  # that waits for its answer
        self._gave_way = False

    @property
    def gave_way(self) -> bool:
        """Whether the latest poll was cut short, whatever its answer: it says nothing of what there is."""
        return self._gave_way

    def poll(self, path: str, body: Any, timeout: float) -> Any:
        """Post what may take long to answer; None when it gave way to another thread. Raises like `post`."""
        with self._guard:
            self._guard.wait_for(lambda: not self._wanted, timeout)
        with self._turn:
            self._polling, self._gave_way = True, False
            try:
                return super().request("POST", path, body, timeout=timeout)
            except Exception:
                if self._gave_way:
                    return None
                raise
            finally:
                self._polling = False

    def close(self) -> None:
        """Close the connection, when nobody uses it; whoever sends something opens it again."""
        with self._in_turn():
            super().close()

    def _once(self, *arguments: Any) -> Any:
        with self._in_turn():
            return super()._once(*arguments)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Use the connection, when whoever does has done with it."""
        with self._guard:
            self._wanted += 1
            self._interrupt()
        with self._turn:
            with self._guard:
                self._wanted -= 1
                self._guard.notify_all()
            yield

    def _answer(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        if not self._polling:
            return super()._answer(connection)
        with self._guard:
            self._poll = connection.sock  # which the connection drops when the answer says to close it
            if self._wanted:
                self._interrupt()
        try:
            response = super()._answer(connection)
        finally:
            with self._guard:
                self._poll = None
        if self._gave_way:
            response.will_close = True
        return response

    def _interrupt(self) -> None:
        """Have a poll give way. To be called with the guard."""
        if self._poll is not None and not self._gave_way:
            self._gave_way = True
            with contextlib.suppress(OSError):  # below TLS, which would forget what it is about to read
                socket.socket.shutdown(self._poll, socket.SHUT_WR)


def _is_json(headers: http.client.HTTPMessage) -> bool:
    return headers.get_content_type().endswith("json")


def _decoded(headers: http.client.HTTPMessage, content: bytes) -> Any:
    if not _is_json(headers):
        return content
    try:
        return json.loads(content)
    except ValueError:
        raise Refused(500, "the answer is not the JSON that it says to be") from None


def _reason(headers: http.client.HTTPMessage, content: bytes) -> str:
    """The server's reason out of an error's body."""
    try:
        document = json.loads(content) if _is_json(headers) else None
    except ValueError:
        document = None
    if isinstance(document, dict):
        for key in ("reason", "error", "message", "detail"):
            if isinstance(document.get(key), str):
                return str(document[key])
        if texts := [f"{field}: {' '.join(map(str, lines))}" for field, lines in document.items()
                     if isinstance(lines, list)]:
            return "; ".join(texts)
    return "the server gave no reason"
