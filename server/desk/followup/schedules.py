"""The schedule of an instrument: what of its requests is observed when, as a table or a picture.

For a telescope it is a plan of the night; for our own grid it is what waits, runs and has run.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor
from server.desk.common.dates import parse_date
from server.desk.common.paging import Page
from server.desk.followup import blocks, drawing, rows, schedule_charts
from server.desk.followup.allocation_pages import GRID
from server.desk.followup.blocks import Block, Placed
from server.desk.followup.rows import Asked
from server.desk.followup.standards import Standard
from server.desk.followup.states import ACTIVE
from server.desk.objects import objs
from server.desk.observing import instruments, nights
from server.rest.context import Context

__all__ = ["KINDS", "Plan", "draw"]

KINDS = {"csv": "text/csv; charset=utf-8", **drawing.KINDS}
_LENGTH = timedelta(hours=12)
_LONGEST = timedelta(days=3)
_MOST = 300  # requests and stars of one schedule
_COLUMNS = ("request_id", "object_id", "ra", "dec", "epoch", "observation_start", "observation_end",
            "exposure_time", "exposure_counts", "filter", "airmass", "priority", "status")


@dataclass(frozen=True)
class Plan:
    """What is asked for: of which requests, over which time, with which standard stars."""

    asked: Asked
    first: datetime | None
    last: datetime | None
    stars: Sequence[Standard] = ()
    only_stars: bool = False

    def span(self) -> tuple[datetime, datetime]:
        """Begin and end. Raises BadRequest."""
        first = self.first or now()
        last = self.last or first + _LENGTH
        if not first < last <= first + _LONGEST:
            raise BadRequest(f"observationEndDate: must be after observationStartDate, and at most"
                             f" {_LONGEST.days} days")
        return first, last


async def draw(ctx: Context, who: Visitor, instrument_id: int, plan: Plan, kind: str) -> bytes:
    """The schedule as ``csv``, ``png`` or ``pdf``. Raises BadRequest: there is nothing to schedule."""
    if kind not in KINDS:
        raise BadRequest(f"output_format: must be one of {', '.join(KINDS)}, not {kind[:40]!r}")
    instrument = await instruments.find_instrument(ctx, instrument_id)
    first, last = plan.span()
    found = [] if plan.only_stars else await _requests(ctx, who, plan)
    if not found and not plan.stars:
        raise BadRequest("there is nothing to schedule: need at least one request that is open and matches")
    if instrument.get("api_classname") == GRID:
        return await _on_grid(ctx, instrument, found, kind)
    place = nights.place_of(await instruments.find_telescope(ctx, instrument["telescope_id"]))
    if place is None:
        raise BadRequest("the instrument's telescope has no place on Earth (lat, lon): no schedule")
    wanted = [*await _blocks(ctx, found), *(_star(star) for star in plan.stars)]
    sky = nights.sky_of(place, first, last)
    placed = await asyncio.to_thread(blocks.place, sky, wanted)
    return await _written(instrument["name"], placed, sky, kind)


async def _requests(ctx: Context, who: Visitor, plan: Plan) -> list[Document]:
    found, _ = await rows.listed(ctx, who, plan.asked, Page(1, _MOST))
    return [row for row in found if plan.asked.status_part is not None or row["phase"] in ACTIVE]


async def _blocks(ctx: Context, found: Sequence[Document]) -> list[Block]:
    known = await objs.find_many(ctx, {row["obj_id"] for row in found})
    return [block for row in found if (obj := known.get(row["obj_id"])) and obj["ra"] is not None
            for block in _blocks_of(row, obj)]


def _blocks_of(row: Mapping[str, Any], obj: Mapping[str, Any]) -> list[Block]:
    payload = row["payload"]
    return [Block(row["_id"], obj["_id"], obj["ra"], obj["dec"], float(payload["priority"]), name,
                  float(payload["exposure_time"]), int(payload["exposure_counts"]),
                  float(payload["maximum_airmass"]), float(payload["minimum_lunar_distance"]),
                  parse_date(payload["start_date"], "start_date"), _end(payload["end_date"]), row["status"])
            for name in payload["observation_choices"]]


def _end(text: str) -> datetime:
    """The end of a window; a date without a time means the whole day."""
    moment = parse_date(text, "end_date")
    return moment + timedelta(days=1) if len(text.strip()) <= len("2031-03-15") else moment


def _star(star: Standard) -> Block:
    return Block(None, star.name, star.ra, star.dec, 0.0, "", 300.0, status="standard star")


async def _written(title: str, placed: Sequence[Placed], sky: nights.Sky, kind: str) -> bytes:
    if kind == "csv":
        return _csv([_row(one) for one in placed])
    return await drawing.with_pen(schedule_charts.draw_night, title, placed, sky, kind)


def _row(placed: Placed) -> Document:
    block = placed.block
    return {"request_id": "" if block.request_id is None else block.request_id, "object_id": block.obj_id,
            "ra": block.ra, "dec": block.dec, "epoch": 2000, "observation_start": placed.start.isoformat(),
            "observation_end": placed.end.isoformat(), "exposure_time": block.exposure_time,
            "exposure_counts": block.exposure_counts, "filter": block.filter,
            "airmass": round(placed.airmass, 3), "priority": block.priority, "status": block.status}


def _csv(table: Sequence[Mapping[str, Any]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    writer.writerows([{name: _harmless(value) for name, value in row.items()} for row in table])
    return file.getvalue().encode()


def _harmless(value: Any) -> Any:
    """Spreadsheets compute what begins with these signs."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@") else value


# -- our own grid


async def _on_grid(ctx: Context, instrument: Document, found: Sequence[Document], kind: str) -> bytes:
    known = await objs.find_many(ctx, {row["obj_id"] for row in found})
    scans = {row["grid"]["scan_id"]: row for row in found if row.get("grid")}
    runs = {run["scan_id"]: run async for run in ctx.db.scan_runs.find(
        {"scan_id": {"$in": list(scans)}}, {"scan_id": 1, "started": 1, "since": 1, "phase": 1})}
    table = [_grid_row(row, known.get(row["obj_id"], {}), runs.get(scan)) for scan, row in scans.items()]
    table.sort(key=lambda one: (one["observation_start"] or "~", -one["priority"]))
    if kind == "csv":
        return _csv(table)
    return await drawing.with_pen(schedule_charts.draw_grid, instrument["name"], table, now(), kind)


def _grid_row(row: Mapping[str, Any], obj: Mapping[str, Any], run: Mapping[str, Any] | None) -> Document:
    is_over = run is not None and run["phase"] != "running"
    return {"request_id": row["_id"], "object_id": row["obj_id"], "ra": obj.get("ra"), "dec": obj.get("dec"),
            "epoch": 2000, "observation_start": _moment(run["started"]) if run else "",
            "observation_end": _moment(run["since"]) if run and is_over else "",
            "exposure_time": round(3600 * row["hours_spent"], 1), "exposure_counts": 1, "filter": "scan",
            "airmass": "", "priority": row["payload"].get("priority", 1), "status": row["status"]}


def _moment(seconds: float) -> str:
    """Seconds since 1970 in UTC."""
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
