"""Pictures of schedules: a night with its targets' altitudes, and scans of our grid on a line of time."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from scanner.common.loading import LOADING
from server.desk.followup.blocks import Placed
from server.desk.observing.nights import Sky

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_grid", "draw_night"]

_SHOWN = 60  # rows of a picture


def draw_night(title: str, placed: Sequence[Placed], sky: Sky, kind: str) -> bytes:
    """Altitudes of the targets over the night; thick where a block was placed."""
    figure, axes = _paper(7, "%d %H:%M")
    times = np.array(sky.moments, dtype="datetime64[ms]")
    axes.fill_between(times, 0, 90, where=(sky.sun > -12).tolist(), color="gold", alpha=0.25,
                      label="twilight and day")
    for number, one in enumerate(placed[:_SHOWN]):
        color = f"C{number % 10}"
        altitude = sky.altitude([one.block.ra], [one.block.dec])[0]
        inside = (times >= np.datetime64(one.start)) & (times <= np.datetime64(one.end))
        axes.plot(times, altitude, color=color, linewidth=0.7, alpha=0.5)
        axes.plot(times[inside], altitude[inside], color=color, linewidth=4)
        axes.annotate(f"{one.block.obj_id} {one.block.filter}"[:40], (one.start, float(altitude[inside][0])),
                      size=7, parse_math=False, xytext=(0, 6), textcoords="offset points")
    axes.set_ylim(0, 90)
    axes.set_ylabel("altitude (degrees)")
    axes.set_xlabel("UTC")
    what = f"{len(placed)} of the blocks fit" if placed else "nothing can be observed in this time"
    axes.set_title(f"{title}: {what}, {sky.moments[0]:%Y-%m-%d}", parse_math=False)
    axes.legend(loc="upper right", fontsize=8)
    return _saved(figure, kind)


def draw_grid(title: str, table: Sequence[Mapping[str, Any]], moment: datetime, kind: str) -> bytes:
    """When scans began and ended; what waits stands behind now, in the order of its priority."""
    figure, axes = _paper(1.5 + 0.3 * min(len(table), _SHOWN), "%d %H:%M:%S")
    shown = table[:_SHOWN]
    for number, row in enumerate(shown):
        start = _moment(row["observation_start"]) or moment
        end = _moment(row["observation_end"]) or max(moment, start + timedelta(minutes=1))
        axes.plot(np.array([start, end], dtype="datetime64[s]"), [number, number], color=_color(row),
                  linewidth=8, solid_capstyle="butt")
    labels = [f"{row['request_id']} {row['object_id']} (priority {row['priority']}, {row['status']})"[:60]
              for row in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(moment, color="tab:red", linewidth=0.8)  # type: ignore[arg-type]
    axes.set_xlabel("UTC")
    axes.set_title(title, parse_math=False)
    return _saved(figure, kind)


def _paper(height: float, times: str) -> tuple[Figure, Axes]:
    """An empty picture so many inches high, and how its times are written."""
    with LOADING:
        from matplotlib.dates import DateFormatter  # takes half a second to load
        from matplotlib.figure import Figure

    figure = Figure(figsize=(11, height), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(DateFormatter(times))
    return figure, axes


def _color(row: Mapping[str, Any]) -> str:
    """Over, running or waiting."""
    if row["observation_end"]:
        return "tab:blue"
    return "tab:orange" if row["observation_start"] else "lightgray"


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _saved(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind)
    return file.getvalue()
