"""Asking for follow-up: checking a wish, making the request of it, changing it, taking it back.

`submit` is what everybody calls who wants something observed or scanned again: people by the API and the
pages, and rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pymongo.errors import DuplicateKeyError

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor
from server.desk.common.ids import next_id
from server.desk.followup import rows, sending, spending
from server.desk.followup.adaptors import Adaptor, Order, Outcome
from server.desk.followup.facilities import adaptor_of
from server.desk.followup.states import PENDING, Phase, phase_of
from server.desk.objects import objs
from server.desk.observing import allocations, instruments
from server.desk.people.groups import check_groups
from server.desk.people.people import check_users
from server.rest.context import Context

__all__ = ["Wanted", "change", "check_payload", "fetch", "set_status", "submit", "take_back"]

_MOST_TEXT = 500  # characters of a status


@dataclass(frozen=True)
class Wanted:
    """What is to be observed, by which allocation; groups that share the result, and who watches.

    `key` makes one wish one request: submitted again under it, the request that is there is meant. What is
    asked for by hand has none.
    """

    obj_id: str
    allocation_id: int
    payload: Any
    target_group_ids: tuple[int, ...] = ()
    watcher_ids: tuple[int, ...] = ()
    key: str | None = None


async def submit(ctx: Context, who: Visitor, wanted: Wanted) -> int:
    """Make a request and bring it to its facility; its id. What came of that is the request's status.

    Raises BadRequest: no such object or allocation, no hours left, a payload that the adaptor does not take.
    """
    if wanted.key is not None and (known := await _by_key(ctx, wanted.key)) is not None:
        return known
    await objs.find(ctx, wanted.obj_id)
    await check_groups(ctx, who, wanted.target_group_ids)
    await check_users(ctx, wanted.watcher_ids, "watcher_ids")
    allocation, instrument, adaptor = await _way(ctx, who, wanted.allocation_id)
    payload = await _checked(ctx, adaptor, instrument, who.username, wanted.payload)
    hours = adaptor.hours(payload)
    await spending.check(ctx, allocation, hours)
    number = await next_id(ctx, "followup_requests")
    row = _new(number, who, replace(wanted, payload=payload), allocation, hours)
    try:
        await ctx.db.desk_followup_requests.insert_one({**row, **adaptor.begin()})
    except DuplicateKeyError:  # somebody else fired the same rule
        return await submit(ctx, who, wanted)
    await sending.send(ctx, await _current(ctx, row["_id"]))
    return int(row["_id"])


async def check_payload(ctx: Context, who: Visitor, allocation_id: int, payload: Any) -> Document:
    """What a payload becomes that is submitted by an allocation. Raises BadRequest, which names the field."""
    _, instrument, adaptor = await _way(ctx, who, allocation_id)
    return await _checked(ctx, adaptor, instrument, who.username, payload)


async def _by_key(ctx: Context, key: str) -> int | None:
    row = await ctx.db.desk_followup_requests.find_one({"key": key}, {"_id": 1})
    return None if row is None else int(row["_id"])


async def _current(ctx: Context, request_id: int) -> Document:
    row: Document | None = await ctx.db.desk_followup_requests.find_one({"_id": request_id})
    if row is None:
        raise BadRequest(f"follow-up request {request_id} is not there any more")
    return row


async def _way(ctx: Context, who: Visitor, allocation_id: int) -> tuple[Document, Document, Adaptor]:
    """By which allocation, instrument and adaptor a request goes. Raises BadRequest."""
    allocation = await allocations.find(ctx, who, allocation_id)
    end = allocation.get("end_date")
    if end is not None and end < now():
        raise BadRequest(f"allocation_id: allocation {allocation_id} ended on {end:%Y-%m-%d}")
    instrument = await instruments.find_instrument(ctx, allocation["instrument_id"])
    return allocation, instrument, adaptor_of(instrument)


async def _checked(ctx: Context, adaptor: Adaptor, instrument: Document, username: str,
                   payload: Any) -> Document:
    if not isinstance(payload, Mapping):
        raise BadRequest("payload: must be an object")
    return await adaptor.check(ctx, payload, instrument, username)


def _new(number: int, who: Visitor, wanted: Wanted, allocation: Mapping[str, Any],
         hours: float) -> Document:
    moment = now()
    shared = wanted.target_group_ids or allocation.get("default_share_group_ids") or ()
    row = {"_id": number, "obj_id": wanted.obj_id, "allocation_id": allocation["_id"],
           "instrument_id": allocation["instrument_id"],
           "group_id": allocation["group_id"], "requester_id": who.user_id,
           "last_modified_by_id": who.user_id,
           "payload": wanted.payload, "status": PENDING, "phase": Phase.PENDING.value,
           "target_group_ids": sorted(set(shared)),
           "watchers": sorted({*wanted.watcher_ids}), "products": [], "hours_asked": hours,
           "hours_spent": 0.0, "sent": 0, "lease": sending.lease_end(), "created_at": moment,
           "modified": moment}
    return row if wanted.key is None else {**row, "key": wanted.key}


async def set_status(ctx: Context, who: Visitor, row: Mapping[str, Any], status: str,
                     target_group_ids: list[int] | None = None) -> None:
    """Write down by hand how a request stands; its facility is not told. Raises BadRequest."""
    text = status.strip()
    if not 0 < len(text) <= _MOST_TEXT:
        raise BadRequest(f"status: must be a text of 1 to {_MOST_TEXT} characters")
    fields = await _groups_changed(ctx, who, target_group_ids)
    outcome = Outcome(text, phase_of(text))
    if outcome.phase is Phase.DELETED:
        raise BadRequest("status: a request is taken back by DELETE, so that its facility hears of it")
    moved = await rows.move(ctx, row["_id"], outcome, last_modified_by_id=who.user_id, **fields)
    if moved is None:
        raise BadRequest(f"status: a request that is {row['phase']} cannot become {outcome.phase.value}")


async def _groups_changed(ctx: Context, who: Visitor, target_group_ids: list[int] | None) -> Document:
    if target_group_ids is None:
        return {}
    await check_groups(ctx, who, target_group_ids)
    return {"target_group_ids": sorted(set(target_group_ids))}


async def change(ctx: Context, who: Visitor, row: Mapping[str, Any], payload: Any,
                 target_group_ids: list[int] | None = None) -> None:
    """Change what is asked for; the facility is told, or asked again if it has not got the request.

    Raises BadRequest: the payload, the facility cannot change requests, or refuses to.
    """
    adaptor, order = await sending.order_of(ctx, row)
    if not adaptor.can_update:
        raise BadRequest("this instrument's facility cannot change a request that it has")
    new = await _checked(ctx, adaptor, dict(order.instrument), order.username, payload)
    await _check_more_hours(ctx, row, adaptor.hours(new))
    fields = {**await _groups_changed(ctx, who, target_group_ids), "payload": new,
              "hours_asked": adaptor.hours(new), "last_modified_by_id": who.user_id}
    if row["phase"] in (Phase.FAILED, Phase.REJECTED):
        await sending.resend(ctx, row, **fields)
    elif row["phase"] == Phase.OPEN:
        await _update(ctx, adaptor, order, fields)
    else:
        raise BadRequest(f"a request that is {row['phase']} cannot be changed")


async def _check_more_hours(ctx: Context, row: Mapping[str, Any], hours: float) -> None:
    more = hours - (row["hours_asked"] if row["phase"] in (Phase.PENDING, Phase.OPEN) else 0.0)
    if more > 0:
        await spending.check(ctx, await allocations.of_number(ctx, row["allocation_id"]), more)


async def _update(ctx: Context, adaptor: Adaptor, order: Order, fields: Document) -> None:
    sent = order.row.get("sent", 0) + 1
    changed = {**order.row, "payload": fields["payload"], "payload_before": order.payload, "sent": sent}
    outcome = await adaptor.update(ctx, replace(order, row=changed))
    if outcome.phase is not Phase.OPEN:  # what the facility has is still what it had
        raise BadRequest(f"the request stays as it was: {outcome.reason or outcome.status}")
    if await rows.move(ctx, order.number, outcome, {"phase": Phase.OPEN.value}, **fields, sent=sent) is None:
        raise BadRequest("the request has come to an end meanwhile")


async def take_back(ctx: Context, who: Visitor, row: Mapping[str, Any]) -> None:
    """Take a request back: its facility drops it, a scan of ours is aborted. The row stays, as deleted.

    Raises BadRequest when the facility does not drop it.
    """
    if row["phase"] == Phase.DELETED:
        return
    adaptor, order = await sending.order_of(ctx, row)
    outcome = await adaptor.delete(ctx, order)
    await rows.move(ctx, row["_id"], outcome, last_modified_by_id=who.user_id)


async def fetch(ctx: Context, row: Mapping[str, Any]) -> Document:
    """Ask a facility for results now; the row afterwards. Raises BadRequest."""
    adaptor, order = await sending.order_of(ctx, row)
    if not adaptor.can_fetch:
        raise BadRequest("this instrument's facility cannot be asked for results: it sends them")
    outcome = await adaptor.fetch(ctx, order)
    return await rows.move(ctx, row["_id"], outcome) or dict(row)
