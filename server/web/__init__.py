"""The web pages."""

from __future__ import annotations

from typing import Any

from server.routing import Route

__all__ = ["ROUTES", "SETTINGS"]

ROUTES: list[Route] = []
SETTINGS: dict[str, Any] = {}
