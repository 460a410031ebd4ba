"""A light curve as SVG: magnitudes with the bright side up, or fluxes, by day; open triangles are limits.

The filters have the colours of the style sheet, in the order of the legend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tornado.escape import xhtml_escape

from server.desk.objects.measurements import is_detection
from server.production.common.fields import number
from server.web.common.axes import ticks

__all__ = ["Curve", "Point", "curves"]

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 40  # margins, in units of the drawing
GREATEST = 1e30  # beyond, no axis can be drawn
STYLES = ("busy", "bad", "good", "wait", "idle")


@dataclass(frozen=True)
class Point:
    """One measurement: day (MJD), value and its error, and whether it is a limit only."""

    mjd: float
    value: float
    error: float
    is_limit: bool


@dataclass(frozen=True)
class Curve:
    """One picture: what its values are, the picture, and its legend: filters with their colours."""

    title: str
    picture: str
    legend: list[tuple[str, str]]


def curves(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """The light curves of photometry rows: one of magnitudes and one of fluxes, where there are any."""
    found = []
    for title, value, error, is_upside_down in (("magnitude", "mag", "magerr", True),
                                                ("flux", "flux", "fluxerr", False)):
        series = _series([row for row in rows if (value == "mag") == _is_known(row.get("mag"))], value, error)
        if series:
            styles = {one: STYLES[index % len(STYLES)] for index, one in enumerate(sorted(series))}
            words = f"{title.capitalize()} of {name} by day: {sum(map(len, series.values()))} points"
            found.append(Curve(title, _draw(words, title, series, styles, is_upside_down),
                               [(one, styles[one]) for one in sorted(series)]))
    return found


def _is_known(value: object) -> bool:
    return number(value) and abs(value) < GREATEST


def _series(rows: Sequence[Mapping[str, Any]], value: str, error: str) -> dict[str, list[Point]]:
    """The points of each filter."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        if _is_known(row.get("mjd")) and _is_known(row.get(value)):
            size = float(row[error]) if _is_known(row.get(error)) else 0.0
            found.setdefault(str(row.get("filter") or "no filter"), []).append(
                Point(float(row["mjd"]), float(row[value]), abs(size), not is_detection(dict(row))))
    return found


def _draw(words: str, title: str, series: Mapping[str, Sequence[Point]], styles: Mapping[str, str],
          is_upside_down: bool) -> str:
    points = [point for some in series.values() for point in some]
    days = _range([point.mjd for point in points], 0.5)
    values = _range([edge for point in points for edge in (point.value - point.error,
                                                           point.value + point.error)], 0.1)

    def across(mjd: float) -> float:
        return round(LEFT + (mjd - days[0]) / (days[1] - days[0]) * (WIDTH - LEFT - RIGHT), 1)

    def down(value: float) -> float:
        share = (value - values[0]) / (values[1] - values[0])
        return round(TOP + (share if is_upside_down else 1 - share) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
             f'aria-label="{xhtml_escape(words)}">']
    for value in ticks(*values):
        y = down(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>'
                     f'<text class="tick end" x="{LEFT - 6}" y="{y + 4}">{value:.6g}</text>')
    for day in ticks(*days):
        parts.append(f'<text class="tick middle" x="{across(day)}" y="{HEIGHT - 20}">{day:.10g}</text>')
    parts.append(f'<text class="tick end" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}">MJD</text>'
                 f'<text class="tick" x="2" y="{HEIGHT - 4}">{title}</text>')
    for name, some in series.items():
        parts += [_mark(point, styles[name], across(point.mjd), down) for point in some]
    return "".join([*parts, "</svg>"])


def _mark(point: Point, style: str, x: float, down: Callable[[float], float]) -> str:
    y = down(point.value)
    if point.is_limit:
        return f'<path class="line {style}" d="M{x - 4} {y - 3}h8l-4 7z"/>'
    bar = f'<path class="line {style}" d="M{x} {down(point.value - point.error)}' \
          f'V{down(point.value + point.error)}"/>' if point.error else ""
    return f'{bar}<circle class="line {style}" cx="{x}" cy="{y}" r="3"/>'


def _range(values: Sequence[float], least: float) -> tuple[float, float]:
    """From the least to the greatest, with some room at both ends."""
    low, high = min(values), max(values)
    room = max(0.05 * (high - low), least if high == low else 0.0, 1e-9 * max(abs(low), abs(high)))
    return low - room, high + room
