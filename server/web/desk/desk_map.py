"""The map of the desk's pages, as SVG: regions' outlines, the best fit, candidates by their numbers, a grid.

Equal areas (Lambert's azimuthal projection) around the best fit; right ascension grows to the left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tornado.escape import xhtml_escape

from scanner.maps import healpix
from scanner.maps.regions import outline
from server.desk.maps.tiles import Tiles
from server.web.desk import graticule
from server.web.desk.graticule import Frame

__all__ = ["HEIGHT", "LEFT", "TOP", "WIDTH", "Field", "Mark", "Outlines", "draw", "frame_of", "outlines_of"]

WIDTH, HEIGHT = 640, 480  # of the frame
LEFT, RIGHT, TOP, BOTTOM = 78, 14, 12, 66  # around it: labels
MARGIN = 28
SMALLEST = 0.2  # degrees from the centre to the edge
MOST_POINTS = 1500  # of one outline
_WIDE = {"bottom": 96.0, "inside": 60.0}  # that much room a label takes


@dataclass(frozen=True)
class Mark:
    """A candidate on the map: its number in the table, its place in degrees, and how it is drawn."""

    number: int
    name: str
    ra: float
    dec: float
    style: str = "busy"


@dataclass(frozen=True)
class Field:
    """A field of an instrument on the map: what is said of it, its edge in degrees, and how it is drawn."""

    title: str
    edge: np.ndarray
    style: str = "good"


@dataclass(frozen=True)
class Outlines:
    """The rings of regions with their classes in the style sheet, the largest region first."""

    centre: tuple[float, float]
    rings: Sequence[tuple[str, np.ndarray]]


def outlines_of(tiles: Tiles, regions: Sequence[tuple[str, np.ndarray]]) -> Outlines:
    """Outlines around the best fit; `regions` are chosen tiles by their class, the largest first."""
    rings = [(style, ring) for style, chosen in regions for ring in _rings(tiles, chosen)]
    return Outlines(tiles.best, rings)


def frame_of(drawn: Outlines, fields: Sequence[Field] = ()) -> Frame:
    """The part of the sky that shows all of it."""
    radius = _radius(drawn.centre, [ring for _, ring in drawn.rings] + [field.edge for field in fields])
    scale = (HEIGHT / 2 - MARGIN) / (2 * math.sin(math.radians(radius) / 2))
    return Frame(drawn.centre, scale, WIDTH, HEIGHT)


def draw(drawn: Outlines, marks: Sequence[Mark] = (), fields: Sequence[Field] = (), image: str = "") -> str:
    """The map; an image of the same part of the sky lies behind it when its address is given."""
    frame = frame_of(drawn, fields)
    names = f"candidates: {', '.join(mark.name for mark in marks[:20]) or 'none'}"
    if fields:
        names = f"fields: {len(fields)}"
    style = "chart sky-chart pictured" if image else "chart sky-chart"
    parts = [f'<svg class="{style}" viewBox="{-LEFT} {-TOP} {WIDTH + LEFT + RIGHT} {HEIGHT + TOP + BOTTOM}" '
             f'role="group" aria-label="Map of the region; {xhtml_escape(names)}">',
             f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">']
    if image:  # a square, of which the frame shows the middle
        parts.append(f'<image href="{xhtml_escape(image)}" y="{(HEIGHT - WIDTH) / 2:g}" width="{WIDTH}" '
                     f'height="{WIDTH}"><title>Survey image of this part of the sky</title></image>')
    lines = graticule.lines(frame)
    parts += [_way(piece, "grid") for line in lines for piece in line.pieces]
    parts += [_field(frame, field) for field in fields]
    parts += [_way(frame.placed(ring[:, 0], ring[:, 1]), f"line {style}") for style, ring in drawn.rings]
    parts.append(_BEST)
    parts += [_mark(frame, mark) for mark in marks]
    parts += [_scale_bar(frame), "</svg>", f'<rect class="frame" width="{WIDTH}" height="{HEIGHT}"/>']
    return "".join([*parts, *_labels(lines), *_AXES, "</svg>"])


_BEST = (f'<path class="line" d="M{WIDTH / 2 - 7} {HEIGHT / 2}h14M{WIDTH / 2} {HEIGHT / 2 - 7}v14">'
         "<title>best fit</title></path>")
_AXES = (f'<text class="tick end" x="{WIDTH}" y="{HEIGHT + 62}">RA (J2000)</text>',
         f'<text class="tick" x="{6 - LEFT}" y="{HEIGHT + 62}">Dec (J2000)</text>')


def _way(points: np.ndarray, style: str) -> str:
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points.tolist())
    return f'<polyline class="{style}" points="{way}"/>'


def _labels(lines: Sequence[graticule.Line]) -> list[str]:
    """Labels that do not stand in each other's way."""
    parts: list[str] = []
    kept: list[graticule.Label] = []
    for label in filter(None, (line.label for line in lines)):
        if not any(_clash(label, other) for other in kept):
            kept.append(label)
            parts.append(_text(label))
    return parts


