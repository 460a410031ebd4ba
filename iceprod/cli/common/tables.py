"""Tables on the terminal: never cut, so that ids can be copied and lines be searched."""

from __future__ import annotations

from typing import Any

__all__ = ["print_table"]


def print_table(titles: tuple[str, ...], rows: list[tuple[Any, ...]], nothing: str) -> None:
    """Print rows below titles, or the text `nothing` when there are none."""
    if not rows:
        print(nothing)
        return
    lines = [titles, *(tuple(map(_text, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
