"""The page of one scan, and what its script asks for while the scan runs."""

from __future__ import annotations

from scanner.maps.catalogue import PURPOSES, Product
from scanner.maps.level_sets import LEVEL_SETS
from server.common.errors import NotFound
from server.production.tasks import counting
from server.production.tasks.task_store import LEASED
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.scans.api import progress_view
from server.scans.manifests import engines
from server.scans.manifests.manifests import read
from server.scans.manifests.requests import ScanRequest
from server.scans.pixels import runs
from server.scans.pixels.timing import OTHER, STEPS, Timing
from server.scans.results import files
from server.scans.run import clusters, traces, workers
from server.scans.run.creation import request_of
from server.web.common import position
from server.web.common.charts import bar
from server.web.common.handler import READERS, PageHandler
from server.web.common.overview import event_name
from server.web.scans import list_pages, scan_files, sky_marks
from server.web.scans.scan_facts import facts_of

__all__ = ["ROUTES"]

_STYLES = {"kernel": "good", "lease": "wait", "report": "wait", "queue": "idle", OTHER: "bad"}  # of a bar

class Scan(PageHandler):
    """One scan: its map, best fit and event, what it is compared with, its state and files."""

    @allow(*READERS)
    async def get(self, scan_id: str) -> None:
        manifest = await read(self.ctx, scan_id)
        view = await progress_view.view(self.ctx, scan_id)
        products = await files.offered(self.ctx, scan_id)
        sets = {product.levels: LEVEL_SETS[product.levels] for product in products if product.levels}
        request, catalog = await _request(self.ctx, scan_id), self.query("catalog") or ""
        timing = await _timing(self.ctx, scan_id) if view["is_final"] else None
        self.page("scan.html", manifest=manifest, view=view, event=event_name(manifest),
                  facts=await facts_of(self.ctx, manifest, view["best_fit"]), texts=position.texts(view),
                  force=await workers.workforce(self.ctx, manifest), position=position,
                  request=request, has_event=request is not None and engines.is_ours(request.reco_algo),
                  taskforces=await workers.taskforces(self.ctx, manifest), level_sets=sets,
                  usual=(await files.usual_levels(self.ctx, scan_id)).name,
                  has_map=view["best_fit"] is not None or view["is_final"],
                  products=_by_levels(products), purposes=PURPOSES, catalog=catalog,
                  catalogs=await sky_marks.catalogs(self.ctx) if view["is_final"] else [],
                  marks=await sky_marks.marks_in(self.ctx, scan_id, catalog) if catalog else None,
                  may_act=bool(self.user.roles & {"user", "admin"}),
                  timing=timing, timing_bar=_timing_bar(timing) if timing else "", steps=STEPS,
                  clusters=list(await clusters.known(self.ctx)))


async def _timing(ctx: Context, scan_id: str) -> Timing | None:
    run = await runs.find(ctx, scan_id)
    return await traces.timing_of(ctx, run) if run else None


def _timing_bar(timing: Timing) -> str:
    shares = [(step, _STYLES.get(step, "busy"), seconds) for step, seconds in timing.steps.items()]
    return bar("where the time went", shares, timing.total)


def _by_levels(products: list[Product]) -> dict[str, dict[str, list[Product]]]:
    """The files that can be made, by their level set and by what they are for; but the result itself."""
    groups: dict[str, dict[str, list[Product]]] = {}
    for product in products:
        if product.levels:
            group = groups.setdefault(product.levels, {purpose: [] for purpose in PURPOSES})
            group[product.purpose].append(product)
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
        self.send({**view, "texts": position.texts(view), "workers": await _workers(self.ctx, scan_id)})


async def _workers(ctx: Context, scan_id: str) -> int:
    """How many workers have a batch just now."""
    run = await runs.find(ctx, scan_id)
    counts = await counting.of_dataset(ctx, run.dataset_id) if run else {}
    return sum(counts.get(status, 0) for status in LEASED)


ROUTES = [
    *list_pages.ROUTES,
    Route("/web/scans/{scan_id}", Scan, "web"),
    Route("/web/scans/{scan_id}/progress", ScanProgress, "web"),
    *scan_files.ROUTES,
]
