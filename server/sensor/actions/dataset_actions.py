"""Actions that submit a dataset: `submit_dataset:` and the name of a stored template."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

import msgspec

from iceprod.dataset_config import task_names
from iceprod.states import JOB
from server.common.errors import BadRequest, NotFound
from server.production.datasets import configs, datasets
from server.production.datasets.datasets import NewDataset
from server.production.people import users
from server.production.people.groups import unknown_groups
from server.production.people.naming import Named
from server.production.submission.actions import parse_config
from server.production.submission.checks import elsewhere
from server.rest.context import Context
from server.scans.manifests.schema import Body
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome, failure
from server.sensor.actions.actions import Action, Kind, register_kind
from server.sensor.common import grid_priority

__all__ = ["KIND", "abort", "dataset_id_of"]

_NAMESPACE = uuid.UUID("3b0f6a4e-5a0e-4a52-9c7b-0d5f7f3d9a11")

ARGUMENTS = Body({
    "config": {"type": "object", "description": "the dataset's configuration"},
    "description": {"type": "string", "minLength": 1, "maxLength": 500},
    "jobs_submitted": {"type": "integer", "minimum": 1, "maximum": 10**9, "default": 1},
    "group": {"type": "string", "minLength": 1, "maxLength": 100, "default": "users"},
}, ["config", "description"], opaque=["config"])


def dataset_id_of(run: Acquisition) -> str:
    """Everybody computes it alike, so a run that is begun twice makes one dataset."""
    return uuid.uuid5(_NAMESPACE, f"{run.id}/{run.created}").hex


def check(arguments: dict[str, Any]) -> None:
    """Raise BadRequest for a template that could not be submitted."""
    if not task_names(parse_config(arguments["config"])):
        raise BadRequest("config is not valid: it has no tasks")


def make(name: str, arguments: dict[str, Any]) -> Action:
    """The action that submits this template for the owner of the entry."""

    named = Named(group=arguments.get("group", "users"), depends=elsewhere(parse_config(arguments["config"])))

    async def start(ctx: Context, run: Acquisition) -> Outcome | None:
        dataset_id = dataset_id_of(run)
        if unknown := await unknown_groups(ctx, [named.group]):
            return failure(f"there is no group {unknown[0]!r} any more")
        await _submit(ctx, run, dataset_id, arguments)
        await acquisitions.note_grid(ctx, run, {"dataset_id": dataset_id})
        return None

    return Action(name, f"Submit the dataset {arguments['description']!r}.\n\nThe run ends with the dataset; "
                        "a summary is its data.", start=start, follow=follow, abort=abort, named=named)


async def _submit(ctx: Context, run: Acquisition, dataset_id: str, arguments: dict[str, Any]) -> None:
    config = parse_config(arguments["config"])
    size, jobs = len(task_names(config)), arguments.get("jobs_submitted", 1)
    new = NewDataset(
        description=arguments["description"], group=arguments.get("group", "users"), jobs_submitted=jobs,
        tasks_submitted=size * jobs, tasks_per_job=size, username=run.owner,
        priority=grid_priority.of_dataset(run.priority))
    await users.ensure(ctx, run.owner)
    await datasets.create_dataset(ctx, new, dataset_id)
    await configs.put(ctx, dataset_id, config)


async def follow(ctx: Context, run: Acquisition) -> Outcome | None:
    """None while the dataset is at work, or suspended by somebody who may let it go on."""
    try:
        dataset = await datasets.get(ctx, run.grid["dataset_id"])
    except NotFound:
        return failure("the dataset was deleted")
    if dataset["status"] in ("processing", "suspended"):
        if text := dataset.get("materialisation_error"):
            await datasets.set_status(ctx, dataset["dataset_id"], "errors")
            return failure(f"its jobs cannot be made: {text}")
        return None
    of_it, number = {"dataset_id": dataset["dataset_id"]}, dataset["dataset"]
    counts = {state: await ctx.db.jobs.count_documents({**of_it, "status": state}) for state in JOB.states}
    summary = {**of_it, "dataset": number, "status": dataset["status"], "jobs": counts}
    if dataset["status"] != "complete":
        return failure(f"dataset {number}: {counts['errors']} of {sum(counts.values())} jobs failed")
    return Outcome(detail=f"dataset {number}: {counts['complete']} jobs complete",
                   data=msgspec.json.encode(summary))


async def abort(ctx: Context, run: Acquisition, _: str) -> None:
    """Suspend the dataset; people may still look at it, and let it go on."""
    with contextlib.suppress(NotFound, BadRequest):  # it is gone, or over
        await datasets.set_status(ctx, run.grid["dataset_id"], "suspended")


KIND = Kind("submit_dataset", "Submit a dataset of a fixed configuration.", ARGUMENTS, make, check)
register_kind(KIND)
