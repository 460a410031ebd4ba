"""Where rules may send to: whom a user may mail, which addresses a user may have us post to.

A user may mail the address that their issuer has verified, and whom the administrator allows; nobody else, or
this server would be a way to mail strangers. Addresses to post to are of the open internet, or allowed
(`server/sending/hooks.py`). What of an address is a secret is never shown again.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from server.common.errors import BadRequest
from server.notifications.owners import Owner
from server.rest.context import Context
from server.sending import hooks

__all__ = ["KINDS", "MAIL", "check", "may_mail", "shown"]

MAIL, WEBHOOK, SLACK = "email", "webhook", "slack"
KINDS = (MAIL, WEBHOOK, SLACK)
_MOST = 254  # characters of a mail address (RFC 5321, 4.5.3.1.3)

# A valid e-mail address of the HTML Living Standard, with a dot in its domain: so no comments, no quotes,
# no second recipient.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
                      r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?){1,20}")


def check(ctx: Context, owner: Owner, kind: str, address: str) -> None:
    """Raise BadRequest, with what to do, for an address that an owner may not have us send to."""
    if kind not in KINDS:
        raise BadRequest(f"kind: {kind[:40]!r} is none of {', '.join(KINDS)}")
    if kind != MAIL:
        hooks.check_url(address, ctx.settings.notify.allowed_hosts, "address")
        return
    if not ctx.settings.notify.smtp.is_on:
        raise BadRequest("kind: this installation sends no mails (setting notify.smtp);"
                         " take a webhook or Slack")
    if len(address) > _MOST or not _ADDRESS.fullmatch(address):
        raise BadRequest(f"address: {address[:100]!r} is no mail address")
    if not may_mail(ctx, owner, address):
        raise BadRequest(f"address: {owner.username} may not mail {address}: it must be the address that the "
                         "login has verified" + (f" ({owner.email})" if owner.email else "")
                         + ", or one that an administrator allows (setting notify.allowed_recipients)")


def may_mail(ctx: Context, owner: Owner, address: str) -> bool:
    """Whether an owner may have us mail an address."""
    wanted = address.lower()
    everybody = "*@" + wanted.rpartition("@")[2]
    allowed = {one.lower() for one in ctx.settings.notify.allowed_recipients}
    return wanted in allowed or everybody in allowed or (bool(owner.email) and wanted == owner.email.lower())


def shown(kind: str, address: str) -> str:
    """An address as it is shown: of one to post to the host alone, for the rest may be a secret."""
    return address if kind == MAIL else f"{urlsplit(address).scheme}://{urlsplit(address).netloc}/…"
