"""The actions that a user may ask for: submit, edit a configuration, suspend and reset, make jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from iceprod.dataset_config import task_names
from iceprod.states import DATASET, JOB, TASK
from iceprod.tokens import Caller
from server.common.errors import BadRequest, Conflict
from server.production.common import access, archived
from server.production.common.documents import Document
from server.production.datasets import configs, datasets
from server.production.datasets.datasets import NewDataset
from server.production.people import users
from server.production.people.naming import Named, check_named
from server.production.submission import materialisation
from server.production.tasks import bulk, requests
from server.production.tasks.bulk import Selection
from server.production.tasks.requests import Work
from server.rest.context import Context

__all__ = ["ACTIONS", "check_materialization", "check_status_change", "check_submission", "may_write",
           "parse_config", "text_of"]

CHUNK = 5000
ACTIONS = ("submit", "edit_config", "dataset_status", "job_status", "task_status", "materialization")
STATUS_ACTIONS = ("hard_reset", "reset", "suspend")
EXTRA_FIELDS = ("status", "priority", "debug", "jobs_immutable", "always_active", "auth_groups_read")


# -- submit


def parse_config(text: Any) -> Document:
    """A configuration out of its JSON text. Raises BadRequest."""
    try:
        config = msgspec.json.decode(text) if isinstance(text, str) else text
    except (msgspec.DecodeError, RecursionError):
        raise BadRequest("config is not valid") from None
    if not isinstance(config, dict):
        raise BadRequest("config is not valid")
    return configs.checked(config)


def text_of(config: Document) -> str:
    """A configuration as the text that requests keep."""
    return msgspec.json.encode(config).decode()


async def check_submission(ctx: Context, body: Document, caller: Caller) -> Document:
    """A submission with its defaults. Raises BadRequest, Forbidden for what could not be submitted."""
    for name, kind in (("config", (str, dict)), ("description", (str,)), ("jobs_submitted", (int,))):
        if name not in body:
            raise BadRequest(f"missing key: {name}")
        if isinstance(body[name], bool) or not isinstance(body[name], kind):
            raise BadRequest(f'key "{name}" should be of type {kind[0].__name__}')
    group, username = body.get("group", "users"), body.get("username", caller.username)
    for name, text in (("group", group), ("username", username)):
        if not isinstance(text, str) or not text:
            raise BadRequest(f'key "{name}" should be of type str')
    extra = body.get("extra_submit_fields", {})
    extra = parse_extra(extra)
    await check_named(ctx, caller, Named(group, tuple(extra.get("auth_groups_read", ())), username))
    config = parse_config(body["config"])
    names = task_names(config)
    if not names:
        raise BadRequest("config is not valid: it has no tasks")
    if not 0 < body["jobs_submitted"] < 1 << 40:
        raise BadRequest("jobs_submitted should be > 0")
    return {
        "config": text_of(config),
        "description": body["description"],
        "jobs_submitted": body["jobs_submitted"],
        "group": group,
        "username": username,
        "extra_submit_fields": extra,
    }


def parse_extra(extra: Any) -> Document:
    """The further fields of a new dataset. Raises BadRequest."""
    if isinstance(extra, str):
        try:
            extra = msgspec.json.decode(extra) if extra.strip() else {}
        except (msgspec.DecodeError, RecursionError):
            extra = None
    if not isinstance(extra, dict):
        raise BadRequest("extra_submit_fields is not an object")
    unknown = sorted(set(extra) - set(EXTRA_FIELDS))
    if unknown:
        raise BadRequest(f"invalid keys found: {', '.join(unknown)[:200]}")
    kinds: dict[str, tuple[type, ...]] = {"status": (str,), "priority": (int, float),
                                          "auth_groups_read": (list,)}
    for name, value in extra.items():
        wanted = kinds.get(name, (bool,))
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise BadRequest(f'key "{name}" should be of type {wanted[0].__name__}')
    if not all(isinstance(group, str) for group in extra.get("auth_groups_read", ())):
        raise BadRequest('key "auth_groups_read" should be a list of str')
    if "status" in extra and not DATASET.knows(extra["status"]):
        raise BadRequest("unknown status")
    return extra


async def submit(ctx: Context, request: Work) -> None:
    """Make the dataset, under the request's id so that a repetition makes no second one."""
    body = request.payload
    config = parse_config(body["config"])
    size, jobs = len(task_names(config)), body["jobs_submitted"]
    new = NewDataset(description=body["description"], group=body["group"], jobs_submitted=jobs,
                     tasks_submitted=size * jobs, tasks_per_job=size, username=body["username"])
    extra = dict(body["extra_submit_fields"])
    if "auth_groups_read" in extra:
        extra["auth_groups_read"] = tuple(extra["auth_groups_read"])
    await users.ensure(ctx, body["username"])
    dataset_id = await datasets.create_dataset(ctx, replace(new, **extra), request.request_id)
    await configs.put(ctx, dataset_id, config)
    await requests.set_payload(ctx, request, dataset_id=dataset_id)


