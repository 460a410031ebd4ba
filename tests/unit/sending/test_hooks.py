"""Posts to addresses of users: what is inside stays unreached, whatever the address looks like."""

from __future__ import annotations

import base64
import hashlib
import hmac
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.rest.public import is_public
from server.sending import hooks
from server.sending.hooks import Post, check_url, post, signed
from server.sending.outbox import SendError
from tests.support.notifications.receivers import poster


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::",
    "::127.0.0.1",
])  # fmt: skip
def test_what_is_inside(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_outside(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_is_what_it_wraps(address: IPv4Address) -> None:
    public = is_public(address)
    for prefix in ("::ffff:", "64:ff9b::"):
        assert is_public(IPv6Address(f"{prefix}{address}")) == public
    if not public:
        assert not is_public(IPv6Address((0x2002 << 112) | (int(address) << 80)))


@pytest.mark.parametrize("url", [
    "", "hooks.example.org", "ftp://hooks.example.org/", "https://", "https:///x", "https://user@example.org/",
    "https://a:b@example.org/", "https://example.org:99999/", "https://[::1/", "file:///etc/passwd",
    "https://exa mple.org/", "https://example.org/\r\nX-Evil: 1", "https://example.org/\x00",
    "https://exämple.org/",
    "https://example.org/" + "a" * 2000, "http://example.org/", "https://127.0.0.1/", "https://[::1]/",
    "https://localhost/", "https://server/", "https://10.0.0.1:8443/x", "https://2130706433/",
    "https://[::ffff:10.0.0.1]/", "gopher://example.org/", "https://LOCALHOST/",
])  # fmt: skip
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(BadRequest, match=r"address: "):
        check_url(url, [], "address")


@pytest.mark.parametrize("url", ["https://hooks.slack.com/services/T/B/x", "https://example.org:8443/a?b=c"])
def test_addresses_that_are_taken(url: str) -> None:
    check_url(url, [], "address")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for url in (text, f"https://{text}"):
        try:
            parts = check_url(url, [], "address")
        except BadRequest:
            continue
        assert parts.scheme == "https"
        assert parts.hostname


@pytest.mark.parametrize("url", ["https://2130706433.example/", "https://0x7f.1/", "https://127.1/",
                                 "https://017700000001.0/", "https://localhost.localdomain/"])
async def test_a_name_that_resolves_to_the_inside_is_not_connected_to(url: str) -> None:
    with pytest.raises(SendError):
        await post(Post(url, b"{}"), [])


async def test_the_connection_goes_where_was_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is outside when asked first, and inside when asked again, is asked once."""
    asked: list[str] = []
    with poster() as receiver:
        port = int(receiver.host.partition(":")[2])

        async def resolve(self: object, host: str, *args: object) -> list[tuple[int, tuple[str, int]]]:
            asked.append(host)
            return [(2, ("127.0.0.1", port))]

        monkeypatch.setattr("tornado.netutil.DefaultLoopResolver.resolve", resolve)
        monkeypatch.setattr(hooks, "is_public", lambda address: len(asked) == 1)
        with pytest.raises(SendError, match="cannot be reached"):  # it speaks no TLS
            await post(Post("https://rebinding.example/", b"{}"), [])
        assert asked == ["rebinding.example"]


async def test_mixed_answers_lead_outside_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: object, *args: object) -> list[tuple[int, tuple[str, int]]]:
        return [(2, ("127.0.0.1", 443)), (2, ("8.8.8.8", 443))]

    monkeypatch.setattr("tornado.netutil.DefaultLoopResolver.resolve", resolve)
    assert await hooks._Outside().resolve("x.example", 443) == [(2, ("8.8.8.8", 443))]


async def test_allowed_hosts_are_posted_to() -> None:
    with poster() as receiver:
        said = await post(Post(receiver.url, b'{"a": 1}', {"X-One": "two"}), [receiver.host])
        assert said == "answered HTTP 202"
        one, = receiver.got
        assert (one.body, one.headers["x-one"], one.headers["content-type"]) == (
            b'{"a": 1}', "two", "application/json")
        with pytest.raises(SendError) as refused:
            await post(Post(receiver.url, b"{}"), ["127.0.0.1:1"])
        assert refused.value.is_final, "another port is another host"


async def test_redirects_are_not_followed() -> None:
    with poster() as receiver, poster() as inside:
        receiver.status, receiver.location = 307, inside.url
        with pytest.raises(SendError, match="HTTP 307"):
            await post(Post(receiver.url, b"{}"), [receiver.host])
        assert not inside.got


@pytest.mark.parametrize(("status", "final"), [(500, False), (404, False), (410, True), (429, False)])
async def test_refusals(status: int, final: bool) -> None:
    with poster() as receiver:
        receiver.status = status
        with pytest.raises(SendError, match=str(status)) as error:
            await post(Post(receiver.url, b"{}"), [receiver.host])
        assert error.value.is_final is final


async def test_nobody_there() -> None:
    with poster() as receiver:
        url, host = receiver.url, receiver.host
    with pytest.raises(SendError, match="cannot be reached"):
        await post(Post(url, b"{}"), [host])


def test_signatures_are_those_of_standard_webhooks() -> None:
    """The example of the specification's reference implementation."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = signed(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(min_size=16, max_size=64), st.binary(max_size=100), st.integers(0, 2**40))
def test_whoever_has_the_secret_can_check(key: bytes, body: bytes, moment: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    made = signed(secret, "id", moment, body)
    mark = hmac.new(key, b"id." + str(moment).encode() + b"." + body, hashlib.sha256).digest()
    assert made["webhook-signature"] == "v1," + base64.b64encode(mark).decode()


@pytest.mark.parametrize("secret", ["", "abc", "whsec_", "whsec_!!!!", "whsec_YWJj", "whsec_" + "A" * 400])
def test_secrets_that_are_none(secret: str) -> None:
    with pytest.raises(BadRequest, match="whsec_") as error:
        hooks.read_secret(secret, "secret")
    assert not secret or secret == "whsec_" or secret not in error.value.reason


def test_new_secrets_are_secrets() -> None:
    assert hooks.read_secret(hooks.new_secret(), "secret") != hooks.read_secret(hooks.new_secret(), "secret")
