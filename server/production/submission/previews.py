"""What a configuration would create, without creating it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from iceprod.config_check import Finding, refused, whole_budget
from iceprod.expressions import TooCostly
from iceprod.tokens import Caller
from server.common.errors import BadRequest, Forbidden
from server.production.common.documents import Document
from server.production.people.naming import Named, check_named
from server.production.submission import materialisation, scripts
from server.production.submission.checks import elsewhere, files, findings, shown
from server.production.submission.materialisation import BUFFER_JOBS, Plan
from server.rest.context import Context

__all__ = ["preview"]


async def preview(ctx: Context, caller: Caller, config: Document, jobs: int, *, lenient: bool = False,
                  owner: Document | None = None) -> Document:
    """What `jobs` jobs of a configuration would be: whether it is valid, and the tasks of the first job.

    Errors and warnings have the path of the place that they are about, their kind (error, doubt, warning),
    and the known name that was meant, maybe. A doubt is an error, unless one is `lenient`. The `owner`, as
    {"username", "group"}, says whose credentials there would be for its files.
    """
    found = await findings(ctx, config, jobs, owner)
    wrong = refused(found, lenient=lenient)
    warnings = [shown(one, "warning") for one in found if one not in wrong]
    if wrong:
        return _refused(wrong, warnings)
    size = len(config.get("tasks") or ())
    dataset = {"dataset": 0, "dataset_id": "", "jobs_submitted": jobs, "tasks_submitted": jobs * size,
               "tasks_per_job": size, "debug": False}
    try:
        await check_named(ctx, caller, Named(depends=elsewhere(config)))
        plan = await materialisation.plan_for(ctx, dataset, config)
        for index in {0, jobs - 1}:  # requirements may depend on the job
            materialisation.tasks_of_job(plan, index, 0.5)
        tasks = await asyncio.to_thread(lambda: list(_tasks(plan)))
    except (BadRequest, Forbidden, TooCostly) as error:
        return _refused([Finding("", getattr(error, "reason", str(error)))], warnings)
    return {"valid": True, "errors": [], "warnings": warnings, "jobs": jobs,
            "tasks_per_job": size, "tasks": jobs * size, "jobs_made_at_once": min(jobs, BUFFER_JOBS),
            "first_job": tasks, "files": await files(ctx, config, jobs, owner or {})}


def _refused(wrong: list[Finding], warnings: list[Document]) -> Document:
    return {"valid": False, "errors": [shown(one, "error") for one in wrong], "warnings": warnings}


def _tasks(plan: Plan) -> Iterator[Document]:
    """The tasks of the first job, as pilots would get them."""
    budget = whole_budget()
    for task in materialisation.tasks_of_job(plan, 0, 0.5):
        index = task.task_index
        run = scripts.payload(plan.dataset, plan.config, {
            "job_index": 0, "task_index": index, "name": task.name}, budget=budget)
        yield {"name": task.name, "task_index": index, "requirements": task.requirements,
               "depends": [plan.names[earlier] for earlier in plan.depends[index]] + plan.elsewhere[index],
               "status": "idle" if task.depends else "waiting", "task": run["task"]}

