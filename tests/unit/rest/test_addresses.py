"""Whose word counts on where a request comes from."""

from __future__ import annotations

import pytest

from config.settings import SettingsError, load
from server.rest.addresses import client_address, read_networks

TRUSTED = read_networks(["127.0.0.1", "10.0.0.0/8", "::1"])


@pytest.mark.parametrize(("peer", "headers", "address"), [
    ("127.0.0.1", {}, "127.0.0.1"),
    ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, "192.0.2.7"),
    ("::ffff:127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, "192.0.2.7"),
    ("127.0.0.1", {"X-Forwarded-For": "forged, 192.0.2.7, 10.1.2.3"}, "192.0.2.7"),
    ("127.0.0.1", {"X-Forwarded-For": "10.9.9.9, 10.1.2.3"}, "10.9.9.9"),
    ("198.51.100.1", {"X-Forwarded-For": "192.0.2.7"}, "198.51.100.1"),
    ("127.0.0.1", {"X-Forwarded-For": "nonsense"}, "127.0.0.1"),
    ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7:4711"}, "192.0.2.7"),
    ("127.0.0.1", {"Forwarded": 'for=forged, for="[2001:db8::1]:99";proto=https'}, "2001:db8::1"),
    ("127.0.0.1", {"Forwarded": "proto=https;for=192.0.2.7"}, "192.0.2.7"),
    ("127.0.0.1", {"Forwarded": "proto=https"}, "127.0.0.1"),
    ("", {"X-Forwarded-For": "192.0.2.7"}, "")])
def test_the_nearest_address_that_is_no_proxy(peer: str, headers: dict[str, str], address: str) -> None:
    assert client_address(peer, headers, TRUSTED) == address


def test_nobody_is_trusted_unless_named() -> None:
    assert client_address("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, ()) == "127.0.0.1"


def test_a_network_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEPROD__SERVER__TRUSTED_PROXIES", "[10.0.0.0/99]")
    with pytest.raises(SettingsError, match="trusted_proxies"):
        load()
