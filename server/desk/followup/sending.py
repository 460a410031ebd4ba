"""Bringing requests to their facilities, and taking over those whose sender is gone.

A request is stored before anybody is called, with a lease of whoever stored it, which is extended while the
facility is called. When it ends and the request still waits, another server sends it; adaptors see to it that
this does nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument

from iceprod.ids import now
from server.common.errors import ApiError
from server.desk.common.access import Document
from server.desk.common.keeping import keeping
from server.desk.followup import rows
from server.desk.followup.adaptors import Adaptor, Order, Outcome
from server.desk.followup.facilities import adaptor_of
from server.desk.followup.states import FAILED, PENDING, Phase
from server.desk.objects import objs
from server.desk.observing import allocations, instruments
from server.desk.people import people
from server.rest.context import Context
from server.services.leader import Service

__all__ = ["SERVICES", "lease_end", "order_of", "resend", "send"]

PERIOD = 20.0  # seconds
_LEASE, _EXTENDED = timedelta(minutes=1), 15.0  # seconds: several tries to extend it may fail


def lease_end() -> datetime:
    """Until when a request that waits is left to whoever has it."""
    return now() + _LEASE


async def order_of(ctx: Context, row: Mapping[str, Any]) -> tuple[Adaptor, Order]:
    """A request with all that its adaptor needs. Raises BadRequest when a part is gone."""
    instrument = await instruments.find_instrument(ctx, row["instrument_id"])
    allocation = await allocations.of_number(ctx, row["allocation_id"])
    user = await people.find_user(ctx, row["requester_id"])
    order = Order(row, await objs.find(ctx, row["obj_id"]), instrument, user["username"],
                  allocations.secret_of(ctx, allocation))
    return adaptor_of(instrument), order


async def send(ctx: Context, row: Mapping[str, Any]) -> Document:
    """Submit a stored request that waits; the row afterwards."""
    order = None
    try:
        async with keeping(lambda: _extend(ctx, row["_id"]), _EXTENDED):
            adaptor, order = await order_of(ctx, row)
            outcome = await adaptor.submit(ctx, order)
    except ApiError as error:
        outcome = Outcome(FAILED, Phase.FAILED, reason=error.reason[:300])
    done = await rows.move(ctx, row["_id"], outcome, {"phase": Phase.PENDING.value})
    if done is not None:
        return done
    current = await ctx.db.desk_followup_requests.find_one({"_id": row["_id"]})
    if order is not None and outcome.phase is Phase.OPEN and _is_gone(current):
        known = replace(order, row={**row, **outcome.fields})
        await adaptor.delete(ctx, known)  # it was taken back while the facility was called
    return dict(current or row)


async def _extend(ctx: Context, number: int) -> None:
    await ctx.db.desk_followup_requests.update_one({"_id": number, "phase": Phase.PENDING.value},
                                                   {"$set": {"lease": lease_end()}})


def _is_gone(row: Mapping[str, Any] | None) -> bool:
    return row is None or row["phase"] == Phase.DELETED


async def resend(ctx: Context, row: Mapping[str, Any], **fields: Any) -> Document:
    """Submit a request anew that failed or was refused, perhaps changed; the row afterwards."""
    instrument = await instruments.find_instrument(ctx, row["instrument_id"])
    fresh = adaptor_of(instrument).begin(row["hours_spent"])
    new = {**fields, **fresh, "lease": lease_end(), "sent": row["sent"] + 1}
    waiting = await rows.move(ctx, row["_id"], Outcome(PENDING, Phase.PENDING), **new)
    return dict(row) if waiting is None else await send(ctx, waiting)


async def take_over(ctx: Context) -> None:
    """Send the requests whose sender did not come back."""
    left = {"phase": Phase.PENDING.value, "lease": {"$lte": now()}}
    while (row := await ctx.db.desk_followup_requests.find_one_and_update(
            left, {"$set": {"lease": lease_end()}}, return_document=ReturnDocument.AFTER)) is not None:
        await send(ctx, row)


SERVICES = [Service("follow-up requests", lambda ctx: PERIOD, take_over)]
