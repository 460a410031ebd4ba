"""Showing how far a scan is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from iceprod.cli.common.screen import safe

__all__ = ["progress_lines", "show_progress"]

_BAR = 32


def show_progress(console: Console, news: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Show the progress as it comes; the last one. On a terminal it is redrawn in place."""
    last: dict[str, Any] = {}
    if not console.is_terminal:
        told = _Told()
        for last in news:
            if line := told.news(last):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
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
        over = progress["is_final"] or (total and done >= total)
        table.add_row(f"nside {level['nside']}", bar, Text(f"{done} of {total} pixels", justify="right"),
                      "done" if over else "so far; more may be added around the best fit")
    return Group(table, Text(safe(_summary(progress) or progress["state_reason"])))


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


@dataclass
class _Told:
    """What was told in a log, line by line. Pixels that are done only grow; what is planned may grow, too."""

    words: str = ""
    done: int = 0
    levels: int = 0

    def news(self, progress: dict[str, Any]) -> str:
        """A line when a level began, a tenth more is done, or all of it; empty when there is nothing new."""
        levels = progress["levels"]
        if not levels:
            words = safe(f"{progress['state']}: {progress['state_reason']}")
            self.words, before = words, self.words
            return words if words != before else ""
        done, total = progress["pixels_done"], progress["pixels_total"]
        grown = done - self.done
        is_much = grown > 0 and (grown >= total / 10 or done >= total)
        if not (is_much or len(levels) > self.levels):
            return ""
        self.done, self.levels = max(done, self.done), len(levels)
        fine = levels[-1]
        return (f"{self.done} pixels done of {total} planned so far; the finest level is "
                f"nside {fine['nside']} with {fine['done']} of {fine['total']}")


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
