"""Tables of figures in Markdown, between marks on pages: `<!-- figures: NAME -->` … `<!-- /figures -->`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from iceprod.cli.benching.records import Figure, Record
from iceprod.cli.benching.sheets import SHEETS

__all__ = ["MarkError", "Page", "caption", "filled", "number", "table"]

_MARKS = re.compile(r"^<!-- (?:figures: (?P<name>.*?)|(?P<end>/figures)) -->[ \t\r]*$", re.MULTILINE)


class MarkError(ValueError):
    """A page whose marks do not fit; says which line."""


@dataclass(frozen=True)
class Page:
    """A page with its tables from a run; `left` are those that the run has no figures of."""

    text: str
    written: tuple[str, ...]
    left: tuple[str, ...]


def filled(text: str, record: Record) -> Page:
    """The page with what stands between the marks written anew. Raises MarkError."""
    parts, written, left, at = list[str](), list[str](), list[str](), 0
    for name, start, end in _places(text):
        made = table(name, record)
        (written if made else left).append(name)
        parts += [text[at:start], f"\n{made}\n\n" if made else text[start:end]]
        at = end
    return Page("".join([*parts, text[at:]]), tuple(written), tuple(left))


def table(name: str, record: Record) -> str:
    """A benchmark's caption and figures; empty where the run has none."""
    rows = _rows(name, record.figures)
    keys = [key for key in SHEETS[name].columns if any(key in row for row in rows.values())]
    if not keys:
        return ""
    titles = [SHEETS[name].about, *(SHEETS[name].columns[key].title for key in keys)]
    lines = [_line(titles), "|---" * len(titles) + "|"]
    lines += [_line([row, *(number(values[key]) if key in values else "" for key in keys)])
              for row, values in rows.items()]
    return "\n".join([caption(name, record), "", *lines])


def caption(name: str, record: Record) -> str:
    """How the figures were measured, in a line."""
    runs = [run for run in record.runs if run.bench == name]
    command = " ".join(["iceprod bench", name, *(runs[0].arguments if runs else ())])
    loads = sorted(run.load for run in runs)
    load = f", load {'…'.join(dict.fromkeys(f'{one:.1f}' for one in (loads[0], loads[-1])))}" if runs else ""
    rounds = f", the median of {len(runs)} rounds" if len(runs) > 1 else ""
    python = f", Python {record.versions['python']}" if "python" in record.versions else ""
    return (f"`{command}`{rounds}, {record.time[:10]}, {record.machine.cores} cores "
            f"({record.machine.processor}){python}{load}:")


def number(value: float) -> str:
    """Three digits that count, without an exponent: 0.0123, 1.20, 45, 118 000."""
    if value == 0:
        return "0"
    size = abs(value)
    digits = 0
    while size < 100 and digits < 12 and (size * 10**digits) < 100:
        digits += 1
    return f"{value:,.{digits}f}".replace(",", " ")


def _rows(name: str, figures: list[Figure]) -> dict[str, dict[str, float]]:
    """Values by row and column."""
    found: dict[str, dict[str, float]] = {}
    for figure in figures:
        if figure.bench == name and figure.name.count("/") > 1:
            row, _, key = figure.name.partition("/")[2].rpartition("/")
            found.setdefault(row, {})[key] = figure.value
    return found


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"


def _places(text: str) -> list[tuple[str, int, int]]:
    """Every pair of marks: the name, and where what is between them begins and ends. Raises MarkError."""
    found, begun = list[tuple[str, int, int]](), None
    for mark in _MARKS.finditer(text):
        where = text.count("\n", 0, mark.start()) + 1
        if mark["end"] and begun is None:
            raise MarkError(f"line {where}: there is no mark `<!-- figures: NAME -->` before this end")
        if mark["end"] and begun is not None:
            found.append((begun["name"], begun.end() + 1, mark.start()))
            begun = None
            continue
        if begun is not None:
            raise MarkError(f"line {where}: the mark before has no end `<!-- /figures -->`")
        if mark["name"] not in SHEETS:
            raise MarkError(f"line {where}: no benchmark {mark['name']!r}; known: {', '.join(SHEETS)}")
        begun = mark
    if begun is not None:
        where = text.count("\n", 0, begun.start()) + 1
        raise MarkError(f"line {where}: this mark has no end `<!-- /figures -->`")
    return found
