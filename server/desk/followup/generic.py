"""The adaptor of any facility that is reached over HTTP, and of those where people read the list.

The allocation's credentials say where: `endpoint`, and `api_token` that goes into the header. Without an
endpoint nobody is called: observers find the request in the list and in the schedule. A request is sent by
POST, changed by another, taken back by DELETE below the number that the facility gave it; each call carries
the same Idempotency-Key, so that a try that was lost on its way back is not observed twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from config.json_text import JsonError, decode
from server.common.errors import ApiError, BadRequest
from server.desk.common.access import Document
from server.desk.common.bodies import Name
from server.desk.common.dates import parse_date
from server.desk.followup.adaptors import Adaptor, Order, Outcome
from server.desk.followup.rows import about
from server.desk.followup.states import DELETED, FAILED, SUBMITTED, Phase
from server.desk.outside.calls import Answer, Call, ServiceError, exchange, without
from server.rest.context import Context

__all__ = ["Generic", "Loopback", "Payload", "read_payload"]

_FACILITY = "the facility"
_LONGEST = 300  # characters of a facility's reason

Priority = Annotated[float, msgspec.Meta(ge=1, le=5)]


class Payload(msgspec.Struct, kw_only=True):
    """Exposures that are asked for; times in seconds, angles in degrees. A facility may know more fields."""

    observation_choices: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=100)]
    exposure_time: Annotated[float, msgspec.Meta(gt=0, le=86400)]
    exposure_counts: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    maximum_airmass: Annotated[float, msgspec.Meta(ge=1, le=3)]
    minimum_lunar_distance: Annotated[float, msgspec.Meta(ge=0, le=180)]
    priority: Priority
    start_date: Name
    end_date: Name


def read_payload(payload: Mapping[str, Any]) -> Payload:
    """A typed payload. Raises BadRequest, which names the field."""
    try:
        return msgspec.convert(payload, Payload)
    except msgspec.ValidationError as error:
        raise BadRequest(f"payload: {error}") from None


class Generic(Adaptor):
    """A facility over HTTP, or people who read the list."""

    can_update = True

    async def check(self, ctx: Context, payload: Mapping[str, Any], instrument: Mapping[str, Any],
                    username: str) -> Document:
        asked = read_payload(payload)
        if unknown := [name for name in asked.observation_choices if name not in instrument["filters"]]:
            known = ", ".join(instrument["filters"]) or "it has none"
            raise BadRequest(f"payload.observation_choices: {unknown[0][:60]!r} is no filter of the"
                             f" instrument ({known})")
        first = parse_date(asked.start_date, "payload.start_date")
        if parse_date(asked.end_date, "payload.end_date") < first:
            raise BadRequest("payload.end_date: must not be before start_date")
        return dict(payload)

    def hours(self, payload: Mapping[str, Any]) -> float:
        asked = read_payload(payload)
        return asked.exposure_time * asked.exposure_counts * len(asked.observation_choices) / 3600

    async def submit(self, ctx: Context, order: Order) -> Outcome:
        return await self._send(ctx, order)

    async def update(self, ctx: Context, order: Order) -> Outcome:
        return await self._send(ctx, order)

    async def delete(self, ctx: Context, order: Order) -> Outcome:
        gone = Outcome(DELETED, Phase.DELETED)
        if not order.secret.get("endpoint") or not order.row.get("facility_id"):
            return gone
        try:
            answer = await exchange(ctx, _call(order, "DELETE"))
        except ServiceError as error:
            raise BadRequest(f"the request stays: {error.reason}") from None
        if not answer.is_good and answer.status not in (404, 410):
            raise BadRequest(f"the request stays: {_FACILITY} refuses to drop it ({_reason(answer)})")
        return gone

    async def _send(self, ctx: Context, order: Order) -> Outcome:
        if not order.secret.get("endpoint"):
            return Outcome(SUBMITTED, Phase.OPEN)
        try:
            answer = await exchange(ctx, _call(order, "POST", _told(ctx, order)))
            return _outcome(answer, order)
        except ApiError as error:
            reason = without(_secrets(order), error.reason)[:_LONGEST]
            return Outcome(FAILED, Phase.FAILED, reason=reason)


class Loopback(Generic):
    """A facility that takes everything and calls nobody: for practice."""

    async def submit(self, ctx: Context, order: Order) -> Outcome:
        return Outcome(SUBMITTED, Phase.OPEN)

    update = submit

    async def delete(self, ctx: Context, order: Order) -> Outcome:
        return Outcome(DELETED, Phase.DELETED)


def _told(ctx: Context, order: Order) -> Document:
    """What a facility is told."""
    obj = order.obj
    target = {"name": obj["_id"], "ra": obj["ra"], "dec": obj["dec"], "redshift": obj.get("redshift")}
    public = ctx.settings.server.public_url
    return {"followup_request_id": order.number, "requester": order.username,
            "instrument": order.instrument["name"], "target": target, "payload": dict(order.payload),
            "callback_url": f"{public.rstrip('/')}/api/facility" if public else None}


def _call(order: Order, method: str, body: Document | None = None) -> Call:
    address = str(order.secret["endpoint"]).rstrip("/")
    if method == "DELETE":
        address = f"{address}/{order.row['facility_id']}"
    headers = {"Idempotency-Key": f"{order.number}-{order.row.get('sent', 0)}-{method}"}
    if token := order.secret.get("api_token"):
        headers["Authorization"] = f"token {token}"
    return Call(_FACILITY, address, method=method, headers=headers, about=about(order.number),
                body=None if body is None else msgspec.json.encode(body), secrets=_secrets(order))


def _secrets(order: Order) -> tuple[str, ...]:
    return tuple(_texts(order.secret))


def _texts(value: Any) -> list[str]:
    """All texts in a document."""
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


def _outcome(answer: Answer, order: Order) -> Outcome:
    if not answer.is_good:
        return Outcome(f"rejected: {_reason(answer)}"[:_LONGEST], Phase.REJECTED)
    said = _document(answer)
    if said is None:
        return Outcome(FAILED, Phase.FAILED, reason=f"{_FACILITY} gave an answer that is no JSON object")
    number = _number(said) or order.row.get("facility_id")
    return Outcome(SUBMITTED, Phase.OPEN, {"facility_id": number} if number else {})


def _document(answer: Answer) -> Document | None:
    try:
        document = decode(answer.body)
    except JsonError:
        return None
    return document if isinstance(document, dict) else None


def _number(said: Document) -> str:
    """The facility's own number of a request; only what fits into an address."""
    data = said.get("data")
    number = (data if isinstance(data, dict) else said).get("id")
    text = str(number) if isinstance(number, int | str) else ""
    return text if text.replace("-", "").replace("_", "").isalnum() and len(text) <= 200 else ""


def _reason(answer: Answer) -> str:
    said = _document(answer) or {}
    reason = said.get("message") or said.get("error") or said.get("detail") or ""
    return str(reason).strip() or f"HTTP {answer.status}"

