"""A light curve as SVG: magnitudes with the bright side up, fluxes or rates, by day; arrows are limits.

A filter has the colour of its band, whatever else is drawn; where two would look the same their marks differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tornado.escape import xhtml_escape

from server.desk.objects.measurements import DETECTION, is_detection
from server.production.common.fields import number
from server.web.common.axes import ticks

__all__ = ["Curve", "Entry", "Point", "curves", "is_limit"]

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 76, 26, 14, 66  # margins, in units of the drawing
GREATEST = 1e30  # beyond, no axis can be drawn
_RATES = ("swiftxrt",)  # filters whose "flux" is a rate
_BANDS = {"purple": "ub", "green": "gvc", "red": "ro", "orange": "i", "sky": "zh", "blue": "yjk"}
"""Colours of the style sheet by the last letter of a filter's name."""
_MARKS = (  # around 0, 0
    '<circle class="{}" r="3.4"/>', '<path class="{}" d="M-3.2 -3.2h6.4v6.4h-6.4z"/>',
    '<path class="{}" d="M0 -4.6L4.6 0L0 4.6L-4.6 0z"/>', '<path class="{}" d="M0 -4.2L4.2 3.4h-8.4z"/>',
    '<path class="{}" d="M-4 0h8M0 -4v8"/>')
_ARROW = '<path class="{}" d="M-5 0h10M0 0v13M-3.5 9L0 13L3.5 9"/>'
_MJD_ZERO = datetime(1858, 11, 17)


@dataclass(frozen=True)
class Point:
    """One measurement: day (MJD), value and its error, and whether it is a limit only."""

    mjd: float
    value: float
    error: float
    is_limit: bool


@dataclass(frozen=True)
class Entry:
    """A line of the legend: a filter, its colour, its mark as SVG, and how many points it has."""

    name: str
    style: str
    mark: str
    count: int


@dataclass(frozen=True)
class Curve:
    """One picture: what its values are, the picture, its legend, and whether it has limits."""

    title: str
    picture: str
    legend: list[Entry]
    has_limits: bool


@dataclass(frozen=True)
class _Kind:
    """What is drawn in one picture."""

    title: str
    unit: str
    value: str
    error: str
    is_upside_down: bool = False

    def has(self, row: Mapping[str, Any]) -> bool:
        if _is_known(row.get("mag")):
            return self.value == "mag"
        return self.value == "flux" and (self.unit == "counts/s") == (row.get("filter") in _RATES)


_KINDS = (_Kind("magnitude", "mag", "mag", "magerr", is_upside_down=True),
          _Kind("flux density", "µJy", "flux", "fluxerr"), _Kind("rate", "counts/s", "flux", "fluxerr"))


