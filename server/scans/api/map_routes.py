"""Routes of our own: results of batches, progress, and the map in other forms."""

from __future__ import annotations

from server.common.errors import BadRequest, NotFound
from server.rest import sites
from server.rest.handler import Handler
from server.rest.routing import Route, allow, urgent
from server.scans.api import progress_view
from server.scans.api.handler import ScanHandler, redirects
from server.scans.manifests import manifests
from server.scans.pixels import runs
from server.scans.pixels.timing import OTHER, STEPS
from server.scans.results import maps, pictures, results
from server.scans.run import collect, traces

__all__ = ["ROUTES"]

READERS = ("user", "admin", "system")


class PixelBatch(Handler):
    """The result of a batch of pixels."""

    @urgent
    @allow("pilot", "system", "admin")
    async def put(self, task_id: str) -> None:
        await sites.check_names(self.ctx, self.user, {"task_id": task_id}, ended=True)
        await collect.take_in(self.ctx, task_id, collect.read_result(self.body()))
        self.send({})


class Progress(ScanHandler):
    """Where a scan stands; waits for news when asked to."""

    @allow(*READERS)
    @redirects
    async def get(self, scan_id: str) -> None:
        wait = min(self.query_int("wait", 0) or 0, int(self.ctx.settings.leases.max_wait_seconds))
        since = self.query_int("since", -1, minimum=-1)
        if wait and since is not None:
            await progress_view.wait_for_news(self.ctx, scan_id, since, wait)
        self.send(await progress_view.view(self.ctx, scan_id))


class ScanTiming(ScanHandler):
    """Where the time of a scan went, from its request to its final map.

    Seconds by `steps`, which add up to the `total`: each moment counts for the step that was furthest on,
    and `other` is what no step accounts for. `kernel` is the time of all workers together, `at_once` how many
    there were at most; `drawn` has the first files that were made of the final map. Null for scans by others'
    workers.
    """

    @allow(*READERS)
    @redirects
    async def get(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id)
        run = await runs.find(self.ctx, scan_id)
        timing = await traces.timing_of(self.ctx, run) if run else None
        self.send({"scan_id": scan_id, "timing": timing, "words": {**STEPS, OTHER: "nothing of these"}})


class SkyMapPng(ScanHandler):
    """A picture of the map."""

    @allow(*READERS)
    @redirects
    async def get(self, scan_id: str) -> None:
        view = self.query("view", "sky")
        if view not in pictures.VIEWS:
            raise BadRequest(f"'view': must be one of: {', '.join(map(repr, pictures.VIEWS))}")
        await manifests.read(self.ctx, scan_id)
        picture, is_final = await pictures.png(self.ctx, scan_id, view)
        self.set_header("Content-Type", "image/png")
        if is_final:
            self.set_header("Cache-Control", "private, max-age=3600")
        self.finish(picture)


class SkyMapNpz(ScanHandler):
    """The map as a .npz file for icecube-skyreader."""

    @allow(*READERS)
    @redirects
    async def get(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id)
        data, name = await pictures.npz(self.ctx, scan_id)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(data)


class SkyMapJson(ScanHandler):
    """The map as JSON for icecube-skyreader: the `skyscan_result` alone."""

    @allow(*READERS)
    @redirects
    async def get(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id)
        result = await maps.result_of(self.ctx, scan_id)
        self.send(result.skyscan_result if result else {})


class ResultVersions(ScanHandler):
    """All final results that a scan had: a later one replaces, but does not remove, the first."""

    @allow(*READERS)
    @redirects
    async def get(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id)
        self.send({"scan_id": scan_id, "versions": await results.versions(self.ctx, scan_id)})


class ResultVersion(ScanHandler):
    """One of the final results of a scan, by its number from 1 on."""

    @allow(*READERS)
    @redirects
    async def get(self, scan_id: str, number: str) -> None:
        await manifests.read(self.ctx, scan_id)
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise NotFound(f"versions have numbers, not {number[:20]!r}")
        self.send(await results.read_version(self.ctx, scan_id, int(number)))


ROUTES = [
    Route("/scan/{scan_id}/result/versions", ResultVersions, "scan"),
    Route("/scan/{scan_id}/result/versions/{number}", ResultVersion, "scan"),
    Route("/pixel_batches/{task_id}", PixelBatch, "pixels"),
    Route("/scan/{scan_id}/progress", Progress, "scan"),
    Route("/scan/{scan_id}/timing", ScanTiming, "scan"),
    Route("/scan/{scan_id}/skymap.png", SkyMapPng, "scan"),
    Route("/scan/{scan_id}/skymap.npz", SkyMapNpz, "scan"),
    Route("/scan/{scan_id}/skymap.json", SkyMapJson, "scan"),
]