def _clash(one: graticule.Label, other: graticule.Label) -> bool:
    across, down = abs(one.x - other.x), abs(one.y - other.y)
    if one.side != other.side:
        return False
    return (one.side == "left" or across < _WIDE[one.side]) and (one.side == "bottom" or down < 26)


def _text(label: graticule.Label) -> str:
    if label.side == "left":
        return f'<text class="tick end" x="-8" y="{label.y + 4:.1f}">{label.texts[0]}</text>'
    if label.side == "inside":
        x, y = label.x + 3, label.y - 3
        return f'<text class="tick inside" x="{x:.1f}" y="{y:.1f}">{label.texts[0]}</text>'
    return "".join(f'<text class="tick middle" x="{label.x:.1f}" y="{HEIGHT + 20 + 20 * row}">{text}</text>'
                   for row, text in enumerate(label.texts))


def _rings(tiles: Tiles, chosen: np.ndarray) -> list[np.ndarray]:
    order, nested = healpix.from_uniq(tiles.uniq[chosen])
    found = []
    for ring in outline(order, nested)[:20]:
        step = max(len(ring) // MOST_POINTS, 1)
        found.append(np.concatenate([ring[::step], ring[-1:]]))
    return found


def _radius(centre: tuple[float, float], rings: Sequence[np.ndarray]) -> float:
    """How far from the centre the map reaches, in degrees."""
    if not rings:
        return 180.0
    places = np.concatenate(rings)
    axis = healpix.unit_vectors(*centre)
    chord = np.linalg.norm(healpix.unit_vectors(places[:, 0], places[:, 1]) - axis, axis=1)
    furthest = float(np.degrees(2 * np.arcsin(np.minimum(chord.max() / 2, 1.0))))
    return min(max(1.1 * furthest, SMALLEST), 180.0)


def _field(frame: Frame, field: Field) -> str:
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in frame.placed(field.edge[:, 0], field.edge[:, 1]).tolist())
    title = f"<title>{xhtml_escape(field.title)}</title>"
    return f'<polygon class="line {field.style}" points="{way}">{title}</polygon>'


def _mark(frame: Frame, mark: Mark) -> str:
    (x, y), = frame.placed(np.array([mark.ra]), np.array([mark.dec])).tolist()
    if not (0 <= x <= WIDTH and 0 <= y <= HEIGHT):
        return ""
    return (f'<a href="#candidate-{mark.number}" aria-label="{xhtml_escape(mark.name)}">'
            f'<circle class="mark {mark.style}" cx="{x:.1f}" cy="{y:.1f}" r="10"/>'
            f'<text class="tick middle" x="{x:.1f}" y="{y + 4:.1f}">{mark.number}</text></a>')


def _scale_bar(frame: Frame) -> str:
    """A bar of a round number of degrees."""
    wanted = math.degrees(HEIGHT / frame.scale) / 6
    size = 10.0 ** math.floor(math.log10(wanted))
    length = max((size * factor for factor in (1, 2, 5) if size * factor <= wanted), default=size)
    pixels = frame.scale * 2 * math.sin(math.radians(length) / 2)
    y = HEIGHT - 12
    return (f'<path class="line" d="M12 {y}h{pixels:.1f}"/>'
            f'<text class="tick" x="12" y="{y - 6}">{length:g}°</text>')
