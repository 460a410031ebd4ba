"""Analyses as tasks: a dataset of one job and one task, whose files this server hands out and takes.

A task fetches its inputs and stores its result by HTTP with a token that is lent to it alone. What it stores
ends the analysis; when the task ends otherwise, so does the analysis, with the task's reason.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from iceprod.dataset_config import task_names
from server.common.errors import ApiError, BadRequest, Conflict, Forbidden, NotFound
from server.desk.analyses import analyses, results, services, templates
from server.desk.analyses.templates import Template
from server.desk.common.access import Document
from server.production.datasets import configs, datasets
from server.production.datasets.datasets import NewDataset
from server.production.people import credentials, users
from server.production.people.credentials import Owner
from server.production.people.sealing import unseal
from server.production.submission.actions import parse_config
from server.rest.context import Context
from server.scans.manifests.decoding import address

__all__ = ["RESULT", "dataset_of", "file_of", "follow", "holder_of", "submit", "take"]

_NAMESPACE = uuid.UUID("6f6f1c0c-3f0a-4f9b-8c55-0a7d5c9f1e42")
RESULT = "result.json"
PROGRAM = "program.py"
PARAMETERS = "parameters.json"
PRIORITY = 0.8  # people wait for them


# -- making


async def submit(ctx: Context, row: Mapping[str, Any], service: Mapping[str, Any]) -> None:
    """Make the dataset of an analysis; a second time changes nothing. Raises ApiError."""
    template = templates.known(ctx).get(services.template_of(service))
    if template is None:
        raise BadRequest(f"there is no template {services.template_of(service)!r} any more")
    dataset_id = dataset_of(row)
    config = _config(ctx, row["_id"], template)
    run = {"$setOnInsert": {"analysis_id": row["_id"]}}  # first: whatever is made from here on is cleaned up
    await ctx.db.desk_analysis_tasks.update_one({"_id": dataset_id}, run, upsert=True)
    await users.ensure(ctx, row["username"])
    await _lend(ctx, dataset_id, row)
    new = NewDataset(
        description=f"analysis {row['_id']} of {row['obj_id']}: {service['name']}", group="users",
        jobs_submitted=1, tasks_submitted=1, tasks_per_job=len(task_names(config)), priority=PRIORITY,
        username=row["username"])
    await datasets.create_dataset(ctx, new, dataset_id)
    await configs.put(ctx, dataset_id, config)
    await analyses.move(ctx, row["_id"], "queued", "waits for a pilot", grid={"dataset_id": dataset_id})


def dataset_of(row: Mapping[str, Any]) -> str:
    """The id of an analysis's dataset; everybody computes it alike."""
    return uuid.uuid5(_NAMESPACE, f"{row['_id']}/{row['token_hash']}").hex


def _config(ctx: Context, number: int, template: Template) -> Document:
    """The configuration of an analysis's dataset."""
    base = f"{address(ctx)}/api/analysis_files/{number}"
    names = [PROGRAM, PARAMETERS, *(f"{name}.csv" for name in template.inputs)]
    data = [{"movement": "input", "remote": f"{base}/{name}", "local": name} for name in names]
    data.append({"movement": "output", "remote": f"{base}/{RESULT}", "local": RESULT})
    task: Document = {
        "name": "analysis", "data": data, "requirements": dict(template.requirements),
        "trays": [{"name": "analysis", "modules": [
            {"name": "analysis", "src": "/usr/bin/env", "args": ["python3", PROGRAM]}]}]}
    if template.container:
        task["container"] = template.container
    return parse_config({"version": 3.1, "description": template.title, "tasks": [task]})


async def _lend(ctx: Context, dataset_id: str, row: Mapping[str, Any]) -> None:
    """Keep the token that the task is lent for its files."""
    prefix = f"{address(ctx)}/api/analysis_files/{row['_id']}/"
    ends = time.time() + (row["invalid_after"] - row["created_at"]).total_seconds() + 86400
    credential = credentials.new_credential({
        "url": prefix, "type": "oauth", "transfer_prefix": prefix, "access_token": unseal(ctx, row["token"]),
        "expiration": ends})
    with contextlib.suppress(Conflict):  # it was kept by who began before us
        await credentials.create(ctx, Owner("dataset", dataset_id), credential)


# -- files


async def holder_of(ctx: Context, number: int, token: str) -> Document:
    """The analysis whose task holds this token. Raises Forbidden."""
    row = await analyses.by_token(ctx, token)
    if row["_id"] != number:
        raise Forbidden(f"the token is not for analysis {number}")
    return row


async def file_of(ctx: Context, row: Document, name: str) -> bytes:
    """A file that a task fetches: program, parameters, inputs; or what it stored. Raises NotFound."""
    if name == RESULT:
        return msgspec.json.encode(await analyses.findings_of(ctx, row))
    if name == PROGRAM:
        return (await _template(ctx, row)).program.encode()
    given = await analyses.inputs_of(ctx, row)
    if name == PARAMETERS:
        return msgspec.json.encode(given["analysis_parameters"])
    if (kind := name.removesuffix(".csv")) not in given or name == kind:
        raise NotFound(f"an analysis has no file {name[:60]!r}")
    return str(given[kind]).encode()


