"""An OpenID Connect issuer on the loopback interface, with real keys: `with loopback_issuer() as issuer:`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tornado.escape import xhtml_escape
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

__all__ = ["LoopbackIssuer", "loopback_issuer"]

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class LoopbackIssuer:
    """Signs tokens, and publishes the public halves of its keys."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, Key] = {}
        self.asked: Counter[str] = Counter()
        self.seconds = 0.0  # how long it takes to answer
        self.broken = False
        self.extra_keys: list[dict[str, Any]] = []
        self.person: dict[str, Any] | None = {}  # the claims of whoever logs in; None: nobody is let in
        self.codes: dict[str, dict[str, str]] = {}  # what each code was asked for with
        self.add_key("first")

    def add_key(self, kid: str, *, curve: bool = False) -> None:
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(
            public_exponent=65537, key_size=2048)

    def rotate(self, kid: str) -> None:
        """Replace all keys by one of that id."""
        self.keys.clear()
        self.add_key(kid)

    def token(self, kid: str = "first", *, key: Any = None, algorithm: str = "", **claims: Any) -> str:
        """A token for ada, meant for iceprod, good for an hour; `claims` change or (None) remove some."""
        now = int(time.time())
        payload = {"iss": self.url, "aud": "iceprod", "sub": "123", "preferred_username": "ada", "iat": now,
                   "exp": now + 3600, **claims}
        key = self.keys[kid] if key is None else key
        algorithm = algorithm or ("ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256")
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": kid} if kid else {})

    def published(self) -> list[dict[str, Any]]:
        return [*self.extra_keys, *({**_public(key), "kid": kid, "use": "sig"}
                                    for kid, key in self.keys.items())]


def _public(key: Key) -> dict[str, Any]:
    algorithm: Any = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) \
        else jwt.algorithms.ECAlgorithm
    return dict(json.loads(algorithm.to_jwk(key.public_key())))


class _Answer(RequestHandler):
    def initialize(self, issuer: LoopbackIssuer) -> None:
        self.issuer = issuer

    async def get(self, what: str) -> None:
        self.issuer.asked[what] += 1
        await asyncio.sleep(self.issuer.seconds)
        if self.issuer.broken:
            self.set_status(500)
        elif what == "keys":
            self.finish({"keys": self.issuer.published()})
        else:
            self.finish({"issuer": self.issuer.url, "jwks_uri": f"{self.issuer.url}/keys",
                         "authorization_endpoint": f"{self.issuer.url}/authorize",
                         "token_endpoint": f"{self.issuer.url}/token"})


class _Authorize(RequestHandler):
    """A login page (OpenID Connect Core 1.0, section 3.1.2) with one button."""

    def initialize(self, issuer: LoopbackIssuer) -> None:
        self.issuer = issuer

    def get(self) -> None:
        asked = {name: self.get_query_argument(name) for name in self.request.arguments}
        assert asked["response_type"] == "code"
        assert "openid" in asked["scope"].split()
        answer = {"state": asked["state"], "error": "access_denied"}
        if self.issuer.person is not None:
            code = uuid.uuid4().hex
            self.issuer.codes[code] = asked
            answer = {"state": asked["state"], "code": code}
        self.set_header("Content-Type", "text/html")
        self.finish(f"<a href='{xhtml_escape(asked['redirect_uri'] + '?' + urlencode(answer))}'>It is me</a>")


class _Token(RequestHandler):
    """Tokens for a code (OpenID Connect Core 1.0, section 3.1.3), if the verifier fits (RFC 7636)."""

    def initialize(self, issuer: LoopbackIssuer) -> None:
        self.issuer = issuer

    def post(self) -> None:
        sent = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        asked = self.issuer.codes.pop(sent.get("code", ""), None)
        hashed = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
        same = asked and all(asked[name] == sent.get(name) for name in ("client_id", "redirect_uri"))
        if not asked or not same or asked["code_challenge"] != challenge:
            self.set_status(400)
            self.finish({"error": "invalid_grant"})
            return
        person = self.issuer.person or {}
        id_claims = {"nonce": asked["nonce"], **person, "aud": asked["client_id"]}
        self.finish({"access_token": self.issuer.token(**person), "token_type": "Bearer", "expires_in": 300,
                     "id_token": self.issuer.token(**id_claims)})


@contextlib.contextmanager
def loopback_issuer(host: str = "127.0.0.1") -> Iterator[LoopbackIssuer]:
    """A running issuer, in a thread of its own; `host` is what it calls itself."""
    issuer, ready = LoopbackIssuer(), Event()
    thread = Thread(target=lambda: asyncio.run(_serve(issuer, host, ready)))
    thread.start()
    ready.wait()
    try:
        yield issuer
    finally:
        issuer.loop.call_soon_threadsafe(issuer.stop.set)  # type: ignore[attr-defined]
        thread.join()


async def _serve(issuer: LoopbackIssuer, host: str, ready: Event) -> None:
    issuer.loop, issuer.stop = asyncio.get_running_loop(), asyncio.Event()  # type: ignore[attr-defined]
    sockets = bind_sockets(0, "127.0.0.1")
    issuer.url = f"http://{host}:{sockets[0].getsockname()[1]}/realms/test"
    paths: list[Any] = [(rf"/realms/test/({name})", _Answer, {"issuer": issuer})
                        for name in ("keys", r"\.well-known/openid-configuration")]
    paths += [(r"/realms/test/authorize", _Authorize, {"issuer": issuer}),
              (r"/realms/test/token", _Token, {"issuer": issuer})]
    server = HTTPServer(Application(paths, log_function=lambda handler: None))
    server.add_sockets(sockets)
    ready.set()
    await issuer.stop.wait()  # type: ignore[attr-defined]
    server.stop()
    await server.close_all_connections()
