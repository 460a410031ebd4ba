"""Tokens that are derived from tokens, and tokens that were revoked."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from config.settings import Login
from iceprod.tokens import Caller, TokenError, decode, decode_login, encode, encode_login
from server.common.errors import BadRequest, Forbidden, TooManyRequests
from server.common.signals import Signals
from server.production.people import login, users
from server.production.people.token_routes import MAX_CHAIN, derive
from server.rest.authentication import Authenticator
from server.rest.context import Context


def caller_of(ctx: Context, *roles: str, **options: Any) -> Caller:
    return decode(ctx.secret, encode(ctx.secret, "ada", roles, **options))


async def derived(ctx: Context, caller: Caller, **body: Any) -> Caller:
    return decode(ctx.secret, await derive(ctx, caller, body))


# -- never more than the caller has


@pytest.mark.parametrize(("roles", "body", "given"), [
    (["admin"], {}, {"admin"}),
    (["user"], {}, {"user"}),
    (["admin", "user"], {"role": "user"}, {"user"}),
    (["admin"], {"type": "user", "role": "user"}, {"user"}),
    (["admin"], {"type": "system", "role": "client"}, {"client"}),
    (["admin"], {"type": "system", "role": "pilot"}, {"pilot"}),
    (["client"], {"type": "system", "role": "pilot"}, {"pilot"}),
    (["system"], {"type": "system"}, {"pilot"}),
    (["user"], {"role": "admin"}, "invalid role request"),
    (["user"], {"type": "user", "role": "admin"}, "invalid role"),
    (["user"], {"type": "system", "role": "pilot"}, "invalid role request"),
    (["client"], {"type": "system", "role": "system"}, "invalid role request"),
    (["client"], {"type": "system", "role": "admin"}, "invalid role request"),
    (["client"], {}, "invalid role"),
    (["admin"], {"type": "system", "role": "admin"}, "invalid role request"),
    (["admin"], {"type": "root"}, "invalid token type request"),
    (["admin"], {"role": 5}, "invalid role"),
    (["admin"], {"exp": -1}, "invalid expiration"),
    (["admin"], {"exp": True}, "invalid expiration"),
    (["admin"], {"exp": 10**9}, "invalid expiration"),
])
async def test_what_a_token_may_become(ctx: Context, roles: list[str], body: dict[str, Any],
                                       given: set[str] | str) -> None:
    caller = caller_of(ctx, *roles, groups=["simprod"])
    if isinstance(given, str):
        with pytest.raises(BadRequest) as refused:
            await derive(ctx, caller, body)
        assert refused.value.reason == given
        return
    token = await derived(ctx, caller, **body)
    assert (token.roles, token.groups, token.username) == (given, ("simprod",), "ada")
    assert token.expires <= caller.expires


async def test_a_short_token(ctx: Context) -> None:
    token = await derived(ctx, caller_of(ctx, "user"), exp=60)
    assert token.expires == pytest.approx(time.time() + 60, abs=30)


async def test_temporary_tokens_make_none(ctx: Context) -> None:
    with pytest.raises(BadRequest, match="invalid token type"):
        await derive(ctx, await derived(ctx, caller_of(ctx, "admin")), {})


async def test_roles_that_were_taken_away_are_not_given(ctx: Context) -> None:
    await users.ensure(ctx, "ada", roles=["user"])
    for body in ({"role": "admin"}, {"type": "user", "role": "admin"}, {"type": "system", "role": "client"}):
        with pytest.raises(BadRequest):
            await derive(ctx, caller_of(ctx, "admin", "user"), body)


async def test_chains_of_tokens_end(ctx: Context) -> None:
    caller = caller_of(ctx, "admin")
    for _ in range(MAX_CHAIN - 1):
        caller = await derived(ctx, caller, type="user", role="admin")
    with pytest.raises(BadRequest):
        await derived(ctx, caller, type="user", role="admin")


# -- revocation


async def refused(ctx: Context, token: str) -> bool:
    """Whether a server that just started refuses the token."""
    try:
        await Authenticator(ctx.settings, ctx.db, ctx.secret, Signals()).caller(token)
    except TokenError:
        return True
    return False


async def test_a_revoked_token_is_refused_with_all_made_from_it(ctx: Context) -> None:
    first, other = (encode(ctx.secret, "ada", ["admin"]) for _ in range(2))
    middle = await derive(ctx, decode(ctx.secret, first), {"type": "user", "role": "admin"})
    last = await derive(ctx, decode(ctx.secret, middle), {})
    caller = decode(ctx.secret, middle)
    await ctx.tokens.caller(middle)  # so that a kept copy has to be forgotten
    await ctx.tokens.revocations.revoke_token(caller.token_ids[-1], caller.expires)
    assert [await refused(ctx, token) for token in (first, middle, last, other)] == [False, True, True, False]
    with pytest.raises(TokenError):
        await ctx.tokens.caller(last)


async def test_all_tokens_of_a_user(ctx: Context) -> None:
    before, other = encode(ctx.secret, "ada", ["user"]), encode(ctx.secret, "bob", ["user"])
    await ctx.tokens.revocations.revoke_user("ada")
    after = encode(ctx.secret, "ada", ["user"])
    assert [await refused(ctx, token) for token in (before, other, after)] == [True, False, False]


async def test_who_derives_while_all_are_revoked_is_shut_out(ctx: Context) -> None:
    """Until a server knows of the revocation it still derives tokens, which are younger than that."""
    stolen = caller_of(ctx, "admin")
    await ctx.tokens.revocations.revoke_user("ada")
    middle = await derive(ctx, stolen, {"type": "user", "role": "admin"})
    last = await derive(ctx, decode(ctx.secret, middle), {})
    assert [await refused(ctx, token) for token in (middle, last)] == [True, True]


async def test_who_logs_in_after_all_were_revoked_is_let_in(ctx: Context) -> None:
    before = decode_login(ctx.secret, encode_login(ctx.secret, "ada", ["user"]))
    await ctx.tokens.revocations.revoke_user("ada")
    with pytest.raises(TokenError):
        await ctx.tokens.revocations.check(before)
    after = decode_login(ctx.secret, encode_login(ctx.secret, "ada", ["user"]))
    await ctx.tokens.revocations.check(after)


async def test_other_servers_know_soon(ctx: Context) -> None:
    settings = msgspec.structs.replace(
        ctx.settings, tokens=msgspec.structs.replace(ctx.settings.tokens, revocation_seconds=0.0))
    elsewhere = Authenticator(settings, ctx.db, ctx.secret, Signals())
    token = encode(ctx.secret, "ada", ["user"])
    await elsewhere.caller(token)
    await ctx.tokens.revocations.revoke_user("ada")
    with pytest.raises(TokenError):
        await elsewhere.caller(token)

async def test_a_token_that_is_known_ends_at_its_time(ctx: Context) -> None:
    token = encode(ctx.secret, "ada", ["user"], exp=time.time() + 1.5)
    for _ in range(2):
        assert (await ctx.tokens.caller(token)).username == "ada"
    await asyncio.sleep(2.0)
    with pytest.raises(TokenError, match="expired"):
        await ctx.tokens.caller(token)


# -- logging in


@pytest.fixture
def knows_ada() -> Any:
    login.use_backend(lambda username, password: (username.lower(), password) == ("ada", "right"))
    yield
    login.use_backend(None)


@pytest.mark.usefixtures("knows_ada")
async def test_the_first_login_makes_the_user(ctx: Context) -> None:
    answer = await login.log_in(ctx, "ada", "right")
    assert answer | {"token": ""} == {
        "token": "", "username": "ada", "roles": ["user"], "current_role": "user", "groups": ["users"]}
    caller = decode(ctx.secret, answer["token"])
    assert (caller.roles, caller.groups, caller.kind) == ({"user"}, ("users",), "user")


@pytest.mark.usefixtures("knows_ada")
@pytest.mark.parametrize(("username", "password"), [
    ("ada", "wrong"), ("ada", ""), ("", ""), (None, None), (5, "right"), ("ada", ["right"]),
    ("ada\0", "right"), ("a" * 500, "right")])
async def test_everything_else_fails_alike(ctx: Context, username: object, password: object) -> None:
    with pytest.raises(Forbidden, match="Login failed"):
        await login.log_in(ctx, username, password)


@pytest.mark.usefixtures("knows_ada")
async def test_guessing_has_to_wait(ctx: Context) -> None:
    tries = Login().tries
    for number in range(tries):
        with pytest.raises(Forbidden):
            await login.log_in(ctx, "Ada" if number % 2 else "ada", f"guess {number}", "10.0.0.1")
    with pytest.raises(TooManyRequests) as refused:
        await login.log_in(ctx, "ada", "right", "10.0.0.1")
    assert 1 <= refused.value.retry_after <= 60
    assert await login.log_in(ctx, "ada", "right", "10.0.0.2")  # the guesser locks nobody else out


@pytest.mark.usefixtures("knows_ada")
async def test_an_administrator_switches_roles_after_the_login(ctx: Context) -> None:
    await users.ensure(ctx, "ada", roles=["admin", "user"], groups=["users"])
    caller = decode(ctx.secret, (await login.log_in(ctx, "ada", "right"))["token"])
    assert caller.roles == {"user"}
    switched = await derived(ctx, caller, type="user", role="admin")
    assert switched.roles == {"admin"}
    narrow = await derived(ctx, caller, type="user", role="user")
    with pytest.raises(BadRequest):  # what was given away does not grow again
        await derive(ctx, narrow, {"type": "user", "role": "admin"})
    await users.change(ctx, "ada", {"$set": {"roles": ["user"]}})
    with pytest.raises(BadRequest):
        await derive(ctx, caller, {"type": "user", "role": "admin"})
