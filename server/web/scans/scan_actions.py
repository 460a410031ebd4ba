"""Starting, repeating and aborting scans from a page, and asking for more workers."""

from __future__ import annotations

import re
from typing import Any

from server.common.errors import BadRequest
from server.rest.routing import Route, allow
from server.scans.manifests import manifests
from server.scans.results import results
from server.scans.run import creation, deletion, rescans, workers
from server.web.common.handler import PageHandler
from server.web.common.overview import event_name

__all__ = ["ROUTES", "progression"]

ACTORS = ("user", "admin")


def progression(text: str) -> dict[str, int]:
    """Levels as people write them, such as ``8:0,64:12``. Raises BadRequest."""
    levels = {}
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,6})\s*:\s*(\d{1,6})\s*", part)
        if not found:
            raise BadRequest(f"levels: {part.strip()[:40]!r} is not nside:extension, as in 8:0,64:12,512:24")
        levels[found[1]] = int(found[2])
    return levels


class Start(PageHandler):
    """A new scan of an event that is sent as a file, or known from before."""

    @allow(*ACTORS)
    async def post(self) -> None:
        sent = self.request.files.get("event", [])
        body: dict[str, Any] = {
            "docker_tag": "latest", "reco_algo": self.field("reco_algo"),
            "nsides": progression(self.field("nsides")), "refine": bool(self.field("refine", "")),
            "real_or_simulated_event": self.field("kind"), "priority": self.field_int("priority", 0),
            "max_pixel_reco_time": self.field_int("seconds", 600),
            "request_clusters": {self.field("cluster"): self.field_int("workers", 1)}}
        if sent and sent[0]["body"]:
            body["event_i3live_json"] = _text(sent[0]["body"])
        elif event_id := self.field("i3_event_id", ""):
            body["i3_event_id"] = event_id
        else:
            raise BadRequest("event: choose the file of an event, or name one that was scanned before")
        manifest = await creation.create_scan(self.ctx, body, self.user.username)
        self.done("The scan waits for its turn; this page follows it.", f"/web/scans/{manifest.scan_id}")


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf8")
    except UnicodeDecodeError:
        raise BadRequest("event: the file is no text; events are JSON, as from i3live") from None
    if not text.lstrip().startswith("{"):
        raise BadRequest("event: the file holds no JSON object; events are JSON, as from i3live")
    return text


class ConfirmPage(PageHandler):
    """A page that asks before it does what it is for."""

    async def ask(self, scan_id: str, what: str) -> None:
        """Show what would be done. Raises NotFound."""
        manifest = await manifests.read(self.ctx, scan_id)
        final = await results.is_final(self.ctx, scan_id) is not None
        self.page("scan_confirm.html", manifest=manifest, event=event_name(manifest), final=final, what=what)


class Rescan(ConfirmPage):
    """The same event once more."""

    @allow(*ACTORS)
    async def get(self, scan_id: str) -> None:
        await self.ask(scan_id, "rescan")

    @allow(*ACTORS)
    async def post(self, scan_id: str) -> None:
        manifest = await rescans.again(
            self.ctx, scan_id, self.user.username, abort_first=bool(self.field("abort_first", "")),
            replace=bool(self.field("replace", "")))
        self.done("The event is scanned once more; this page follows the new scan.",
                  f"/web/scans/{manifest.scan_id}")


class Abort(ConfirmPage):
    """Stopping a scan and marking it as deleted."""

    @allow(*ACTORS)
    async def get(self, scan_id: str) -> None:
        await self.ask(scan_id, "abort")

    @allow(*ACTORS)
    async def post(self, scan_id: str) -> None:
        completed_too = self.field("completed_too", "") == "yes"
        await deletion.delete(self.ctx, scan_id, completed_too=completed_too)
        self.done("The scan was aborted. What it found stays readable here; Scan again takes it over.",
                  f"/web/scans/{scan_id}")


class AddWorkers(PageHandler):
    """More workers for a scan."""

    @allow(*ACTORS)
    async def post(self, scan_id: str) -> None:
        number, cluster = self.field_int("workers"), self.field("cluster")
        if not 1 <= number <= 100_000:
            raise BadRequest("workers: must be between 1 and 100000")
        await workers.add_workers(self.ctx, scan_id, number, cluster)
        self.done(f"{number} more workers were asked of {cluster}.", f"/web/scans/{scan_id}")


ROUTES = [
    Route("/web/scans/start", Start, "web"),
    Route("/web/scans/{scan_id}/rescan", Rescan, "web"),
    Route("/web/scans/{scan_id}/abort", Abort, "web"),
    Route("/web/scans/{scan_id}/workers", AddWorkers, "web"),
]
