"""Calls to services outside: only to known hosts, with limits of time and size, retried, and on record.

Who may be called is decided by the host's name: those of the configured addresses, and those that the
installation allows besides. Redirects are followed by the same rule, so nobody outside can make this server
call into its own network. Records hold no headers, and no secrets.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.ids import next_id
from server.rest.context import Context
from server.rest.outgoing import allowed_hosts, check_address
from server.store.database import Index

__all__ = ["INDEXES", "Answer", "Call", "ServiceError", "allowed_hosts", "check_address", "exchange", "fetch",
           "stream", "without"]

INDEXES = [Index("desk_transactions", "created_at", [("created_at", 1)],
                 options={"expireAfterSeconds": 90 * 86400}),
           Index("desk_transactions", "about", [("about", 1), ("_id", 1)], options={"sparse": True})]

RECORDED = 64 << 10  # bytes of an answer that are kept
PIECE = 256 << 10
_REDIRECTS = 3
_LEAST_SECRET = 4  # characters: shorter words stand everywhere by chance
_PAUSE = 0.5  # seconds before another try
_AGAIN = {429, 500, 502, 503, 504, 599}
_MOVED = {301, 302, 303, 307, 308}
_THREADS = ThreadPoolExecutor(16, "outside")  # a service that hangs must not stop what others compute

_T = TypeVar("_T")


class ServiceError(BadRequest):
    """A service outside does not answer as it should; the text says which one and what is wrong."""


@dataclass(frozen=True)
class Call:
    """One request to a service."""

    service: str  # for people
    address: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None  # sent by POST when given
    body: bytes | None = None  # likewise, as JSON
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    offset: int = 0  # bytes of the answer that are here already
    method: str | None = None  # GET, or POST when something is sent
    about: str = ""  # what the record of the call belongs to
    secrets: tuple[str, ...] = field(default=(), repr=False)  # never on record
    is_exchange: bool = False  # a refusal is an answer too; redirects, which would carry secrets on, are not

    @property
    def url(self) -> str:
        mark = "&" if "?" in self.address else "?"
        return f"{self.address}{mark}{urlencode(self.query)}" if self.query else self.address

    @property
    def sent(self) -> bytes | None:
        return self.body if self.form is None else urlencode(self.form).encode()

    def request(self, url: str) -> urllib.request.Request:
        headers = {"User-Agent": "iceprod-desk", **self.headers}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.offset:
            headers["Range"] = f"bytes={self.offset}-"
        return urllib.request.Request(url, data=self.sent, headers=headers, method=self.method)

    def takes(self, status: int) -> bool:
        """Whether an answer with this status is one."""
        if self.is_exchange:
            return status not in _AGAIN and status not in _MOVED
        return 200 <= status < 300


@dataclass(frozen=True)
class Answer:
    """What a service answered: HTTP status, and the body without our secrets."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300


def without(secrets: Iterable[str], text: str) -> str:
    """A text without these words; what an answer echoes must not reach records or people."""
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET:
            text = text.replace(secret, "***")
    return text


async def fetch(ctx: Context, call: Call) -> bytes:
    """The answer's body. Raises ServiceError, after as many tries as the settings say."""
    return (await _tried(ctx, call)).body


async def exchange(ctx: Context, call: Call) -> Answer:
    """What a service says, be it a refusal. Raises ServiceError when nothing is said after all tries.

    A service that is asked to do something must be able to tell by the request's headers that a second try
    is the same.
    """
    answer = await _tried(ctx, replace(call, is_exchange=True))
    text = without(call.secrets, answer.body.decode(errors="replace"))
    return replace(answer, body=text.encode())


async def _tried(ctx: Context, call: Call) -> Answer:
    settings = ctx.settings.catalogs
    for left in range(max(settings.tries, 1) - 1, -1, -1):
        attempt = _Attempt(ctx, call, settings.max_mb << 20)
        try:
            async with asyncio.timeout(settings.timeout_seconds):
                body = b"".join([piece async for piece in attempt.pieces()])
                return Answer(attempt.status, body)
        except TimeoutError:
            attempt.failed(504, f"gave no whole answer within {settings.timeout_seconds:g} s")
        except ServiceError:
            pass
        finally:
            await attempt.record()
        if not left or attempt.status not in _AGAIN:
            break
        await asyncio.sleep(_PAUSE)
    raise ServiceError(f"{call.service} {attempt.outcome}")


