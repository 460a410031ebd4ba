"""The adaptor by which follow-up is a rescan of an event on our own grid.

The payload names the event, by a scan of it or by its id, and how to scan it; what is left out is as in the
event's latest scan. The same code as for POST /scan makes the scan, under an id that was written down before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from iceprod.ids import new_scan_id
from server.common.errors import BadRequest, NotFound
from server.desk.common.access import Document
from server.desk.common.bodies import Name
from server.desk.followup.adaptors import Adaptor, Order, Outcome
from server.desk.followup.states import DELETED, SUBMITTED, Phase
from server.desk.maps import localizations
from server.rest.context import Context
from server.scans.manifests import engines, manifests
from server.scans.manifests.requests import ScanRequest
from server.scans.pixels import runs
from server.scans.results import results
from server.scans.run import clusters, creation, deletion, priorities

__all__ = ["GridScan", "RescanPayload", "keep_priority", "scan_priority", "state_of"]

_STEP = 20  # of scan priority between two of ours: 5 stays below 100, from which on quotas do not count
_PLACE = "local"


class RescanPayload(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rescan: the event by a scan's id or its own, and arguments of POST /scan that are to be others."""

    event: Name
    priority: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    reco_algo: Name | None = None
    nsides: dict[str, Any] | None = None
    refine: bool | None = None
    real_or_simulated_event: Name | None = None
    request_clusters: dict[str, Any] | None = None
    max_pixel_reco_time: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] | None = None
    predictive_scanning_threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


def scan_priority(priority: int) -> int:
    """The priority of a scan for one of a request: 1 is that of any scan, 5 is before all but urgent ones."""
    return (priority - 1) * _STEP


class GridScan(Adaptor):
    """Our own grid."""

    can_update = True
    can_fetch = True
    listener = "GridScanListener"

    async def check(self, ctx: Context, payload: Mapping[str, Any], instrument: Mapping[str, Any],
                    username: str) -> Document:
        body = await body_of(ctx, _read(payload))
        await creation.try_scan(ctx, body, username)
        if not engines.is_ours(body["reco_algo"]):
            raise BadRequest(f"payload.reco_algo: {body['reco_algo'][:60]!r} is none of our grid's"
                             " reconstructions (see `iceprod recos`)")
        return dict(payload)

    def begin(self, hours_spent: float = 0.0) -> Document:
        return {"grid": {"scan_id": new_scan_id(), "hours_before": hours_spent}, "is_counted": False}

    async def submit(self, ctx: Context, order: Order) -> Outcome:
        scan_id = scan_of(order)
        if await _manifest(ctx, scan_id) is None:
            body = await body_of(ctx, _read(order.payload))
            await creation.create_scan(ctx, body, order.username, scan_id=scan_id)
        return Outcome(SUBMITTED, Phase.OPEN)

    async def update(self, ctx: Context, order: Order) -> Outcome:
        before, now_ = order.row.get("payload_before") or order.payload, _read(order.payload)
        if {**before, "priority": now_.priority} != {**order.payload, "priority": now_.priority}:
            raise BadRequest("payload: only the priority of a scan can change once it is submitted; take the"
                             " request back and make another")
        await priorities.change(ctx, scan_of(order), scan_priority(now_.priority))
        return Outcome(str(order.row["status"]), Phase(order.row["phase"]))

    async def delete(self, ctx: Context, order: Order) -> Outcome:
        scan_id = scan_of(order)
        if await _manifest(ctx, scan_id) is not None and await results.is_final(ctx, scan_id) is None:
            await deletion.delete(ctx, scan_id, completed_too=False)
        return Outcome(DELETED, Phase.DELETED)

    async def fetch(self, ctx: Context, order: Order) -> Outcome:
        found = await state_of(ctx, scan_of(order))
        if found.phase is Phase.OPEN:
            raise BadRequest(f"scan {scan_of(order)} is not over yet: {found.status}")
        return found


async def keep_priority(ctx: Context, row: Mapping[str, Any]) -> None:
    """Have a scan that was being started while its priority changed go by the new one."""
    wanted = scan_priority(int(row["payload"].get("priority", 1)))
    run = await runs.find(ctx, row["grid"]["scan_id"])
    if run is None or run.phase is not runs.Phase.RUNNING:
        return
    if run.priority != priorities.task_priority(wanted):
        await priorities.change(ctx, run.scan_id, wanted)


