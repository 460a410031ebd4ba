"""The report on an instrument's allocations: four panels on one page."""

from __future__ import annotations

import asyncio
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner.common.loading import LOADING
from server.common.errors import BadRequest
from server.desk.common.access import Document, Visitor
from server.desk.followup import drawing, spending
from server.desk.followup.allocation_pages import GRID
from server.desk.followup.spending import Usage
from server.desk.followup.states import Phase
from server.desk.observing import allocations, instruments, nights
from server.rest.context import Context

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_MOST_SHOWN = 20  # allocations in a panel
_MOST_TASKS = 20_000
_MOST_DONE = 2_000


@dataclass(frozen=True)
class Report:
    """What is drawn; lists by allocation."""

    title: str
    names: Sequence[str]
    hours: Sequence[Usage]
    requests: Sequence[int]
    completed: Sequence[int]
    is_grid: bool
    values: Sequence[float]  # hours of each finished task on the grid, or the Moon's lit share at each end


async def draw(ctx: Context, who: Visitor, instrument_id: int, kind: str) -> bytes:
    """The report as ``pdf`` or ``png``. Raises BadRequest; TooManyRequests when many wait."""
    drawing.check(kind)
    instrument = await instruments.find_instrument(ctx, instrument_id)
    found = await allocations.listed(ctx, who, [instrument_id])
    if not found:
        raise BadRequest(f"instrument_id: no allocation of your groups is on instrument {instrument_id}")
    return await drawing.with_pen(_drawn, await _report(ctx, instrument, found[-_MOST_SHOWN:]), kind)


async def _report(ctx: Context, instrument: Document, found: Sequence[Document]) -> Report:
    ids = [row["_id"] for row in found]
    counts: Counter[tuple[int, bool]] = Counter()
    scans: list[str] = []
    ends = []
    shown = {"allocation_id": 1, "phase": 1, "grid": 1, "modified": 1}
    async for row in ctx.db.desk_followup_requests.find({"allocation_id": {"$in": ids}}, shown):
        is_done = row["phase"] == Phase.DONE
        counts[row["allocation_id"], is_done] += 1
        scans += [row["grid"]["scan_id"]] if row.get("grid") else []
        ends += [row["modified"]] if is_done else []
    is_grid = instrument.get("api_classname") == GRID
    values = await _walltimes(ctx, scans) if is_grid else \
        await asyncio.to_thread(nights.moon_phases, ends[-_MOST_DONE:])
    hours = await spending.usages(ctx, found)
    return Report(instrument["name"], [_name(row) for row in found], [hours[each] for each in ids],
                  [counts[each, True] + counts[each, False] for each in ids],
                  [counts[each, True] for each in ids], is_grid, values)


def _name(row: Document) -> str:
    return str(row.get("proposal_id") or row.get("pi") or f"allocation {row['_id']}")[:24]


async def _walltimes(ctx: Context, scans: Sequence[str]) -> list[float]:
    """Hours of the finished tasks of some scans."""
    runs = ctx.db.scan_runs.find({"scan_id": {"$in": list(scans)}}, {"dataset_id": 1})
    datasets = [row["dataset_id"] async for row in runs]
    finished = {"dataset_id": {"$in": datasets}, "status": "complete"}
    cursor = ctx.db.tasks.find(finished, {"walltime": 1}).limit(_MOST_TASKS)
    return [float(task.get("walltime", 0.0)) async for task in cursor]


def _drawn(report: Report, kind: str) -> bytes:
    with LOADING:
        from matplotlib.figure import Figure  # takes half a second to load

    figure = Figure(figsize=(11, 8.5), dpi=110, layout="constrained")
    axes = figure.subplots(2, 2)
    figure.suptitle(report.title, parse_math=False)
    _draw_hours(axes[0, 0], report)
    _draw_counts(axes[0, 1], report.names, report.requests, "requests")
    _draw_counts(axes[1, 0], report.names, report.completed, "completed requests")
    _draw_values(axes[1, 1], report)
    file = io.BytesIO()
    figure.savefig(file, format=kind)
    return file.getvalue()


def _draw_hours(axes: Axes, report: Report) -> None:
    used = [one.used for one in report.hours]
    reserved = [one.reserved for one in report.hours]
    axes.barh(range(len(used)), used, color="tab:blue", label="used")
    axes.barh(range(len(used)), reserved, left=used, color="tab:orange", label="reserved")
    axes.barh(range(len(used)), [one.left for one in report.hours], color="lightgray", label="left",
              left=[one.used + one.reserved for one in report.hours])
    _label(axes, report.names, "core hours" if report.is_grid else "hours")
    axes.legend(fontsize=8)


def _draw_counts(axes: Axes, names: Sequence[str], counts: Sequence[int], what: str) -> None:
    axes.barh(range(len(counts)), counts, color="tab:blue")
    axes.set_xlim(0, max([*counts, 1]) * 1.05)
    axes.locator_params("x", integer=True)
    _label(axes, names, what)


def _label(axes: Axes, names: Sequence[str], what: str) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    axes.set_xlabel(what)


def _draw_values(axes: Axes, report: Report) -> None:
    if report.is_grid:
        seconds = [3600 * hours for hours in report.values]
        axes.hist(seconds, bins=min(30, 1 + math.isqrt(len(seconds))))
        axes.set_xlabel(f"walltime of {len(seconds)} finished tasks (s)")
    else:
        axes.hist(report.values, bins=10, range=(0, 1))
        axes.set_xlabel("lit share of the Moon at completed observations")
    axes.set_ylim(bottom=0)
    axes.locator_params("y", integer=True)
