"""Pages of rules: what each did, what it would have done, and why not; and of observation plans."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from tornado.escape import xhtml_escape

from iceprod.ids import now
from server.common.errors import BadRequest, NotFound
from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.paging import Page
from server.desk.maps import localizations
from server.desk.maps.tiles import Tiles
from server.desk.observing.footprints import Footprint, footprint_of
from server.desk.plans import efficiencies, plans
from server.desk.plans.tiling import outline_of
from server.desk.rules import standing
from server.rest.routing import Route, allow
from server.rules import conditions, firings, preview, rules
from server.rules.decisions import Rule
from server.web.common.handler import READERS
from server.web.desk.desk_map import Field, draw, outlines_of
from server.web.desk.desk_pages import DeskPage

__all__ = ["ROUTES", "said", "strip"]

SHOWN = 100
MOST_DRAWN = 300  # fields
STRIP_DAYS = 30
TITLES = {"followup": "ask for follow-up", "plan": "plan observations", "efficiency": "simulate a survey",
          "analysis": "run an analysis"}
STYLES = {"done": "good", "due": "busy", "failed": "bad", "limited": "wait", "skipped": "idle"}
_RESULTS = {"observation_plan_id": "/web/desk/plans/{}"}


def said(rule: Rule) -> str:
    """A rule's condition in words."""
    alternatives = [" and ".join(_clause(clause) for clause in clauses) or "always"
                    for clauses in conditions.shown(rule.condition)]
    return ", or ".join(alternatives) or "never"


def _clause(clause: Mapping[str, Any]) -> str:
    name, parts = str(clause["field"]).replace("_", " "), []
    if "in" in clause:
        parts.append(f"is {' or '.join(map(str, clause['in']))}")
    if "min" in clause:
        parts.append(f"≥ {clause['min']:g}")
    if "max" in clause:
        parts.append(f"≤ {clause['max']:g}")
    if "any" in clause:
        parts.append(f"has {' or '.join(clause['any'])}")
    if "none" in clause:
        parts.append(f"has no {' nor '.join(clause['none'])}")
    return f"{name} {' and '.join(parts)}"


def strip(name: str, days: Sequence[str], fired: Mapping[str, int], limit: int) -> str:
    """How often a rule fired on each day, today at the right, as SVG; a full bar is its limit."""
    label = xhtml_escape(f"Firings of {name} in the last {len(days)} days: {sum(fired.values())}")
    parts = [f'<svg class="bar-chart" viewBox="0 0 {10 * len(days)} 10" preserveAspectRatio="none" '
             f'role="img" aria-label="{label}">']
    for place, day in enumerate(days):
        height = 10 * min(fired.get(day, 0) / limit, 1.0)
        style = "wait" if fired.get(day, 0) >= limit else "good"
        parts.append(f'<rect class="{style}" x="{10 * place}" y="{10 - height:.2f}" width="8" '
                     f'height="{height:.2f}"><title>{day}: {fired.get(day, 0)} of {limit}</title></rect>')
    return "".join([*parts, "</svg>"])


class Rules(DeskPage):
    """All rules that the caller may read."""

    @allow(*READERS)
    async def get(self) -> None:
        who = await self.who()
        found = await standing.listed(self.ctx, who, {})
        rows = [(rule, said(rule), await standing.shown(self.ctx, rule)) for rule in found[:500]]
        self.page("desk_rules.html", rows=rows, titles=TITLES, styles=STYLES,
                  may_change=lambda rule: who.has(UPLOAD_DATA) or rule.owner_id == who.user_id)


