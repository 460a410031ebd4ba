"""Actions that scan recent events again: `rescan_event:` and the name of a stored set."""

from __future__ import annotations

import time
from typing import Any

from iceprod.submission import NSIDES, RECO, progression
from scanner.maps.levels import Progression, ProgressionError
from server.common.errors import BadRequest
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.manifests.bodies import CLASSIFIERS, CLUSTERS, EVENT_KINDS, OBJECT, TEXT
from server.scans.manifests.schema import Body
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome, Status, failure
from server.sensor.actions import scan_runs
from server.sensor.actions.actions import Action, Kind, register_kind
from server.sensor.common import grid_priority

__all__ = ["KIND"]

_LOOKED_AT = 1000  # the newest scans, among which events are chosen

ARGUMENTS = Body({
    "hours": {"type": "number", "minimum": 0.01, "maximum": 87600, "default": 24,
              "description": "how old a scan of the event may be"},
    "classifiers": {**CLASSIFIERS, "description": "what such a scan must have among its classifiers"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10,
              "description": "events, the newest first"},
    "docker_tag": {**TEXT, "default": "latest"}, "reco_algo": {**TEXT, "default": "auto"},
    "nsides": {**OBJECT, "description": "exactly these levels; without: the usual ones, refined as needed"},
    "real_or_simulated_event": {"type": "string", "enum": list(EVENT_KINDS), "default": "real"},
    "request_clusters": CLUSTERS,
    "max_pixel_reco_time": {"type": "integer", "minimum": 1, "default": 3600},
    "predictive_scanning_threshold": {"type": "number", "minimum": 0, "maximum": 1, "default": 1.0},
}, ["request_clusters"])


def check(arguments: dict[str, Any]) -> None:
    """Raise BadRequest for levels that make no sense."""
    try:
        Progression.parse(arguments.get("nsides", NSIDES))
    except ProgressionError as error:
        raise BadRequest(f"'nsides': {str(error).removeprefix('nsides: ')}") from None


def make(name: str, arguments: dict[str, Any]) -> Action:
    """The action that scans these events again, as the entry's owner."""

    async def start(ctx: Context, run: Acquisition) -> Outcome | None:
        events = await _chosen(ctx, arguments)
        if not events:
            return Outcome(Status.SKIPPED, "there was no such event")
        await scan_runs.make_scans(ctx, run, [_body(run, arguments, event) for event in events])
        return None

    hours, limit = arguments.get("hours", 24), arguments.get("limit", 10)
    reco = arguments.get("reco_algo", RECO)
    return Action(name, f"Scan the events of the last {hours:g} hours again with {reco}."
                        f"\n\nAt most {limit}, the newest first. The maps are the run's data.",
                  start=start, follow=follow, abort=scan_runs.abort)


async def _chosen(ctx: Context, arguments: dict[str, Any]) -> list[str]:
    """The events of recent scans that fit, each once; scans of the schedule's own do not count."""
    since = time.time() - 3600 * arguments.get("hours", 24)
    query = {"timestamp": {"$gte": since}, "is_deleted": False}
    wanted = arguments.get("classifiers", {}).items()
    events: dict[str, None] = {}
    async for manifest in manifests.find(ctx, query, 0, _LOOKED_AT, newest_first=True):
        has = manifest.classifiers
        if manifest.i3_event_id and scan_runs.MARK not in has and all(has.get(k) == v for k, v in wanted):
            events[manifest.i3_event_id] = None
    return list(events)[:arguments.get("limit", 10)]


_WITH_DEFAULT = {"reco_algo": RECO, "docker_tag": "latest", "real_or_simulated_event": "real",
                 "max_pixel_reco_time": 3600, "predictive_scanning_threshold": 1.0}


def _body(run: Acquisition, arguments: dict[str, Any], event: str) -> dict[str, Any]:
    return {"i3_event_id": event, "priority": grid_priority.of_scan(run.priority),
            "nsides": arguments.get("nsides") or progression(NSIDES), "refine": "nsides" not in arguments,
            "request_clusters": arguments["request_clusters"],
            **{name: arguments.get(name, default) for name, default in _WITH_DEFAULT.items()}}


async def follow(ctx: Context, run: Acquisition) -> Outcome | None:
    """None while a scan is at work."""
    ended = await scan_runs.ended(ctx, run)
    if ended is None:
        return None
    total = len(ended.complete) + len(ended.failed)
    detail = f"{len(ended.complete)} of {total} maps are complete"
    if ended.failed:
        detail += f"; {next(iter(ended.failed.values()))}"
    return await scan_runs.map_outcome(ctx, ended.complete, detail) if ended.complete else failure(detail)


KIND = Kind("rescan_event", "Scan recent events again.", ARGUMENTS, make, check)
register_kind(KIND)
