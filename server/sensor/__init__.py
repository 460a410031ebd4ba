"""The sensor family: the SCOS sensor API as the product's clock."""

from __future__ import annotations

from server.rest.context import Context
from server.rest.routing import Route
from server.sensor.acquisitions import acquisitions, news
from server.sensor.actions import (
    benchmarks,
    canary,
    dataset_actions,
    local_actions,
    rescan_actions,
    scan_runs,
    site_tests,
)
from server.sensor.clock import acquisition_routes, schedule_routes, scheduler, sensor_routes, state
from server.sensor.common.handler import PREFIX, NoSuchResource
from server.sensor.schedule import entries
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "ROUTES", "SERVICES", "benchmarks", "canary", "dataset_actions", "local_actions",
           "rescan_actions", "site_tests"]

TICK_SECONDS = 1.0

ROUTES: list[Route] = [
    *sensor_routes.ROUTES, *schedule_routes.ROUTES, *acquisition_routes.ROUTES,
    Route(f"{PREFIX}/.*", NoSuchResource, "sensor"),  # the last one of all below it
]
INDEXES: list[Index] = [
    *entries.INDEXES, *acquisitions.INDEXES, *news.INDEXES,
    Index("schedule", "action", [("action", 1)]),
    Index("manifests", "schedule_run", [(f"classifiers.{scan_runs.MARK}", 1)], options={"sparse": True}),
]


def _seconds(_: Context) -> float:
    return TICK_SECONDS


SERVICES: list[Service] = [Service(state.SERVICE, _seconds, scheduler.tick)]
