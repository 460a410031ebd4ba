"""The production family."""

from __future__ import annotations

from server.routing import Route
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "ROUTES", "SERVICES"]

ROUTES: list[Route] = []
INDEXES: list[Index] = []
SERVICES: list[Service] = []
