"""Which addresses are of the open internet: for whoever calls where somebody outside told it to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

__all__ = ["is_public"]

_NAT64 = ip_network("64:ff9b::/96")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is of the open internet, also when it wraps another (RFC 4291, 3056, 4380, 6052)."""
    if isinstance(address, IPv6Address):
        same = address.ipv4_mapped or _behind_nat64(address)
        if same is not None:
            return is_public(same)
        if any(not is_public(one) for one in (address.sixtofour, *(address.teredo or ())) if one is not None):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _behind_nat64(address: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(address) & 0xffffffff) if address in _NAT64 else None
