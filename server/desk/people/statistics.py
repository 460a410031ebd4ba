"""Counts of the desk's rows, and the program's recent commits."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from pymongo import UpdateOne

from server.desk.common.access import Document
from server.desk.common.positions import hpix29_many
from server.rest.context import Context
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome
from server.sensor.actions.actions import Action, register

__all__ = ["SCHEMA_VERSION", "counts", "fill_healpix", "gitlog", "healpix_counts", "recent"]

SCHEMA_VERSION = 1
GITLOG = Path(__file__).parents[1] / "gitlog.json"
MAX_COMMITS = 100
FILL_PAGE = 5000

_COUNTED = {
    "candidates": "desk_candidates", "objs": "desk_objs",
    "source views": "desk_source_views", "spectra": "desk_spectra", "groups": "desk_groups",
    "users": "desk_users", "tokens": "desk_tokens", "filters": "desk_filters",
    "telescopes": "desk_telescopes", "instruments": "desk_instruments", "comments": "desk_comments",
    "annotations": "desk_annotations", "thumbnails": "desk_thumbnails", "GCN events": "desk_gcn_events",
    "localizations": "desk_localizations", "scans": "manifests",
}


async def counts(ctx: Context) -> Document:
    """The number of rows of each kind, as the database keeps it, under SkyPortal's names."""
    found: Document = {f"Number of {name}": await ctx.db[collection].estimated_document_count()
                       for name, collection in _COUNTED.items()}
    found["Number of sources"] = await ctx.db.desk_sources.count_documents({"active": True})
    found["Number of photometry (approx)"] = await ctx.db.desk_photometry.estimated_document_count()
    return {**found, "Latest cron job run times & statuses": await _scheduled_runs(ctx)}


async def _scheduled_runs(ctx: Context) -> list[Document]:
    """The newest run of every entry of the schedule."""
    rows = []
    for entry in sorted(await ctx.db.acquisitions.distinct("entry")):
        rows += [{"summary": f"{entry}: {run['status']}, started {run['started']}", "output": run["detail"]}
                 for run in await acquisitions.latest(ctx, entry, 1)]
    return rows


async def healpix_counts(ctx: Context) -> dict[str, int]:
    """How many objects have no pixel index, and how many have one."""
    without = await ctx.db.desk_objs.count_documents({"hpix29": None})
    whole = await ctx.db.desk_objs.estimated_document_count()
    return {"totalWithoutHealpix": without, "totalWithHealpix": max(whole - without, 0)}


async def fill_healpix(ctx: Context) -> dict[str, int]:
    """Give objects with a position but without a pixel index theirs; how many, and how many are left."""
    missing = {"hpix29": None, "ra": {"$ne": None}, "dec": {"$ne": None}}
    rows = await ctx.db.desk_objs.find(missing, {"ra": 1, "dec": 1}, limit=FILL_PAGE).to_list()
    if rows:
        indices = hpix29_many([row["ra"] for row in rows], [row["dec"] for row in rows])
        await ctx.db.desk_objs.bulk_write(
            [UpdateOne({"_id": row["_id"], "ra": row["ra"], "dec": row["dec"]},
                       {"$set": {"hpix29": int(index)}}) for row, index in zip(rows, indices, strict=True)],
            ordered=False)
    return {"filled": len(rows), "left": await ctx.db.desk_objs.count_documents(missing)}


async def _fill(ctx: Context, run: Acquisition) -> Outcome:
    filled = left = 0
    while (step := await fill_healpix(ctx))["filled"]:
        filled, left = filled + step["filled"], step["left"]
    return Outcome(detail=f"{filled} objects have a pixel index now, {left} are left",
                   data=json.dumps({"filled": filled, "left": left}).encode())


register(Action("fill_healpix", "Gives objects with a position but without a pixel index theirs.", run=_fill))


@functools.cache
def gitlog() -> list[Document]:
    """The program's recent commits, newest first, as the build wrote them; none in a source tree."""
    return recent(json.loads(GITLOG.read_text(encoding="utf8"))) if GITLOG.exists() else []


def recent(commits: list[Document]) -> list[Document]:
    """At most so many commits as are shown, without those that only bump or pin something."""
    kept = [commit for commit in commits if not commit["description"].lower().startswith(("bump", "pin"))]
    return kept[:MAX_COMMITS]
