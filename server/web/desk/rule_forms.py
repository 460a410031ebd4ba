"""What the form of a rule says: read to a checked draft, and written from a rule that is there."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.common.errors import BadRequest
from server.desk.common.access import Visitor
from server.desk.common.acls import MANAGE_PLANS, RUN_ANALYSES, UPLOAD_DATA
from server.desk.rules import default_analyses, default_plans, followups
from server.desk.rules.standing import Draft
from server.rest.context import Context
from server.rules.decisions import Rule
from server.web.desk.value_lines import read_lines, words, write_lines

__all__ = ["KINDS", "Filled", "Kind", "draft_of", "filled_of"]

Filled = Mapping[str, str]
"""The fields of a form by name, as they were written."""

_SHOW = ("show_parameters", "show_plots", "show_corner")


@dataclass(frozen=True)
class Kind:
    """A kind of rule that has a form: what it does, when, and the right that it takes; empty: none."""

    does: str
    when: str
    right: str
    on: str  # what it is bound to: allocation, service or plan


KINDS = {
    followups.ACTION: Kind("ask for follow-up", "an object gets a class", UPLOAD_DATA, "allocation"),
    default_plans.PLAN: Kind("plan observations", "a new sky map comes", MANAGE_PLANS, "allocation"),
    default_plans.EFFICIENCY: Kind("simulate a survey", "a plan of a rule is made", "", "plan"),
    default_analyses.ACTION: Kind("run an analysis", "an object gets a class", RUN_ANALYSES, "service"),
}
"""By the name of the rule's action."""


async def draft_of(ctx: Context, who: Visitor, action: str, filled: Filled, old: Rule | None) -> Draft:
    """The checked draft that a filled form asks for. Raises ApiError, which names the field."""
    return await _READ[action](ctx, who, filled, old)


def filled_of(rule: Rule) -> dict[str, str]:
    """A rule as its form is filled."""
    return {"name": rule.name, "daily_limit": str(rule.daily_limit), **_WRITTEN[rule.action](rule)}


# -- reading


async def _followup(ctx: Context, who: Visitor, filled: Filled, old: Rule | None) -> Draft:
    chosen: dict[str, Any] = {"classification": _classes(filled)}
    if (least := _number(filled, "probability", 0, 1)) is not None:
        chosen["probability"] = least
    return await followups.checked(
        ctx, who, _chosen(filled, "allocation"), read_lines(filled.get("payload", ""), "payload"),
        group_ids=_targets(old), name=_name(filled), source_filter=chosen, daily_limit=_limit(filled))


async def _plan(ctx: Context, who: Visitor, filled: Filled, old: Rule | None) -> Draft:
    asked: dict[str, Any] = {name: words(filled[name]) for name in ("gcn_tags", "localization_tags")
                             if filled.get(name, "").strip()}
    if (most := _number(filled, "max_area_90", 0, 41253)) is not None:
        asked["max_area_90"] = most
    if filled.get("only_scans"):
        asked["only_scans"] = True
    return await default_plans.checked_plan(
        ctx, who, _chosen(filled, "allocation"), read_lines(filled.get("payload", ""), "payload"),
        group_ids=_targets(old), name=_name(filled), filters=asked, daily_limit=_limit(filled))


async def _efficiency(ctx: Context, who: Visitor, filled: Filled, old: Rule | None) -> Draft:
    return await default_plans.checked_efficiency(
        ctx, who, _chosen(filled, "plan"), read_lines(filled.get("payload", ""), "payload"),
        daily_limit=_limit(filled), name=_name(filled))


async def _analysis(ctx: Context, who: Visitor, filled: Filled, old: Rule | None) -> Draft:
    least = _number(filled, "probability", 0, 1)
    chosen = {"classifications": [{"name": name, "probability": least or 0.0} for name in _classes(filled)]}
    show = dict(old.settings["show"]) if old else {name: name != "show_corner" for name in _SHOW}
    return await default_analyses.checked(
        ctx, who, _chosen(filled, "service"), source_filter=chosen, daily_limit=_limit(filled), show=show,
        parameters=read_lines(filled.get("payload", ""), "payload"),
        group_ids=list(old.group_ids) if old and old.group_ids else None, name=_name(filled))


_READ: dict[str, Callable[[Context, Visitor, Filled, Rule | None], Awaitable[Draft]]] = {
    followups.ACTION: _followup, default_plans.PLAN: _plan, default_plans.EFFICIENCY: _efficiency,
    default_analyses.ACTION: _analysis}


def _targets(old: Rule | None) -> list[int]:
    return list(old.settings["target_group_ids"]) if old else []


def _name(filled: Filled) -> str | None:
    name = filled.get("name", "").strip()
    if len(name) > 200:
        raise BadRequest("name: at most 200 characters")
    return name or None


def _classes(filled: Filled) -> list[str]:
    found = words(filled.get("classes", ""))
    if not found:
        raise BadRequest("classes: name at least one class: without one the rule would never fire")
    return found


def _limit(filled: Filled) -> int | None:
    given = _number(filled, "daily_limit", 1, 100)
    if given is not None and given != int(given):
        raise BadRequest("daily_limit: must be a whole number")
    return None if given is None else int(given)


def _chosen(filled: Filled, field: str) -> int:
    text = filled.get(field, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise BadRequest(f"{field}: choose one of the list")
    return int(text)


def _number(filled: Filled, field: str, low: float, high: float) -> float | None:
    """A number of the form; None where nothing is written."""
    text = filled.get(field, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise BadRequest(f"{field}: must be a number from {low:g} to {high:g}, not {text[:40]!r}")
    return value


# -- writing


def _of_followup(rule: Rule) -> dict[str, str]:
    given = rule.extra["source_filter"]
    names = given.get("classification", [])
    return {"classes": names if isinstance(names, str) else ", ".join(names),
            "probability": _plain(given.get("probability")), **_on_allocation(rule)}


def _of_plan(rule: Rule) -> dict[str, str]:
    given = rule.extra["filters"]
    return {**{name: ", ".join(given.get(name) or ()) for name in ("gcn_tags", "localization_tags")},
            "max_area_90": _plain(given.get("max_area_90")),
            "only_scans": "yes" if given.get("only_scans") else "", **_on_allocation(rule)}


def _of_efficiency(rule: Rule) -> dict[str, str]:
    return {"plan": str(rule.settings["default_plan_id"]), "payload": write_lines(rule.settings["payload"])}


def _of_analysis(rule: Rule) -> dict[str, str]:
    """The form has one probability for all classes: the largest, so that no form widens a rule."""
    given = rule.extra["source_filter"]["classifications"]
    return {"classes": ", ".join(one["name"] for one in given),
            "probability": _plain(max(one.get("probability", 0) for one in given)),
            "service": str(rule.settings["analysis_service_id"]),
            "payload": write_lines(rule.settings["parameters"])}


_WRITTEN: dict[str, Callable[[Rule], dict[str, str]]] = {
    followups.ACTION: _of_followup, default_plans.PLAN: _of_plan, default_plans.EFFICIENCY: _of_efficiency,
    default_analyses.ACTION: _of_analysis}


def _on_allocation(rule: Rule) -> dict[str, str]:
    return {"allocation": str(rule.settings["allocation_id"]),
            "payload": write_lines(rule.settings["payload"])}


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
