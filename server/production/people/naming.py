"""What a caller may name: groups, owners, datasets and sites that are theirs to name.

Every route that takes such a name asks here, and so do scheduled actions, for whoever schedules them.
"""

from __future__ import annotations

from dataclasses import dataclass

from iceprod.tokens import Caller
from server.common.errors import BadRequest, Forbidden
from server.production.common import access
from server.production.people.groups import unknown_groups
from server.rest import sites
from server.rest.context import Context

__all__ = ["NOTHING", "Named", "check_named", "is_own_group", "is_own_name"]


@dataclass(frozen=True)
class Named:
    """What a request names; empty fields name nothing."""

    group: str = ""  # that something shall belong to
    readers: tuple[str, ...] = ()  # groups that shall read it
    owner: str = ""  # whose it shall be
    depends: tuple[str, ...] = ()  # tasks of other datasets: the task's id, or dataset:task
    site: str = ""  # that is spoken for


NOTHING = Named()


def is_own_group(caller: Caller, name: str) -> bool:
    """Whether a caller speaks for a group: a member, or an administrator or service."""
    return name in caller.groups or bool(caller.roles & {"admin", "system"})


def is_own_name(caller: Caller, name: str) -> bool:
    """Whether a caller speaks for a user."""
    return name == caller.username or bool(caller.roles & {"admin", "system"})


async def check_named(ctx: Context, caller: Caller, named: Named) -> None:
    """Raise BadRequest or Forbidden for a name that is not the caller's to name, or that nothing has."""
    if named.group and not is_own_group(caller, named.group):
        raise BadRequest("not a member of selected group")
    if named.owner and not is_own_name(caller, named.owner):
        raise BadRequest("cannot submit as a different user")
    if named.site:
        sites.own_site(caller, named.site)
    if named.group and named.group not in caller.groups:
        await _check_groups(ctx, "group", (named.group,))
    await _check_groups(ctx, "auth_groups_read", named.readers)
    for depends in named.depends:
        await _check_readable(ctx, caller, depends)


async def _check_groups(ctx: Context, field: str, names: tuple[str, ...]) -> None:
    if names and (unknown := await unknown_groups(ctx, list(names))):
        raise BadRequest(f"{field}: there is no group {unknown[0][:100]!r}")


async def _check_readable(ctx: Context, caller: Caller, depends: str) -> None:
    """Raise Forbidden unless the caller may read the dataset of a task; what is not there, others tell."""
    if caller.bypasses_datasets:
        return
    number, colon, _ = depends.partition(":")
    if not colon:
        found = await ctx.db.tasks.find_one({"task_id": depends}, {"dataset_id": 1})
    elif number.isdigit() and len(number) < 16:
        found = await ctx.db.datasets.find_one({"dataset": int(number)}, {"dataset_id": 1})
    else:
        found = {"dataset_id": number}
    dataset_id = found["dataset_id"] if found else ""
    try:
        await access.require(ctx, caller, dataset_id, "read")
    except Forbidden:
        raise Forbidden(f"depends: {depends[:100]!r} is of no dataset that you may read") from None
