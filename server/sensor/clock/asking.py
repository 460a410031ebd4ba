"""What people may do to the schedule, whichever way they ask: over the API or on the pages."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from iceprod.tokens import Caller
from server.common.errors import BadRequest, Forbidden, NotFound
from server.production.people.naming import check_named
from server.rest.context import Context
from server.rest.outgoing import check_address
from server.rest.sites import bound_site
from server.sensor.acquisitions import acquisitions
from server.sensor.actions import actions
from server.sensor.actions.actions import Action
from server.sensor.clock import scheduler
from server.sensor.common.bodies import CREATE, REPLACE, UPDATE, Changes, read_changes
from server.sensor.common.errors import FieldErrors
from server.sensor.schedule import entries
from server.sensor.schedule.entries import Entry

__all__ = ["VITAL_SECONDS", "Answered", "change", "check_owner", "check_writer", "create", "delete",
           "may_change", "of_owner", "run_now"]

MOST_ENTRIES = 500  # of one owner that are named
VITAL_SECONDS = 3600  # what the system cannot do without is done at least so often
WRITERS = frozenset({"admin", "user", "system", "client"})
_REFUSED = "You do not have permission to perform this action."


def check_writer(caller: Caller) -> None:
    """Raise Forbidden for a token that may only read: one without a role, or for the work of one site."""
    if not caller.roles & WRITERS or bound_site(caller):
        raise Forbidden(_REFUSED)


def may_change(caller: Caller, entry: Entry) -> bool:
    """Whether the caller owns the entry or is an administrator."""
    is_writer = bool(caller.roles & WRITERS) and not bound_site(caller)
    return is_writer and ("admin" in caller.roles or caller.username == entry.owner)


def check_owner(caller: Caller, entry: Entry) -> None:
    """Raise Forbidden unless the caller may change the entry."""
    if not may_change(caller, entry):
        raise Forbidden(_REFUSED)


@dataclass(frozen=True)
class Answered:
    """An entry as it is after a request, or (`is_draft`) as it would be: nothing was made or changed."""

    entry: Entry
    is_draft: bool = False


async def create(ctx: Context, caller: Caller, body: Any, origin: str = "") -> Answered:
    """A new entry; `origin` is how the caller reaches us. Raises FieldErrors, Forbidden, Conflict."""
    check_writer(caller)
    asked = read_changes(body, CREATE, REPLACE)
    await _action_of(ctx, caller, asked)
    _check_callback(ctx, asked)
    make = entries.drafted if asked.validate_only else entries.create
    return Answered(await make(ctx, asked, caller.username, time.time(), origin), asked.validate_only)


async def change(ctx: Context, caller: Caller, name: str, body: Any, origin: str = "", *,
                 is_whole: bool = False) -> Answered:
    """Change an entry as a PATCH asks, or (`is_whole`) a PUT. Raises NotFound, FieldErrors, Forbidden.

    Deactivating an entry stops its runs in progress.
    """
    entry = await entries.get(ctx, name)
    check_owner(caller, entry)
    asked = read_changes(body, UPDATE, REPLACE if is_whole else ())
    action = await _action_of(ctx, caller, asked)
    if entry.is_vital and (field := _hindrance(entry, asked, action)):
        raise FieldErrors.of(field, f"The system cannot do without {entry.action}: it goes on, at least "
                                    f"every {VITAL_SECONDS} s.")
    _check_callback(ctx, asked)
    if asked.validate_only:
        return Answered(entries.changed(entry, asked, time.time(), origin), True)
    changed = await entries.change(ctx, name, asked, time.time(), origin)
    if asked.is_active is False:
        await scheduler.stop_runs(ctx, name, f"stopped by {caller.username}")
    return Answered(changed)


def _check_callback(ctx: Context, asked: Changes) -> None:
    """Raise FieldErrors for an address that this installation does not call."""
    if asked.callback_url:
        try:
            check_address(ctx, str(asked.callback_url), "callback_url")
        except BadRequest as error:
            raise FieldErrors.of("callback_url", error.reason.removeprefix("callback_url: ")) from None


async def run_now(ctx: Context, caller: Caller, name: str) -> Entry:
    """Let an entry run besides its times. Raises NotFound, Forbidden."""
    check_owner(caller, await entries.get(ctx, name))
    return await entries.ask(ctx, name, caller.username)


async def of_owner(ctx: Context, name: str) -> list[Entry]:
    """The entries of somebody, the oldest first. Raises NotFound when there are none."""
    found = await entries.all_entries(ctx, {"owner": name}, MOST_ENTRIES)
    if not found:
        raise NotFound("Not found.")
    return found


async def delete(ctx: Context, caller: Caller, name: str) -> None:
    """Delete an entry without acquisitions. Raises NotFound, Forbidden, Protected."""
    entry = await entries.get(ctx, name)
    check_owner(caller, entry)
    if entry.owner == entries.SYSTEM:
        raise Forbidden("this entry belongs to the system; deactivate it instead")
    kept = [(run.entry, run.task_id) for run in await acquisitions.listed(ctx, name)]
    await entries.delete(ctx, name, kept, entry)


async def _action_of(ctx: Context, caller: Caller, asked: Changes) -> Action | None:
    """The action that a body names, if it does. Raises FieldErrors, Forbidden."""
    if not isinstance(asked.action, str):
        return None
    action = await actions.find(ctx, asked.action)
    if action is None:
        raise FieldErrors.of("action", f'"{asked.action[:200]}" is not a valid choice.')
    if action.admin_only and "admin" not in caller.roles:
        raise Forbidden(f"only administrators may schedule the action {action.name}")
    try:
        await check_named(ctx, caller, action.named)
    except BadRequest as error:
        raise FieldErrors.of("action", error.reason) from None
    return action


def _hindrance(entry: Entry, asked: Changes, action: Action | None) -> str:
    """The field by which a change would stop an entry that must go on; empty when none does."""
    if asked.is_active is False:
        return "is_active"
    if action is not None and action.name != entry.action:
        return "action"
    if isinstance(asked.stop, int) or asked.relative_stop is not False:
        return "stop"
    if asked.interval is None or (isinstance(asked.interval, int) and asked.interval > VITAL_SECONDS):
        return "interval"
    if isinstance(asked.start, int) and asked.start > time.time() + VITAL_SECONDS:
        return "start"
    return ""
