"""Parts of an object's page that other nouns of the desk bring: each a template and what it shows.

A part is one line in PARTS: a template, and a function that is given the context, the visitor and the
object's document and gives the template's names, or None where there is nothing to show. The template is one
``<section class="card" aria-labelledby=…>`` with an ``<h2>``; it also knows `show`, `charts`,
`name` (the object's), `act` (where actions on the object are posted, see `object_pages.py`) and `back` (this
page, for the field of that name).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.desk.common.access import Document, Visitor
from server.rest.context import Context
from server.web.desk import analysis_pages

__all__ = ["PARTS", "Part", "found"]


@dataclass(frozen=True)
class Part:
    """One part: its template, and what finds the names that this knows."""

    template: str
    load: Callable[[Context, Visitor, Document], Awaitable[Mapping[str, Any] | None]]


PARTS: tuple[Part, ...] = (Part("desk_object_analyses.html", analysis_pages.part),)
"""In the order of the page, below what the object's own page shows."""


async def found(ctx: Context, who: Visitor, obj: Document) -> list[tuple[str, Mapping[str, Any]]]:
    """Templates and their names, of the parts that have something to show."""
    loaded = [(part.template, await part.load(ctx, who, obj)) for part in PARTS]
    return [(template, values) for template, values in loaded if values is not None]
