"""Posts to addresses that users name: never to where only this installation's own network leads.

The rule looks at what a host's name resolves to, and the connection goes to the very addresses that were
looked at, so a name that changes its mind (DNS rebinding) gains nothing. Redirects are not followed, and no
proxy is asked: it would look the name up again. A receiver may answer as much as it likes; little is read.

Signatures are those of Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.netutil import DefaultLoopResolver, Resolver
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError, SimpleAsyncHTTPClient

from server.common.errors import BadRequest
from server.rest.public import is_public
from server.sending.outbox import SendError

__all__ = ["Post", "check_url", "new_secret", "post", "read_secret", "signed"]

SECONDS = 10.0
MOST_URL = 2000  # characters
MOST_ANSWER = 64 << 10  # bytes
_SECRET = "whsec_"
_SECRET_BYTES = range(16, 65)
_LOST = (OSError, StreamClosedError, HTTPStreamClosedError, ValueError)


@dataclass(frozen=True)
class Post:
    """What is sent where: JSON with headers, some of which are secrets."""

    url: str = field(repr=False)
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


# -- addresses


def check_url(url: str, allowed: Collection[str], name: str) -> SplitResult:
    """Raise BadRequest unless the address may be one that we post to, as far as its text tells.

    Hosts that the installation allows may be reached by http, all others by https alone.
    """
    if len(url) > MOST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise BadRequest(f"{name}: an address has at most {MOST_URL} printable ASCII characters, no spaces")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadRequest(f"{name}: not an address: {url[:100]!r}") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
        raise BadRequest(f"{name}: must begin with https:// and a host's name, without a user's name")
    if is_allowed(parts, allowed):
        return parts
    if parts.scheme != "https":
        raise BadRequest(f"{name}: must begin with https:// (http:// only to hosts of the setting"
                         " notify.allowed_hosts)")
    literal = _literal(host)
    if (literal is not None and not is_public(literal)) or host == "localhost" or "." not in host + ":":
        raise BadRequest(f"{name}: {_inside(host)}")
    return parts


def is_allowed(parts: SplitResult, allowed: Collection[str]) -> bool:
    """Whether an address's host is one that may be called wherever it is: by name, or name and port."""
    names = {name.lower() for name in allowed}
    return parts.netloc.lower() in names or (parts.hostname or "") in names


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _inside(host: str) -> str:
    return (f"{host[:100]} is no host of the open internet; an administrator may allow it (setting"
            " notify.allowed_hosts)")


class _Outside(Resolver):
    """Resolves names as the system does, and keeps public addresses alone."""

    def initialize(self) -> None:
        self._system = DefaultLoopResolver()

    async def resolve(self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
                      ) -> list[tuple[int, Any]]:
        found = await self._system.resolve(host, port, family)
        outside = [(kind, place) for kind, place in found
                   if is_public(ip_address(str(place[0]).partition("%")[0]))]
        if not outside:
            raise SendError(_inside(host))
        return outside


# -- signatures


def new_secret() -> str:
    """A secret for signatures."""
    return _SECRET + base64.b64encode(secrets.token_bytes(32)).decode()


def read_secret(text: str, name: str) -> bytes:
    """The key that a secret stands for. Raises BadRequest, which does not repeat it."""
    try:
        key = base64.b64decode(text.removeprefix(_SECRET), validate=True)
    except ValueError:
        key = b""
    if not text.startswith(_SECRET) or len(key) not in _SECRET_BYTES:
        raise BadRequest(f"{name}: must be {_SECRET} and then 16 to 64 bytes in base64")
    return key


def signed(secret: str, key: str, moment: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows that a post is ours, when it was sent, and which one it is."""
    told = f"{key}.{moment}.".encode() + body
    mark = hmac.new(read_secret(secret, "secret"), told, hashlib.sha256).digest()
    return {"webhook-id": key, "webhook-timestamp": str(moment),
            "webhook-signature": f"v1,{base64.b64encode(mark).decode()}"}


# -- posting


async def post(what: Post, allowed: Collection[str]) -> str:
    """Post JSON; what was answered, in words. Raises SendError."""
    try:
        parts = check_url(what.url, allowed, "address")
    except BadRequest as error:  # what is allowed was changed
        raise SendError(error.reason, is_final=True) from None
    request = HTTPRequest(
        what.url, method="POST", body=what.body, follow_redirects=False, connect_timeout=SECONDS,
        request_timeout=SECONDS, ssl_options=ssl.create_default_context(), decompress_response=False,
        headers={"Content-Type": "application/json", "User-Agent": "iceprod", **what.headers})
    resolver = None if is_allowed(parts, allowed) else _Outside()
    client = SimpleAsyncHTTPClient(force_instance=True, resolver=resolver, max_body_size=MOST_ANSWER)
    try:
        answer = await client.fetch(request)
    except HTTPTimeoutError:
        raise SendError(f"gave no answer within {SECONDS:g} s") from None
    except HTTPClientError as error:
        raise SendError(f"answers HTTP {error.code}", is_final=error.code == 410) from None
    except _LOST as error:
        raise SendError(f"cannot be reached: {str(error)[:200] or type(error).__name__}") from None
    finally:
        client.close()
    return f"answered HTTP {answer.code}"
