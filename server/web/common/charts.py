"""Small charts, drawn here as SVG: they need no script, and a style sheet gives them their colours.

Every chart has a name for those who cannot see it; the numbers themselves stand in a table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tornado.escape import xhtml_escape

__all__ = ["Line", "bar", "lines", "ticks"]

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 26  # margins, in units of the drawing


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its class in the style sheet, and its points."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers between two numbers, about so many of them."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = span / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = min((factor * size for factor in (1, 2, 5, 10)), key=lambda value: abs(value - raw))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def lines(name: str, drawn: Sequence[Line], *, x_ticks: Sequence[tuple[float, str]] = (),
          x_range: tuple[float, float] | None = None) -> str:
    """Lines over a common axis, as SVG; the y axis begins at 0. Empty when there is no point."""
    points = [point for line in drawn for point in line.points]
    if not points:
        return ""
    low, high = x_range or (min(x for x, _ in points), max(x for x, _ in points))
    span, top = (high - low) or 1.0, max(y for _, y in points) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return (round(LEFT + (x - low) / span * (WIDTH - LEFT - RIGHT), 1),
                round(HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM), 1))

    parts = [_opening(name, WIDTH, HEIGHT)]
    for value in ticks(0, top):
        _, y = place(low, value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>'
                     f'<text class="tick end" x="{LEFT - 6}" y="{y + 4}">{_short(value)}</text>')
    for x, text in x_ticks:
        left, _ = place(x, 0)
        parts.append(f'<text class="tick middle" x="{left}" y="{HEIGHT - 8}">{xhtml_escape(text)}</text>')
    for line in drawn:
        way = " ".join(f"{x},{y}" for x, y in (place(*point) for point in line.points))
        parts.append(f'<polyline class="line {line.style}" points="{way}"/>')
    return "".join([*parts, "</svg>"])


def bar(name: str, shares: Iterable[tuple[str, str, float]], total: float) -> str:
    """Shares of a whole side by side, as SVG: (name, class in the style sheet, amount) of each."""
    parts, left = [_opening(name, 100, 4, "bar-chart", stretch=True),
                   '<rect class="rest" width="100" height="4"/>'], 0.0
    for _, style, amount in shares:
        width = 100 * amount / total if total else 0.0
        if amount:
            width = max(width, 0.6)  # so that even a single failure can be seen
            parts.append(f'<rect class="{style}" x="{left:.2f}" width="{width:.2f}" height="4"/>')
            left += width
    return "".join([*parts, "</svg>"])


def _opening(name: str, width: int, height: int, style: str = "chart", *, stretch: bool = False) -> str:
    how = ' preserveAspectRatio="none"' if stretch else ""
    return (f'<svg class="{style}" viewBox="0 0 {width} {height}"{how} role="img" '
            f'aria-label="{xhtml_escape(name)}">')


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
