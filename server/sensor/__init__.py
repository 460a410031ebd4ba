"""The sensor family: the SCOS sensor API as the product's clock."""

from __future__ import annotations

from server.context import Context
from server.routing import Route
from server.sensor import (
    acquisition_routes,
    acquisitions,
    entries,
    local_actions,
    schedule_routes,
    scheduler,
    sensor_routes,
    state,
)
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "ROUTES", "SERVICES", "local_actions"]

TICK_SECONDS = 1.0

ROUTES: list[Route] = [*sensor_routes.ROUTES, *schedule_routes.ROUTES, *acquisition_routes.ROUTES]
INDEXES: list[Index] = [*entries.INDEXES, *acquisitions.INDEXES]


def _seconds(_: Context) -> float:
    return TICK_SECONDS


SERVICES: list[Service] = [Service(state.SERVICE, _seconds, scheduler.tick)]
