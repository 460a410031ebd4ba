"""A grid of colours as SVG: rows with names, a column an hour; darker where more ends were bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tornado.escape import xhtml_escape

from server.web.common.charts import opening

__all__ = ["Cell", "Row", "draw"]

NAMES, CELL, ROW, TOP, GAP = 168, 20, 24, 26, 2  # widths and heights in units of the drawing
LETTERS = 14
STEPS = (0.0, 0.1, 0.25, 0.5, 0.8)  # shares from which on a colour is the next darker one
EVERY = 4  # so many columns have one label


@dataclass(frozen=True)
class Cell:
    """Good and bad ends of a row in a column."""

    good: int
    bad: int

    @property
    def style(self) -> str:
        """Its colour: none failed, or one of five shades."""
        if not self.bad:
            return "none"
        share = self.bad / (self.good + self.bad)
        return f"heat{sum(share >= step for step in STEPS)}"


@dataclass(frozen=True)
class Row:
    """A name, whether it stands out and what is said of it, and its cells by column."""

    name: str
    stands_out: bool
    words: str
    cells: Sequence[Cell | None]


def draw(name: str, rows: Sequence[Row], columns: Sequence[str]) -> str:
    """The grid; empty without rows."""
    if not rows:
        return ""
    width, height = NAMES + CELL * len(columns), TOP + ROW * len(rows)
    worst = [row.name for row in rows if row.stands_out]
    label = f"{name}; {'standing out: ' + ', '.join(worst) if worst else 'none stands out'}"
    parts = [opening(label, width, height, "chart heat")]
    for number in range(0, len(columns), EVERY):
        parts.append(f'<text class="tick" x="{NAMES + CELL * number}" y="{TOP - 9}">'
                     f"{xhtml_escape(columns[number])}</text>")
    shorts = _shorts([row.name for row in rows])
    for number, row in enumerate(rows):
        parts.append(_row(row, shorts[number], TOP + ROW * number, columns))
    return "".join([*parts, "</svg>"])


def _shorts(names: Sequence[str]) -> list[str]:
    """Names as there is room for: hosts without their domain, where that tells them apart."""
    firsts = [name.split(".")[0] for name in names]
    shown = firsts if len(set(firsts)) == len(firsts) else names
    return [name if len(name) <= LETTERS else f"{name[:LETTERS - 1]}…" for name in shown]


def _row(row: Row, shown: str, top: float, columns: Sequence[str]) -> str:
    style = " out" if row.stands_out else ""
    parts = [f'<g><title>{xhtml_escape(f"{row.name}: {row.words}")}</title>'
             f'<text class="tick end{style}" x="{NAMES - 8}" y="{top + ROW - 7}">'
             f"{xhtml_escape(shown)}</text></g>"]
    for number, cell in enumerate(row.cells):
        if cell is None:
            continue
        words = f"{row.name}, {columns[number]} UTC: {cell.bad} of {cell.good + cell.bad} failed"
        parts.append(f'<rect class="cell {cell.style}" x="{NAMES + CELL * number}" y="{top}" '
                     f'width="{CELL - GAP}" height="{ROW - GAP}" rx="2">'
                     f"<title>{xhtml_escape(words)}</title></rect>")
    if row.stands_out:
        parts.append(f'<rect class="frame" x="{NAMES - 2}" y="{top - 2}" '
                     f'width="{CELL * len(columns) + 2}" height="{ROW + 1}" rx="3"/>')
    return "".join(parts)
