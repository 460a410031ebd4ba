"""Credentials: kept sealed, renewed when read, one for each service; and the issuers they come from."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import jwt
import msgspec
import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from config.settings import Credentials, Issuer
from server.common.errors import BadRequest, Conflict, NotFound, Unavailable
from server.production.people import credentials, issuers
from server.production.people.credentials import Owner
from server.rest.context import Context

ALICE = Owner("user", "alice")
URL = "https://storage.example.org/data"
S3 = {"url": URL, "type": "s3", "buckets": ["b"], "access_key": "AK", "secret_key": "a secret key"}
OAUTH = {"url": URL, "type": "oauth", "access_token": "old", "refresh_token": "again"}


class TokenEndpoint(RequestHandler):
    """An issuer that renews "again" and refuses all else."""

    def post(self) -> None:
        asked = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        self.settings["asked"].append(asked)
        if asked.get("refresh_token") == "broken":
            self.write("no JSON")
        elif asked["grant_type"] == "refresh_token" and asked["refresh_token"] != "again":
            self.set_status(400)
            self.write({"error": "invalid_grant"})
        else:
            self.write({"access_token": "new", "expires_in": 3600, "scope": asked.get("scope", "")})


@pytest.fixture
async def issuer(ctx: Context) -> AsyncIterator[tuple[Context, list[dict[str, str]]]]:
    """The context with an issuer for the storage service, and what the issuer was asked."""
    asked: list[dict[str, str]] = []
    server = HTTPServer(
        Application([("/token", TokenEndpoint)], asked=asked, log_function=lambda handler: None)
    )
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/token"
    known = Credentials(issuers={"https://storage.example.org/": Issuer(url, "us", "secret")})
    yield replace(ctx, settings=msgspec.structs.replace(ctx.settings, credentials=known)), asked
    server.stop()
    await server.close_all_connections()


async def keep(ctx: Context, body: dict[str, Any], owner: Owner = ALICE) -> None:
    await credentials.create(ctx, owner, credentials.new_credential(body))


async def test_secrets_are_sealed_in_the_database(ctx: Context) -> None:
    await keep(ctx, S3)
    stored = await ctx.db.credentials.find_one({})
    assert "secret key" not in str(stored)
    (found,) = await credentials.find(ctx, ALICE)
    assert (found["access_key"], found["secret_key"], found["buckets"]) == ("AK", "a secret key", ["b"])
    assert set(found) == {"url", "type", "scope", "transfer_prefix", "buckets", "access_key", "secret_key"}


async def test_another_installation_cannot_read_them(ctx: Context) -> None:
    await keep(ctx, S3)
    with pytest.raises(Conflict, match="another key"):
        await credentials.find(replace(ctx, secret="other"), ALICE)


async def test_one_for_each_service_and_owner(ctx: Context) -> None:
    await keep(ctx, S3)
    with pytest.raises(Conflict, match="credential already exists"):
        await keep(ctx, S3)
    await keep(ctx, {**S3, "transfer_prefix": "/other"})
    await keep(ctx, S3, Owner("group", "alice"))
    assert len(await credentials.find(ctx, ALICE)) == 2
    await credentials.remove(ctx, ALICE, URL)
    assert await credentials.find(ctx, ALICE) == []
    assert len(await credentials.find(ctx, Owner("group", "alice"))) == 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "missing key: url"),
        ({"url": URL}, "bad credential type"),
        ({"url": URL, "type": "s3"}, "bucket"),
        ({**S3, "access_key": ""}, "must specify access_key"),
        ({**S3, "secret_key": ""}, "must specify secret_key"),
        ({"url": URL, "type": "oauth"}, "must specify either access or refresh tokens"),
        ({**S3, "buckets": [5]}, "buckets"),
        ({**S3, "url": 5}, "url"),
        ({**S3, "colour": 1}, "colour"),
    ],
)
def test_what_is_missing_is_said(body: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text.replace("(", r"\(")):
        credentials.new_credential(body)


async def test_change(ctx: Context) -> None:
    await keep(ctx, S3)
    await credentials.change(ctx, ALICE, {"url": URL, "secret_key": "NEW"})
    assert (await credentials.find(ctx, ALICE))[0]["secret_key"] == "NEW"
    with pytest.raises(NotFound, match="credential not found"):
        await credentials.change(ctx, ALICE, {"url": "elsewhere", "secret_key": "NEW"})


async def test_a_token_about_to_end_is_renewed_when_read(
    issuer: tuple[Context, list[dict[str, str]]],
) -> None:
    ctx, asked = issuer
    await keep(ctx, {**OAUTH, "expiration": time.time() + 10, "scope": "read"})
    (before,) = await credentials.find(ctx, ALICE, renew=False)
    assert (before["access_token"], asked) == ("old", [])
    (after,) = await credentials.find(ctx, ALICE)
    assert after["access_token"] == "new"
    assert after["refresh_token"] == "again"
    assert after["expiration"] > time.time() + 3000
    assert asked == [{"grant_type": "refresh_token", "refresh_token": "again", "scope": "read"}]
    await credentials.find(ctx, ALICE)
    assert len(asked) == 1


async def test_a_token_that_ended_and_cannot_be_renewed_is_left_out(
        issuer: tuple[Context, list[dict[str, str]]]) -> None:
    ctx, _ = issuer
    await keep(ctx, {**OAUTH, "refresh_token": "revoked", "expiration": time.time() - 10})
    await keep(ctx, {**OAUTH, "refresh_token": "", "expiration": time.time() - 10, "scope": "x"})
    assert await credentials.find(ctx, ALICE) == []
    assert len(await credentials.find(ctx, ALICE, renew=False)) == 2


async def test_issuers(issuer: tuple[Context, list[dict[str, str]]]) -> None:
    ctx, asked = issuer
    known = issuers.issuer_of(ctx, URL)
    assert (await issuers.own_token(known, "storage.read:/")).scope == "storage.read:/"
    assert (await issuers.exchange(known, "subject", "storage.read:/x")).access_token == "new"
    assert asked[1]["subject_token"] == "subject"
    with pytest.raises(BadRequest, match="invalid_grant"):
        await issuers.renew(known, "revoked")
    with pytest.raises(Unavailable, match="not understood"):
        await issuers.renew(known, "broken")
    with pytest.raises(BadRequest, match="no token issuer"):
        issuers.issuer_of(ctx, "https://elsewhere.example.org")


def test_expiration_of() -> None:
    assert issuers.expiration_of(jwt.encode({"exp": 2e9}, "k" * 32)) == 2e9
    assert issuers.expiration_of("opaque") == 0
