"""Where a request comes from: the peer's address, or what proxies that we trust say of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

__all__ = ["Network", "client_address", "is_trusted", "read_networks"]

Network = IPv4Network | IPv6Network

_FOR = re.compile(r"(?:^|;)\s*for=\"?([^\";]+)\"?", re.IGNORECASE)


def read_networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Networks such as 10.0.0.0/8 or 127.0.0.1. Raises ValueError, which names the one that is none."""
    return tuple(ip_network(name, strict=False) for name in names)


def client_address(peer: str, headers: Mapping[str, str], trusted: Sequence[Network]) -> str:
    """The nearest address that is no trusted proxy's.

    Each proxy adds whom it heard from at the end of X-Forwarded-For, or of Forwarded (RFC 7239). What stands
    before an address that we do not trust, anybody may have written.
    """
    address, before = peer, _forwarded(headers)
    while before and is_trusted(address, trusted):
        candidate = _bare(before.pop())
        if not candidate:
            break
        address = candidate
    return address


def _forwarded(headers: Mapping[str, str]) -> list[str]:
    if "Forwarded" in headers:
        found = [_FOR.search(part) for part in headers["Forwarded"].split(",")]
        return [match.group(1) if match else "" for match in found]
    return headers.get("X-Forwarded-For", "").split(",")


def _bare(text: str) -> str:
    """An address without brackets and port; empty for what is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether an address is a trusted proxy's."""
    try:
        number = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(number, "ipv4_mapped", None)
    return any((mapped or number) in network for network in trusted)
