"""What facilities report on requests: by a token that may post from the listener of the request's instrument.

When the allocation's credentials have a `callback_secret`, a message must also be signed with it: a header
``X-Signature: sha256=…`` with the HMAC-SHA256 (RFC 2104) of the body as it was sent, in hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor
from server.desk.common.errors import Unauthorized
from server.desk.common.ids import next_id
from server.desk.followup import rows
from server.desk.followup.adaptors import Outcome
from server.desk.followup.facilities import adaptor_of
from server.desk.followup.states import phase_of
from server.desk.observing import allocations, instruments
from server.rest.context import Context

__all__ = ["receive"]

_RIGHT = "Post from "
_KEPT = 64 << 10  # bytes of a message on record


async def receive(ctx: Context, who: Visitor, request_id: int, status: str, body: bytes,
                  signature: str) -> None:
    """Set a request's status as its facility reports it. Raises BadRequest, Unauthorized.

    Who may post for no listener learns nothing of which requests there are.
    """
    if not who.system and not any(acl.startswith(_RIGHT) for acl in who.acls):
        raise Unauthorized("Insufficient permissions: the token has no right 'Post from …' of a listener")
    row: Document | None = await ctx.db.desk_followup_requests.find_one({"_id": request_id})
    if row is None or not who.has(_RIGHT + await _listener(ctx, row)):
        raise BadRequest(f"followup_request_id: no request {request_id} that this token may report on"
                         " (Insufficient permissions.)")
    await _check_signature(ctx, row, body, signature)
    await _record(ctx, who, row, body)
    text = status.strip()
    if not text:
        raise BadRequest("new_status: must not be empty")
    outcome = Outcome(text, phase_of(text))
    if await rows.move(ctx, request_id, outcome) is None:
        raise BadRequest(f"new_status: request {request_id} is {row['phase']} and cannot become"
                         f" {outcome.phase.value}")


async def _listener(ctx: Context, row: Mapping[str, Any]) -> str:
    """Whose word counts on a request. Raises BadRequest."""
    instrument = await instruments.find_instrument(ctx, row["instrument_id"])
    listener = instrument.get("listener_classname") or adaptor_of(instrument).listener
    if listener is None:
        raise BadRequest(f"followup_request_id: instrument {instrument['_id']} has no listener")
    return str(listener)


async def _check_signature(ctx: Context, row: Mapping[str, Any], body: bytes, signature: str) -> None:
    allocation = await allocations.of_number(ctx, row["allocation_id"])
    secret = allocations.secret_of(ctx, allocation).get("callback_secret")
    if not secret:
        return
    expected = "sha256=" + hmac.new(str(secret).encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.strip().lower().encode()):
        raise Unauthorized("X-Signature: does not fit the body and the allocation's callback_secret")


async def _record(ctx: Context, who: Visitor, row: Mapping[str, Any], body: bytes) -> None:
    """Keep a message beside the calls of its request."""
    await ctx.db.desk_transactions.insert_one({
        "_id": await next_id(ctx, "transaction"), "service": "message of the facility", "created_at": now(),
        "about": rows.about(row["_id"]), "outcome": f"from {who.username}",
        "request": {"method": "POST", "url": "/api/facility",
                    "body": body[:_KEPT].decode(errors="replace")},
        "response": {}})
