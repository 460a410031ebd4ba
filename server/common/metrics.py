"""Prometheus metrics, with bounded labels: names of handlers and services, never ids."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["ALERTS", "ALERT_NOTICES", "ALERT_SECONDS", "DATABASE_COMMANDS", "LABELS", "LEASES",
           "NOTIFICATIONS", "PIXELS", "REFUSED", "SCAN_SECONDS", "SCHEDULE_RUNS", "SHED", "SPANS",
           "TASK_ENDS", "observe_request", "render"]

FOLDER, NUMBER = "PROMETHEUS_MULTIPROC_DIR", "ICEPROD_PROCESS"  # environment variables
"""Where the processes of one server keep their figures, and which of them this is; unset for one alone."""

if FOLDER in os.environ:  # by number, so that a process that is started again goes on where its figures were
    values.ValueClass = values.MultiProcessValue(lambda: os.environ.get(NUMBER, "0"))

REQUESTS = Counter("iceprod_requests", "Requests answered", ["handler", "method", "status"])
SECONDS = Histogram("iceprod_request_seconds", "Time to answer a request, long polls included", ["handler"],
                    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30))
LEASES = Counter("iceprod_leases", "Tasks leased to pilots")
TASK_ENDS = Counter("iceprod_task_ends", "Ends of tasks", ["outcome"])
DATABASE_COMMANDS = Counter("iceprod_database_commands", "Commands sent to the database", ["command"])
SHED = Counter("iceprod_connections_shed", "Connections closed because no files were left for them")
PIXELS = Counter("iceprod_scan_pixels", "Pixels reconstructed")
SCAN_SECONDS = Counter("iceprod_scan_seconds", "Where the time of finished scans went", ["step"])
REFUSED = Counter("iceprod_refused", "Requests that were told to come later", ["why"])
SCHEDULE_RUNS = Counter("iceprod_schedule_runs", "Ends of runs of the schedule", ["status"])
ALERTS = Counter("iceprod_alerts", "Alerts by what became of them", ["outcome"])
ALERT_SECONDS = Histogram("iceprod_alert_seconds", "From an alert's receipt to each step", ["step"],
                          buckets=(0.1, 0.3, 1, 2, 3, 5, 7, 10, 20, 30, 60, 120, 300, 600, 1800))
ALERT_NOTICES = Counter("iceprod_alert_notices", "Notices sent, tried in vain, or given up", ["outcome"])
NOTIFICATIONS = Counter("iceprod_notifications", "Messages to users: sent, tried in vain, or given up",
                        ["outcome"])
SPANS = Counter("iceprod_spans", "Spans of traces: sent to the collector, or lost", ["outcome"])
SERVICE_AGE = Gauge("iceprod_service_last_success", "Unix time of a service's last good run", ["service"],
                    multiprocess_mode="mostrecent")

LABELS = {
    "handler": "names of the classes that answer routes",
    "method": "HTTP methods that routes know, and `other`",
    "status": "HTTP statuses; for tasks, datasets and runs of the schedule their states",
    "outcome": "complete, reset, failed, suspended, evicted; of alerts their states; sent, tried, dead; "
               "of spans: sent, failed, dropped",
    "step": "of alerts: stored, first_pixel, first_map, final_map, published; of scans: queue, decode, plan, "
            "lease, kernel, report, collect, finish, other",
    "command": "names of database commands that this program sends",
    "service": "names of the periodic services",
    "why": "overload, user_at_once, user_rate, refused_often",
    "resource": "cpu, gpu, memory, disk, time",
    "state": "available, claimed",
}
"""Of every label the values that it takes: a bounded set, whatever clients send."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe_request(handler: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request."""
    REQUESTS.labels(handler, method if method in _METHODS else "other", str(status)).inc()
    SECONDS.labels(handler).observe(seconds)


def render() -> bytes:
    """All metrics in Prometheus' text format, those of all processes of this server together."""
    if FOLDER not in os.environ:
        return generate_latest()
    together = CollectorRegistry()
    MultiProcessCollector(together)
    return generate_latest(together)
