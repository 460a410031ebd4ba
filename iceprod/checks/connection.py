"""How the server is reached: whether it answers, its clock, what a proxy in between does, certificates."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from iceprod.checks.clocks import clock
from iceprod.checks.findings import Finding, left_out, odd, well, wrong
from iceprod.checks.subject import Check, Subject
from iceprod.transport import Client, ClientError, Refused, Unreachable

__all__ = ["CHECKS", "peers", "proxy"]

LARGE_BODY = 4 << 20  # bytes: more than proxies let through that nobody told otherwise
EXPIRES_SOON = 14.0  # days
CONNECT_SECONDS = 10.0


def health(subject: Subject) -> Iterator[Finding]:
    """Whether the server answers, and is well."""
    if subject.client is None:
        yield left_out("server", "no server runs here and none was named (--server URL)")
        return
    try:
        told = subject.client.get("/healthz")
    except Unreachable as error:
        yield wrong("server", str(error), "start it (`iceprod up`), or look into its log why it ended")
        return
    except Refused as error:
        yield wrong("server", error.reason, "see the checks of the database, and logs/server.log")
        return
    yield well("server", f"{subject.client.url} answers, its database in {told.get('database_ms', 0):g} ms")
    yield from peers(told.get("servers") or {})
    yield from _probes(told)


def peers(told: dict[str, Any]) -> Iterator[Finding]:
    """Whether the server's processes hear each other, as one of them tells (`servers` in `GET /healthz`)."""
    count, silent = told.get("processes", 1), told.get("not_heard", 0)
    if silent:
        yield odd("servers", f"{silent} of {count} processes of the server are not heard by this one",
                  "let UDP pass between their machines (server.peers_host, server.peers_port): until then "
                  "limits hold for each process, and pilots that wait hear of work up to a second later")
    elif count > 1:
        yield well("servers", f"{count} processes of the server hear each other")


def _probes(told: dict[str, Any]) -> Iterator[Finding]:
    """What parts of the server say that they cannot tell."""
    for name, part in told.items():
        if isinstance(part, dict) and part.get("error"):
            yield odd("server", f"{name}: {part['error']}", "look into the server's log")


def path(subject: Subject) -> Iterator[Finding]:
    """Whether our token is accepted, the clocks agree, and what a proxy between us and the server changes."""
    if subject.client is None:
        return
    try:
        sent = time.time()
        seen = subject.client.get("/connection")
        took = time.time() - sent
    except Refused as error:
        yield _refused(error)
        return
    except ClientError:
        return  # the server does not answer, which another check says
    yield well("token", "the server accepts our token")
    yield clock("clock", "the server's", seen["time"] - sent - took / 2, took)
    yield from proxy(subject.client.url, seen)
    yield from _bodies(subject.client)


def _refused(error: Refused) -> Finding:
    if error.status in (401, 403):
        return wrong("token", f"the server refuses our token: {error.reason}",
                     "give one with --token; if it was made here, the server has another secret than this "
                     "directory: all servers of an installation need the same file")
    return odd("server", f"it does not tell how it is reached: {error}",
               "an older server cannot, nor can who is no server of ours; else look into its log")


def proxy(url: str, seen: dict[str, Any]) -> Iterator[Finding]:
    """What the server saw of a request that was sent to `url` (`GET /connection`), against what it should."""
    sent = urlsplit(url)
    if sent.scheme == "https" and not seen["is_forwarded"]:
        yield wrong("proxy", f"requests come from {seen['peer']}, which does not say for whom",
                    "let the proxy add X-Forwarded-For (docs/proxy), or all clients share one address, and "
                    "with it the limits of logging in")
    elif seen["is_forwarded"] and not seen["is_trusted"]:
        yield wrong("proxy", f"{seen['peer']} says for whom it asks, but the server does not believe it",
                    f"if that is your proxy, set server.trusted_proxies: [{seen['peer']}]")
    elif seen["is_forwarded"]:
        yield well("proxy", f"the server takes us for {seen['address']}, by {seen['peer']}")
    if seen["host"] != sent.netloc:
        yield odd("proxy", f"the server is told the host {seen['host']!r}, not {sent.netloc!r}",
                  "let the proxy pass the Host header on (nginx: proxy_set_header Host $http_host)")
    yield from _public(sent.scheme, url, seen["public_url"])


def _public(scheme: str, url: str, public: str) -> Iterator[Finding]:
    if scheme == "https" and not public:
        yield wrong("address", "server.public_url is not set: the server gives out addresses with http://",
                    f"set server.public_url: {url}")
    elif public and public.rstrip("/") != url:
        yield odd("address", f"this server calls itself {public}, and was reached as {url}",
                  "set server.public_url to what clients type, unless you went around the proxy on purpose")


def _bodies(client: Client) -> Iterator[Finding]:
    """Whether large bodies come through."""
    try:
        got = client.post("/connection", b"\0" * LARGE_BODY, repeat=True)["bytes"]
    except ClientError as error:
        yield wrong("bodies", f"a body of {LARGE_BODY >> 20} MB does not come through: {error}",
                    "let the proxy take bodies of server.max_body_mb (nginx: client_max_body_size)")
        return
    if got == LARGE_BODY:
        yield well("bodies", f"a body of {LARGE_BODY >> 20} MB comes through")
    else:
        yield wrong("bodies", f"of a body of {LARGE_BODY} bytes {got} came through", "look at the proxy")


def certificate(subject: Subject) -> Iterator[Finding]:
    """Whether the server's certificate is good, and for how long."""
    if subject.client is None or not subject.client.url.startswith("https:"):
        return
    parts = urlsplit(subject.client.url)
    try:
        days = _days_left(parts.hostname or "", parts.port or 443)
    except ssl.SSLCertVerificationError as error:
        yield wrong("certificate", f"it is refused: {error.verify_message}",
                    "renew it, and let the proxy send the whole chain")
    except OSError as error:
        yield wrong("certificate", f"no TLS with {parts.netloc}: {error}", "look at the proxy")
    else:
        yield _expiry(days)


def _expiry(days: float) -> Finding:
    text = f"it expires in {days:.0f} days"
    if days < EXPIRES_SOON:
        return odd("certificate", text, "see why it was not renewed (certbot renew --dry-run)")
    return well("certificate", text)


def _days_left(host: str, port: int) -> float:
    """Days until a server's certificate expires. Raises OSError, and of it SSLCertVerificationError."""
    context = ssl.create_default_context()
    with socket.create_connection((host, port), CONNECT_SECONDS) as plain:
        with context.wrap_socket(plain, server_hostname=host) as secure:
            told = secure.getpeercert() or {}
    return (ssl.cert_time_to_seconds(str(told["notAfter"])) - time.time()) / 86400


CHECKS: tuple[Check, ...] = (health, path, certificate)
