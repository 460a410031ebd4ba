"""A form to make a rule or to change one, with a dry run before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.common.errors import ApiError, BadRequest, NotFound
from server.desk.analyses import services
from server.desk.common.access import Visitor
from server.desk.common.paging import Page
from server.desk.followup import allocation_pages
from server.desk.followup.allocation_pages import GRID
from server.desk.observing import instruments
from server.desk.rules import default_plans, followups, standing
from server.desk.rules.standing import Draft
from server.rest.routing import Route, allow
from server.rules import preview, rules
from server.rules.decisions import EPOCH, Rule
from server.rules.preview import Preview
from server.web.common.handler import READERS
from server.web.desk.desk_handler import DeskPage
from server.web.desk.desk_view import Choice, classes_of
from server.web.desk.rule_forms import KINDS, draft_of, filled_of
from server.web.desk.rule_pages import SHOWN, TITLES
from server.web.desk.value_lines import write_lines

__all__ = ["ROUTES"]

_EXPOSURE = {"exposure_time": 300, "exposure_counts": 1, "maximum_airmass": 2, "minimum_lunar_distance": 30,
             "priority": 3}
_PLAN = {"exposure_time": 300, "maximum_airmass": 2, "integrated_probability": 90}
_SIMULATION = {"modelName": "kilonova", "numberInjections": 1000}
_LONGEST = 20_000  # characters of a field


class _Form(DeskPage):
    """What both forms share."""

    def filled(self) -> dict[str, str]:
        """What was written, as it came."""
        return {name: str(values[-1], "utf8", "replace").strip()[:_LONGEST]
                for name, values in self.request.body_arguments.items()}

    async def may(self, action: str) -> Visitor:
        """Who may make rules of that kind. Raises BadRequest, Forbidden."""
        if action not in KINDS:
            raise BadRequest(f"action: must be one of {', '.join(KINDS)}")
        right = KINDS[action].right
        return await self.allowed(right) if right else await self.who()

    async def show(self, who: Visitor, action: str, filled: Mapping[str, str], *, old: Rule | None = None,
                   tried: Preview | None = None, problem: str = "") -> None:
        offered = await _offered(self, who, action)
        chosen = next((one for one in offered if one.value == filled.get(KINDS[action].on)),
                      offered[0] if offered and old is None else None)
        usual = "" if chosen is None else await _usual(self, action, int(chosen.value))
        self.page("desk_rule_form.html", action=action, kinds=KINDS, kind=KINDS[action], offered=offered,
                  chosen=chosen, filled={"payload": usual, **filled}, old=old, tried=tried, problem=problem,
                  classes=sorted({one.value.partition(":")[2] for one in await classes_of(self.ctx, who)}),
                  seen=old.extra["modified"].isoformat() if old else "", shown=SHOWN, titles=TITLES)

    async def tried(self, who: Visitor, draft: Draft) -> Preview:
        """What the rule would have done; nothing is stored."""
        return await preview.dry_run(self.ctx, replace(draft.rule(who, 0), since=EPOCH))


async def _offered(page: DeskPage, who: Visitor, action: str) -> list[Choice]:
    """What a rule can be bound to: allocations with their hours, services, or rules that plan."""
    on = KINDS[action].on
    if on == "service":
        return [Choice(str(one["_id"]), one["display_name"] or one["name"])
                for one in await services.listed(page.ctx, who) if not one["upload_only"]]
    if on == "plan":
        found = await standing.listed(page.ctx, who, {"action": default_plans.PLAN})
        return [Choice(str(rule.number), rule.name) for rule in found]
    kind = "api_classname" if action == followups.ACTION else None
    rows = await allocation_pages.listed(page.ctx, who, None, kind, Page(1, 1000))
    names = await instruments.names_of(page.ctx, {row["instrument_id"] for row in rows})
    return [Choice(str(row["id"]), f"{names.get(row['instrument_id'], '')}: "
                   f"{row.get('proposal_id') or row['id']}, {row['hours_left']:.3g} h left") for row in rows]


async def _usual(page: DeskPage, action: str, number: int) -> str:
    """A payload to begin with."""
    if KINDS[action].on == "service":
        return ""
    if action == default_plans.EFFICIENCY:
        return write_lines(_SIMULATION)
    row = await page.ctx.db.desk_allocations.find_one({"_id": number})
    instrument: Mapping[str, Any] = {} if row is None else await instruments.find_instrument(
        page.ctx, row["instrument_id"])
    if action == followups.ACTION and instrument.get("api_classname") == GRID:
        return write_lines({"event": "", "priority": 3})
    first = list(instrument.get("filters") or ())[:1]
    if action == followups.ACTION:
        return write_lines({"observation_choices": first, **_EXPOSURE})
    return write_lines({"filters": ",".join(first), **_PLAN})


class NewRule(_Form):
    """A rule that is not there yet."""

    @allow(*READERS)
    async def get(self) -> None:
        action = self.query("action") or followups.ACTION
        names = ("allocation", "service", "plan")
        filled = {name: value for name in names if (value := self.query(name))}
        await self.show(await self.may(action), action, filled)

    @allow(*READERS)
    async def post(self) -> None:
        """Try it, or store it."""
        action, filled = self.field("action"), self.filled()
        who = await self.may(action)
        try:
            draft = await draft_of(self.ctx, who, action, filled, None)
            if _do(filled) == "save":
                number = await standing.add(self.ctx, who, draft)
                self.done("The rule is kept, for what happens from now on.",
                          f"/web/desk/rules/{rules.key_of(action, number)}")
                return
        except ApiError as error:
            self.set_status(error.code)
            await self.show(who, action, filled, problem=error.reason)
            return
        await self.show(who, action, filled, tried=await self.tried(who, draft))


class ChangedRule(_Form):
    """A rule that is there."""

    @allow(*READERS)
    async def get(self, key: str) -> None:
        rule = await self._rule(key)
        await self.show(await self.may(rule.action), rule.action, filled_of(rule), old=rule)

    async def _rule(self, key: str) -> Rule:
        try:
            return await standing.changeable(self.ctx, await self.who(), key)
        except BadRequest as error:
            raise NotFound(error.reason) from None

    @allow(*READERS)
    async def post(self, key: str) -> None:
        """Try it, store it, or remove the rule."""
        rule, filled = await self._rule(key), self.filled()
        who = await self.may(rule.action)
        if filled.get("do") == "remove":
            await self._remove(who, rule)
            return
        try:
            draft = await draft_of(self.ctx, who, rule.action, filled, rule)
            if _do(filled) == "save":
                await standing.replace_with(self.ctx, who, _as_seen(rule, filled), draft)
                self.done("The rule is changed, for what happens from now on.", f"/web/desk/rules/{key}")
                return
        except ApiError as error:
            self.set_status(error.code)
            await self.show(who, rule.action, filled, old=rule, problem=error.reason)
            return
        await self.show(who, rule.action, filled, old=rule, tried=await self.tried(who, draft))

    async def _remove(self, who: Visitor, rule: Rule) -> None:
        if rule.action == default_plans.PLAN:
            await default_plans.remove_plan(self.ctx, who, rule.number)
        else:
            await standing.remove(self.ctx, who, rule.action, rule.number)
        self.done(f"{rule.name} is removed; what it did stays.", "/web/desk/rules")


def _do(filled: Mapping[str, str]) -> str:
    wanted = filled.get("do", "")
    if wanted not in ("try", "save"):
        raise BadRequest("do: must be try or save")
    return wanted


def _as_seen(rule: Rule, filled: Mapping[str, str]) -> Rule:
    """The rule as the writer of the form saw it, so that nobody else's change is lost."""
    if filled.get("seen") == rule.extra["modified"].isoformat():
        return rule
    return replace(rule, extra={**rule.extra, "modified": EPOCH})


ROUTES = [
    Route("/web/desk/rules/new", NewRule, "web"),
    Route("/web/desk/rules/{key:any}/edit", ChangedRule, "web"),
]
