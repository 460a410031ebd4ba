"""What moves analyses on: who begins with those that wait, follows tasks, and ends what is overdue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
from pymongo import ReturnDocument

from iceprod.ids import now
from server.common.errors import ApiError
from server.desk.analyses import analyses, grid_runs, services
from server.desk.common.access import Document
from server.desk.outside import calls
from server.production.people.sealing import SealError, unseal
from server.rest.context import Context
from server.scans.manifests.decoding import address
from server.services.leader import Service

__all__ = ["SERVICES", "one_round"]

log = logging.getLogger("server.desk")

LEASE = 90.0  # seconds within which a service is called
MOST_TRIES = 3
AT_ONCE = 8
LOOK = 3.0  # seconds between looks at tasks


async def one_round(ctx: Context) -> None:
    """Begin with what waits, follow what runs, end what is overdue, clean up."""
    await services.ensure_templates(ctx)
    while rows := await _claimed(ctx):
        await asyncio.gather(*(_begin(ctx, row) for row in rows))
    open_ones = {"status": {"$in": list(analyses.OPEN)}}
    async for row in ctx.db.desk_analyses.find({**open_ones, "invalid_after": {"$lt": now()}}):
        seconds = (row["invalid_after"] - row["created_at"]).total_seconds()
        await analyses.end(ctx, row, "timed_out", f"no result within {seconds:.0f} s")
    await grid_runs.follow(ctx)


async def _claimed(ctx: Context) -> list[Document]:
    rows: list[Document] = []
    while len(rows) < AT_ONCE and (row := await _claim(ctx)) is not None:
        rows.append(row)
    return rows


async def _claim(ctx: Context) -> Document | None:
    """An analysis that nobody began with, or whose beginner died."""
    waits = {"status": "queued", "grid": None, "begun": {"$lte": now()}}
    change = {"$set": {"begun": now() + timedelta(seconds=LEASE)}, "$inc": {"tries": 1}}
    row: Document | None = await ctx.db.desk_analyses.find_one_and_update(
        waits, change, sort=[("begun", 1)], return_document=ReturnDocument.AFTER)
    return row


async def _begin(ctx: Context, row: Document) -> None:
    """Hand an analysis to its service; what goes wrong ends it."""
    if row["tries"] > MOST_TRIES:
        await analyses.end(ctx, row, "failure", f"its service could not be called in {MOST_TRIES} tries")
        return
    service = await ctx.db.desk_analysis_services.find_one({"_id": row["analysis_service_id"]})
    try:
        if service is None:
            await analyses.end(ctx, row, "failure", "its service was removed")
        elif services.is_grid(service):
            await grid_runs.submit(ctx, row, service)
        else:
            await _call(ctx, row, service)
    except (ApiError, SealError) as error:
        log.warning("analysis not begun", extra={"analysis": row["_id"], "reason": str(error)})
        await analyses.end(ctx, row, "failure", str(error))


async def _call(ctx: Context, row: Document, service: Mapping[str, Any]) -> None:
    """Tell a service outside. It may call back before it answers: then the call-back counts."""
    given = await analyses.inputs_of(ctx, row)
    body = {
        "callback_url": f"{address(ctx)}/api/webhook/obj_analysis/{unseal(ctx, row['token'])}",
        "callback_method": "POST", "inputs": given, "invalid_after": row["invalid_after"].isoformat(),
        "analysis_resource_type": "obj", "resource_id": row["obj_id"],
        "analysis_parameters": row["analysis_parameters"]}
    secret = unseal(ctx, row["token"])
    headers = services.headers_of(ctx, service)
    call = calls.Call(
        f"analysis service {service['name']}", service["url"], body=msgspec.json.encode(body),
        headers={**headers, "Idempotency-Key": f"analysis-{row['_id']}"}, about=f"analysis {row['_id']}",
        secrets=(secret, *headers.values()))
    answer = await calls.exchange(ctx, call)
    if answer.is_good:
        await analyses.move(ctx, row["_id"], "pending", "the service is at work")
    else:
        said = answer.body[:500].decode(errors="replace")
        await analyses.end(ctx, row, "failure", f"{call.service} answers HTTP {answer.status}: {said}")


SERVICES = [Service("desk analyses", lambda ctx: LOOK, one_round, signal=analyses.SIGNAL)]
