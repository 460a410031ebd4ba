"""The scans family: SkyDriver's API, and the engine that scans the sky with our own pilots."""

from __future__ import annotations

from server.production.leases.demand import register_wanted
from server.production.tasks.kinds import register_kind
from server.rest.health import register_probe
from server.rest.routing import Route
from server.scans.api import ewms_routes, map_routes, product_routes, reco_routes, scan_routes
from server.scans.results import sketches
from server.scans.run import clusters, collect, health, launcher, news
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "ROUTES", "SERVICES"]

ROUTES: list[Route] = [
    *scan_routes.ROUTES, *ewms_routes.ROUTES, *map_routes.ROUTES,
    *product_routes.ROUTES, *reco_routes.ROUTES]

INDEXES: list[Index] = [
    Index("manifests", "scan_id", [("scan_id", 1)], unique=True),
    Index("manifests", "timestamp", [("timestamp", 1)]),
    Index("manifests", "number", [("number", 1)], options={"sparse": True}),
    Index("manifests", "newest", [("timestamp", -1), ("scan_id", -1)]),
    Index("manifests", "run",
          [("event_metadata.run_id", 1), ("event_metadata.event_id", 1), ("timestamp", -1)]),
    Index("manifests", "event", [("i3_event_id", 1), ("timestamp", -1)]),
    Index("scan_requests", "scan_id", [("scan_id", 1)], unique=True),
    Index("scan_requests", "rescan_ids", [("rescan_ids", 1)]),
    Index("i3_events", "i3_event_id", [("i3_event_id", 1)], unique=True),
    Index("i3_events", "hash", [("hash", 1)], unique=True),
    Index("results", "scan_id", [("scan_id", 1)], unique=True),
    Index("result_versions", "scan_finished", [("scan_id", 1), ("finished", 1)], unique=True),
    *sketches.INDEXES,
    Index("scan_backlog", "scan_id", [("scan_id", 1)], unique=True),
    Index("scan_backlog", "order", [("reason", 1), ("priority", -1), ("timestamp", 1)]),
    Index("scan_taskforces", "scan_id", [("scan_id", 1), ("timestamp", 1)]),
    Index("scan_runs", "scan_id", [("scan_id", 1)], unique=True),
    Index("scan_runs", "dataset_id", [("dataset_id", 1)], unique=True),
    Index("scan_runs", "phase", [("phase", 1), ("since", -1)]),
    Index("scan_runs", "reco", [("reco", 1), ("phase", 1), ("since", -1)]),
    Index("scan_backlog", "username", [("username", 1)]),
    Index("pixel_batches", "scan_seq", [("scan_id", 1), ("seq", 1)], unique=True),
    Index("pixel_batches", "task_id", [("task_id", 1)], unique=True),
    Index("pixel_batches", "scan_done", [("scan_id", 1), ("done", 1)]),
    *news.INDEXES,
]

PERIOD = 5.0  # seconds; a crash delays a scan by no more

SERVICES: list[Service] = [
    Service("scans", lambda ctx: min(ctx.settings.services.repair_seconds, PERIOD), launcher.keep_going,
            signal="scans"),
    *sketches.SERVICES,
]

register_probe("scans", health.probe)
register_kind("pixels", collect.payloads, collect.ended)
register_wanted(clusters.extra_slots)
