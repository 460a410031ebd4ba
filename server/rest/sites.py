"""Tokens that are good for one site or one pilot alone: they reach nothing of another.

A pilot registers with the token of its site's pilots, and is answered with one of its own. With that it
reaches itself, the tasks that it holds, and their datasets. A token that only has the role pilot must name
the lease (`instance_id`) in whatever it reports; only who was given the lease knows that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iceprod.tokens import Caller
from server.common.errors import BadRequest, Forbidden, NotFound
from server.rest.context import Context

__all__ = ["bound_pilot", "bound_site", "check_lease", "check_names", "holds_of_dataset", "is_mere_pilot",
           "own_pilot", "own_site"]


def bound_site(caller: Caller) -> str:
    """The only site that a caller's token is good for; empty when it is good for all."""
    site = caller.claims.get("site")
    return site if isinstance(site, str) else ""


def bound_pilot(caller: Caller) -> str:
    """The only pilot that a caller's token is good for; empty when it is good for all."""
    pilot = caller.claims.get("pilot")
    return pilot if isinstance(pilot, str) else ""


def is_mere_pilot(caller: Caller) -> bool:
    """Whether a caller may do no more than a pilot."""
    return "pilot" in caller.roles and not caller.bypasses_datasets


def own_site(caller: Caller, named: Any) -> Any:
    """The site that a caller may speak for: its own when it names none. Raises Forbidden."""
    site = bound_site(caller)
    if site and named not in (None, "", site):
        raise Forbidden(f"this token is for the site {site}")
    return site or named


def own_pilot(caller: Caller, named: str) -> str:
    """The pilot that a caller may speak for: its own when it names none. Raises Forbidden."""
    pilot = bound_pilot(caller)
    if pilot and named not in ("", pilot):
        raise Forbidden(f"this token is for the pilot {pilot}")
    return pilot or named


def check_lease(caller: Caller, instance_id: str | None) -> None:
    """Refuse a mere pilot that reports on a task without saying by which lease. Raises BadRequest."""
    if not instance_id and is_mere_pilot(caller):
        raise BadRequest("Missing instance_id in body")


async def holds_of_dataset(ctx: Context, caller: Caller, dataset_id: str) -> bool:
    """Whether a pilot's token reaches a dataset: one without a pilot's name does, else by a task it holds."""
    pilot = bound_pilot(caller)
    held = {"pilot_id": pilot, "dataset_id": dataset_id}
    return not pilot or await ctx.db.tasks.find_one(held, {"_id": 1}) is not None


async def check_names(ctx: Context, caller: Caller, names: Mapping[str, Any], *,
                      ended: bool = False) -> None:
    """Refuse a bound caller the pilots and tasks of others, by the ids that a request names.

    A task belongs to the site that it was last leased to, and to the pilot that holds it; with `ended`, also
    one that nobody holds any more may be spoken of. Raises Forbidden for a pilot; NotFound for a task, as for
    one that somebody else works on.
    """
    site, pilot = bound_site(caller), bound_pilot(caller)
    if pilot_id := names.get("pilot_id"):
        own_pilot(caller, str(pilot_id))
    if pilot and (task_id := names.get("task_id")):
        held = await ctx.db.tasks.find_one({"task_id": task_id}, {"pilot_id": 1})
        holder = (held or {}).get("pilot_id", "")
        if held is not None and holder != pilot and not (ended and not holder):
            raise NotFound("Task not found")
    if not site:
        return
    # a pilot with a token of its own was given it for its site
    if (pilot_id := names.get("pilot_id")) and not pilot:
        named = await ctx.db.pilots.find_one({"pilot_id": pilot_id}, {"site": 1})
        if named is not None and named.get("site") != site:
            raise Forbidden(f"this token is for the site {site}")
    if task_id := names.get("task_id"):
        task = await ctx.db.tasks.find_one({"task_id": task_id}, {"site": 1})
        if task is not None and task.get("site") != site:
            raise NotFound("Task not found")
