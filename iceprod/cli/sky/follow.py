"""Showing how far a scan is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

__all__ = ["progress_lines", "show_progress"]

_BAR = 32


def show_progress(console: Console, news: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Show the progress as it comes; the last one. On a terminal it is redrawn in place."""
    last: dict[str, Any] = {}
    if not console.is_terminal:
        before = ""
        for last in news:
            line = _plain(last)
            if line != before:
                console.print(line, highlight=False, soft_wrap=True)
                before = line
        return last
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        for last in news:
            live.update(progress_lines(last))
    return last


def progress_lines(progress: dict[str, Any]) -> RenderableType:
    """A bar per level, and one line with rate, remaining time and best fit."""
    table = Table.grid(padding=(0, 2))
    for level in progress["levels"]:
        done, total = level["done"], level["total"]
        bar = ProgressBar(max(total, 1), done, width=_BAR, style="bright_black", complete_style="cyan",
                          finished_style="green")
        table.add_row(f"nside {level['nside']}", bar,
                      Text(f"{done}/{total}", justify="right"), "done" if total and done >= total else "")
    return Group(table, Text(_summary(progress) or progress["state_reason"]))


def _summary(progress: dict[str, Any]) -> str:
    parts = []
    if progress.get("rate"):
        parts.append(f"{progress['rate']:.0f} pixels/s")
    if progress.get("eta_s") is not None:
        parts.append(f"{_span(progress['eta_s'])} left")
    best = progress.get("best_fit")
    if best:
        parts.append(f"best fit RA {best['ra_deg']:.3f}° Dec {best['dec_deg']:+.3f}°")
        parts.append(f"−ln L {best['llh']:.2f}")
    return "   ".join(parts)


def _plain(progress: dict[str, Any]) -> str:
    """The state in one line, for logs: it changes with each tenth of a level."""
    levels = [f"nside {level['nside']}: {10 * level['done'] // max(level['total'], 1) * 10} %"
              for level in progress["levels"]]
    return ", ".join(levels) or f"{progress['state']}: {progress['state_reason']}"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
