"""The web pages."""

from __future__ import annotations

from typing import Any

from server.routing import Route
from server.web import root

__all__ = ["ROUTES", "SETTINGS"]

ROUTES: list[Route] = [*root.ROUTES]
SETTINGS: dict[str, Any] = {}
