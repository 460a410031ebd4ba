"""Who may hand in alerts, release, dismiss and retract: administrators, the system, and whoever of the desk
has the right to manage events (`Manage GCNs`)."""

from __future__ import annotations

from iceprod.tokens import Caller
from server.common.errors import Forbidden
from server.desk.people import people
from server.rest.context import Context

__all__ = ["RIGHT", "check_may_manage", "may_manage"]

RIGHT = "Manage GCNs"


async def may_manage(ctx: Context, caller: Caller, token: str) -> bool:
    """Whether somebody may decide what is published."""
    if caller.roles & {"admin", "system"}:
        return True
    return (await people.visitor(ctx, token)).has(RIGHT)


async def check_may_manage(ctx: Context, caller: Caller, token: str) -> None:
    """Raises Forbidden."""
    if not await may_manage(ctx, caller, token):
        raise Forbidden(f"this needs the role admin or system, or the desk's right {RIGHT!r}")
