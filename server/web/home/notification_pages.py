"""The page of notifications: one's rules, a new one, and the log of what was told."""

from __future__ import annotations

from typing import Any

from server.common.errors import BadRequest, Conflict
from server.notifications import messages, notes, owners, recipients, rules, topics
from server.notifications.filters import FACTS, Filters
from server.notifications.owners import Owner
from server.notifications.rules import Change, Rule, Wanted
from server.rest.routing import Route, allow
from server.web.common.handler import COOKIE, READERS, PageHandler

__all__ = ["ROUTES"]

HOME = "/web/notifications"
PER_PAGE = 50
STYLES = {"sent": "good", "sending": "busy", "waiting": "wait", "dead": "bad"}
KINDS = {"email": "Mail", "webhook": "Webhook", "slack": "Slack"}
PAUSES = {"0": "none", "5": "5 minutes", "60": "an hour", "1440": "a day"}
FILTERS = {"groups": "Groups", "streams": "Streams", "recos": "Reconstructions", "sites": "Sites",
           "entries": "Entries"}


class Notifications(PageHandler):
    """One's rules and messages; with `all` an administrator sees everybody's."""

    async def owner(self) -> Owner:
        return await owners.seen(self.ctx, self.user, self.get_cookie(COOKIE) or "")

    async def reach(self) -> str | None:
        """Whose rules and messages may be acted on; None: everybody's."""
        owner = await self.owner()
        return None if owner.is_admin else owner.username

    async def form(self, owner: Owner, secret: str = "", problem: str = "") -> None:
        """Answer with the page; a new secret is shown this once."""
        everybody = owner.is_admin and self.query_bool("all")
        username = None if everybody else owner.username
        number = self.query_int("page", 1, minimum=1) or 1
        if number > 100_000:
            raise BadRequest("page: at most 100000")
        found = await rules.listed(self.ctx, username)
        log = await messages.listed(self.ctx, username, skip=(number - 1) * PER_PAGE, limit=PER_PAGE + 1)
        self.page("notifications.html", secret=secret, problem=problem, rules=found, log=log[:PER_PAGE],
                  number=number, is_last=len(log) <= PER_PAGE, everybody=everybody, is_admin=owner.is_admin,
                  waiting=await notes.waiting_counts(self.ctx, [rule.rule_id for rule in found]),
                  topics=await self._topics(owner),
                  titles={name: one.title for name, one in topics.TOPICS.items()},
                  kinds=self._kinds(), email=owner.email, styles=STYLES, pauses=PAUSES, filters=FILTERS,
                  told_filters=_told, kind_names=KINDS, given=self._given(is_wanted=bool(problem)))

    async def _topics(self, owner: Owner) -> list[topics.Topic]:
        return [one for one in topics.TOPICS.values() if await owners.may_hear(self.ctx, owner, one)]

    def _kinds(self) -> dict[str, str]:
        is_on = self.ctx.settings.notify.smtp.is_on
        return {kind: name for kind, name in KINDS.items() if is_on or kind != recipients.MAIL}

    def _given(self, *, is_wanted: bool) -> dict[str, str]:
        """What was typed, for a form that was refused; addresses may be secrets and are typed anew."""
        names = ("event", "kind", "name", "area_below_deg2", "text", "pause_minutes", "others", *FILTERS)
        return {name: self.get_body_argument(name, "")[:2000] if is_wanted else "" for name in names}

    @allow(*READERS)
    async def get(self) -> None:
        await self.form(await self.owner())

    @allow(*READERS)
    async def post(self) -> None:
        """Make a rule; the secret of a webhook is on the page that answers, and nowhere else."""
        owner = await self.owner()
        try:
            rule, secret = await rules.add(self.ctx, owner, self._wanted())
        except (BadRequest, Conflict) as error:
            self.set_status(error.code)
            await self.form(owner, problem=f"This rule cannot be made: {error.reason}.")
            return
        if secret:
            await self.form(owner, secret=secret)
            return
        self.done(f"The rule {rule.name} is made. Test sends a first message.", HOME)

    def _wanted(self) -> Wanted:
        filters: dict[str, Any] = {name: self.field(name, "").split() for name in FILTERS}
        filters |= {"own": False} if self.field("others", "") == "yes" else {}
        if area := self.field("area_below_deg2", ""):
            filters["area_below_deg2"] = self._number("area_below_deg2", area)
        return rules.read({
            "event": self.field("event"), "kind": self.field("kind"), "address": self.field("address"),
            "name": self.field("name", ""), "filters": {**filters, "text": self.field("text", "")},
            "pause_minutes": self._number("pause_minutes", self.field("pause_minutes", "5"))}, Wanted)

    def _number(self, name: str, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise BadRequest(f"{name}: {text[:40]!r} is not a number") from None


class OneRule(Notifications):
    """What is done with a rule: a test, switching, removing."""

    @allow(*READERS)
    async def get(self, rule_id: str) -> None:
        self.redirect(HOME)

    @allow(*READERS)
    async def post(self, rule_id: str) -> None:
        owner, wanted = await self.owner(), self.field("do")
        rule = await rules.find(self.ctx, rule_id, await self.reach())
        match wanted:
            case "test" if rule.username == owner.username:
                await messages.test(self.ctx, rule)
                text = "A test is on its way; the log tells what becomes of it."
            case "on" | "off":
                await rules.change(self.ctx, owner, rule, Change(is_active=wanted == "on"))
                text = f"The rule {rule.name} is {wanted}."
            case "remove":
                await rules.remove(self.ctx, rule)
                text = f"The rule {rule.name} is removed."
            case _:
                raise BadRequest("do: test (of one's own rule), on, off or remove")
        self.done(text, HOME)


class Again(Notifications):
    """Trying a message anew that was given up."""

    @allow(*READERS)
    async def get(self) -> None:
        self.redirect(HOME)

    @allow(*READERS)
    async def post(self) -> None:
        await messages.again(self.ctx, self.field("key"), await self.reach())
        self.done("It is tried again.", HOME)


_SINGULAR = {"groups": "group", "streams": "stream", "recos": "reconstruction", "sites": "site",
             "entries": "entry"}


def _told(rule: Rule) -> str:
    """The filters of a rule in words."""
    filters: Filters = rule.filters
    parts = [f"{_SINGULAR[name]} {' or '.join(getattr(filters, name))}" for name in FACTS
             if isinstance(getattr(filters, name), list) and getattr(filters, name)]
    parts += [f"90 % region below {filters.area_below_deg2:g} deg²"] if filters.area_below_deg2 else []
    parts += [f"title with “{filters.text}”"] if filters.text else []
    has_owner = bool(topics.TOPICS[rule.event].owner)
    return ", ".join([*(["of everybody" if filters.own is False else "own"] if has_owner else []), *parts])


ROUTES = [
    Route(HOME, Notifications, "web"),
    Route(HOME + "/rules/{rule_id}", OneRule, "web"),
    Route(HOME + "/retries", Again, "web"),
]
