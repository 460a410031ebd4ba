"""Observing runs, and the objects that are assigned to them."""

from __future__ import annotations

from typing import Any

import msgspec

from server.common.errors import BadRequest
from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.bodies import Body, Id, Name, Text, changes, takes
from server.desk.observing import assignments, runs
from server.desk.observing.instruments import find_instrument
from server.desk.people.groups import find_group
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

_PAGE, _CAP = 100, 500
_RELATIONS = ("requester", "last_modified_by", "obj", "spectra", "photometry", "photometric_series", "run")
_PRIORITIES = ("1", "2", "3", "4", "5")


class RunBody(Body):
    """A run: an instrument's night that begins on a calendar date; without a group it is everybody's."""

    instrument_id: Id
    calendar_date: Name
    group_id: Id | None = None
    pi: Text | None = None
    observers: Text | None = None
    duration: int | None = None
    sources: Text | None = None


class AssignmentBody(Body):
    """An object for a run."""

    obj_id: Name
    run_id: Id
    priority: str | int
    comment: Text | None = None
    status: Name = "pending"


class AssignmentChange(Body):
    """What of an assignment changes; what cannot change is ignored."""

    comment: Text | msgspec.UnsetType | None = msgspec.UNSET
    status: Name | msgspec.UnsetType = msgspec.UNSET
    priority: str | int | msgspec.UnsetType = msgspec.UNSET
    obj_id: Any = msgspec.UNSET
    run_id: Any = msgspec.UNSET
    requester_id: Any = msgspec.UNSET


def _priority(given: str | int) -> str:
    """A priority with SkyPortal's words. Raises BadRequest."""
    if str(given) not in _PRIORITIES:
        raise BadRequest(f"priority: must be one of {', '.join(_PRIORITIES)}, not {str(given)[:40]!r}")
    return str(given)


class ObservingRuns(DeskHandler):
    """Observing runs."""

    @allow("any")
    async def get(self) -> None:
        """The runs of the caller's groups and those of everybody, the newest first."""
        page = self.page(default=_PAGE, cap=_CAP)
        self.success([runs.shown(row) for row in await runs.listed(self.ctx, self.who, page)])

    @needs("Manage observing runs")
    @takes(RunBody)
    async def post(self) -> None:
        """Add a run."""
        body = self.typed(RunBody)
        await find_instrument(self.ctx, body.instrument_id)
        if body.group_id is not None:
            await find_group(self.ctx, self.who, body.group_id)
        self.success({"id": await runs.add(self.ctx, self.who, changes(body))})


class ObservingRun(DeskHandler):
    """One observing run."""

    @allow("any")
    async def get(self, run_id: str) -> None:
        """A run with its first assignments."""
        run = await runs.find(self.ctx, self.who, self.number(run_id, "run_id"))
        page = self.page(default=_PAGE, cap=_CAP)
        rows = await assignments.listed(self.ctx, self.who, page, run["_id"])
        shown = await assignments.shown(self.ctx, self.who, rows)
        self.success({**runs.shown(run), "assignments": shown})


class Assignments(DeskHandler):
    """Objects that are assigned to runs."""

    @allow("any")
    async def get(self) -> None:
        """The assignments of runs that the caller sees, the newest first, with rise and set in that night."""
        page = self.page(default=_PAGE, cap=_CAP)
        rows = await assignments.listed(self.ctx, self.who, page)
        self.success(await assignments.shown(self.ctx, self.who, rows))

    @needs(UPLOAD_DATA)
    @takes(AssignmentBody)
    async def post(self) -> None:
        """Assign an object to a run."""
        body = self.typed(AssignmentBody)
        fields = {**changes(body), "priority": _priority(body.priority)}
        self.success({"id": await assignments.add(self.ctx, self.who, fields)})


class Assignment(DeskHandler):
    """One assignment."""

    @allow("any")
    async def get(self, assignment_id: str) -> None:
        """An assignment, with rise and set in the night of its run."""
        row = await assignments.find(self.ctx, self.who, self.number(assignment_id, "assignment_id"))
        self.success((await assignments.shown(self.ctx, self.who, [row]))[0])

    @needs(UPLOAD_DATA)
    @takes(AssignmentChange)
    async def put(self, assignment_id: str) -> None:
        """Change an assignment's comment, status or priority."""
        row = await assignments.find(self.ctx, self.who, self.number(assignment_id, "assignment_id"))
        given = changes(self.typed(AssignmentChange, _RELATIONS))
        fields = {name: value for name, value in given.items() if name in ("comment", "status", "priority")}
        if "priority" in fields:
            fields["priority"] = _priority(fields["priority"])
        await assignments.change(self.ctx, self.who, row["_id"], fields)
        self.success()

    @needs(UPLOAD_DATA)
    async def delete(self, assignment_id: str) -> None:
        """Take an object off a run."""
        row = await assignments.find(self.ctx, self.who, self.number(assignment_id, "assignment_id"))
        await assignments.remove(self.ctx, row["_id"])
        self.success()


ROUTES = [
    Route("/api/observing_run", ObservingRuns, "desk"),
    Route("/api/observing_run/{run_id:any}", ObservingRun, "desk"),
    Route("/api/assignment", Assignments, "desk"),
    Route("/api/assignment/{assignment_id:any}", Assignment, "desk"),
]