# -- edit a configuration


async def edit_config(ctx: Context, request: Work) -> None:
    """Replace a configuration by one of the same tasks; what they need is changed for tasks that exist."""
    dataset_id = request.payload["dataset_id"]
    old, new = await configs.get(ctx, dataset_id), parse_config(request.payload["config"])
    _check_same_tasks(old, new)
    for before, after in zip(old["tasks"], new["tasks"], strict=True):
        wanted = after.get("requirements", {})
        if wanted != before.get("requirements", {}):
            await _push_requirements(ctx, dataset_id, after["name"], wanted)
    await configs.put(ctx, dataset_id, new)
    await datasets.change(ctx, dataset_id, {"description": new.get("description", "")})


def _check_same_tasks(old: Document, new: Document) -> None:
    if len(old.get("tasks", ())) != len(new.get("tasks", ())):
        raise BadRequest("the number of tasks cannot change")
    for index, (before, after) in enumerate(zip(old["tasks"], new["tasks"], strict=True)):
        if before.get("name") != after.get("name"):
            raise BadRequest(f"the name of task {index} cannot change")
        if before.get("depends", []) != after.get("depends", []):
            raise BadRequest(f"what task {index} depends on cannot change")


async def _push_requirements(ctx: Context, dataset_id: str, name: str, wanted: Document) -> None:
    """Set those requirements that are plain values; expressions are evaluated for new tasks alone."""
    plain = {key: value for key, value in wanted.items() if not (isinstance(value, str) and "$" in value)}
    if plain and await ctx.db.tasks.find_one({"dataset_id": dataset_id, "name": name}, {"_id": 1}):
        await bulk.set_requirements(ctx, dataset_id, name, plain)


# -- suspend and reset


Change = Callable[[Context, Selection], Awaitable[int]]

_TASKS: dict[str, Change] = {"hard_reset": bulk.hard_reset_tasks, "reset": bulk.reset_tasks,
                             "suspend": bulk.suspend_tasks}
_JOBS: dict[str, Change] = {"hard_reset": bulk.hard_reset_jobs, "reset": bulk.reset_jobs,
                            "suspend": bulk.suspend_jobs}


def check_status_change(body: Document, what: str) -> Document:
    """A request to suspend or reset a dataset, jobs or tasks. Raises BadRequest."""
    if not isinstance(body.get("dataset_id"), str):
        raise BadRequest("missing key: dataset_id")
    if body.get("action") not in STATUS_ACTIONS:
        raise BadRequest("invalid action")
    ids = {"job": "job_ids", "task": "task_ids"}.get(what, "")
    initial = body.get("initial_status")
    machine = {"dataset": DATASET, "job": JOB, "task": TASK}[what]
    if initial is not None and not machine.knows(initial):
        raise BadRequest("invalid initial_status")
    listed = body.get(ids) if ids else None
    if listed is not None and initial is not None:
        raise BadRequest(f"initial_status and {ids} are mutually exclusive")
    if listed is not None and (not isinstance(listed, list) or not all(isinstance(i, str) for i in listed)):
        raise BadRequest(f"key {ids} should be a list of str")
    return {"dataset_id": body["dataset_id"], "action": body["action"], "progress": 0,
            **({"initial_status": initial} if initial is not None else {}),
            **({ids: listed} if listed is not None else {})}


async def _set_dataset(ctx: Context, dataset_id: str, action: str) -> None:
    """Let the dataset go with its tasks: it stops, or processes again where that is legal."""
    if action == "hard_reset":
        await datasets.hard_reset(ctx, dataset_id)
        return
    dataset = await datasets.get(ctx, dataset_id)
    wanted = "suspended" if action == "suspend" else "processing"
    if dataset["status"] != wanted and DATASET.allows(dataset["status"], wanted):
        await datasets.set_status(ctx, dataset_id, wanted)


