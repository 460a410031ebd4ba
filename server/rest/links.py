"""Addresses that a message from outside brought: followed with care, so that nobody can make this server ask
what only it can reach (request forgery).

Only over TLS, only to hosts that the settings name, each redirect by the same rule; a name that leads to an
address inside a private network is refused when the connection is made, so changing the name's address in
between does not help. An address counts as allowed when the settings name itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urljoin, urlsplit

from tornado.httpclient import HTTPError, HTTPRequest, HTTPResponse
from tornado.netutil import DefaultLoopResolver, Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from server.rest.public import is_public

__all__ = ["LinkError", "LinkRefused", "check_link", "fetch_link"]

_REDIRECTS = 3
_MOVED = (301, 302, 303, 307, 308)
_SPARE = 1 << 20


class LinkError(Exception):
    """A link could not be followed now; the text says why."""


class LinkRefused(LinkError):
    """A link is not followed, now or later; the text says why."""


def check_link(address: str, hosts: Collection[str]) -> str:
    """The address as it is asked, by https. Raises LinkRefused unless its host is one of these."""
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise LinkRefused(f"not an address: {address[:100]!r}") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.password is not None:
        raise LinkRefused(f"not an address of the web: {address[:100]!r}")
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in address):
        raise LinkRefused(f"an address with blanks: {address[:100]!r}")
    name = host if port in (None, 443) else f"{host}:{port}"
    if name not in {known.lower().rstrip(".") for known in hosts}:
        raise LinkRefused(f"{name[:100]!r} is none of the hosts that are asked for maps (setting "
                          "alerts.map_hosts)")
    return parts._replace(scheme="https", fragment="").geturl()


class _Careful(Resolver):
    """Finds addresses of names, but none inside a private network."""

    def initialize(self) -> None:
        self._usual = DefaultLoopResolver()

    async def resolve(self, host: str, port: int, family: Any = 0) -> list[tuple[int, Any]]:
        found = await self._usual.resolve(host, port, family)
        if not _is_number(host):
            for _, place in found:
                if not is_public(ip_address(str(place[0]).partition("%")[0])):
                    raise LinkRefused(f"{host!r} leads into a private network ({place[0]})")
        return found


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@dataclass
class _Body:
    """What came of an answer."""

    limit: int
    size: int = 0
    pieces: list[bytes] | None = None

    def take(self, piece: bytes) -> None:
        self.size += len(piece)
        self.pieces = [*(self.pieces or []), piece] if self.size <= self.limit else None

    def announced(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-length" and value.strip().isdigit():
            self.size = max(self.size, int(value)) if int(value) > self.limit else self.size

    def check(self) -> None:
        """Raises LinkRefused."""
        if self.size > self.limit:
            raise LinkRefused(f"sends more than {self.limit >> 20} MB")


async def fetch_link(address: str, hosts: Collection[str], limit: int, seconds: float) -> bytes:
    """What lies at an address, at most so many bytes. Raises LinkError, LinkRefused."""
    client = SimpleAsyncHTTPClient(force_instance=True, resolver=_Careful(), max_body_size=limit + _SPARE,
                                   max_header_size=64 << 10)
    try:
        async with asyncio.timeout(seconds):
            for _ in range(_REDIRECTS + 1):
                address = check_link(address, hosts)
                body = _Body(limit)
                answer = await _ask(client, address, body, seconds)
                if answer.code not in _MOVED or "Location" not in answer.headers:
                    return _body_of(answer, body)
                address = _next(address, answer.headers["Location"])
    except TimeoutError:
        raise LinkError(f"gave no whole answer within {seconds:g} s") from None
    finally:
        client.close()
    raise LinkRefused("redirects too often")


def _next(address: str, location: str) -> str:
    """Where a redirect leads. Raises LinkRefused."""
    try:
        return urljoin(address, location)
    except ValueError:
        raise LinkRefused(f"redirects to what is no address: {location[:100]!r}") from None


async def _ask(client: SimpleAsyncHTTPClient, address: str, body: _Body, seconds: float) -> HTTPResponse:
    request = HTTPRequest(
        address, connect_timeout=seconds, request_timeout=seconds, follow_redirects=False,
        user_agent="iceprod", decompress_response=False, ssl_options=ssl.create_default_context(),
        streaming_callback=body.take, header_callback=body.announced)
    try:
        return await client.fetch(request, raise_error=False)
    except (HTTPError, OSError, ValueError) as error:
        body.check()
        raise LinkError(f"cannot be reached: {str(error)[:200] or type(error).__name__}") from None


def _body_of(answer: HTTPResponse, body: _Body) -> bytes:
    body.check()
    if answer.code != 200:
        raise LinkError(f"answers HTTP {answer.code}")
    return b"".join(body.pieces or [])
