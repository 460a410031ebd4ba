"""Pages about scans: the list, and one scan with its map."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from scanner.common.errors import EventError
from scanner.maps.catalogue import Product
from scanner.maps.level_sets import LEVEL_SETS
from scanner.recos.recos import RECOS
from server.common.errors import BadRequest, NotFound
from server.production.tasks import task_store
from server.production.tasks.task_store import LEASED
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.scans.api import progress_view
from server.scans.api.status import state_of
from server.scans.manifests import decoding, engines
from server.scans.manifests.events import event_json
from server.scans.manifests.manifests import Manifest, find, read
from server.scans.manifests.manifests import numbers as numbers_of
from server.scans.manifests.requests import ScanRequest
from server.scans.pixels import runs
from server.scans.pixels.timing import OTHER, STEPS, Timing
from server.scans.results import files, maps, pictures
from server.scans.run import clusters, traces, workers
from server.scans.run.creation import request_of
from server.web.common.charts import bar
from server.web.common.handler import READERS, PageHandler
from server.web.common.overview import event_name
from server.web.scans import pixel_data

__all__ = ["ROUTES"]

PER_PAGE = 50
_STYLES = {"kernel": "good", "lease": "wait", "report": "wait", "queue": "idle", OTHER: "bad"}  # of a bar


@dataclass(frozen=True)
class Row:
    """A scan in the list."""

    scan_id: str
    started: float
    event: str
    state: str
    summary: str
    is_deleted: bool
    number: int | None
    reconstruction: str
    found: dict[str, Any]  # best fit and areas, as far as the scan is over


class Scans(PageHandler):
    """All scans, the newest first; and a form that starts one."""

    @allow(*READERS)
    async def get(self) -> None:
        page = self.query_int("page", 1, minimum=1) or 1
        if page > 10_000:
            raise BadRequest("page: there are no more than 10000; choose what to show")
        with_deleted, text = self.query_bool("deleted"), (self.query("text") or "").strip()
        query: dict[str, Any] = {**({} if with_deleted else {"is_deleted": False}), **_about(text)}
        found = await find(self.ctx, query, (page - 1) * PER_PAGE, PER_PAGE + 1, newest_first=True)
        numbers = await numbers_of(self.ctx, [manifest.scan_id for manifest in found])
        rows = await asyncio.gather(*(_row(self.ctx, manifest, numbers) for manifest in found[:PER_PAGE]))
        self.page("scans.html", rows=_by_event(found, rows), number=page, is_last=len(found) <= PER_PAGE,
                  text=text, with_deleted=with_deleted, may_start=bool(self.user.roles & {"user", "admin"}),
                  recos=RECOS, clusters=list(await clusters.known(self.ctx)))


def _about(text: str) -> dict[str, Any]:
    """The query for the id of a scan, or a run, or run and event: ``136766 7637140``. Raises BadRequest."""
    if not text:
        return {}
    words = text.replace("/", " ").replace(":", " ").split()
    if all(word.isdecimal() and len(word) < 16 for word in words) and len(words) <= 2:
        names = ("event_metadata.run_id", "event_metadata.event_id")
        return {name: int(word) for name, word in zip(names, words, strict=False)}
    if len(words) == 1:
        return {"scan_id": words[0]}
    raise BadRequest("text: give the id of a scan, the number of a run, or those of a run and an event")


async def _row(ctx: Context, manifest: Manifest, numbers: dict[str, int]) -> Row:
    state, _, _ = await state_of(ctx, manifest)
    summary = (manifest.progress or {}).get("summary", "")
    run = await runs.find(ctx, manifest.scan_id)
    return Row(manifest.scan_id, manifest.timestamp, event_name(manifest), state, str(summary),
               manifest.is_deleted, numbers.get(manifest.scan_id), run.computes if run else "",
               (run.summary or {}) if run else {})


def _by_event(manifests: list[Manifest], rows: list[Row]) -> list[list[Row]]:
    """Rows of the same event together, where the newest of them stands; what is not decoded stays alone."""
    groups: dict[object, list[Row]] = {}
    for manifest, row in zip(manifests, rows, strict=False):  # there is one manifest more on the next page
        event = manifest.event_metadata or {}
        known = (event.get("run_id"), event.get("event_id")) if event else row.scan_id
        groups.setdefault(known, []).append(row)
    return list(groups.values())


class Scan(PageHandler):
    """One scan: state, levels, best fit and map, kept up to date by small scripts."""

    @allow(*READERS)
    async def get(self, scan_id: str) -> None:
        manifest = await read(self.ctx, scan_id)
        view = await progress_view.view(self.ctx, scan_id)
        products = await files.offered(self.ctx, scan_id)
        sets = {product.levels: LEVEL_SETS[product.levels] for product in products if product.levels}
        request = await _request(self.ctx, scan_id)
        timing = await _timing(self.ctx, scan_id) if view["is_final"] else None
        self.page("scan.html", manifest=manifest, view=view, event=event_name(manifest),
                  force=await workers.workforce(self.ctx, manifest),
                  request=request, has_event=request is not None and engines.is_ours(request.reco_algo),
                  taskforces=await workers.taskforces(self.ctx, manifest), level_sets=sets,
                  usual=(await files.usual_levels(self.ctx, scan_id)).name,
                  has_map=view["best_fit"] is not None or view["is_final"],
                  products=_by_levels(products),
                  may_act=bool(self.user.roles & {"user", "admin"}),
                  timing=timing, timing_bar=_timing_bar(timing) if timing else "", steps=STEPS,
                  clusters=list(await clusters.known(self.ctx)))


async def _timing(ctx: Context, scan_id: str) -> Timing | None:
    run = await runs.find(ctx, scan_id)
    return await traces.timing_of(ctx, run) if run else None


def _timing_bar(timing: Timing) -> str:
    shares = [(step, _STYLES.get(step, "busy"), seconds) for step, seconds in timing.steps.items()]
    return bar("where the time went", shares, timing.total)


def _by_levels(products: list[Product]) -> dict[str, list[Product]]:
    """The files that can be made, by the level set that they use."""
    groups: dict[str, list[Product]] = {}
    for product in products:
        title = LEVEL_SETS[product.levels].title if product.levels else "The result itself"
        groups.setdefault(title, []).append(product)
    return groups


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
        view = await progress_view.view(self.ctx, scan_id)
        self.send({**view, "workers": await _workers(self.ctx, scan_id)})


async def _workers(ctx: Context, scan_id: str) -> int:
    """How many workers have a batch just now."""
    run = await runs.find(ctx, scan_id)
    counts = await task_store.counts(ctx, {"dataset_id": run.dataset_id}) if run else {}
    return sum(counts.get(status, 0) for status in LEASED)


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
        picture, _ = await pictures.png(self.ctx, scan_id, view)
        self.set_header("Content-Type", "image/png")
        self.finish(picture)


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
        self.set_header("Cache-Control", "private, max-age=86400")
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
    Route("/web/scans/{scan_id}/pixels", ScanPixels, "web"),
    Route("/web/scans/{scan_id}/picture/{view}", ScanPicture, "web"),
    Route("/web/scans/{scan_id}/event", ScanEventPicture, "web"),
    Route("/web/scans/{scan_id}/map/{kind}", ScanFile, "web"),
    Route("/web/scans/{scan_id}/products/{name:any}", ScanProduct, "web"),
]
