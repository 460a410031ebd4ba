"""Tests of sites: a small task for each, pinned to it; who does not end it in time was not available."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from iceprod.ids import timestamp
from server.common.errors import NotFound
from server.production.datasets import configs, datasets
from server.production.datasets.datasets import NewDataset
from server.production.failures import explain
from server.production.people import users
from server.production.sites import site_tests
from server.production.sites.site_tests import SiteTest
from server.rest.context import Context
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import MAX_DETAIL, Outcome, Status, failure
from server.sensor.actions import dataset_actions
from server.sensor.actions.actions import Action, register
from server.sensor.common import grid_priority

__all__ = ["SECONDS", "config_for", "follow", "start"]

SECONDS = 1800.0
"""So long a site has for its task, in the queue of its batch system too."""
_NEEDS = {"cpu": 1, "memory": 0.5, "disk": 0.1, "time": 0.1}
_PROGRAM = "uname -a; df -Pk . && test -w ."
_OVER = ("complete", "failed", "suspended")


def config_for(sites: list[str]) -> dict[str, Any]:
    """A task for each site, which looks at its host and its directory."""
    module = {"name": "look", "src": "/bin/sh", "args": ["-c", _PROGRAM]}
    return {"version": 3.2, "description": "tests of sites", "tasks": [
        {"name": site, "requirements": {**_NEEDS, "site": site}, "trays": [{"modules": [module]}]}
        for site in sites]}


async def start(ctx: Context, run: Acquisition) -> Outcome | None:
    """Submit the tasks, for all sites that should work now."""
    dataset_id = dataset_actions.dataset_id_of(run)
    sites = await _sites(ctx)
    if not sites:
        return Outcome(Status.SKIPPED, "no site is there that should work now")
    new = NewDataset(description="tests of sites", group="users", jobs_submitted=1,
                     tasks_submitted=len(sites), tasks_per_job=len(sites), username=run.owner,
                     priority=grid_priority.of_dataset(run.priority))
    await users.ensure(ctx, run.owner)
    await datasets.create_dataset(ctx, new, dataset_id)
    await configs.put(ctx, dataset_id, config_for(sites))
    await acquisitions.note_grid(ctx, run, {"dataset_id": dataset_id, "began": time.time()})
    return None


async def _sites(ctx: Context) -> list[str]:
    """The sites of living grids that nobody paused, drains, or has in maintenance."""
    moment = timestamp()
    found = set[str]()
    shown = {"_id": 0, "site": 1, "control": 1}
    async for grid in ctx.db.grids.find({"alive": True, "site": {"$exists": True}}, shown):
        control = grid.get("control") or {}
        is_away = control.get("starts", "~") <= moment < control.get("ends", "")
        if control.get("state", "active") == "active" and not is_away:
            found.add(str(grid["site"]))
    return sorted(found)


async def follow(ctx: Context, run: Acquisition) -> Outcome | None:
    """None while sites have time left; then who passed."""
    dataset_id, began = run.grid["dataset_id"], float(run.grid["began"])
    try:
        dataset = await datasets.get(ctx, dataset_id)
    except NotFound:
        return failure("the dataset was deleted")
    shown = {"_id": 0, "task_id": 1, "name": 1, "status": 1, "status_changed": 1, "reason": 1}
    tasks = await ctx.db.tasks.find({"dataset_id": dataset_id}, shown).to_list()
    has_all = len(tasks) == dataset["tasks_submitted"]
    is_late = time.time() - began > SECONDS
    if not is_late and not (has_all and all(task["status"] in _OVER for task in tasks)):
        return None
    tests = [await _result(ctx, dataset_id, task, began) for task in tasks]
    if not tests:
        return failure("its tasks were not made in time")
    await site_tests.record(ctx, f"{run.id}/{run.created}", tests)
    await dataset_actions.abort(ctx, run, "")  # what is left waits no more
    return _outcome(tests)


async def _result(ctx: Context, dataset_id: str, task: dict[str, Any], began: float) -> SiteTest:
    """What one site's task came to; of one that waits, why."""
    ended = datetime.fromisoformat(task["status_changed"]).replace(tzinfo=UTC).timestamp()
    passed, reason = task["status"] == "complete", str(task.get("reason") or "")
    if task["status"] not in _OVER:
        ended = time.time()
        reason = str((await explain.explain(ctx, dataset_id, task["task_id"]))["reason"])
    began_at = datetime.fromtimestamp(began, UTC).replace(tzinfo=None)
    return SiteTest(task["name"], timestamp(began_at), passed, round(max(0.0, ended - began), 1),
                    "" if passed else f"{task['status']}: {reason}"[:1000])


def _outcome(tests: list[SiteTest]) -> Outcome:
    """A site that is away is what the test is there to find: no failure of the test's own."""
    bad = [f"{test.site} ({test.reason})" for test in tests if not test.passed]
    away = f"; not {'; '.join(bad)}" if bad else ""
    detail = f"{len(tests) - len(bad)} of {len(tests)} sites passed{away}"
    return Outcome(detail=detail[:MAX_DETAIL], data=msgspec.json.encode(tests))


register(Action("site_tests", f"""\
Run a small task at each site that should work now, and keep who ended it in time.

A site has {SECONDS / 60:g} minutes. The run succeeds whoever passes; how available each site was in the last
week is shown on the page of sites, by `iceprod sites`, and by GET /site_tests. The results are its data.""",
                start=start, follow=follow, abort=dataset_actions.abort))
