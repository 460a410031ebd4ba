"""The reference, written from the program itself: routes, settings, commands, metrics, errors, services.

Nothing in it is kept by hand, so it cannot lag behind; what nobody described is found by `missing`.
``python -m server.reference FOLDER`` writes it as Markdown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.reference import commands, errors, metrics, routes, services, settings

__all__ = ["PAGES", "Page"]


@dataclass(frozen=True)
class Page:
    """A page of the reference: title, its Markdown, and what on it lacks a description."""

    title: str
    text: Callable[[], str]
    missing: Callable[[], list[str]]


PAGES: dict[str, Page] = {
    "commands": Page("Commands", commands.text, commands.missing),
    "api": Page("REST API", routes.text, routes.missing),
    "settings": Page("Settings", settings.text, settings.missing),
    "metrics": Page("Metrics", metrics.text, metrics.missing),
    "errors": Page("Errors", errors.text, errors.missing),
    "services": Page("Services and health", services.text, services.missing),
}
