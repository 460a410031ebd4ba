"""What the reference describes: the routes and services that the application joined.

The application tells it at its start (`describe`), so that the pages need not import the application, which
serves them.
"""

from __future__ import annotations

from server.rest.routing import Route
from server.services.leader import Service

__all__ = ["describe", "routes", "services"]

_routes: list[Route] = []
_services: list[Service] = []


def describe(routes: list[Route], services: list[Service]) -> None:
    """The application is put together: all errors and metrics are defined, and these are its parts."""
    _routes[:], _services[:] = routes, services


def routes() -> list[Route]:
    """All routes. Raises RuntimeError when there is no application."""
    if not _routes:
        raise RuntimeError("the reference describes an application: import server.app first")
    return _routes


def services() -> list[Service]:
    """All periodic services."""
    return _services