async def stream(ctx: Context, call: Call, limit: int) -> AsyncIterator[bytes]:
    """The answer's body from `call.offset` on, piece by piece. Raises ServiceError. For large files."""
    attempt = _Attempt(ctx, call, limit)
    try:
        async with aclosing(attempt.pieces()) as pieces:
            async for piece in pieces:
                yield piece
    finally:
        await attempt.record()


def _words(error: Exception) -> str:
    """What is wrong, without the words of the library that found it."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    text = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner)
    return text[:200] or type(inner).__name__


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: we look at where it leads first."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)  # by the proxy that the environment names, if any
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
_LOOPBACK = re.compile(r"localhost|127\.[\d.]+|::1")


def _opener(url: str) -> urllib.request.OpenerDirector:
    """What opens an address; no proxy leads to this machine itself."""
    return _DIRECT if _LOOPBACK.fullmatch(urlsplit(url).hostname or "") else _OPENER


class _Attempt:
    """One try of a call, over its redirects."""

    def __init__(self, ctx: Context, call: Call, limit: int) -> None:
        self.ctx, self.call, self.limit = ctx, call, limit
        self.status, self.size, self.outcome = 599, 0, "did not answer"
        self.kept, self.started = b"", time.monotonic()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body. Raises ServiceError."""
        response = await self._open()
        try:
            if self.call.offset and response.status == 200:  # it begins anew, whatever we asked
                await self._in_thread(lambda: response.read(self.call.offset))
            while piece := await self._in_thread(lambda: response.read(PIECE)):
                self._count(piece)
                yield piece
            if response.length:  # so many bytes were announced, and did not come
                raise self.failed(599, "breaks off in the middle")
        finally:
            response.close()
        self.outcome = "answered"

    async def _open(self) -> Any:
        url = self.call.url
        for _ in range(_REDIRECTS + 1):
            check_address(self.ctx, url, self.call.service)
            response = await self._in_thread(self._opening(url))
            self.status = response.status
            if self.call.takes(response.status):
                return response
            target = response.headers.get("Location", "")
            response.close()
            if response.status not in _MOVED or not target or self.call.is_exchange:
                raise self.failed(response.status, f"answers HTTP {response.status}")
            url = urljoin(url, target)
        raise self.failed(508, "redirects too often")

    def _opening(self, url: str) -> Callable[[], Any]:
        request = self.call.request(url)
        seconds = self.ctx.settings.catalogs.timeout_seconds

        def act() -> Any:
            try:
                return _opener(url).open(request, timeout=seconds)
            except urllib.error.HTTPError as error:  # an answer, after all
                return error

        return act

    async def _in_thread(self, act: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(_THREADS, act)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self.failed(599, f"cannot be reached: {_words(error)}") from None

    def _count(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self.limit:
            raise self.failed(413, f"answers more than {self.limit >> 20} MB")
        self.kept += piece[:max(RECORDED - len(self.kept), 0)]

    def failed(self, status: int, text: str) -> ServiceError:
        self.status, self.outcome = status, text
        return ServiceError(f"{self.call.service} {text}")

    async def record(self) -> None:
        """Keep what was asked and answered."""
        await self.ctx.db.desk_transactions.insert_one({
            "_id": await next_id(self.ctx, "transaction"), "service": self.call.service, "created_at": now(),
            **({"about": self.call.about} if self.call.about else {}),
            "seconds": round(time.monotonic() - self.started, 3), "outcome": self._clean(self.outcome),
            "request": {"method": self.call.request(self.call.url).get_method(),
                        "url": self._clean(self.call.url[:2000]),
                        "body": self._clean((self.call.sent or b"")[:RECORDED].decode(errors="replace"))},
            "response": {"status": self.status, "bytes": self.size,
                         "body": self._clean(self.kept.decode(errors="replace"))}})

    def _clean(self, text: str) -> str:
        return without(self.call.secrets, text)
