"""What the page of a scan loads and offers: pixels, pictures, files, the text of a circular."""

from __future__ import annotations

import asyncio

from scanner.common.errors import EventError
from scanner.maps.catalogue import PICTURE_STYLES
from scanner.maps.level_sets import LEVEL_SETS
from server.common.errors import BadRequest, NotFound
from server.rest.routing import Route, allow
from server.scans.manifests import decoding
from server.scans.manifests.events import event_json
from server.scans.manifests.manifests import read
from server.scans.results import files, maps, pictures, sketches
from server.web.common.handler import READERS, PageHandler
from server.web.common.overview import event_name
from server.web.scans import circulars, pixel_data

__all__ = ["ROUTES"]

_A_DAY = "private, max-age=86400"


class ScanPixels(PageHandler):
    """The map's pixels for the viewer."""

    @allow(*READERS)
    async def get(self, scan_id: str) -> None:
        levels = self.query("levels")
        if levels and levels not in LEVEL_SETS:
            raise BadRequest(f"levels: must be one of {', '.join(LEVEL_SETS)}")
        await read(self.ctx, scan_id)
        result, is_final = await maps.latest(self.ctx, scan_id)
        data = await asyncio.to_thread(pixel_data.packed, result, levels, is_final)
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(data)


class ScanPicture(PageHandler):
    """A picture of the map."""

    @allow(*READERS)
    async def get(self, scan_id: str, view: str) -> None:
        if view not in pictures.VIEWS:
            raise BadRequest(f"there is no view {view!r}")
        await read(self.ctx, scan_id)
        picture, is_final = await pictures.png(self.ctx, scan_id, view)
        self.set_header("Content-Type", "image/png")
        if is_final:  # nobody changes it any more
            self.set_header("Cache-Control", "private, max-age=3600")
        self.finish(picture)


class Thumbnail(PageHandler):
    """The small picture of a final map, for lists."""

    @allow(*READERS)
    async def get(self, scan_id: str) -> None:
        sketch = await sketches.find(self.ctx, scan_id)
        if sketch is None:
            raise NotFound("this scan has no final map, or its small picture is not made yet")
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", _A_DAY)  # its address tells the version
        self.finish(sketch.picture)


class Circular(PageHandler):
    """The text of a circular about a final map, to be copied and completed."""

    @allow(*READERS)
    async def get(self, scan_id: str) -> None:
        manifest = await read(self.ctx, scan_id)
        text = await circulars.text_of(self.ctx, manifest)
        self.page("scan_circular.html", manifest=manifest, event=event_name(manifest), text=text)


class ScanEventPicture(PageHandler):
    """A drawing of the event that is scanned."""

    @allow(*READERS)
    async def get(self, scan_id: str) -> None:
        manifest = await read(self.ctx, scan_id)
        try:
            picture = await decoding.picture(await event_json(self.ctx, manifest.i3_event_id))
        except EventError as error:
            raise NotFound(f"the event cannot be drawn: {error}") from None
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", _A_DAY)
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
        product, style = files.product(name), self.query("style") or ""
        if style and style not in PICTURE_STYLES:
            raise BadRequest(f"style: must be one of {', '.join(PICTURE_STYLES)}")
        await read(self.ctx, scan_id)
        file = await files.make(self.ctx, scan_id, product, style)
        self.set_header("Content-Type", product.media_type)
        self.set_header("Content-Disposition", f'attachment; filename="{file.name}"')
        self.finish(file.content)


ROUTES = [
    Route("/web/scans/{scan_id}/pixels", ScanPixels, "web"),
    Route("/web/scans/{scan_id}/picture/{view}", ScanPicture, "web"),
    Route("/web/scans/{scan_id}/thumbnail", Thumbnail, "web"),
    Route("/web/scans/{scan_id}/event", ScanEventPicture, "web"),
    Route("/web/scans/{scan_id}/circular", Circular, "web"),
    Route("/web/scans/{scan_id}/map/{kind}", ScanFile, "web"),
    Route("/web/scans/{scan_id}/products/{name:any}", ScanProduct, "web"),
]
