"""The map of the desk's page, as SVG: the region's outline, the best fit, and candidates by their numbers.

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

__all__ = ["Field", "Mark", "draw", "project"]

WIDTH, HEIGHT = 640, 480
MARGIN = 28
SMALLEST = 0.2  # degrees from the centre to the edge
MOST_POINTS = 1500  # of one outline


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


def draw(tiles: Tiles, regions: Sequence[tuple[str, np.ndarray]], marks: Sequence[Mark],
         fields: Sequence[Field] = ()) -> str:
    """The map; `regions` are chosen tiles by their class in the style sheet, the largest first."""
    centre = tiles.best
    rings = [(style, ring) for style, chosen in regions for ring in _rings(tiles, chosen)]
    radius = _radius(centre, [ring for _, ring in rings] + [field.edge for field in fields])
    scale = (HEIGHT / 2 - MARGIN) / (2 * math.sin(math.radians(radius) / 2))
    names = f"candidates: {', '.join(mark.name for mark in marks[:20]) or 'none'}"
    if fields:
        names = f"fields: {len(fields)}"
    parts = [f'<svg class="chart sky-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" '
             f'aria-label="Map of the region; {xhtml_escape(names)}">']
    parts += [_field(centre, field, scale) for field in fields]
    for style, ring in rings:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in _placed(centre, ring[:, 0], ring[:, 1], scale))
        parts.append(f'<polyline class="line {style}" points="{way}"/>')
    x, y = WIDTH / 2, HEIGHT / 2
    parts.append(f'<path class="line" d="M{x - 7} {y}H{x + 7}M{x} {y - 7}V{y + 7}"/>')
    parts += [_mark(centre, mark, scale) for mark in marks]
    return "".join([*parts, _scale_bar(radius, scale), "</svg>"])


def project(centre: tuple[float, float], ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in the plane, in units of the sphere's radius: x to the west, y to the north; degrees in."""
    ra0, dec0 = math.radians(centre[0]), math.radians(centre[1])
    away, lat = np.radians(ra) - ra0, np.radians(dec)
    cosine = math.sin(dec0) * np.sin(lat) + math.cos(dec0) * np.cos(lat) * np.cos(away)
    stretch = np.sqrt(2 / np.maximum(1 + cosine, 1e-6))
    east = stretch * np.cos(lat) * np.sin(away)
    north = stretch * (math.cos(dec0) * np.sin(lat) - math.sin(dec0) * np.cos(lat) * np.cos(away))
    return -east, north


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


def _placed(centre: tuple[float, float], ra: np.ndarray, dec: np.ndarray, scale: float
            ) -> list[tuple[float, float]]:
    x, y = project(centre, ra, dec)
    return list(zip((WIDTH / 2 + scale * x).tolist(), (HEIGHT / 2 - scale * y).tolist(), strict=True))


def _field(centre: tuple[float, float], field: Field, scale: float) -> str:
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in _placed(centre, field.edge[:, 0], field.edge[:, 1], scale))
    title = f"<title>{xhtml_escape(field.title)}</title>"
    return f'<polygon class="line {field.style}" points="{way}">{title}</polygon>'


def _mark(centre: tuple[float, float], mark: Mark, scale: float) -> str:
    (x, y), = _placed(centre, np.array([mark.ra]), np.array([mark.dec]), scale)
    if not (0 <= x <= WIDTH and 0 <= y <= HEIGHT):
        return ""
    return (f'<a href="#candidate-{mark.number}" aria-label="{xhtml_escape(mark.name)}">'
            f'<circle class="mark {mark.style}" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
            f'<text class="tick middle" x="{x:.1f}" y="{y + 4:.1f}">{mark.number}</text></a>')


def _scale_bar(radius: float, scale: float) -> str:
    """A bar of a round number of degrees."""
    wanted = radius / 3
    size = 10.0 ** math.floor(math.log10(wanted))
    length = max((size * factor for factor in (1, 2, 5) if size * factor <= wanted), default=size)
    pixels = scale * 2 * math.sin(math.radians(length) / 2)
    y = HEIGHT - 12
    return (f'<path class="line" d="M12 {y}h{pixels:.1f}"/>'
            f'<text class="tick" x="12" y="{y - 6}">{length:g}°</text>')