def curves(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """The light curves of photometry rows: of magnitudes, flux densities and rates, where there are any."""
    found = []
    for kind in _KINDS:
        series = _series([row for row in rows if kind.has(row)], kind)
        if series:
            legend = _legend(series)
            words = f"{kind.title.capitalize()} of {name} by day: {sum(map(len, series.values()))} points"
            found.append(Curve(kind.title, _draw(words, kind, series, legend), legend,
                               any(point.is_limit for some in series.values() for point in some)))
    return found


def is_limit(row: Mapping[str, Any]) -> bool:
    """Whether a row says only how bright the object was not."""
    return not is_detection(dict(row))


def _is_known(value: object) -> bool:
    return number(value) and abs(value) < GREATEST


def _series(rows: Sequence[Mapping[str, Any]], kind: _Kind) -> dict[str, list[Point]]:
    """The points of each filter, by the filters' names."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        if _is_known(row.get("mjd")) and _is_known(row.get(kind.value)):
            found.setdefault(str(row.get("filter") or "no filter"), []).append(_point(row, kind))
    return dict(sorted(found.items()))


def _point(row: Mapping[str, Any], kind: _Kind) -> Point:
    """A measurement; a flux that is no detection stands for the limit above which it would have been one."""
    size = abs(float(row[kind.error])) if _is_known(row.get(kind.error)) else 0.0
    value = float(row[kind.value])
    if not is_limit(row):
        return Point(float(row["mjd"]), value, size, is_limit=False)
    limit = DETECTION * size if kind.value == "flux" and size and DETECTION * size < GREATEST else value
    return Point(float(row["mjd"]), limit, 0.0, is_limit=True)


def _legend(series: Mapping[str, Sequence[Point]]) -> list[Entry]:
    found: list[Entry] = []
    for name, some in series.items():
        style = _colour(name)
        alike = sum(one.style == style for one in found)
        found.append(Entry(name, style, _MARKS[alike % len(_MARKS)].format(f"line {style}"), len(some)))
    return found


def _colour(name: str) -> str:
    letter = name.rstrip("'0123456789_ ")[-1:].lower()
    is_band = name not in _RATES
    return next((f"band-{colour}" for colour, letters in _BANDS.items() if is_band and letter in letters
                 and letter), "band-none")


def _draw(words: str, kind: _Kind, series: Mapping[str, Sequence[Point]], legend: Sequence[Entry]) -> str:
    points = [point for some in series.values() for point in some]
    days = _range([point.mjd for point in points], 0.5)
    values = _range([edge for point in points for edge in (point.value - point.error,
                                                           point.value + point.error)], 0.1)

    def across(mjd: float) -> float:
        return round(LEFT + (mjd - days[0]) / (days[1] - days[0]) * (WIDTH - LEFT - RIGHT), 1)

    def down(value: float) -> float:
        share = (value - values[0]) / (values[1] - values[0])
        return round(TOP + (share if kind.is_upside_down else 1 - share) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
             f'aria-label="{xhtml_escape(words)}">', *_axes(kind, days, values, across, down)]
    for entry in legend:
        parts += [_mark(point, entry, across(point.mjd), down) for point in series[entry.name]]
    return "".join([*parts, "</svg>"])


def _axes(kind: _Kind, days: tuple[float, float], values: tuple[float, float],
          across: Callable[[float], float], down: Callable[[float], float]) -> list[str]:
    """Grid, numbers and what they count: days as MJD, and as dates."""
    bottom = HEIGHT - BOTTOM
    parts = []
    for value in ticks(*values):
        y = down(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>'
                     f'<text class="tick end" x="{LEFT - 6}" y="{y + 4}">{value:.6g}</text>')
    for day in ticks(*days):
        x = across(day)
        parts.append(f'<line class="grid" x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}"/>'
                     f'<text class="tick middle" x="{x}" y="{bottom + 20}">{day:.10g}</text>'
                     f'<text class="tick middle" x="{x}" y="{bottom + 40}">{_date(day)}</text>')
    return [*parts, f'<text class="tick end" x="{WIDTH - RIGHT}" y="{HEIGHT - 6}">MJD, date (UTC)</text>'
                    f'<text class="tick" x="2" y="{HEIGHT - 6}">{kind.title} ({kind.unit})</text>']


def _date(mjd: float) -> str:
    try:
        return (_MJD_ZERO + timedelta(days=mjd)).strftime("%Y-%m-%d")
    except OverflowError:
        return ""


def _mark(point: Point, entry: Entry, x: float, down: Callable[[float], float]) -> str:
    y = down(point.value)
    if point.is_limit:
        return f'<g transform="translate({x} {y})">{_ARROW.format(f"line {entry.style}")}</g>'
    bar = f'<path class="line {entry.style}" d="M{x} {down(point.value - point.error)}' \
          f'V{down(point.value + point.error)}"/>' if point.error else ""
    return f'{bar}<g transform="translate({x} {y})">{entry.mark}</g>'


def _range(values: Sequence[float], least: float) -> tuple[float, float]:
    """From the least to the greatest, with some room at both ends."""
    low, high = min(values), max(values)
    room = max(0.05 * (high - low), least if high == low else 0.0, 1e-9 * max(abs(low), abs(high)))
    return low - room, high + room
