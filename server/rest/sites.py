"""Tokens that are good for one site alone, as those of its pilots: they reach nothing of another site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iceprod.tokens import Caller
from server.common.errors import Forbidden, NotFound
from server.rest.context import Context

__all__ = ["bound_site", "check_names", "own_site"]


def bound_site(caller: Caller) -> str:
    """The only site that a caller's token is good for; empty when it is good for all."""
    site = caller.claims.get("site")
    return site if isinstance(site, str) else ""


def own_site(caller: Caller, named: Any) -> Any:
    """The site that a caller may speak for: its own when it names none. Raises Forbidden."""
    site = bound_site(caller)
    if site and named not in (None, "", site):
        raise Forbidden(f"this token is for the site {site}")
    return site or named


async def check_names(ctx: Context, caller: Caller, names: Mapping[str, Any]) -> None:
    """Refuse a bound caller the pilots and tasks of other sites, by the ids that a request names.

    A task belongs to the site that it was last leased to. Raises Forbidden for a pilot; NotFound for a task,
    as for one that somebody else works on.
    """
    site = bound_site(caller)
    if not site:
        return
    if pilot_id := names.get("pilot_id"):
        pilot = await ctx.db.pilots.find_one({"pilot_id": pilot_id}, {"site": 1})
        if pilot is not None and pilot.get("site") != site:
            raise Forbidden(f"this token is for the site {site}")
    if task_id := names.get("task_id"):
        task = await ctx.db.tasks.find_one({"task_id": task_id}, {"site": 1})
        if task is not None and task.get("site") != site:
            raise NotFound("Task not found")