async def dataset_status(ctx: Context, request: Work) -> None:
    """Suspend or reset a dataset with all its jobs and tasks."""
    dataset_id, action = request.payload["dataset_id"], request.payload["action"]
    await archived.refuse_change(ctx, dataset_id)  # asked before it was archived, perhaps
    dataset = await datasets.get(ctx, dataset_id)
    if request.payload.get("initial_status") not in (None, dataset["status"]):
        raise Conflict(f"the dataset is {dataset['status']}")
    if action != "suspend":
        await bulk.revive_jobs(ctx, Selection(dataset_id), complete=action == "hard_reset")
    await _set_dataset(ctx, dataset_id, action)
    await requests.set_payload(ctx, request, progress=10)
    await _JOBS[action](ctx, Selection(dataset_id))
    await requests.set_payload(ctx, request, progress=20)
    await _TASKS[action](ctx, Selection(dataset_id))
    await requests.set_payload(ctx, request, progress=100)


async def job_status(ctx: Context, request: Work) -> None:
    """Suspend or reset jobs with their tasks."""
    payload = request.payload
    job_ids = payload.get("job_ids")
    if job_ids is None:
        job_ids = await _ids(ctx, "jobs", "job_id", payload)
    await _revive(ctx, payload, Selection(payload["dataset_id"], jobs=tuple(job_ids)))
    for done, chunk in _chunks(job_ids):
        await _JOBS[payload["action"]](ctx, Selection(payload["dataset_id"], jobs=chunk))
        await _TASKS[payload["action"]](ctx, Selection(payload["dataset_id"], jobs=chunk))
        await requests.set_payload(ctx, request, progress=round(100 * done))
    await requests.set_payload(ctx, request, progress=100)


async def task_status(ctx: Context, request: Work) -> None:
    """Suspend or reset tasks."""
    payload = request.payload
    task_ids = payload.get("task_ids")
    if task_ids is None:
        task_ids = await _ids(ctx, "tasks", "task_id", payload)
    await _revive(ctx, payload, Selection(payload["dataset_id"], tasks=tuple(task_ids)))
    for done, chunk in _chunks(task_ids):
        await _TASKS[payload["action"]](ctx, Selection(payload["dataset_id"], tasks=chunk))
        await requests.set_payload(ctx, request, progress=round(100 * done))
    await requests.set_payload(ctx, request, progress=100)


async def _revive(ctx: Context, payload: Document, selection: Selection) -> None:
    if payload["action"] != "suspend":
        await bulk.revive_jobs(ctx, selection, complete=payload["action"] == "hard_reset")
        await _set_dataset(ctx, payload["dataset_id"], payload["action"])


async def _ids(ctx: Context, collection: str, field: str, payload: Document) -> list[str]:
    query = {"dataset_id": payload["dataset_id"]}
    if "initial_status" in payload:
        query["status"] = payload["initial_status"]
    return [row[field] async for row in ctx.db[collection].find(query, {field: 1})]


def _chunks(ids: Sequence[str]) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Parts of a list, each with the fraction that is done after it."""
    for start in range(0, len(ids), CHUNK):
        yield min(1.0, (start + CHUNK) / len(ids)), tuple(ids[start:start + CHUNK])


# -- make jobs


def check_materialization(body: Document) -> Document:
    """A request to make jobs of a dataset. Raises BadRequest."""
    if not isinstance(body.get("dataset_id"), str):
        raise BadRequest("missing key: dataset_id")
    num, status = body.get("num", 1000), body.get("set_status")
    if isinstance(num, bool) or not isinstance(num, int) or not 0 <= num <= 1_000_000:
        raise BadRequest("key num should be of type int")
    if status is not None and not TASK.knows(status):
        raise BadRequest("invalid set_status")
    return {"dataset_id": body["dataset_id"], "num": num, "set_status": status or ""}


async def materialization(ctx: Context, request: Work) -> None:
    """Make jobs of a dataset now."""
    payload = request.payload
    await archived.refuse_change(ctx, payload["dataset_id"])
    made = await materialisation.materialise(
        ctx, payload["dataset_id"], payload["num"], payload["set_status"]
    )
    await requests.set_payload(ctx, request, jobs=made)


async def may_write(ctx: Context, caller: Caller, dataset_id: str) -> None:
    """Raise Forbidden unless the caller may change the dataset, NotFound when there is none."""
    await access.require(ctx, caller, dataset_id, "write")
    await archived.refuse_change(ctx, dataset_id)
    await datasets.get(ctx, dataset_id, {"dataset_id"})


for _name, _action in (("submit", submit), ("edit_config", edit_config), ("dataset_status", dataset_status),
                       ("job_status", job_status), ("task_status", task_status),
                       ("materialization", materialization)):
    requests.register(_name, _action)
