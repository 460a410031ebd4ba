"""Default follow-ups: when an object gets a class, a facility is asked to look at it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from config.json_text import JsonError, decode
from iceprod.ids import now
from server.common.errors import BadRequest, Forbidden
from server.desk.common.access import Document, Visitor, own_groups
from server.desk.common.acls import UPLOAD_DATA
from server.desk.followup import requests
from server.desk.followup.requests import Wanted
from server.desk.judgement import classifications
from server.desk.people.groups import check_groups
from server.desk.rules import standing
from server.desk.rules.standing import Draft
from server.rest.context import Context
from server.rules import conditions
from server.rules.conditions import Clause, Condition
from server.rules.decisions import Rule
from server.rules.kinds import Action, Firing, register_action

__all__ = ["ACTION", "checked", "read_source_filter", "shown"]

ACTION = "followup"
_DATES = ("start_date", "end_date")
_WINDOW = timedelta(days=1)


async def checked(ctx: Context, who: Visitor, allocation_id: int, payload: Any, *, group_ids: list[int],
                  name: str | None, source_filter: Any, daily_limit: int | None) -> Draft:
    """A default follow-up. Raises BadRequest; Forbidden for what the facility does not take."""
    if not isinstance(payload, Mapping):
        raise BadRequest("payload: must be an object")
    if given := [name for name in _DATES if name in payload]:
        raise BadRequest(f"payload: {given[0]} cannot be set here: it is set when the request is made")
    condition, told = read_source_filter(source_filter)
    allocation = await standing.allocation_of(ctx, who, allocation_id)
    standing.check_right(who, UPLOAD_DATA)
    await check_groups(ctx, who, own_groups(who, group_ids))
    try:
        await requests.check_payload(ctx, who, allocation_id, _dated(payload))
    except BadRequest as error:
        raise Forbidden(error.reason) from None
    settings = {"allocation_id": allocation_id, "payload": dict(payload),
                "target_group_ids": sorted(set(group_ids))}
    return Draft(ACTION, "classification", condition, settings, [allocation["group_id"]], name, daily_limit,
                 {"source_filter": told})


def _dated(payload: Mapping[str, Any]) -> Document:
    """The payload from now on, for a day."""
    start = now().replace(microsecond=0)
    return {**payload, "start_date": start.isoformat(), "end_date": (start + _WINDOW).isoformat()}


def read_source_filter(given: Any) -> tuple[Condition, Document]:
    """The condition of a source filter, and the filter as it is shown. Raises BadRequest.

    ``{"classification": name or names, "probability": least}``; an empty one never fires.
    """
    document = _object(given, "source_filter")
    if unknown := set(document) - {"classification", "probability"}:
        raise BadRequest(f"source_filter: {min(unknown)[:60]!r} is none of classification, probability")
    if not document:
        return conditions.never, {}
    names = document.get("classification")
    words = [names] if isinstance(names, str) else names
    if not isinstance(words, list) or not words or not all(isinstance(one, str) and one for one in words):
        raise BadRequest("source_filter: classification: must be the name of a class, or a list of names")
    clauses = [Clause("classification", among=tuple(words))]
    if (least := document.get("probability")) is not None:
        clauses.append(Clause("probability", least=_probability(least)))
    return (tuple(clauses),), document


def _probability(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadRequest("source_filter: probability: must be a number from 0 to 1")
    return float(value)


def _object(given: Any, name: str) -> Document:
    """A JSON object, which may come as text; {} for nothing. Raises BadRequest."""
    if isinstance(given, str):
        try:
            given = decode(given)
        except JsonError:
            given = None
        if not isinstance(given, dict):
            raise BadRequest(f"{name}: must be a JSON object")
    if given is not None and not isinstance(given, dict):
        raise BadRequest(f"{name}: must be an object")
    return dict(given or {})


async def shown(ctx: Context, rule: Rule) -> Document:
    """A default follow-up as the API shows it."""
    return {**await standing.on_allocation(ctx, rule), "default_followup_name": rule.name,
            "source_filter": rule.extra["source_filter"]}


async def _fire(ctx: Context, firing: Firing) -> Document:
    """Ask for follow-up of a classified object, in the name of the rule's owner."""
    who, settings = await standing.owner(ctx, firing.rule), firing.rule.settings
    standing.check_right(who, UPLOAD_DATA)
    await classifications.find(ctx, who, int(firing.event.row))
    wanted = Wanted(firing.event.facts["obj_id"], settings["allocation_id"], _dated(settings["payload"]),
                    tuple(settings["target_group_ids"]), key=firing.key)
    return {"followup_request_id": await requests.submit(ctx, who, wanted)}


register_action(Action(ACTION, _fire))
