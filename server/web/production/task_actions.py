"""Changing datasets and their tasks from a page: choosing, seeing what would happen, and confirming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from iceprod.states import TASK
from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.datasets import datasets
from server.production.submission import actions
from server.production.tasks import bulk, counting, requests
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.web.common.handler import READERS
from server.web.production.dataset_pages import DatasetPage, TaskFilter, task_query

__all__ = ["ROUTES", "Consequence"]

ACTIONS = (*actions.STATUS_ACTIONS, "truncate")


@dataclass(frozen=True)
class Consequence:
    """What an action does, for people who are about to do it."""

    verb: str
    does: str
    undo: str
    is_final: bool = False  # it cannot be undone, so it is asked for twice


CONSEQUENCES = {
    "suspend": Consequence(
        "Suspend",
        "They stop, and are not tried again until somebody lets them go on. Pilots are told to stop those "
        "that run; what these did so far is lost.",
        "Yes: “Resume” on the dataset's page lets them go on."),
    "reset": Consequence(
        "Reset",
        "They are tried again, with their requirements as they are now; those that run are stopped and begin "
        "anew.",
        "Yes: suspend them. Complete tasks are not touched."),
    "hard_reset": Consequence(
        "Hard reset",
        "All of them begin anew as if they had never run, complete ones too; their failures are forgotten.",
        "No: complete tasks will run, and write their files, once more.", True),
    "truncate": Consequence(
        "Truncate",
        "Jobs that exist go on; others are not made any more, and the dataset is complete when these are.",
        "No.", True),
}


@dataclass(frozen=True)
class Choice:
    """What was chosen on a page: the whole dataset, the listed tasks, or all that a filter lets through."""

    which: str
    tasks: tuple[str, ...]
    filter: TaskFilter


class ActionPage(DatasetPage):
    """A page that is posted a choice and an action."""

    def action(self) -> str:
        name = self.field("action")
        if name not in ACTIONS:
            raise BadRequest(f"action: {name[:40]!r} is none of {', '.join(ACTIONS)}")
        return name

    def choice_made(self) -> Choice:
        which = self.field("which")
        if which not in ("dataset", "ticked", "filter"):
            raise BadRequest("which: must be dataset, ticked or filter")
        ids = tuple(self.get_body_arguments("task"))
        if which == "ticked" and not ids:
            raise BadRequest("no task is ticked: tick some, or choose all that are found")
        status, job = self.field("status", ""), self.field("job", "")
        if status and not TASK.knows(status):
            raise BadRequest("status: there is no such status")
        number = self.field_int("job") if job else None
        return Choice(which, ids[:bulk.MOST], TaskFilter(status, self.field("name", ""), number))


class Confirm(ActionPage):
    """What an action would do; nothing changes yet."""

    @allow(*READERS)
    async def post(self, dataset_id: str) -> None:
        dataset = await self.writable(dataset_id)
        action, choice = self.action(), self.choice_made()
        found = await _counts(self.ctx, dataset_id, choice)
        can = {status: n for status, n in found.items() if status in _sources(action)}
        self.page("confirm.html", dataset=dataset, action=action, choice=choice, found=found, changes=can,
                  consequence=CONSEQUENCES[action])


def _sources(action: str) -> tuple[str, ...]:
    """The states that an action takes tasks out of."""
    if action == "hard_reset":
        return TASK.states
    return tuple(TASK.sources("suspended" if action == "suspend" else TASK.start))


async def _counts(ctx: Context, dataset_id: str, choice: Choice) -> dict[str, int]:
    """How many of the chosen tasks are in each status; counted now, for somebody decides by it."""
    query: Document = {"dataset_id": dataset_id}
    if choice.which == "ticked":
        query = {**query, "task_id": {"$in": list(choice.tasks)}}
    elif choice.which == "filter":
        query = task_query(dataset_id, choice.filter)
    return await counting.matching(ctx, query)


class Change(ActionPage):
    """An action that was confirmed."""

    @allow(*READERS)
    async def post(self, dataset_id: str) -> None:
        await self.writable(dataset_id)
        action, choice = self.action(), self.choice_made()
        if CONSEQUENCES[action].is_final and self.field("sure", "") != "yes":
            raise BadRequest("sure: this cannot be undone; tick the box that says that you know")
        words = CONSEQUENCES[action].verb
        if action == "truncate":
            await datasets.truncate(self.ctx, dataset_id)
        else:
            kind, payload = await _payload(self.ctx, dataset_id, action, choice)
            await requests.create(self.ctx, kind, payload, self.user)
        self.done(f"{words}: it is being done. Its progress stands below, under the changes asked for.",
                  f"/web/datasets/{dataset_id}")


async def _payload(ctx: Context, dataset_id: str, action: str, choice: Choice) -> tuple[str, Document]:
    body: Document = {"dataset_id": dataset_id, "action": action}
    if choice.which == "dataset":
        return "dataset_status", actions.check_status_change(body, "dataset")
    ids = list(choice.tasks) if choice.which == "ticked" else await _ids(ctx, dataset_id, action, choice)
    return "task_status", actions.check_status_change({**body, "task_ids": ids}, "task")


async def _ids(ctx: Context, dataset_id: str, action: str, choice: Choice) -> list[str]:
    """The tasks that a filter lets through now and that the action can change. Raises BadRequest."""
    query: dict[str, Any] = task_query(dataset_id, choice.filter)
    if not choice.filter.status:
        query["status"] = {"$in": list(_sources(action))}
    rows = await ctx.db.tasks.find(query, {"_id": 0, "task_id": 1}, limit=bulk.MOST + 1).to_list()
    if not rows:
        raise NotFound("no task is in such a state any more")
    if len(rows) > bulk.MOST:
        raise BadRequest(f"these are more than {bulk.MOST} tasks: choose fewer, or the whole dataset")
    return [row["task_id"] for row in rows]


class Undo(ActionPage):
    """Let go on what a request suspended."""

    @allow(*READERS)
    async def post(self, dataset_id: str) -> None:
        await self.writable(dataset_id)
        request = await self.ctx.db.requests.find_one(
            {"request_id": self.field("request"), "dataset_id": dataset_id}, {"_id": 0})
        if request is None or request["payload"].get("action") != "suspend":
            raise NotFound("there is no such request that could be undone")
        kept = {name: value for name, value in request["payload"].items()
                if name in ("dataset_id", "job_ids", "task_ids")}
        what = request["action"].removesuffix("_status")
        payload = actions.check_status_change({**kept, "action": "reset"}, what)
        await requests.create(self.ctx, request["action"], payload, self.user)
        self.done("They are let go on.", f"/web/datasets/{dataset_id}")


class Priority(ActionPage):
    """Which dataset comes first."""

    @allow(*READERS)
    async def post(self, dataset_id: str) -> None:
        await self.writable(dataset_id)
        try:
            value = float(self.field("priority"))
        except ValueError:
            raise BadRequest("priority: not a number") from None
        if not 0 <= value <= 1:
            raise BadRequest("priority: must be between 0 and 1")
        await datasets.change(self.ctx, dataset_id, {"priority": value})
        self.done(f"The priority is {value:g} now; its tasks follow within the hour.",
                  f"/web/datasets/{dataset_id}")


ROUTES = [
    Route("/web/datasets/{dataset_id}/confirm", Confirm, "web"),
    Route("/web/datasets/{dataset_id}/change", Change, "web"),
    Route("/web/datasets/{dataset_id}/undo", Undo, "web"),
    Route("/web/datasets/{dataset_id}/priority", Priority, "web"),
]
