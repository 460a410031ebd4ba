"""Links from outside: only to named hosts, over TLS, with limits, and never into a private network."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.netutil import DefaultLoopResolver

from server.rest.links import LinkError, LinkRefused, check_link, fetch_link
from server.rest.public import is_public
from tests.support.storage.secure import Answer, Site, secure_site

MB = 1 << 20


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with secure_site(tmp_path, monkeypatch) as made:
        yield made


async def test_what_is_there_is_fetched(site: Site) -> None:
    site.answers["/map.fits?a=1"] = Answer(b"SIMPLE" * 100)
    site.answers["/chunks"] = Answer(b"x" * 200_000, chunked=True)
    assert await fetch_link(site.url("/map.fits?a=1#part"), [site.host], MB, 30) == b"SIMPLE" * 100
    assert len(await fetch_link(site.url("/chunks"), [site.host], MB, 30)) == 200_000


async def test_http_becomes_https(site: Site) -> None:
    site.answers["/map"] = Answer(b"x")
    assert await fetch_link(f"http://{site.host}/map", [site.host], MB, 30) == b"x"


async def test_redirects_are_followed_by_the_same_rule(site: Site) -> None:
    site.answers |= {"/a": Answer(status=302, Location="/b"), "/b": Answer(b"here"),
                     "/in": Answer(status=302, Location="https://127.0.0.1:1/secret"),
                     "/meta": Answer(status=307, Location="http://169.254.169.254/latest/meta-data"),
                     "/file": Answer(status=302, Location="file:///etc/passwd"),
                     "/none": Answer(status=302, Location="https://[1:2/x"),
                     "/loop": Answer(status=301, Location="/loop")}
    assert await fetch_link(site.url("/a"), [site.host], MB, 30) == b"here"
    for path in ("/in", "/meta", "/file", "/none", "/loop"):
        with pytest.raises(LinkRefused):
            await fetch_link(site.url(path), [site.host], MB, 30)
    assert site.asked.count("/loop") == 4


@pytest.mark.parametrize("chunked", [False, True])
async def test_too_much_is_refused(site: Site, chunked: bool) -> None:
    site.answers["/big"] = Answer(b"x" * (MB + 5), chunked=chunked)
    site.answers["/huge"] = Answer(b"x" * (3 * MB), chunked=chunked)
    with pytest.raises(LinkRefused, match="more than 1 MB"):
        await fetch_link(site.url("/big"), [site.host], MB, 30)
    with pytest.raises(LinkError):
        await fetch_link(site.url("/huge"), [site.host], MB, 30)


async def test_what_may_be_there_later(site: Site) -> None:
    site.answers |= {"/slow": Answer(b"x", pause=20.0), "/broken": Answer(status=500)}
    for path, says in (("/none", "HTTP 404"), ("/broken", "HTTP 500"), ("/slow", "within 0.5 s")):
        with pytest.raises(LinkError, match=says) as error:
            await fetch_link(site.url(path), [site.host], MB, 0.5 if path == "/slow" else 30)
        assert not isinstance(error.value, LinkRefused)
    with pytest.raises(LinkError, match="cannot be reached"):
        await fetch_link("https://127.0.0.1:1/x", ["127.0.0.1:1"], MB, 30)


async def test_a_name_that_leads_inside_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.answers["/secret"] = Answer(b"secret")
    name = f"localhost:{site.port}"
    with pytest.raises(LinkRefused, match="private network"):
        await fetch_link(f"https://{name}/secret", [name], MB, 30)

    async def both(self: object, host: str, port: int, family: Any = 0) -> list[tuple[int, Any]]:
        return [(socket.AF_INET, ("93.184.216.34", port)), (socket.AF_INET, ("127.0.0.1", port))]

    monkeypatch.setattr(DefaultLoopResolver, "resolve", both)
    with pytest.raises(LinkRefused, match="private network"):
        await fetch_link(f"https://maps.example.org:{site.port}/secret",
                         [f"maps.example.org:{site.port}"], MB, 30)
    assert site.asked == []


async def test_a_certificate_of_another_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(LinkError, match=r"(?i)certificate"):
        await fetch_link(site.url("/x"), [site.host], MB, 30)


@pytest.mark.parametrize("address", [
    "https://other.org/x", "https://maps.org.evil.com/x", "https://evil.com/maps.org", "ftp://maps.org/x",
    "https://user:pw@maps.org/x", "https://maps.org@evil.com/", "https://maps.org:8443/x", "//maps.org/x",
    "https://[::1]/x", "https://0x7f000001/", "https://2130706433/", "https://maps.org\\@evil.com/", "",
    "https://maps.org:x/", "https://maps.org/a b", "https://maps.org/\r\nHost: x", "https://[",
    "javascript:1", "http://maps.org:80/x", "https:///x", "https://maps.org%2f@evil.com",
])  # fmt: skip
def test_addresses_that_are_refused(address: str) -> None:
    with pytest.raises(LinkRefused):
        check_link(address, ["maps.org"])


def test_addresses_that_are_taken() -> None:
    assert check_link("HTTP://Maps.ORG./x?y#z", ["maps.org"]) == "https://Maps.ORG./x?y"
    assert check_link("https://maps.org:443/x", ["MAPS.org"]) == "https://maps.org:443/x"
    assert check_link("https://maps.org:8443/x", ["maps.org:8443"]) == "https://maps.org:8443/x"


@given(st.text(max_size=60) | st.text(alphabet="htps:/@.mapsorg[]%\\#?1 ", max_size=40))
def test_any_text_is_of_a_named_host_or_refused(text: str) -> None:
    for address in (text, f"https://{text}", f"https://maps.org{text}"):
        with contextlib.suppress(LinkRefused):
            found = check_link(address, ["maps.org"])
            assert found.lower().startswith(("https://maps.org", "https://maps.org:443"))


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "::1",
    "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "ff02::1",
    "255.255.255.255", "::", "198.18.0.1",
])  # fmt: skip
def test_addresses_inside(address: str) -> None:
    assert not is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_hides_nothing(inner: IPv4Address) -> None:
    for wrapped in (IPv6Address(0xFFFF << 32 | int(inner)), IPv6Address(0x64FF9B << 96 | int(inner))):
        if is_public(wrapped):
            assert is_public(inner)


def test_addresses_outside() -> None:
    assert is_public(ip_address("93.184.216.34"))
    assert is_public(ip_address("2606:2800:220:1:248:1893:25c8:1946"))
    assert is_public(ip_address("64:ff9b::5db8:d822"))


async def test_many_at_once(site: Site) -> None:
    site.answers["/x"] = Answer(b"x")
    found = await asyncio.gather(*(fetch_link(site.url("/x"), [site.host], MB, 30) for _ in range(5)))
    assert found == [b"x"] * 5
