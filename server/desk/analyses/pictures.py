"""Pictures of analyses: corner plots of posterior samples, and plots of series of numbers.

Drawn on Figure objects alone (no pyplot), so that it can be done in a thread.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scanner.common.loading import LOADING
from server.desk.analyses.results import SERIES, Line, Product, Series, image_of
from server.desk.common.bodies import convert

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BINS", "corner", "picture"]

BINS = 40
QUANTILES = (0.16, 0.5, 0.84)


def picture(plot: Product) -> tuple[bytes, str]:
    """A plot's bytes and its kind (png, jpeg). Raises BadRequest."""
    if plot.format == SERIES:
        return _drawn(convert(plot.data, Series)), "png"
    return image_of(plot), plot.format


def _drawn(series: Series) -> bytes:
    figure = _figure(7, 4.5)
    axes = figure.subplots()
    for line in series.lines:
        _draw(axes, line)
    # texts come from a task: they are no mathematics
    axes.set_title(series.title, parse_math=False)
    axes.set_xlabel(series.x_label, parse_math=False)
    axes.set_ylabel(series.y_label, parse_math=False)
    if any(line.label for line in series.lines):
        for text in axes.legend().get_texts():
            text.set_parse_math(False)
    return _png(figure)


def _draw(axes: Any, line: Line) -> None:
    x, y = np.array(line.x, dtype=float), np.array(line.y, dtype=float)
    label = line.label or None
    if line.style == "line":
        axes.plot(x, y, label=label)
    else:
        error = None if line.error is None else np.abs(np.array(line.error, dtype=float))
        axes.errorbar(x, y, error, fmt="o", markersize=4, label=label)


def corner(samples: Mapping[str, np.ndarray], bins: int = BINS) -> bytes:
    """A corner plot (png): each parameter's distribution, and that of each pair."""
    names = list(samples)
    size = len(names)
    figure = _figure(2.2 * size + 1, 2.2 * size + 1)
    grid = figure.subplots(size, size, squeeze=False)
    for row, below in enumerate(names):
        for column, left in enumerate(names):
            axes = grid[row][column]
            if column > row:
                axes.axis("off")
            elif column == row:
                _histogram(axes, left, samples[left], bins)
            else:
                axes.hist2d(samples[left], samples[below], bins=bins, cmap="Blues")
            if row == size - 1:
                axes.set_xlabel(left, parse_math=False)
            if column == 0 and row:
                axes.set_ylabel(below, parse_math=False)
    return _png(figure)


def _histogram(axes: Any, name: str, values: np.ndarray, bins: int) -> None:
    axes.hist(values, bins=bins, histtype="step", color="black")
    low, middle, high = np.quantile(values, QUANTILES)
    for place in (low, middle, high):
        axes.axvline(place, linestyle="--", linewidth=0.8, color="gray")
    title = f"{name} = {middle:.4g} +{high - middle:.2g} -{middle - low:.2g}"
    axes.set_title(title, fontsize="small", parse_math=False)
    axes.set_yticks([])


def _figure(width: float, height: float) -> Figure:
    """An empty one; its size in inches."""
    with LOADING:
        from matplotlib.figure import Figure  # takes half a second to load

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
