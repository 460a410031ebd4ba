"""Tokens of an OpenID Connect issuer, which runs on the loopback interface with real keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Oidc, SettingsError, load
from iceprod.tokens import TokenError
from server.common.errors import Unavailable
from server.rest.oidc import Issuer, matching
from tests.support.issuer import LoopbackIssuer, loopback_issuer


@pytest.fixture
def loopback() -> Iterator[LoopbackIssuer]:
    with loopback_issuer() as issuer:
        yield issuer


def trusting(loopback: LoopbackIssuer, **changes: object) -> Issuer:
    settings = Oidc(issuer=loopback.url, audiences=["iceprod", "skydriver"], retry_seconds=0.0)
    return Issuer(msgspec.structs.replace(settings, **changes))


# -- who it is


async def test_a_token_tells_who_calls(loopback: LoopbackIssuer) -> None:
    token = loopback.token(groups=["/institutions/IceCube/UW-Madison", "/posix/simprod-submit"], jti="x")
    caller = await trusting(loopback).caller(token)
    assert (caller.username, caller.roles, caller.groups) == ("ada", {"user"}, ("simprod", "users"))
    assert (caller.kind, caller.token_ids) == ("user", ("x",))
    assert caller.expires > caller.issued > 0


@pytest.mark.parametrize(("claims", "roles"), [
    ({"groups": ["/tokens/IceProdAdmins"]}, {"admin"}),
    ({"groups": "/tokens/IceProdAdmins"}, {"admin"}),
    ({"groups": ["/tokens/IceProdAdminsOfOld", "x/tokens/IceProdAdmins"]}, set()),
    ({"groups": ["/institutions/IceCube"]}, {"user"}),
    ({"resource_access": {"iceprod": {"roles": ["iceprod-system"]}}}, {"system"}),
    ({"resource_access": {"skydriver-external": {"roles": ["users"]}}}, {"user"}),
    ({"resource_access": {"skydriver-internal": {"roles": ["system"]}}}, {"system"}),
    ({"resource_access": {"skydriver-internal": {"roles": ["users"]}}}, set()),
    ({"resource_access": ["iceprod"], "groups": {"a": 1}}, set()),
    ({"role": "admin", "roles": ["admin"]}, set()),  # what our own tokens say means nothing here
])
async def test_roles_come_from_the_rules(loopback: LoopbackIssuer, claims: dict[str, object],
                                         roles: set[str]) -> None:
    assert (await trusting(loopback).caller(loopback.token(**claims))).roles == roles


async def test_a_service_is_a_system(loopback: LoopbackIssuer) -> None:
    roles = {"iceprod": {"roles": ["iceprod-system"]}}
    token = loopback.token(preferred_username=None, resource_access=roles)
    caller = await trusting(loopback).caller(token)
    assert (caller.kind, caller.username) == ("system", "123")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["groups", "resource_access", "iceprod", "roles"]), inner, max_size=3), max_leaves=10)


@given(st.dictionaries(st.sampled_from(["groups", "resource_access"]), json_values))
def test_odd_claims_give_nothing(claims: dict[str, object]) -> None:
    assert matching(Oidc().roles, claims) == []


# -- what is refused


async def refusal(loopback: LoopbackIssuer, token: str) -> str:
    with pytest.raises(TokenError) as refused:
        await trusting(loopback).caller(token)
    return str(refused.value)


@pytest.mark.parametrize(("claims", "text"), [
    ({"aud": "account"}, "ud"), ({"aud": ["account", "x"]}, "ud"), ({"aud": None}, "aud"),
    ({"exp": 1}, "expired"), ({"exp": None}, "exp"), ({"iss": "https://elsewhere"}, "ssuer"),
    ({"nbf": 9_999_999_999}, "not yet valid"), ({"sub": None}, "sub"),
])
async def test_wrong_claims_are_refused(loopback: LoopbackIssuer, claims: dict[str, object],
                                        text: str) -> None:
    assert text in await refusal(loopback, loopback.token(**claims))


async def test_one_of_several_audiences_is_enough(loopback: LoopbackIssuer) -> None:
    assert await trusting(loopback).caller(loopback.token(aud=["account", "skydriver"]))


async def test_another_key_is_refused(loopback: LoopbackIssuer) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert "ignature" in await refusal(loopback, loopback.token(key=stranger))
    assert "does not publish" in await refusal(loopback, loopback.token("second", key=stranger))


async def test_no_signature_is_refused(loopback: LoopbackIssuer) -> None:
    assert "'none'" in await refusal(loopback, loopback.token(key="", algorithm="none"))
    head, body, signature = loopback.token().split(".")
    assert await refusal(loopback, f"{head}.{body}.")
    assert await refusal(loopback, f"{head}.{body}.{signature[:-8]}AAAAAAAA")


async def test_a_public_key_is_no_secret(loopback: LoopbackIssuer) -> None:
    """Whoever knows the public key must not be able to sign with it as if it were a shared secret."""
    public = loopback.keys["first"].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    header = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "kid": "first", "typ": "JWT"}).encode())
    body = loopback.token().split(".")[1].encode()
    seal = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = jwt.utils.base64url_encode(seal.sign(header + b"." + body, public))
    assert "'HS256'" in await refusal(loopback, b".".join((header, body, signature)).decode())


async def test_an_algorithm_of_another_kind_of_key_is_refused(loopback: LoopbackIssuer) -> None:
    loopback.add_key("curve", curve=True)
    key = loopback.keys["curve"]
    assert await trusting(loopback).caller(loopback.token("curve"))
    assert await refusal(loopback, loopback.token("first", key=key, algorithm="ES256"))


async def test_published_secrets_and_encryption_keys_check_nothing(loopback: LoopbackIssuer) -> None:
    loopback.extra_keys = [{"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
                           {**loopback.published()[0], "kid": "encryption", "use": "enc"}, {"kty": "RSA"}]
    key = loopback.keys["first"]
    assert "does not publish" in await refusal(loopback, loopback.token("encryption", key=key))
    assert await trusting(loopback).caller(loopback.token())


# -- keys


async def test_keys_are_asked_for_once(loopback: LoopbackIssuer) -> None:
    issuer = trusting(loopback)
    await asyncio.gather(*(issuer.caller(loopback.token()) for _ in range(20)))
    assert loopback.asked == {"keys": 1, ".well-known/openid-configuration": 1}


async def test_rotated_keys_are_found(loopback: LoopbackIssuer) -> None:
    issuer, old = trusting(loopback), loopback.token()
    await issuer.caller(old)
    loopback.rotate("second")
    assert await issuer.caller(loopback.token("second"))
    with pytest.raises(TokenError):
        await issuer.caller(old)


async def test_unknown_keys_do_not_make_us_ask_on_and_on(loopback: LoopbackIssuer) -> None:
    issuer = trusting(loopback, retry_seconds=1000.0)
    await issuer.caller(loopback.token())
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for number in range(5):
        with pytest.raises(TokenError):
            await issuer.caller(loopback.token(f"key {number}", key=stranger))
    assert loopback.asked["keys"] == 1


async def test_a_token_without_key_id(loopback: LoopbackIssuer) -> None:
    issuer = trusting(loopback)
    token = loopback.token("", key=loopback.keys["first"])
    assert await issuer.caller(token)
    loopback.add_key("second")
    with pytest.raises(TokenError):  # which of the two is not said
        await trusting(loopback).caller(token)


async def test_keys_outlive_their_issuer(loopback: LoopbackIssuer) -> None:
    issuer = trusting(loopback, keys_seconds=0.0)
    await issuer.caller(loopback.token())
    loopback.broken = True
    assert await issuer.caller(loopback.token())


async def test_an_issuer_that_does_not_answer_is_not_the_callers_fault(loopback: LoopbackIssuer) -> None:
    loopback.broken = True
    with pytest.raises(Unavailable, match="500"):
        await trusting(loopback).caller(loopback.token())
    loopback.broken, loopback.seconds = False, 5.0
    with pytest.raises(Unavailable):
        await trusting(loopback, timeout_seconds=0.1).caller(loopback.token())


async def test_a_description_of_another_issuer_is_refused(loopback: LoopbackIssuer) -> None:
    token = loopback.token()
    loopback.url += "/other"
    with pytest.raises(Unavailable, match="another issuer"):
        await Issuer(Oidc(issuer=loopback.url.removesuffix("/other"), audiences=["iceprod"])).caller(token)


# -- settings


@pytest.mark.parametrize(("environment", "text"), [
    ({"OIDC__ISSUER": "https://x"}, "audiences"),
    ({"OIDC__ROLES": "{admin: [groups]}"}, "claim=pattern"),
    ({"OIDC__ROLES": "{admin: ['groups=(']}"}, "groups=("),
])
def test_settings_that_would_let_anybody_in_are_refused(environment: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environment={f"ICEPROD__{name}": value for name, value in environment.items()})
    assert text in str(refused.value)
