"""Small charts, drawn here as SVG: they need no script, and a style sheet gives them their colours.

Every chart has a name for those who cannot see it, and its numbers stand in a table behind it. The x axis of
lines is time: seconds since 1970, written in UTC. Axes fit whatever is drawn: also nothing, zeros, one point.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tornado.escape import xhtml_escape

from server.web.common.axes import axis, short, time_label, time_ticks

__all__ = ["Chart", "Line", "bar", "lines", "opening"]

WIDTH, HEIGHT = 640, 238
LEFT, RIGHT, TOP, BOTTOM = 62, 26, 42, 30  # margins, in units of the drawing
MOST_ROWS = 24  # of the table behind a chart
CLEAR = 24
POINT = 2.6  # the radius of a point that has no neighbours


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its class in the style sheet, and its points; no value leaves a gap."""

    name: str
    style: str
    points: Sequence[tuple[float, float | None]]

    @property
    def known(self) -> list[float]:
        """Its values."""
        return [y for _, y in self.points if y is not None]

    @property
    def pieces(self) -> list[list[tuple[float, float]]]:
        """What lies between gaps."""
        found: list[list[tuple[float, float]]] = [[]]
        for x, y in self.points:
            if y is not None:
                found[-1].append((x, y))
            elif found[-1]:
                found.append([])
        return [piece for piece in found if piece]


@dataclass(frozen=True)
class Chart:
    """Lines over time: `ident` tells it from others on its page, `span` is what the x axis covers at least.

    With `whole` the numbers are counts, and no tick stands between them.
    """

    ident: str
    name: str
    lines: Sequence[Line]
    unit: str = ""
    whole: bool = False
    span: tuple[float, float] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(line.known for line in self.lines)

    @property
    def label(self) -> str:
        """What the chart shows, in words: of each line the latest value and the largest."""
        told = [f"{line.name} {_words(line.known[-1])} at last, at most {_words(max(line.known))}"
                for line in self.lines if line.known]
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.name}{unit}: {'; '.join(told) or 'nothing yet'}"

    @property
    def html(self) -> str:
        """The drawing, its legend, and its table behind a button."""
        return f'<figure class="plot">{lines(self)}{self.legend}{self.table}</figure>'

    @property
    def legend(self) -> str:
        """Which line is which; the unit stands at the axis."""
        rows = "".join(f'<li class="{line.style}">{xhtml_escape(line.name)}</li>' for line in self.lines)
        return f'<ul class="legend">{rows}</ul>' if len(self.lines) > 1 else ""

    @property
    def table(self) -> str:
        """The numbers, the latest first, not too many of them."""
        values = [dict(line.points) for line in self.lines]
        moments = sorted({x for line in self.lines for x, _ in line.points}, reverse=True)
        chosen = moments[::math.ceil(len(moments) / MOST_ROWS)] if moments else []
        unit = f" ({xhtml_escape(self.unit)})" if self.unit else ""
        head = "".join(f'<th scope="col" class="number">{xhtml_escape(line.name)}</th>'
                       for line in self.lines)
        rows = "".join(f'<tr><th scope="row" class="time">{_date(x)}</th>'
                       + "".join(f'<td class="number">{_words(one.get(x))}</td>' for one in values) + "</tr>"
                       for x in chosen)
        name = xhtml_escape(self.name)
        return (f'<details id="numbers-{self.ident}"><summary>Numbers{unit}</summary>'
                f'<div class="scroll" tabindex="0" role="group" aria-label="{name}, numbers"><table>'
                f'<thead><tr><th scope="col">Time (UTC)</th>{head}</tr></thead><tbody>{rows}</tbody>'
                "</table></div></details>")


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _words(value: float | None) -> str:
    """A number for the table and for those who listen."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


# -- drawing lines


@dataclass(frozen=True)
class _Frame:
    """Where values lie in the drawing."""

    low: float
    high: float
    top: float

    def x(self, value: float) -> float:
        return round(LEFT + (value - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM), 1)


def lines(chart: Chart) -> str:
    """A chart's drawing as SVG; the y axis begins at 0."""
    moments = [x for line in chart.lines for x, _ in line.points] + list(chart.span or ())
    low, high = (min(moments), max(moments)) if moments else (0.0, 1.0)
    if high <= low:
        low, high = low - 30, high + 30  # one moment stands in the middle of a minute
    marks = axis(max((y for line in chart.lines for y in line.known), default=0.0), whole=chart.whole)
    frame = _Frame(low, high, marks[-1])
    return "".join([opening(chart.label, WIDTH, HEIGHT), *_rungs(frame, marks, chart.unit), *_moments(frame),
                    *(_line(frame, line) for line in chart.lines), "</svg>"])


def _rungs(frame: _Frame, marks: Sequence[float], unit: str) -> Iterable[str]:
    for value in marks:
        y = frame.y(value)
        yield (f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>'
               f'<text class="tick end" x="{LEFT - 6}" y="{y + 4}">{short(value)}</text>')
    if unit:
        yield f'<text class="tick" x="2" y="18">{xhtml_escape(unit)}</text>'


def _moments(frame: _Frame) -> Iterable[str]:
    found, step = time_ticks(frame.low, frame.high)
    for moment in found:
        x = frame.x(moment)
        if x < LEFT + CLEAR:  # there stands that it is UTC
            continue
        yield (f'<line class="grid" x1="{x}" y1="{HEIGHT - BOTTOM}" x2="{x}" y2="{HEIGHT - BOTTOM + 4}"/>'
               f'<text class="tick middle" x="{x}" y="{HEIGHT - 7}">{time_label(moment, step)}</text>')
    yield f'<text class="tick" x="2" y="{HEIGHT - 7}">UTC</text>'


def _line(frame: _Frame, line: Line) -> str:
    parts = []
    for piece in line.pieces:
        if len(piece) == 1:
            x, y = piece[0]
            parts.append(f'<circle class="point {line.style}" cx="{frame.x(x)}" cy="{frame.y(y)}" '
                         f'r="{POINT}"/>')
            continue
        way = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in piece)
        parts.append(f'<polyline class="line {line.style}" points="{way}"/>')
    return "".join(parts)


# -- shares


def bar(name: str, shares: Iterable[tuple[str, str, float]], total: float) -> str:
    """Shares of a whole side by side, as SVG: (name, class in the style sheet, amount) of each."""
    parts, left = [opening(name, 100, 4, "bar-chart", stretch=True),
                   '<rect class="rest" width="100" height="4"/>'], 0.0
    for _, style, amount in shares:
        width = 100 * amount / total if total else 0.0
        if amount:
            width = max(width, 0.6)  # so that even a single failure can be seen
            parts.append(f'<rect class="{style}" x="{left:.2f}" width="{width:.2f}" height="4"/>')
            left += width
    return "".join([*parts, "</svg>"])


def opening(name: str, width: float, height: float, style: str = "chart", *, stretch: bool = False) -> str:
    """The beginning of a drawing that has a name."""
    how = ' preserveAspectRatio="none"' if stretch else ""
    return (f'<svg class="{style}" viewBox="0 0 {width:g} {height:g}"{how} role="img" '
            f'aria-label="{xhtml_escape(name)}">')
