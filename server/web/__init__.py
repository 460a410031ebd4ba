"""The web pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from server.routing import Route
from server.web import login, root, scan_pages, static

__all__ = ["ROUTES", "SETTINGS"]

ROUTES: list[Route] = [*root.ROUTES, *login.ROUTES, *scan_pages.ROUTES, *static.ROUTES]
SETTINGS: dict[str, Any] = {
    "template_path": str(Path(__file__).parent / "templates"), "autoescape": "xhtml_escape",
}
