"""A picture of an event: the modules that saw light, from the side and from above.

Colour tells when a module saw its first light, size how much it saw. Draws with a figure of its own, which
is safe in threads of a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from config.detector import dom_positions
from scanner.events.event import Event, Particle, Pulses

__all__ = ["best_direction", "plot_event"]

_ENDINGS = ("SplineMPE", "MPEFit", "BestFit", "SPEFit2", "SPEFitSingle")
"""Of the stored reconstructions, by how well they point, the best first."""
_VIEWS = ((0, 2, "from the side", "x / m", "z / m"), (0, 1, "from above", "x / m", "y / m"))
_REACH = 700.0  # m, half the length of the line that is drawn
_EARLY, _LATE = 0.02, 0.98  # shares of the charge between which colours change
_SMALLEST, _PER_ROOT_PE, _LARGEST = 6.0, 9.0, 420.0  # areas of the marks, points²
_FAINT, _DROPPED, _LINE = "#c9c9d2", "#8a8a98", "#e4002b"


def best_direction(event: Event) -> tuple[str, Particle] | None:
    """The stored direction that points best, with its name: the truth of a simulated event comes first."""
    if event.truth is not None:
        return "truth", event.truth
    for ending in _ENDINGS:
        for key in sorted(event.recos):
            if key.endswith(ending):
                return key, event.recos[key]
    tracks = [key for key in sorted(event.recos) if event.recos[key].shape == "track"]
    return (tracks[0], event.recos[tracks[0]]) if tracks else None


def plot_event(event: Event, path: str | Path | BinaryIO, *, file_format: str | None = None) -> None:
    """Draw an event; ``file_format`` is needed where ``path`` has no suffix (PNG, PDF or SVG).

    Lit are the modules that the cleaning keeps; those of the other pulses are drawn as faint rings. Without
    any cleaned pulse all are lit.
    """
    lit = event.cleaned if len(event.cleaned) else event.pulses
    place, first, charge = _modules(lit)
    norm = Normalize(*_span(first, charge))
    sizes = np.minimum(_SMALLEST + _PER_ROOT_PE * np.sqrt(np.maximum(charge, 0.0)), _LARGEST)
    figure = Figure(figsize=(11, 6.4), facecolor="white")
    others = _modules(event.pulses)[0]
    direction = best_direction(event)
    for column, (h, v, title, x_label, y_label) in enumerate(_VIEWS):
        axes = figure.add_axes((0.07 + 0.45 * column, 0.2, 0.40, 0.66))
        _draw_detector(axes, h, v)
        axes.scatter(others[:, h], others[:, v], s=12, facecolors="none", edgecolors=_DROPPED, linewidths=0.5)
        order = np.argsort(-sizes, kind="stable")
        marks = axes.scatter(place[order, h], place[order, v], s=sizes[order], c=first[order], norm=norm,
                             cmap=colormaps["turbo_r"], linewidths=0.3, edgecolors="#1b1b24", zorder=3)
        if direction:
            _draw_line(axes, direction[1], h, v)
        axes.set(title=title, xlabel=x_label, ylabel=y_label, xlim=(-700, 700), ylim=(-700, 700))
        axes.set_aspect("equal")
    bar = figure.colorbar(marks, cax=figure.add_axes((0.07, 0.08, 0.40, 0.022)), orientation="horizontal")
    bar.set_label("first light / ns after the start of the readout")
    _describe(figure, event, direction[0] if direction else "", len(first))
    figure.savefig(path, format=file_format, dpi=120)


def _modules(pulses: Pulses) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each module with pulses: position (n, 3) in m, first time in ns, charge in PE."""
    number = (pulses.string.astype(np.int64) - 1) * 60 + pulses.om - 1
    modules, of = np.unique(number, return_inverse=True)
    first = np.full(len(modules), np.inf)
    np.minimum.at(first, of, pulses.time)
    return dom_positions().reshape(-1, 3)[modules], first, np.bincount(of, pulses.charge, len(modules))


def _span(first: np.ndarray, charge: np.ndarray) -> tuple[float, float]:
    """Times between which the colours change: noise hits far away take no part in it."""
    order = np.argsort(first)
    running = np.cumsum(np.maximum(charge[order], 1e-3))
    places = np.searchsorted(running, np.array([_EARLY, _LATE]) * running[-1])
    low, high = first[order][places].tolist()
    return low, max(high, low + 1.0)


def _draw_detector(axes: Axes, h: int, v: int) -> None:
    positions = dom_positions()
    if v == 2:  # strings, from top to bottom
        ends = positions[:, [0, -1]]
        axes.plot(ends[..., h].T, ends[..., v].T, color=_FAINT, linewidth=0.4, zorder=1)
    else:
        axes.scatter(positions[:, 0, h], positions[:, 0, v], s=5, color=_FAINT, zorder=1)


def _draw_line(axes: Axes, particle: Particle, h: int, v: int) -> None:
    """The line of a track through its vertex, with an arrow the way it flies; of a shower the vertex."""
    vertex = np.array([particle.x, particle.y, particle.z])
    if particle.shape != "track":
        axes.plot(vertex[h], vertex[v], "x", color=_LINE, markersize=11, markeredgewidth=2, zorder=5)
        return
    zenith, azimuth = particle.zenith, particle.azimuth
    flight = -np.array([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)])
    middle = vertex - flight * (vertex @ flight)  # the point nearest to the detector's centre
    start, end = middle - _REACH * flight, middle + _REACH * flight
    axes.annotate("", xy=(end[h], end[v]), xytext=(start[h], start[v]), zorder=5, annotation_clip=False,
                  arrowprops={"arrowstyle": "-|>", "color": _LINE, "linewidth": 1.6, "shrinkA": 0,
                              "shrinkB": 0})


def _describe(figure: Figure, event: Event, direction: str, n_lit: int) -> None:
    figure.text(0.07, 0.94, f"Run {event.run_id} · Event {event.event_id} · {event.event_type}", fontsize=13,
                weight="bold")
    kept = f"{len(event.cleaned)} of {len(event.pulses)} pulses kept by the cleaning"
    figure.text(0.52, 0.10, f"{n_lit} modules; {kept}", fontsize=9)
    line = f"red: {direction}" if direction else "no stored direction"
    figure.text(0.52, 0.065, f"{line}; size: charge; rings: pulses that the cleaning drops", fontsize=9)