def scan_of(order: Order) -> str:
    """The id of a request's scan."""
    return str(order.row["grid"]["scan_id"])


async def state_of(ctx: Context, scan_id: str) -> Outcome:
    """What a request is by its scan; with the result as its product when there is one."""
    manifest = await _manifest(ctx, scan_id)
    if manifest is None:
        return Outcome("failed: the scan is not there", Phase.FAILED)
    final = await ctx.db.results.find_one({"scan_id": scan_id, "is_final": True}, {"localized": 1})
    if final is not None:
        return await _ended(ctx, scan_id) if final.get("localized") else \
            Outcome("running: its map is being taken in", Phase.OPEN)
    if reason := deletion.unwanted(manifest):
        return Outcome(f"failed: {reason}", Phase.FAILED)
    run = await runs.find(ctx, scan_id)
    if run is not None:
        is_over = run.phase in (runs.Phase.ABORTED, runs.Phase.FAILED)
        return Outcome(f"failed: {run.reason}", Phase.FAILED) if is_over else Outcome("running", Phase.OPEN)
    buried = await ctx.db.scan_backlog.find_one({"scan_id": scan_id, "reason": {"$ne": None}}, {"reason": 1})
    return Outcome(f"failed: {buried['reason']}", Phase.FAILED) if buried else Outcome(SUBMITTED, Phase.OPEN)


async def _ended(ctx: Context, scan_id: str) -> Outcome:
    product: Document = {"kind": "skymap", "scan_id": scan_id, "path": f"/scan/{scan_id}/products",
                         "page": f"/web/scans/{scan_id}"}
    if row := await localizations.of_scan(ctx, scan_id):
        product |= {"localization_id": row["_id"], "dateobs": row["dateobs"], "name": row["name"],
                    **{name: row[name] for name in ("best", "area_50", "area_90")}}
    return Outcome("completed", Phase.DONE, {"products": [product]})


async def _manifest(ctx: Context, scan_id: str) -> manifests.Manifest | None:
    try:
        return await manifests.read(ctx, scan_id)
    except NotFound:
        return None


def _read(payload: Mapping[str, Any]) -> RescanPayload:
    try:
        return msgspec.convert(payload, RescanPayload)
    except msgspec.ValidationError as error:
        raise BadRequest(f"payload: {error}") from None


async def body_of(ctx: Context, asked: RescanPayload) -> Document:
    """The body of POST /scan for a rescan. Raises BadRequest."""
    request = await _earlier(ctx, asked.event)
    like = _like(request) if request else {
        "i3_event_id": asked.event, "real_or_simulated_event": "real",
        "max_pixel_reco_time": 3600, "request_clusters": {next(iter(await clusters.known(ctx)), _PLACE): 1}}
    names = ("reco_algo", "nsides", "refine", "real_or_simulated_event", "request_clusters",
             "max_pixel_reco_time", "predictive_scanning_threshold")
    changed = {name: value for name in names if (value := getattr(asked, name)) is not None}
    tags = ctx.settings.scans.image_tags
    tag = like["docker_tag"] if like.get("docker_tag") in tags else next(iter(tags), "")
    return {**like, **changed, "docker_tag": tag, "priority": scan_priority(asked.priority)}


def _like(request: ScanRequest) -> Document:
    kept = {name: value for name, value in request.classifiers.items()
            if name not in ("rescan", "origin_scan_id")}
    return {"i3_event_id": request.i3_event_id, "docker_tag": request.docker_tag, "nsides": request.nsides,
            "reco_algo": request.reco_algo, "refine": request.refine, "classifiers": kept,
            "real_or_simulated_event": request.real_or_simulated_event,
            "predictive_scanning_threshold": request.predictive_scanning_threshold,
            "request_clusters": [list(pair) for pair in request.request_clusters],
            "worker_memory_bytes": request.worker_memory_bytes,
            "worker_disk_bytes": request.worker_disk_bytes,
            "max_pixel_reco_time": request.max_pixel_reco_time}


async def _earlier(ctx: Context, event: str) -> ScanRequest | None:
    """The request of that scan, or of the latest scan of that event."""
    scan_id = event
    if await _manifest(ctx, event) is None:
        newest = await anext(manifests.find(ctx, {"i3_event_id": event}, 0, 1, newest_first=True), None)
        if newest is None:
            return None
        scan_id = newest.scan_id
    try:
        return await creation.request_of(ctx, scan_id)
    except NotFound:
        return None

