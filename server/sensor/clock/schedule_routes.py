"""Routes of the schedule: entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from server.rest.routing import Route, allow
from server.scans.manifests.schema import Body
from server.sensor.clock import asking
from server.sensor.common.bodies import CREATE, REPLACE, UPDATE
from server.sensor.common.errors import FieldErrors
from server.sensor.common.handler import PREFIX, SensorHandler
from server.sensor.schedule import entries
from server.sensor.schedule.entries import Entry

__all__ = ["ROUTES", "arranged"]

_INTEGER = {"type": ["integer", "null"]}
_MOMENT = {"type": ["integer", "string", "null"]}
_FIELDS: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "pattern": "^[-a-zA-Z0-9_]{1,50}$",
             "description": "unique identifier used in URLs and file names"},
    "action": {"type": "string", "description": "action to be scheduled; see capabilities"},
    "interval": {**_INTEGER, "minimum": 1, "description": "seconds between runs; null: run once"},
    "priority": {**_INTEGER, "minimum": -32768, "maximum": 32767, "default": 10,
                 "description": "lower numbers come first"},
    "start": {**_MOMENT, "description": "seconds since 1970, or ISO 8601; null: now"},
    "stop": {**_MOMENT, "description": "seconds since 1970, or ISO 8601, exclusive; null: never"},
    "relative_stop": {"type": ["boolean", "integer"], "description": "true: stop counts from start"},
    "callback_url": {"type": ["string", "null"], "maxLength": 2000,
                     "description": "is told how each run ends, by POST; null: nobody"},
    "validate_only": {"type": ["boolean", "null"], "default": False,
                      "description": "true: say what would be; make and change nothing"},
    "is_active": {"type": "boolean", "description": "false: it does not run, and its run in progress ends"},
    "max_failures": {"type": "integer", "minimum": 1, "maximum": 1000, "default": entries.DEFAULT_FAILURES,
                     "description": "failed runs in a row that deactivate the entry"},
}


_Method = Callable[..., Any]


def _takes(fields: Iterable[str], required: Iterable[str]) -> Callable[[_Method], _Method]:
    """Describe a method's body in the OpenAPI document."""
    described = Body({name: _FIELDS[name] for name in fields}, required)

    def mark(method: _Method) -> _Method:
        method.body = described  # type: ignore[attr-defined]
        return method

    return mark


class _Entries(SensorHandler):
    """What the handlers of entries share."""

    def shown(self, entry: Entry) -> dict[str, Any]:
        """An entry as clients see it."""
        address = self.addresses.entry(entry.name)
        return {
            "url": address, "self": address, "name": entry.name, "action": entry.action,
            "priority": entry.priority, "start": entry.start, "stop": entry.stop, "interval": entry.interval,
            "is_active": entry.is_active, "next_task_time": entry.next_time,
            "next_task_id": entry.next_task_id, "created": entry.created, "modified": entry.modified,
            "owner": self.addresses.user(entry.owner), "acquisitions": self.addresses.run(entry.name),
            "max_failures": entry.max_failures, "failures": entry.failures, "notice": entry.notice,
            "is_vital": entry.is_vital, "callback_url": entry.callback_url}


class Schedule(_Entries):
    """All entries of the schedule."""

    @allow("any")
    async def get(self) -> None:
        """All entries, active or not, the oldest first."""
        offset, limit = self.window()
        found = arranged(await entries.all_entries(self.ctx), self.query("search") or "",
                         self.query("ordering") or "")
        self.send([self.shown(entry) for entry in found[offset:offset + limit if limit else None]])

    @allow("any")
    @_takes(CREATE, REPLACE)
    async def post(self) -> None:
        """A new entry."""
        made = await asking.create(self.ctx, self.user, self.json_body(), self.addresses.origin)
        if made.is_draft:
            self.send(self.shown(made.entry))
            return
        self.set_header("Location", self.addresses.entry(made.entry.name))
        self.send(self.shown(made.entry), 201)


class OneEntry(_Entries):
    """One entry."""

    @allow("any")
    async def get(self, name: str) -> None:
        """The entry."""
        self.send(self.shown(await entries.get(self.ctx, name)))

    @allow("any")
    @_takes(UPDATE, REPLACE)
    async def put(self, name: str) -> None:
        """Change the entry; name and action are needed, what is not mentioned stays."""
        await self._change(name, is_whole=True)

    @allow("any")
    @_takes(UPDATE, ())
    async def patch(self, name: str) -> None:
        """Change some of the entry's fields."""
        await self._change(name, is_whole=False)

    async def _change(self, name: str, *, is_whole: bool) -> None:
        answered = await asking.change(self.ctx, self.user, name, self.json_body(), self.addresses.origin,
                                       is_whole=is_whole)
        self.send(self.shown(answered.entry))

    @allow("any")
    async def delete(self, name: str) -> None:
        """Delete the entry, once its acquisitions are deleted."""
        await asking.delete(self.ctx, self.user, name)
        self.nothing()


class RunNow(_Entries):
    """Running an entry besides its times."""

    @allow("any")
    async def post(self, name: str) -> None:
        """Run the entry now, even when it is not active; its times stay as they are."""
        self.send(self.shown(await asking.run_now(self.ctx, self.user, name)), 202)


class Owner(SensorHandler):
    """Somebody who owns entries."""

    @allow("any")
    async def get(self, username: str) -> None:
        """The owner of entries, and where these are; 404 for who owns none."""
        found = await asking.of_owner(self.ctx, username)
        address = self.addresses.user(username)
        self.send({"url": address, "self": address, "username": username,
                   "schedule_entries": [self.addresses.entry(entry.name) for entry in found]})


_ORDERS: dict[str, Callable[[Entry], Any]] = {
    "priority": lambda entry: entry.priority, "start": lambda entry: entry.start,
    "next_task_time": lambda entry: entry.next_time, "created": lambda entry: entry.created,
    "modified": lambda entry: entry.modified}


def arranged(found: list[Entry], search: str, ordering: str) -> list[Entry]:
    """Entries whose name or action has the text, in the order of some fields ("-" before one turns it round).

    Raises FieldErrors for an unknown field.
    """
    text = search.lower()
    rows = [entry for entry in found if text in entry.name.lower() or text in entry.action.lower()]
    for field in reversed([part.strip() for part in ordering.split(",") if part.strip()]):
        order = _ORDERS.get(field.lstrip("-"))
        if order is None:
            raise FieldErrors.of("ordering", f'"{field[:50]}" is not a valid choice: {", ".join(_ORDERS)}.')
        rows.sort(key=order, reverse=field.startswith("-"))
    return rows




ROUTES = [
    Route(f"{PREFIX}/schedule/", Schedule, "sensor", loose=True),
    Route(f"{PREFIX}/schedule/{{name:any}}/", OneEntry, "sensor", loose=True),
    Route(f"{PREFIX}/schedule/{{name:any}}/run/", RunNow, "sensor", loose=True),
    Route(f"{PREFIX}/users/{{username:any}}/", Owner, "sensor", loose=True),
]
