"""Routes of the scans: create, find, read, change, delete."""

from __future__ import annotations

from typing import Any

import msgspec
from bson.errors import BSONError
from pymongo.errors import OperationFailure

from server.common.errors import BadRequest, Conflict, NotFound
from server.rest.handler import Handler, encode
from server.rest.routing import Route, allow
from server.scans.api.handler import ScanHandler, flag, redirects, takes
from server.scans.api.projections import light_names, names_of, project
from server.scans.manifests import manifests
from server.scans.manifests.bodies import DELETE, FIND, PATCH, RESCAN, RESULT, SCAN
from server.scans.manifests.events import event_json
from server.scans.manifests.filters import check_filter, mentions
from server.scans.manifests.manifests import Manifest
from server.scans.results import maps, results
from server.scans.run import backlog, deletion, finish, rescans
from server.scans.run.creation import create_scan, request_of, try_scan
from server.store.away import is_away

__all__ = ["ROUTES"]

MAX_FOUND = 10_000


def show(manifest: Manifest, names: list[str]) -> dict[str, Any]:
    return project(msgspec.structs.asdict(manifest), names)


def raw_json(text: bytes) -> msgspec.Raw:
    return msgspec.Raw(text)


class Find(Handler):
    """Find scan manifests matching a filter."""

    @allow("user", "admin")
    @takes(FIND)
    async def post(self) -> None:
        body = FIND.check(self.body())
        names = light_names(body.get("manifest_projection"))
        query = dict(body["filter"])
        check_filter(query)
        if not mentions(query, "is_deleted") and not flag(body, "include_deleted"):
            query["is_deleted"] = False
        limit = min(int(body.get("limit", MAX_FOUND)), MAX_FOUND)
        try:
            found = manifests.find(self.ctx, query, int(body.get("skip", 0)), limit)
            shown = [msgspec.Raw(encode(show(manifest, names))) async for manifest in found]
        except OperationFailure as error:
            if is_away(error):
                raise
            text = (error.details or {}).get("errmsg") or str(error)
            raise BadRequest(f"'filter': {text}") from None
        except BSONError as error:
            raise BadRequest(f"'filter': {error}") from None
        self.send({"manifests": shown})


class Scans(Handler):
    """All scans."""

    @allow("user", "admin")
    @takes(SCAN)
    async def post(self) -> None:
        """Start a new scan; with the query ``dry_run=true``, only check the request."""
        body = self.body(gaps=True)
        make = try_scan if self.query_bool("dry_run") else create_scan
        manifest = await make(self.ctx, body, self.user.username)
        self.send(show(manifest, names_of(body.get("manifest_projection"))))


class Scan(ScanHandler):
    """A scan's manifest and result."""

    @allow("user", "admin", "system")
    @redirects
    async def get(self, scan_id: str) -> None:
        manifest = await manifests.read(self.ctx, scan_id, include_deleted=self.query_bool("include_deleted"))
        self.send({"manifest": manifest, "result": await maps.result_of(self.ctx, scan_id) or {}})

    @allow("user", "admin")
    @takes(DELETE)
    @redirects
    async def delete(self, scan_id: str) -> None:
        body = self.checked_body(DELETE, required=False)
        manifest = await deletion.delete(self.ctx, scan_id, completed_too=flag(body, "delete_completed_scan"))
        self.send({"manifest": show(manifest, names_of(body.get("manifest_projection"))),
                   "result": await maps.result_of(self.ctx, scan_id) or {}})


class Rescan(ScanHandler):
    """Copy a scan's request and start a new scan from it."""

    @allow("user", "admin", "system")
    @takes(RESCAN)
    @redirects
    async def post(self, scan_id: str) -> None:
        body = self.checked_body(RESCAN, required=False)
        how = {"abort_first": flag(body, "abort_first"), "replace": flag(body, "replace_scan")}
        manifest = await rescans.again(self.ctx, scan_id, self.user.username, **how)
        self.send(show(manifest, names_of(body.get("manifest_projection"))))


