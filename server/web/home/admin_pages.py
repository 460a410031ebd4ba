"""Pages for administrators: what waits and what was given up, services; and everybody's tokens."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from server.common.errors import ApiError, BadRequest, NotFound
from server.production.people import token_routes
from server.rest import health
from server.rest.routing import Route, allow
from server.scans.manifests import manifests
from server.scans.run import backlog
from server.services.leader import Service, Services
from server.web.common.handler import PageHandler

__all__ = ["ROUTES"]

HOURS = {"1": "an hour", "8": "8 hours", "24": "a day", "168": "a week", "720": "30 days"}
MOST_WAITING = 200


@dataclass(frozen=True)
class ServiceRow:
    """A periodic service: how often it is due, and when this server last did it (seconds)."""

    name: str
    period: float
    age: float | None


class Admin(PageHandler):
    """What waits, what was given up, and whether the services run."""

    @allow("admin")
    async def get(self) -> None:
        waiting = await backlog.entries(self.ctx)
        template = "admin_now.html" if self.part_wanted == "now" else "admin.html"
        self.page(template, waiting=waiting[:MOST_WAITING], number_waiting=len(waiting),
                  dead=await backlog.dead_letters(self.ctx), services=self._services(),
                  probes=await health.probes(self.ctx), requests=await self._requests(),
                  server_id=self.ctx.server_id)

    def _services(self) -> list[ServiceRow]:
        running: Services | None = self.application.settings["services"]
        if running is None:
            return []
        return [self._row(service, running.last_success.get(service.name)) for service in running.services]

    def _row(self, service: Service, last: float | None) -> ServiceRow:
        age = None if last is None else time.time() - last
        return ServiceRow(service.name, service.period(self.ctx), age)

    async def _requests(self) -> dict[str, int]:
        return {state: await self.ctx.db.requests.count_documents({"status": state})
                for state in ("queued", "processing", "error")}


class Revive(PageHandler):
    """Try a scan again that could not be started."""

    @allow("user", "admin")
    async def post(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id, include_deleted=False)
        if not await backlog.revive(self.ctx, scan_id):
            raise NotFound("this scan is not among the dead letters")
        self.ctx.signals.notify("scans")
        self.done("The scan is tried again.", f"/web/scans/{scan_id}")


class Tokens(PageHandler):
    """Making tokens, and revoking them."""

    def form(self, token: str = "", problem: str = "") -> None:
        """Answer with the page; a new token is shown this once."""
        self.page("tokens.html", token=token, problem=problem, hours=HOURS, expires=self.user.expires,
                  is_admin="admin" in self.user.roles)

    @allow("user", "admin")
    async def get(self) -> None:
        self.form()

    @allow("user", "admin")
    async def post(self) -> None:
        """Make a token; it is shown on the page that answers, and kept nowhere."""
        hours = self.field("hours", "24")
        if hours not in HOURS:
            raise BadRequest("hours: none of those that can be chosen")
        seconds = min(int(hours) * 3600, int(self.user.expires - time.time()))
        kind, _, role = self.field("kind", "temp").partition(":")
        body: dict[str, Any] = {"type": kind, "exp": max(1, seconds), **({"role": role} if role else {})}
        if site := self.field("site", ""):
            if not re.fullmatch(r"[\w.-]{1,100}", site):
                raise BadRequest("site: letters, digits, dots and dashes")
            body["site"] = site
        try:
            self.form(token=await token_routes.derive(self.ctx, self.user, body))
        except BadRequest as error:
            self.set_status(error.code)
            self.form(problem=f"This token cannot be made: {error.reason}.")


class RevokeToken(Tokens):
    """Refusing tokens from now on."""

    @allow("user", "admin")
    async def get(self) -> None:
        self.form()

    @allow("user", "admin")
    async def post(self) -> None:
        token, username = self.field("token", ""), self.field("username", "")
        if not token and self.field("sure", "") != "yes":
            raise BadRequest("sure: this cannot be undone; tick the box that says that you know")
        body = {"token": token} if token else {"username": username}
        if not token and not username:
            raise BadRequest("give a token, or the name of a user")
        try:
            await token_routes.revoke(self.ctx, self.user, body)
        except ApiError as error:
            self.set_status(error.code)
            self.form(problem=f"Nothing was revoked: {error.reason}.")
            return
        what = "The token is" if token else f"All tokens of {username} are"
        self.done(f"{what} refused from now on.", "/web/tokens")


ROUTES = [
    Route("/web/admin", Admin, "web"),
    Route("/web/scans/{scan_id}/revive", Revive, "web"),
    Route("/web/tokens", Tokens, "web"),
    Route("/web/tokens/revoke", RevokeToken, "web"),
]
