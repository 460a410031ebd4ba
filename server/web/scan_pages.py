"""Pages about scans: the list, and one scan with its map."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from scanner.catalogue import CATALOGUE
from server.context import Context
from server.errors import BadRequest, NotFound
from server.routing import Route, allow
from server.scans import files, maps, pictures, progress_view, workers
from server.scans.creation import request_of
from server.scans.manifests import Manifest, find, read
from server.scans.requests import ScanRequest
from server.scans.status import state_of
from server.web import show
from server.web.handler import READERS, PageHandler
from server.web.overview import event_name

__all__ = ["ROUTES"]

PER_PAGE = 50


@dataclass(frozen=True)
class Row:
    """A scan in the list."""

    scan_id: str
    started: str
    event: str
    state: str
    summary: str
    is_deleted: bool


class Scans(PageHandler):
    """All scans, the newest first."""

    @allow(*READERS)
    async def get(self) -> None:
        page = self.query_int("page", 1, minimum=1) or 1
        with_deleted = self.query_bool("deleted")
        query: dict[str, Any] = {} if with_deleted else {"is_deleted": False}
        found = await find(self.ctx, query, (page - 1) * PER_PAGE, PER_PAGE + 1, newest_first=True)
        rows = await asyncio.gather(*(_row(self.ctx, manifest) for manifest in found[:PER_PAGE]))
        self.page("scans.html", rows=rows, number=page, is_last=len(found) <= PER_PAGE,
                  with_deleted=with_deleted)


async def _row(ctx: Context, manifest: Manifest) -> Row:
    state, _, _ = await state_of(ctx, manifest)
    summary = (manifest.progress or {}).get("summary", "")
    return Row(manifest.scan_id, show.date(manifest.timestamp), event_name(manifest), state, str(summary),
               manifest.is_deleted)


class Scan(PageHandler):
    """One scan: state, levels, best fit and pictures, kept up to date by a small script."""

    @allow(*READERS)
    async def get(self, scan_id: str) -> None:
        manifest = await read(self.ctx, scan_id)
        view = await progress_view.view(self.ctx, scan_id)
        force = await workers.workforce(self.ctx, manifest)
        self.page("scan.html", manifest=manifest, view=view, event=event_name(manifest), force=force,
                  started=show.date(manifest.timestamp), request=await _request(self.ctx, scan_id),
                  has_map=view["best_fit"] is not None or view["is_final"], products=CATALOGUE.values())


async def _request(ctx: Context, scan_id: str) -> ScanRequest | None:
    try:
        return await request_of(ctx, scan_id)
    except NotFound:  # very old scans have none
        return None


class ScanProgress(PageHandler):
    """What the page's script shows; waits for news when asked to."""

    @allow(*READERS)
    async def get(self, scan_id: str) -> None:
        wait = min(self.query_int("wait", 0) or 0, int(self.ctx.settings.leases.max_wait_seconds))
        await progress_view.wait_for_news(self.ctx, scan_id, self.query_int("since", 0) or 0, wait)
        self.send(await progress_view.view(self.ctx, scan_id))


class ScanPicture(PageHandler):
    """A picture of the map."""

    @allow(*READERS)
    async def get(self, scan_id: str, view: str) -> None:
        if view not in pictures.VIEWS:
            raise BadRequest(f"there is no view {view!r}")
        await read(self.ctx, scan_id)
        picture, _ = await pictures.png(self.ctx, scan_id, view)
        self.set_header("Content-Type", "image/png")
        self.finish(picture)


class ScanFile(PageHandler):
    """The map as a file for icecube-skyreader."""

    @allow(*READERS)
    async def get(self, scan_id: str, kind: str) -> None:
        await read(self.ctx, scan_id)
        if kind == "npz":
            data, name = await pictures.npz(self.ctx, scan_id)
            self.set_header("Content-Type", "application/octet-stream")
        else:
            result, _ = await maps.latest(self.ctx, scan_id)
            data, name = await asyncio.to_thread(maps.result_text, result), result.file_name("json")
            self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(data)


class ScanProduct(PageHandler):
    """A file made of the map."""

    @allow(*READERS)
    async def get(self, scan_id: str, name: str) -> None:
        product = files.product(name)
        await read(self.ctx, scan_id)
        file = await files.make(self.ctx, scan_id, product)
        self.set_header("Content-Type", product.media_type)
        self.set_header("Content-Disposition", f'attachment; filename="{file.name}"')
        self.finish(file.content)


ROUTES = [
    Route("/web/scans", Scans, "web"),
    Route("/web/scans/{scan_id}", Scan, "web"),
    Route("/web/scans/{scan_id}/progress", ScanProgress, "web"),
    Route("/web/scans/{scan_id}/picture/{view}", ScanPicture, "web"),
    Route("/web/scans/{scan_id}/map/{kind}", ScanFile, "web"),
    Route("/web/scans/{scan_id}/products/{name:any}", ScanProduct, "web"),
]
