"""Routes of pilots."""

from __future__ import annotations

from typing import Any

from server.common.errors import BadRequest, Forbidden
from server.production.common.documents import Document
from server.production.common.fields import Field, read_fields, takes
from server.production.common.handler import ProductionHandler
from server.production.sites import beats, pilot_ends, pilot_tokens, pilots
from server.rest import sites
from server.rest.routing import Route, allow, urgent

__all__ = ["ROUTES", "read_held"]

REQUIRED = [Field("queue_host", "str", required=True), Field("queue_version", "str", required=True),
            Field("resources", "dict", required=True)]


class Pilots(ProductionHandler):
    """All pilots."""

    @allow("admin", "client", "system")
    async def get(self) -> None:
        """Pilots by id; filters queue_host, queue_version, host, version, site, grid_id, and keys."""
        names = ("queue_host", "queue_version", "host", "version", "site", "grid_id")
        query = {name: value for name in names if (value := self.query(name)) is not None}
        await self.send_map("pilot_id", pilots.find(self.ctx, query, self.keys("pilot_id")))

    @urgent
    @allow("admin", "client", "system", "pilot")
    @takes(*REQUIRED)
    async def post(self) -> None:
        """Register a pilot; who is no more than a pilot also gets a token that is good for this one alone."""
        body = self.update_fields() if self.body() else {}
        read_fields(body, REQUIRED, closed=False)
        if site := sites.own_site(self.user, body.get("site")):
            body["site"] = site
        if sites.bound_pilot(self.user):
            raise Forbidden("this token is of a pilot that is registered already")
        pilot_id = await pilots.create(self.ctx, body)
        self.send({"result": pilot_id, **pilot_tokens.first(self.ctx, self.user, pilot_id, body)}, 201)


class Pilot(ProductionHandler):
    """One pilot."""

    @allow("admin", "client", "system", "pilot")
    async def get(self, pilot_id: str) -> None:
        self.send(await pilots.get(self.ctx, pilot_id))

    @allow("admin", "client", "system", "pilot")
    async def patch(self, pilot_id: str) -> None:
        """Merge fields into the pilot."""
        fields = self.update_fields()
        sites.own_site(self.user, fields.get("site"))
        self.send(await pilots.patch(self.ctx, pilot_id, fields))

    @urgent
    @allow("admin", "client", "system", "pilot")
    async def delete(self, pilot_id: str) -> None:
        """The pilot ends; what it holds goes back to waiting."""
        await pilots.remove(self.ctx, pilot_id)
        self.send({})


class Heartbeat(ProductionHandler):
    """A pilot says that it is alive."""

    @urgent
    @allow("admin", "client", "system", "pilot")
    @takes(Field("tasks", "list"), Field("resources_available", "dict"), Field("resources_claimed", "dict"),
           Field("renew", "bool"))
    async def post(self, pilot_id: str) -> None:
        """Extend the leases of the listed tasks; says which of them to stop.

        With renew, a pilot that has a token of its own gets another, which lasts no longer than the pilot.
        """
        body = self.body()
        fields: Document = {
            name: body[name] for name in ("resources_available", "resources_claimed") if name in body
        }
        answer = await beats.beat(self.ctx, pilot_id, read_held(body), fields)
        if body.get("renew") is True:
            answer |= pilot_tokens.another(self.ctx, self.user)
        self.send(answer)


class PilotEnd(ProductionHandler):
    """A pilot's job is over."""

    @allow("admin", "client", "system")
    @takes(Field("kind", "str", required=True), Field("reason", "str"), closed=True)
    async def post(self, pilot_id: str) -> None:
        """Say why the batch system ended a pilot: its tasks end so, too; how many. May be repeated."""
        body = self.body()
        kind, reason = body.get("kind"), body.get("reason", "")
        if kind not in pilot_ends.KINDS:
            raise BadRequest(f"key kind should be one of {', '.join(pilot_ends.KINDS)}")
        if not isinstance(reason, str):
            raise BadRequest("key reason should be of type str")
        await sites.check_names(self.ctx, self.user, {"pilot_id": pilot_id})
        self.send({"tasks": await pilot_ends.ended(self.ctx, pilot_id, kind, reason[:1000])})


def read_held(body: dict[str, Any]) -> dict[str, str]:
    """The tasks that a pilot says it holds (id → instance_id). Raises BadRequest."""
    rows = body.get("tasks", [])
    if not isinstance(rows, list) or len(rows) > 10_000:
        raise BadRequest("key tasks should be a list of at most 10000 objects")
    held: dict[str, str] = {}
    for row in rows:
        match row:
            case {"task_id": str(task_id), "instance_id": str(instance_id)}:
                held[task_id] = instance_id
            case _:
                raise BadRequest("each of tasks needs task_id and instance_id")
    return held


ROUTES = [
    Route("/pilots", Pilots, "pilots"),
    Route("/pilots/{pilot_id}", Pilot, "pilots"),
    Route("/pilots/{pilot_id}/heartbeat", Heartbeat, "pilots"),
    Route("/pilots/{pilot_id}/end", PilotEnd, "pilots"),
]
