"""Writing Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["code", "first_line", "table"]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars and line ends in cells are made harmless."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def code(text: object) -> str:
    """A piece of code; nothing for an empty text."""
    return f"`{text}`" if str(text) else ""


def first_line(text: str | None) -> str:
    """The first line of a docstring."""
    return (text or "").strip().partition("\n")[0].strip()


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
