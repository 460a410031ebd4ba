"""Whom this installation calls: a rule of the settings alone, for whoever takes an address from outside."""

from __future__ import annotations

from urllib.parse import urlsplit

from server.common.errors import BadRequest
from server.rest.context import Context

__all__ = ["allowed_hosts", "check_address"]


def allowed_hosts(ctx: Context) -> set[str]:
    """Names of the hosts that may be called, with their ports where these are said."""
    settings = ctx.settings.catalogs
    addresses = [getattr(settings, name) for name in settings.__struct_fields__ if name.endswith("_url")]
    addresses += [target.address for target in ctx.settings.alerts.targets.values() if target.kind == "http"]
    hosts = {urlsplit(address).netloc.lower() for address in addresses if address}
    return hosts | {host.lower() for host in settings.allowed_hosts}


def check_address(ctx: Context, address: str, name: str) -> None:
    """Raise BadRequest unless the address is http(s) and of a host that may be called."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadRequest(f"{name}: not an address: {address[:100]!r}") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
        raise BadRequest(f"{name}: must begin with http:// or https:// and a host's name")
    allowed = allowed_hosts(ctx)
    if parts.netloc.lower() not in allowed and host.lower() not in allowed:
        raise BadRequest(f"{name}: this installation does not call {host[:100]!r} (setting"
                         " catalogs.allowed_hosts)")
