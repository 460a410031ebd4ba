"""Tables: as wide as the terminal, with colour; where the output goes elsewhere, plain and never cut."""

from __future__ import annotations

import shutil
import sys
from typing import Any

from rich.cells import cell_len, set_cell_size

from iceprod.cli.common.screen import bare, is_colourful, safe

__all__ = ["fitting", "print_table", "share"]

_GAP = "  "
_NARROWEST = 8  # to which a column is cut; so much of an id still names one thing
_COLOURS = {"complete": "32", "done": "32", "active": "32", "good": "32", "processing": "36", "queued": "36",
            "waiting": "33", "idle": "33", "suspended": "33", "paused": "33", "failed": "31", "errors": "31"}


def print_table(titles: tuple[str, ...], rows: list[tuple[Any, ...]], nothing: str) -> None:
    """Print rows below titles, numbers to the right; or the text `nothing` when there are no rows."""
    if not rows:
        print(nothing)
        return
    lines = [titles, *(tuple(map(_text, row)) for row in rows)]
    numeric = [all(isinstance(value, int | float) or value in ("", None) for value in column)
               for column in zip(*rows, strict=True)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty():
        widths = fitting(widths, [cell_len(title) for title in titles], shutil.get_terminal_size().columns)
    colourful, out = is_colourful(sys.stdout), bare(sys.stdout)
    for number, line in enumerate(lines):
        cells = [_cell(word, width, colourful, number == 0, to_right)
                 for word, width, to_right in zip(line, widths, numeric, strict=True)]
        out.write(_GAP.join(cells).rstrip() + "\n")


def share(done: int | None, total: int | None) -> str:
    """How far something is, such as ``312/768  41 %``; empty where nothing is known."""
    if not total:
        return ""
    return f"{done or 0}/{total}  {100 * (done or 0) // total} %"


def fitting(widths: list[int], least: list[int], total: int) -> list[int]:
    """Widths of columns that fit into `total`: the widest ones shrink first, none below its title or 8."""
    widths = list(widths)
    while sum(widths) + len(_GAP) * (len(widths) - 1) > total:
        room = [width - max(_NARROWEST, short) for width, short in zip(widths, least, strict=True)]
        if max(room) <= 0:
            break
        widest = max((width, number) for number, width in enumerate(widths) if room[number] > 0)[1]
        widths[widest] -= 1
    return widths


def _cell(word: str, width: int, colourful: bool, is_title: bool, to_right: bool) -> str:
    if cell_len(word) > width:
        word = set_cell_size(word, width - 1) + "…"
    gap = " " * (width - cell_len(word))
    colour = "1" if is_title else _COLOURS.get(word, "")
    shown = f"\x1b[{colour}m{word}\x1b[0m" if colourful and colour else word
    return gap + shown if to_right else shown + gap


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else safe(str(value), kept="")