class RulePage(DeskPage):
    """One rule: its journal, and a dry run when it is asked for."""

    @allow(*READERS)
    async def get(self, key: str) -> None:
        who = await self.who()
        rule = await self._rule(key)
        done = await firings.listed(self.ctx, rule.key, SHOWN)
        tried = None
        if (back := self.query_int("days", None, minimum=1)) is not None:
            tried = await preview.dry_run(self.ctx, rule, min(back, 90))
        self.page("desk_rule.html", rule=rule, said=said(rule), told=await standing.shown(self.ctx, rule),
                  firings=done, tried=tried, titles=TITLES, styles=STYLES, results=_RESULTS, shown=SHOWN,
                  strip=await self._strip(rule),
                  may_change=who.has(UPLOAD_DATA) or rule.owner_id == who.user_id)

    async def _rule(self, key: str) -> Rule:
        try:
            return await standing.find_key(self.ctx, await self.who(), key)
        except BadRequest as error:
            raise NotFound(error.reason) from None

    async def _strip(self, rule: Rule) -> str:
        today = now().date()
        days = [(today - timedelta(days=back)).isoformat() for back in range(STRIP_DAYS - 1, -1, -1)]
        query = {"rule": rule.key, "day": {"$gte": days[0]}, "place": {"$exists": True}}
        fired = Counter([row["day"] async for row in self.ctx.db.rule_firings.find(query, {"day": 1})])
        return strip(rule.name, days, fired, rule.daily_limit)

    @allow(*READERS)
    async def post(self, key: str) -> None:
        """Switch a rule on or off."""
        rule = await standing.changeable(self.ctx, await self.who(), key)
        wanted = self.field("do")
        if wanted not in ("on", "off"):
            raise BadRequest("do: must be on or off")
        await rules.change(self.ctx, rule, is_active=wanted == "on")
        self.done(f"{rule.name} is switched {wanted}.", self.field("back", "/web/desk/rules"))


class Plans(DeskPage):
    """Observation plans of the caller's groups."""

    @allow(*READERS)
    async def get(self) -> None:
        number = self.query_int("page", 1, minimum=1) or 1
        of_map = self.query_int("map", None)
        query = {} if of_map is None else {"localization_id": of_map}
        rows, total = await plans.listed(self.ctx, await self.who(), query, Page(number, 50))
        self.page("desk_plans.html", rows=rows, number=number, is_last=50 * number >= total, of_map=of_map)


class PlanPage(DeskPage):
    """One plan: its fields on the sky, its exposures, and its efficiencies."""

    @allow(*READERS)
    async def get(self, number: str) -> None:
        who, key = await self.who(), int(number) if number.isdecimal() and len(number) < 19 else -1
        try:
            row = await plans.find(self.ctx, who, key)
        except BadRequest as error:
            raise NotFound(error.reason) from None
        instrument = await plans.instrument_of(self.ctx, row)
        found = await efficiencies.listed(self.ctx, who, "observation_plan", {"observation_plan_id": key},
                                          Page(1, 20))
        self.page("desk_plan.html", row=row, instrument=instrument, efficiencies=found, shown=SHOWN,
                  picture=await self._picture(row, footprint_of(instrument)))

    async def _picture(self, row: Mapping[str, Any], footprint: Footprint) -> str:
        place = await self.ctx.db.desk_localizations.find_one({"_id": row["localization_id"]})
        if place is None or not row["tiles"]:
            return ""
        return await asyncio.to_thread(_drawn, await localizations.tiles_of(self.ctx, place), row, footprint)


def _drawn(tiles: Tiles, row: Mapping[str, Any], footprint: Footprint) -> str:
    seen = {one["field_id"] for one in row["observations"]}
    fields = [Field(f"field {one['field_id']}: {100 * one['probability']:.2g} %",
                    outline_of(one["ra"], one["dec"], footprint),
                    "good" if one["field_id"] in seen else "idle") for one in row["tiles"][:MOST_DRAWN]]
    return draw(outlines_of(tiles, [("r90", tiles.chosen(0.9)), ("r50", tiles.chosen(0.5))]), (), fields)


ROUTES = [
    Route("/web/desk/rules", Rules, "web"),
    Route("/web/desk/rules/{key:any}", RulePage, "web"),
    Route("/web/desk/plans", Plans, "web"),
    Route("/web/desk/plans/{number}", PlanPage, "web"),
]
