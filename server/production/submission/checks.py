"""Whether a configuration may be taken: what is wrong with it by itself, and what no site here can offer."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from iceprod.addresses import BUILT_IN, scheme_of
from iceprod.config_check import Finding, Kind, Offers, check_config, refused
from iceprod.dataset_config import ConfigError, dependency_index, is_versioned, task_names, with_defaults
from iceprod.evaluation import payload
from iceprod.tokens import Caller
from server.common.errors import BadRequest
from server.production.common import heard
from server.production.common.documents import Document
from server.production.people.naming import Named, check_named
from server.production.transfers import movable
from server.rest.context import Context

__all__ = ["elsewhere", "files", "findings", "require", "require_named", "shown"]

LATELY = timedelta(days=1)
"""A site or pilot that was heard of so recently counts."""

_LIMITS = {"cpu": "cores", "memory": "memory", "disk": "disk", "time": "hours"}  # of a site, by requirement


async def findings(ctx: Context, config: Any, jobs: int, dataset: Document | None = None) -> list[Finding]:
    """What is wrong with a configuration of so many jobs, errors first."""
    offers = await _offers(ctx)
    found = await asyncio.to_thread(check_config, config, jobs, dataset, offers)
    if any(one.kind is Kind.ERROR for one in found) or not is_versioned(config):
        return found
    return [*found, *await _out_of_reach(ctx, config, jobs, dataset or {})]


async def files(ctx: Context, config: Document, jobs: int, dataset: Document) -> list[Document]:
    """The files of the first job, and of the last where it differs: which site can move them, with what."""
    filled = with_defaults(config)
    names = task_names(filled)
    about = {"dataset": 0, "dataset_id": "", "jobs_submitted": jobs, "tasks_submitted": jobs * len(names),
             "debug": False, **dataset}
    sites, rows = await movable.sites_that_say(ctx), dict[tuple[str, str], Document]()
    for job in sorted({0, max(jobs, 1) - 1}):
        for index, name in enumerate(names):
            task = {"task_index": index, "job_index": job, "name": name}
            made = await asyncio.to_thread(payload, about, filled, task)
            for row in await movable.files_of(ctx, about, made, sites):
                rows.setdefault((name, row["remote"]), {"task": name, "task_index": index, "job": job, **row})
    return [*rows.values()]


async def _out_of_reach(ctx: Context, config: Document, jobs: int, dataset: Document) -> list[Finding]:
    """Files that need a credential which nobody keeps here, or that no pilot shows to tasks."""
    return [Finding(f"tasks[{row['task_index']}]", row["problem"], Kind.DOUBT)
            for row in await files(ctx, config, jobs, dataset)
            if row.get("problem") and scheme_of(row["remote"]) in ("s3", "file")]


async def require(ctx: Context, caller: Caller, config: Any, jobs: int, *, lenient: bool = False,
                  dataset: Document | None = None) -> None:
    """Raise BadRequest for a configuration that is not taken, Forbidden for one that names others' tasks."""
    wrong = refused(await findings(ctx, config, jobs, dataset), lenient=lenient)
    if wrong:
        more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BadRequest(wrong[0].text + more)
    await require_named(ctx, caller, config)


async def require_named(ctx: Context, caller: Caller, config: Any) -> None:
    """Raise Forbidden for a configuration that depends on tasks which the caller may not know of."""
    await check_named(ctx, caller, Named(depends=elsewhere(config)))


def elsewhere(config: Any) -> tuple[str, ...]:
    """The tasks of other datasets that a configuration's tasks depend on, as it names them."""
    tasks = config.get("tasks") if isinstance(config, dict) else None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        return ()
    names, found = task_names(config), dict[str, None]()
    for index, task in enumerate(tasks):
        for depends in task.get("depends") or ():
            with contextlib.suppress(ConfigError):  # told elsewhere
                if dependency_index(names, index, depends) is None:
                    found[str(depends)] = None
    return tuple(found)


def shown(one: Finding, name: str) -> Document:
    """A finding as JSON."""
    near = {"nearest": one.nearest} if one.nearest else {}
    return {"path": one.path, name: one.problem, "kind": one.kind.value, **near}


async def _offers(ctx: Context) -> Offers:
    """The most that sites say they offer to one task, and that pilots here have."""
    sites: dict[str, float] = {}
    shown = {"largest": 1, "site": 1, "task_classads": 1, "gpus": 1}
    lately = heard.heard_of(LATELY.total_seconds())
    grids = await ctx.db.grids.find({**lately, "largest": {"$exists": True}}, shown).to_list()
    for grid in grids:
        _raise(sites, {name: grid["largest"].get(key) for name, key in _LIMITS.items()})
    pilots: dict[str, float] = {}
    async for pilot in heard.pilots(ctx, "resources", seconds=LATELY.total_seconds()):
        _raise(pilots, pilot.get("resources") or {})
    known = [site.schemes for site in (await movable.sites_that_say(ctx)).values()]
    schemes = frozenset().union(BUILT_IN, *known) if known else frozenset[str]()
    classads = {str(grid.get("site")): [str(one) for one in grid.get("task_classads") or ()]
                for grid in grids}
    return Offers(sites, pilots, schemes, classads, _gpus(grids))


def _gpus(grids: list[Document]) -> tuple[Document, ...]:
    """The kinds of GPUs that sites have, if all that have some say which."""
    with_gpus = [grid for grid in grids if (grid["largest"].get("gpus") or 0) > 0]
    if not all(grid.get("gpus") for grid in with_gpus):
        return ()
    return tuple({"gpus_device_name": str(gpu["name"]), "gpus_minimum_capability": float(gpu["capability"]),
                  "gpus_minimum_memory": float(gpu["memory"])} for grid in with_gpus for gpu in grid["gpus"])


def _raise(most: dict[str, float], offer: Document) -> None:
    for name, value in offer.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            most[name] = max(value, most.get(name, 0.0))
