"""Routes of the sensor itself: its parts, what it can do, how it does; and its stored actions."""

from __future__ import annotations

from typing import Any

from server.common.errors import BadRequest, Forbidden
from server.rest.routing import Route, allow
from server.scans.manifests.schema import Body
from server.sensor.actions import actions
from server.sensor.clock import state
from server.sensor.common.handler import PREFIX, SensorHandler

__all__ = ["ROUTES"]


class Root(SensorHandler):
    """The sensor's parts."""

    @allow("any")
    async def get(self) -> None:
        """Where the sensor's parts are."""
        of = self.addresses.of
        self.send({"schedule": of("/schedule/"), "acquisitions": of("/acquisitions/"),
                   "status": of("/status"), "capabilities": of("/capabilities/")})


class Capabilities(SensorHandler):
    """What the sensor can do."""

    @allow("any")
    async def get(self) -> None:
        """The actions that entries can name, and what they run on."""
        self.send(await state.capabilities(self.ctx))


class Status(SensorHandler):
    """How the sensor does."""

    @allow("any")
    async def get(self) -> None:
        """The scheduler's state and its next tasks."""
        told, rows = await state.status(self.ctx)
        queue = [{"schedule_entry": self.addresses.entry(entry.name), "action": entry.action,
                  "priority": priority, "time": at} for at, priority, entry in rows]
        self.send({"scheduler": told.pop("scheduler"), "task_queue": queue, **told})


_STORED = Body(
    {"arguments": {"type": "object", "description": "what the kind's schema describes"}}, ["arguments"])


class StoredAction(SensorHandler):
    """An action that administrators keep: a kind, and arguments for it."""

    @allow("any")
    async def put(self, name: str) -> None:
        """Store an action named kind:word, or change its arguments."""
        self._check_admin()
        body = self.json_body()
        if not isinstance(body, dict):
            raise BadRequest("the body must be an object with the key arguments")
        arguments: dict[str, Any] = _STORED.check(body)["arguments"]
        self.send((await actions.store(self.ctx, self.user, name, arguments)).public())

    put.body = _STORED  # type: ignore[attr-defined]

    @allow("any")
    async def delete(self, name: str) -> None:
        """Forget a stored action that no entry names."""
        self._check_admin()
        await actions.remove_stored(self.ctx, name)
        self.nothing()

    def _check_admin(self) -> None:
        if "admin" not in self.user.roles:
            raise Forbidden("only administrators may change actions")


class ActionKinds(SensorHandler):
    """Kinds of stored actions."""

    @allow("any")
    async def get(self) -> None:
        """The kinds of actions that administrators can store, with the schemas of their arguments."""
        self.send([{"kind": kind.name, "summary": kind.summary, "arguments": kind.arguments.schema}
                   for kind in actions.kinds()])


ROUTES = [
    Route(f"{PREFIX}/", Root, "sensor", loose=True),
    Route(f"{PREFIX}/capabilities/", Capabilities, "sensor", loose=True),
    Route(f"{PREFIX}/status", Status, "sensor", loose=True),
    Route(f"{PREFIX}/action_kinds/", ActionKinds, "sensor", loose=True),
    Route(f"{PREFIX}/actions/{{name:any}}/", StoredAction, "sensor", loose=True),
]
