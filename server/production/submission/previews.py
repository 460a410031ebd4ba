"""What a configuration would create, without creating it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from iceprod.dataset_config import ConfigError, problems
from server.common.errors import BadRequest
from server.production.common.documents import Document
from server.production.submission import materialisation, scripts
from server.production.submission.materialisation import BUFFER_JOBS, Plan
from server.rest.context import Context

__all__ = ["preview"]

MOST_WARNINGS = 100
_UNEXPANDED = re.compile(r"\$\w*\([^()]*\)?")


async def preview(ctx: Context, config: Document, jobs: int) -> Document:
    """What `jobs` jobs of a configuration would be: whether it is valid, and the tasks of the first job.

    Errors have the path of the place that is wrong; warnings tell of expressions that stay as they are.
    """
    if found := problems(config):
        return _refused(found)
    size = len(config.get("tasks") or ())
    dataset = {"dataset": 0, "dataset_id": "", "jobs_submitted": jobs, "tasks_submitted": jobs * size,
               "tasks_per_job": size, "debug": False}
    try:
        plan = await materialisation.plan_for(ctx, dataset, config)
        for index in {0, jobs - 1}:  # requirements may depend on the job
            materialisation.tasks_of_job(plan, index, 0.5)
        tasks = list(_tasks(plan))
    except BadRequest as error:
        return _refused([ConfigError(error.reason)])
    warnings = [{"path": path, "warning": f"{text} is nothing that could be evaluated; it stays as it is"}
                for index, task in enumerate(tasks)
                for path, text in _unexpanded(task["task"], f"tasks[{index}]")]
    return {"valid": True, "errors": [], "warnings": warnings[:MOST_WARNINGS], "jobs": jobs,
            "tasks_per_job": size, "tasks": jobs * size, "jobs_made_at_once": min(jobs, BUFFER_JOBS),
            "first_job": tasks}


def _refused(found: list[ConfigError]) -> Document:
    errors = [{"path": error.path, "error": error.problem} for error in found]
    return {"valid": False, "errors": errors, "warnings": []}


def _tasks(plan: Plan) -> Iterator[Document]:
    """The tasks of the first job, as pilots would get them."""
    for task in materialisation.tasks_of_job(plan, 0, 0.5):
        index = task.task_index
        run = scripts.payload(plan.dataset, plan.config, {
            "job_index": 0, "task_index": index, "name": task.name})
        yield {"name": task.name, "task_index": index, "requirements": task.requirements,
               "depends": [plan.names[earlier] for earlier in plan.depends[index]] + plan.elsewhere[index],
               "status": "idle" if task.depends else "waiting", "task": run["task"]}


def _unexpanded(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        for match in _UNEXPANDED.finditer(value):
            yield path, match.group()
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unexpanded(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unexpanded(item, f"{path}.{key}")