async def _template(ctx: Context, row: Document) -> Template:
    service = await ctx.db.desk_analysis_services.find_one({"_id": row["analysis_service_id"]})
    template = templates.known(ctx).get(services.template_of(service)) if service else None
    if template is None:
        raise NotFound("the analysis's template is not there any more")
    return template


async def take(ctx: Context, row: Document, data: bytes) -> None:
    """End an analysis with what its task stored. Raises Forbidden when it has ended already.

    What cannot be used ends it as well, and says why: another attempt would store the same.
    """
    try:
        document = msgspec.json.decode(data)
        if not isinstance(document, dict):
            raise BadRequest("it is no JSON object")
        said = results.read(document)
    except (msgspec.DecodeError, RecursionError, BadRequest) as error:
        await analyses.end(ctx, row, "failure", f"{RESULT} cannot be used: {error}")
        return
    status = "completed" if said.status == "success" else "failure"
    grid = await _grid(ctx, dataset_of(row))
    if not await analyses.end(ctx, row, status, said.message, said.findings, grid=grid):
        known = await ctx.db.desk_analyses.find_one({"_id": row["_id"]}, {"status": 1})
        if known is None or known["status"] not in ("completed", "failure"):
            raise Forbidden(f"analysis {row['_id']} has ended already")


# -- following


async def follow(ctx: Context) -> None:
    """Bring analyses to the state of their tasks, and give up tasks that nobody waits for any more."""
    async for run in ctx.db.desk_analysis_tasks.find({}):
        row = await ctx.db.desk_analyses.find_one({"_id": run["analysis_id"]})
        if row is None or row["status"] not in analyses.OPEN:
            has_said = row is not None and row["status"] in ("completed", "failure")
            await _give_up(ctx, run["_id"], may_report=has_said)
        elif row["grid"]:
            await _follow(ctx, row)


async def _task(ctx: Context, dataset_id: str) -> Document | None:
    shown = {"status": 1, "task_id": 1, "job_id": 1, "reason": 1, "site": 1}
    task: Document | None = await ctx.db.tasks.find_one({"dataset_id": dataset_id}, shown)
    return task


async def _grid(ctx: Context, dataset_id: str) -> Document:
    """Where on the grid an analysis runs, as far as that is known."""
    task = await _task(ctx, dataset_id) or {}
    return {"dataset_id": dataset_id, **{name: task[name] for name in ("job_id", "task_id") if name in task}}


async def _follow(ctx: Context, row: Mapping[str, Any]) -> None:
    dataset_id = row["grid"]["dataset_id"]
    task = await _task(ctx, dataset_id)
    if task is None:
        await _unmade(ctx, row, dataset_id)
        return
    grid = await _grid(ctx, dataset_id)
    if task["status"] == "complete":
        await analyses.end(ctx, row, "failure", f"the task ended without a {RESULT}")
    elif task["status"] == "failed":
        await analyses.end(ctx, row, "failure", f"the task failed: {task.get('reason') or 'no reason'}")
    elif task["status"] == "processing":
        await _note(ctx, row, "pending", f"runs at {task.get('site') or 'a site'}", grid)
    else:
        await _note(ctx, row, "queued", f"its task is {task['status']}", grid)


async def _unmade(ctx: Context, row: Mapping[str, Any], dataset_id: str) -> None:
    """There is no task yet, or no dataset any more."""
    try:
        dataset = await datasets.get(ctx, dataset_id)
    except NotFound:
        await analyses.end(ctx, row, "failure", "its dataset was deleted")
        return
    if text := dataset.get("materialisation_error"):
        await analyses.end(ctx, row, "failure", f"its task cannot be made: {text}")


async def _note(ctx: Context, row: Mapping[str, Any], status: str, message: str, grid: Document) -> None:
    if (row["status"], row["status_message"], row["grid"]) != (status, message, grid):
        await analyses.move(ctx, row["_id"], status, message, grid=grid)


async def _give_up(ctx: Context, dataset_id: str, *, may_report: bool) -> None:
    """Suspend a dataset, unless its task has only to report that it is done, and forget its token."""
    if may_report and await _is_at_work(ctx, dataset_id):
        return
    with contextlib.suppress(ApiError):  # it is over, or gone
        await datasets.set_status(ctx, dataset_id, "suspended")
    await credentials.remove(ctx, Owner("dataset", dataset_id), None)
    await ctx.db.desk_analysis_tasks.delete_one({"_id": dataset_id})


async def _is_at_work(ctx: Context, dataset_id: str) -> bool:
    running = {"dataset_id": dataset_id, "status": "processing"}
    return bool(await ctx.db.datasets.find_one(running, {"_id": 1})) and bool(await _task(ctx, dataset_id))
