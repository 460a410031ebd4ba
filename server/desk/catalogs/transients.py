"""Importing transients: objects, their light curves and comments, saved for groups."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import UpdateOne

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common import ids, jobs
from server.desk.common.access import Visitor
from server.desk.common.jobs import Job
from server.desk.objects import objs, sources
from server.desk.observing.instruments import first_of_nickname
from server.desk.outside import imports
from server.desk.outside.calls import ServiceError
from server.desk.outside.imports import Measurement, Transient
from server.desk.people.groups import with_groups
from server.rest.context import Context
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome, failure
from server.sensor.actions.actions import Action, register

__all__ = ["SERVICES", "keep", "start"]

RECENT_DAYS = 7
_POLITE = 0.1  # seconds between the light curves that we ask for


async def start(ctx: Context, who: Visitor, kind: str, telescope: str, first: datetime | None = None,
                last: datetime | None = None) -> None:
    """Have a list of transients imported for the visitor's groups. Raises BadRequest: no such telescope."""
    if first and last and last < first:
        raise BadRequest("endDate: must not be before startDate")
    instrument = await first_of_nickname(ctx, telescope)
    payload = {"instrument_id": instrument["_id"], "first": first, "last": last}
    await jobs.add(ctx, who, kind, payload, sorted(who.groups))


async def _import_swift(ctx: Context, job: Job) -> str:
    found = await imports.swift_transients(ctx)
    new = await keep(ctx, job, found, job.group_ids)
    for transient in found:
        await _add_points(ctx, job, transient.name, transient.measurements)
    return _outcome(new, found)


async def _import_gaia(ctx: Context, job: Job) -> str:
    found = await imports.gaia_alerts(ctx, job.payload["first"], job.payload["last"])
    new = await keep(ctx, job, found, job.group_ids)
    lost = 0
    for number, transient in enumerate(found[int(job.progress.get("light_curves", 0)):], 1):
        try:
            points = await imports.gaia_light_curve(ctx, transient.name)
            await _add_points(ctx, job, transient.name, points)
        except ServiceError:
            lost += 1
        await jobs.note(ctx, job, light_curves=int(job.progress.get("light_curves", 0)) + number)
        await asyncio.sleep(_POLITE)
    return _outcome(new, found) + (f"; {lost} light curves could not be read" if lost else "")


def _outcome(new: Sequence[str], found: Sequence[Transient]) -> str:
    return f"completed: Added {len(new)} of {len(found)} transients" if new else "completed: No new objects"


async def keep(ctx: Context, job: Job, found: Iterable[Transient], group_ids: list[int]) -> list[str]:
    """Make objects of transients and save them for groups; the names of those that are new."""
    who = Visitor(job.user_id, "", groups=frozenset(group_ids))
    wanted = {transient.name: transient for transient in found}
    known = await objs.find_many(ctx, wanted)
    new = [name for name in wanted if name not in known]
    for name in new:
        transient = wanted[name]
        await objs.ensure(ctx, who, name, {
            "ra": transient.ra, "dec": transient.dec, "origin": transient.origin, "transient": True})
        if transient.comment:
            await _comment(ctx, job, name, transient.comment, group_ids)
    await sources.save(ctx, who, wanted, group_ids)
    return new


async def _comment(ctx: Context, job: Job, name: str, text: str, group_ids: list[int]) -> None:
    key = {"obj_id": name, "text": text, "bot": True}
    row = {"_id": await ids.next_id(ctx, "comments"), "author_id": job.user_id, "origin": "catalogue import",
           "group_ids": group_ids, "created_at": now(), "modified": now()}
    await ctx.db.desk_comments.update_one(key, {"$setOnInsert": row}, upsert=True)


async def _add_points(ctx: Context, job: Job, name: str, points: Sequence[Measurement]) -> None:
    """Store a light curve; points that are there stay as they are."""
    if not points:
        return
    numbers = await ids.next_ids(ctx, "photometry", len(points))
    await ctx.db.desk_photometry.bulk_write(
        [_write(job, name, point, number) for point, number in zip(points, numbers, strict=True)],
        ordered=False)


def _write(job: Job, name: str, point: Measurement, number: int) -> UpdateOne:
    key = {"obj_id": name, "mjd": point.mjd, "filter": point.filter,
           "instrument_id": job.payload["instrument_id"]}
    values: dict[str, Any] = {"mag": point.mag, "magerr": point.magerr, "flux": point.flux,
                              "fluxerr": point.fluxerr}
    row = {"_id": number, **values, "group_ids": job.group_ids, "annotations": [], "created_at": now()}
    return UpdateOne(key, {"$setOnInsert": row}, upsert=True)


# -- by the clock


async def _start_by_clock(ctx: Context, run: Acquisition, *, kind: str, telescope: str) -> Outcome:
    """Begin an import for the groups of the entry's owner."""
    user = await ctx.db.desk_users.find_one({"username": run.owner})
    if user is None:
        return failure(f"{run.owner} has not used the desk yet, so there is no group to import for")
    who = await with_groups(ctx, Visitor(user["_id"], run.owner, extra=user), user["claimed_groups"])
    first = now() - timedelta(days=RECENT_DAYS) if kind == "gaia_alerts" else None
    try:
        await start(ctx, who, kind, telescope, first)
    except BadRequest as error:
        return failure(error.reason)
    return Outcome(detail=f"the import for {len(who.groups)} groups has begun")


register(Action("import_gaia_alerts", f"""\
Imports the alerts of Gaia of the last {RECENT_DAYS} days.

They become sources of the groups of the entry's owner. Needs a telescope with the nickname Gaia.""",
                run=functools.partial(_start_by_clock, kind="gaia_alerts", telescope="Gaia")))
register(Action("import_swift_transients", """\
Imports the Swift LSXPS transients.

They become sources of the groups of the entry's owner. Needs a telescope with the nickname Swift.""",
                run=functools.partial(_start_by_clock, kind="swift", telescope="Swift")))


SERVICES = [jobs.service("swift", _import_swift), jobs.service("gaia_alerts", _import_gaia)]
