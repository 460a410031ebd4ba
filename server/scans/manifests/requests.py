"""What a scan was asked to be: the arguments of POST /scan, checked, with defaults filled in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec

from config.settings import Scans
from scanner.maps.levels import Progression
from server.common.errors import BadRequest
from server.scans.manifests.bodies import SCAN
from server.scans.manifests.sizes import parse_size
from server.scans.manifests.tags import resolve_tag

__all__ = ["ScanRequest", "read_request"]

_ALIASES = {"request_clusters": "cluster", "scanner_server_memory_bytes": "scanner_server_memory",
            "worker_memory_bytes": "worker_memory", "worker_disk_bytes": "worker_disk",
            "scanner_server_env_from_user": "scanner_server_env"}
SERVER_MEMORY, WORKER_MEMORY, WORKER_DISK = 1_024_000_000, 8_000_000_000, 1_000_000_000  # bytes
_RESERVED = ("rescan", "origin_scan_id")  # classifiers that only a rescan sets


class ScanRequest(msgspec.Struct, kw_only=True):
    """A stored scan request; sizes in bytes, times in seconds."""

    scan_id: str
    rescan_ids: list[str] = []
    docker_tag: str
    scanner_server_memory_bytes: int
    reco_algo: str
    nsides: dict[str, Any]
    real_or_simulated_event: str
    predictive_scanning_threshold: float
    classifiers: dict[str, Any]
    request_clusters: list[tuple[str, int]]
    worker_memory_bytes: int
    worker_disk_bytes: int
    max_pixel_reco_time: int
    priority: int
    debug_mode: list[str]
    i3_event_id: str
    scanner_server_env_from_user: dict[str, Any]
    refine: bool = False  # whether the levels grow; SkyDriver's clients ask for levels that do not

    @property
    def is_real(self) -> bool:
        return self.real_or_simulated_event.startswith("real")

    @property
    def clusters(self) -> list[str]:
        """The clusters that are asked for workers, each once."""
        return list(dict.fromkeys(name for name, _ in self.request_clusters))

    @property
    def levels(self) -> str:
        """The levels as a run keeps them. Raises ProgressionError."""
        return str(replace(Progression.parse(self.nsides), grows=self.refine))

    def command_line(self) -> str:
        """The scanner's arguments, for people to read: `scanner_server_args` of the manifest."""
        levels = " ".join(f"{nside}:{extension}" for nside, extension in self.nsides.items())
        levels += " --refine" if self.refine else ""
        kind = "--real-event" if self.is_real else "--simulated-event"
        return (f"python -m skymap_scanner.server --reco-algo {self.reco_algo} --cache-dir ./cache "
                f"--client-startup-json ./startup.json --nsides {levels} {kind} "
                f"--predictive-scanning-threshold {self.predictive_scanning_threshold}")


def read_request(body: dict[str, Any], settings: Scans, scan_id: str) -> ScanRequest:
    """The request that a body of POST /scan makes, but for its event. Raises BadRequest.

    Of an argument and its alias the argument counts. `i3_event_id` stays empty when the event is inline.
    """
    body = _without_aliases(SCAN.check(body))
    if body.get("memory"):
        raise BadRequest("argument 'memory' is deprecated -- use 'worker_memory_bytes'")
    _check_classifiers(body.get("classifiers", {}))
    clusters = _clusters(body, settings)
    debug = body.get("debug_mode", [])
    debug = [debug] if isinstance(debug, str) else debug
    if debug:
        _check_worker_cap(clusters, settings)
    return ScanRequest(
        scan_id=scan_id,
        docker_tag=resolve_tag(body["docker_tag"], settings),
        reco_algo=body["reco_algo"],
        nsides=body["nsides"],
        refine=body.get("refine", False),
        real_or_simulated_event=body["real_or_simulated_event"],
        predictive_scanning_threshold=body.get("predictive_scanning_threshold", 1.0),
        classifiers=body.get("classifiers", {}),
        request_clusters=clusters,
        max_pixel_reco_time=int(body["max_pixel_reco_time"]),
        priority=int(body.get("priority", 0)),
        debug_mode=debug,
        i3_event_id=body.get("i3_event_id", ""),
        scanner_server_env_from_user=body.get("scanner_server_env_from_user", {}),
        scanner_server_memory_bytes=parse_size(body.get("scanner_server_memory_bytes", 0)) or SERVER_MEMORY,
        worker_memory_bytes=parse_size(body.get("worker_memory_bytes", 0)) or WORKER_MEMORY,
        worker_disk_bytes=parse_size(body.get("worker_disk_bytes", 0)) or WORKER_DISK)


def _without_aliases(body: dict[str, Any]) -> dict[str, Any]:
    renamed = {name: body[alias] for name, alias in _ALIASES.items() if alias in body}
    return {**renamed, **body}


def _check_classifiers(classifiers: dict[str, Any]) -> None:
    for name in _RESERVED:
        if name in classifiers:
            raise BadRequest(f"'classifiers': classifier cannot contain {name!r} sub-field")


def _clusters(body: dict[str, Any], settings: Scans) -> list[tuple[str, int]]:
    if "request_clusters" not in body:
        raise BadRequest("'request_clusters' is a required property")
    given = body["request_clusters"]
    pairs = given.items() if isinstance(given, dict) else given
    for name, _ in pairs:
        if name not in settings.clusters:
            raise BadRequest(f"requested unknown cluster: {name} (available: {', '.join(settings.clusters)})")
    return [(name, int(count)) for name, count in pairs]


def _check_worker_cap(clusters: list[tuple[str, int]], settings: Scans) -> None:
    workers: Counter[str] = Counter()
    for name, count in clusters:
        workers[name] += count
    for name, count in workers.items():
        if count > settings.clusters[name]:
            raise BadRequest(f"Too many workers: Cluster {name!r} can only have {settings.clusters[name]} "
                             "workers when 'debug_mode' includes 'client-logs'")