class ScanManifest(ScanHandler):
    """A scan's manifest."""

    @allow("user", "admin", "system")
    @redirects
    async def get(self, scan_id: str) -> None:
        manifest = await manifests.read(self.ctx, scan_id, include_deleted=self.query_bool("include_deleted"))
        names = names_of(self.query_list("projection"))
        shown = show(manifest, names)
        if self.is_system and manifest.i3_event_id and "event_i3live_json_dict" in shown:
            shown["event_i3live_json_dict"] = raw_json(await event_json(self.ctx, manifest.i3_event_id))
        self.send(shown)

    @allow("system", "admin")
    @takes(PATCH)
    async def patch(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id)
        changed = await manifests.patch(self.ctx, scan_id, self.checked_body(PATCH))
        self.ctx.signals.notify(f"scan:{scan_id}")
        self.send(changed)


class ScanResult(ScanHandler):
    """A scan's result."""

    @allow("user", "admin")
    @redirects
    async def get(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id, include_deleted=self.query_bool("include_deleted"))
        self.send(await maps.result_of(self.ctx, scan_id) or {})

    @allow("system", "admin")
    @takes(RESULT, 409)
    async def put(self, scan_id: str) -> None:
        manifest = await manifests.read(self.ctx, scan_id)
        body = self.checked_body(RESULT)
        if not body["skyscan_result"]:
            self.send({})
            return
        if reason := deletion.unwanted(manifest):
            raise Conflict(f"{reason}: no more results are taken")
        text = msgspec.json.encode(body["skyscan_result"])
        stored = await results.put(self.ctx, scan_id, text, body["is_final"])
        if stored.is_final:
            await finish.rest(self.ctx, scan_id)
        await manifests.touch(self.ctx, scan_id)
        self.ctx.signals.notify(f"scan:{scan_id}")
        self.send(stored)


class ScanEvent(ScanHandler):
    """The event of a scan, as it came."""

    @allow("user", "admin", "system")
    @redirects
    async def get(self, scan_id: str) -> None:
        manifest = await manifests.read(self.ctx, scan_id)
        if isinstance(manifest.event_i3live_json_dict, dict):  # as old scans have it
            self.send({"i3_event": manifest.event_i3live_json_dict})
            return
        self.send({"i3_event": raw_json(await event_json(self.ctx, manifest.i3_event_id))})


class Event(Handler):
    """An event by its own id; it never changes."""

    @allow("user", "admin", "system", "pilot")
    async def get(self, i3_event_id: str) -> None:
        text = await event_json(self.ctx, i3_event_id)
        self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        self.send({"i3_event": raw_json(text)})


class Request(Handler):
    """The request that started a scan."""

    @allow("user", "admin")
    async def get(self, scan_id: str) -> None:
        request = msgspec.to_builtins(await request_of(self.ctx, scan_id))
        if not request["refine"]:  # SkyDriver's requests do not have it
            del request["refine"]
        self.send(request)


class Backlog(Handler):
    """All scans that wait for their start, first to start first."""

    @allow("user", "admin")
    async def get(self) -> None:
        self.send({"entries": [entry.public() for entry in await backlog.entries(self.ctx)]})


class Revive(ScanHandler):
    """Put a scan that could not be started back on the backlog."""

    @allow("user", "admin")
    async def post(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id, include_deleted=False)
        if not await backlog.revive(self.ctx, scan_id):
            raise NotFound("this scan is not among the dead letters")
        self.ctx.signals.notify("scans")
        self.send({})


class DeadLetters(Handler):
    """Scans that could not be started, each with the reason."""

    @allow("user", "admin")
    async def get(self) -> None:
        self.send({"entries": await backlog.dead_letters(self.ctx)})


ROUTES = [
    Route("/scans/find", Find, "scans"),
    Route("/scan", Scans, "scan"),
    Route("/scan/{scan_id}", Scan, "scan"),
    Route("/scan/{scan_id}/actions/rescan", Rescan, "scan"),
    Route("/scan/{scan_id}/actions/revive", Revive, "scan"),
    Route("/scan/{scan_id}/manifest", ScanManifest, "scan"),
    Route("/scan/{scan_id}/i3-event", ScanEvent, "scan"),
    Route("/scan/{scan_id}/result", ScanResult, "scan"),
    Route("/scan-request/{scan_id}", Request, "scan-request"),
    Route("/scans/backlog", Backlog, "backlog"),
    Route("/scans/dead-letters", DeadLetters, "backlog"),
    Route("/i3-events/{i3_event_id}", Event, "scan"),
]
