"""Lines of equal right ascension and declination over a map of a part of the sky, and their labels.

The map is Lambert's azimuthal equal-area projection around a centre (Snyder, Map Projections, 1987, p. 185);
right ascension grows to the left. Lines lie at round numbers; those of right ascension also in hours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["Frame", "Label", "Line", "lines", "project"]

_DEC_STEPS = (30.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_RA_STEPS = (30.0, 15.0, 10.0, 5.0, 2.5, 1.25, 0.5, 0.25, 0.125, 0.05, 0.025, 0.0125)  # 2 h … 3 s
_WANTED = 4  # lines of each kind, at least, where the map is not at a pole
_SAMPLES = 241  # points of a line that is drawn
_FINER = 8  # times as many find where it leaves the frame: between two points it may be bent
_JUMP = 200.0  # units of the drawing: more than that between two points is the way round the sky


@dataclass(frozen=True)
class Frame:
    """The part of the plane that is drawn: its centre (degrees), its scale, and its size in units."""

    centre: tuple[float, float]
    scale: float  # units of the drawing for the sphere's radius
    width: float
    height: float

    @property
    def reach(self) -> float:
        """How far the corners are from the centre, degrees; at most 180."""
        chord = math.hypot(self.width, self.height) / (2 * self.scale)
        return math.degrees(2 * math.asin(min(chord / 2, 1.0)))

    @property
    def across(self) -> float:
        """The frame's width in degrees at its centre's scale."""
        return math.degrees(self.width / self.scale)

    def placed(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Places in the frame, shape ``(n, 2)``: x to the right, y down."""
        x, y = project(self.centre, ra, dec)
        return np.column_stack([self.width / 2 + self.scale * x, self.height / 2 - self.scale * y])


@dataclass(frozen=True)
class Label:
    """A text beside the frame or in it: `side` is bottom, left or inside."""

    x: float
    y: float
    side: str
    texts: tuple[str, ...]  # degrees first, then hours


@dataclass(frozen=True)
class Line:
    """A line in pieces, each of shape ``(n, 2)``, and its label if there is a place for it."""

    pieces: list[np.ndarray]
    label: Label | None


def project(centre: tuple[float, float], ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in the plane, in units of the sphere's radius: x to the west, y to the north; degrees in."""
    ra0, dec0 = math.radians(centre[0]), math.radians(centre[1])
    away, lat = np.radians(ra) - ra0, np.radians(dec)
    cosine = math.sin(dec0) * np.sin(lat) + math.cos(dec0) * np.cos(lat) * np.cos(away)
    stretch = np.sqrt(2 / np.maximum(1 + cosine, 1e-6))
    east = stretch * np.cos(lat) * np.sin(away)
    north = stretch * (math.cos(dec0) * np.sin(lat) - math.sin(dec0) * np.cos(lat) * np.cos(away))
    return -east, north


def lines(frame: Frame) -> list[Line]:
    """All lines that a frame shows."""
    return [line for line in (*_parallels(frame), *_meridians(frame)) if line.pieces]


def _parallels(frame: Frame) -> Iterator[Line]:
    low, high = _dec_range(frame)
    ra = _evenly(-1, 1) * _half_width(frame) + frame.centre[0]
    step = _step(_DEC_STEPS, min(frame.height / frame.width, 1.0) * min(2 * frame.reach, 180.0))
    for dec in _multiples(low, high, step):
        if abs(dec) < 90:
            way = frame.placed(ra, np.full(len(ra), dec))
            label = _label(way, frame, "left", (f"{_degrees(dec, step)}°",))
            yield Line(_pieces(way[::_FINER], frame), label)


def _meridians(frame: Frame) -> Iterator[Line]:
    low, high = _dec_range(frame)
    half, dec = _half_width(frame), _evenly(low, high)
    step = _step(_RA_STEPS, 2 * half)
    first, last = frame.centre[0] - half, frame.centre[0] + half
    for ra in _multiples(first, last - 1e-9 if half == 180 else last, step):
        way = frame.placed(np.full(len(dec), ra), dec)
        around = ra % 360.0
        texts = f"{around:.8g}°", _hours(around, step)
        yield Line(_pieces(way[::_FINER], frame), _label(way, frame, "bottom", texts))


def _evenly(first: float, last: float) -> np.ndarray:
    return np.linspace(first, last, _FINER * (_SAMPLES - 1) + 1)


def _dec_range(frame: Frame) -> tuple[float, float]:
    dec, reach = frame.centre[1], frame.reach
    return max(dec - reach, -90.0), min(dec + reach, 90.0)


def _half_width(frame: Frame) -> float:
    """How far the frame reaches in right ascension from its centre; 180 where a pole is in it."""
    dec, reach = math.radians(frame.centre[1]), math.radians(frame.reach)
    if abs(dec) + reach >= math.pi / 2 - 1e-9:
        return 180.0
    return math.degrees(math.asin(math.sin(reach) / math.cos(dec)))


def _step(steps: tuple[float, ...], span: float) -> float:
    return next((step for step in steps if span / step >= _WANTED), steps[-1])


def _multiples(low: float, high: float, step: float) -> Iterator[float]:
    for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield number * step


def _pieces(way: np.ndarray, frame: Frame) -> list[np.ndarray]:
    """The parts of a way that touch the frame, without the jumps around the sky."""
    breaks = np.flatnonzero(np.abs(np.diff(way, axis=0)).max(axis=1) > _JUMP) + 1
    return [piece for piece in np.split(way, breaks) if len(piece) > 1 and _inside(piece, frame).any()]


def _inside(way: np.ndarray, frame: Frame) -> np.ndarray:
    x, y = way.T
    return (x >= 0) & (x <= frame.width) & (y >= 0) & (y <= frame.height)


def _label(way: np.ndarray, frame: Frame, side: str, texts: tuple[str, ...]) -> Label | None:
    """Where a way leaves the frame at that side; where a pole is in it, else on the way itself."""
    across, along = (1, 0) if side == "bottom" else (0, 1)
    edge, most = (frame.height, frame.width) if side == "bottom" else (0.0, frame.height)
    before, after = way[:-1], way[1:]
    crosses = np.flatnonzero((before[:, across] - edge) * (after[:, across] - edge) <= 0)
    for index in crosses:
        start, end = before[index], after[index]
        low, high = start[across], end[across]
        place = start if high == low else start + (end - start) * (edge - low) / (high - low)
        if abs(high - low) < _JUMP / _FINER and 0 <= place[along] <= most:
            return Label(float(place[0]), float(place[1]), side, texts)
    inside = np.flatnonzero(_inside(way, frame))
    if not len(inside) or _half_width(frame) < 180:
        return None
    x, y = way[inside[len(inside) // 2]]
    return Label(float(x), float(y), "inside", texts[:1])


def _degrees(dec: float, step: float) -> str:
    """With as many decimals as the step has, and its sign."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{dec:+.{decimals}f}" if abs(dec) > 1e-9 else "0"


def _hours(ra: float, step: float) -> str:
    """Such as 10h30m; with seconds where steps are less than minutes."""
    seconds = round(ra * 240) % 86400
    hours, rest = divmod(seconds, 3600)
    text = f"{hours}h{rest // 60:02}m"
    return text if step >= 0.25 else f"{text}{rest % 60:02}s"
