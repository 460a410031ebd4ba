"""Analyses of objects on their page: begin one, watch it, see what it found, do it again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tornado.escape import url_escape

from server.common.errors import BadRequest, NotFound
from server.desk.analyses import analyses, products, services
from server.desk.analyses.analyses import OPEN, Wanted
from server.desk.common.access import Document, Visitor
from server.desk.common.acls import RUN_ANALYSES
from server.rest.context import Context
from server.rest.routing import Route, allow
from server.web.common.handler import READERS
from server.web.desk.desk_handler import DeskPage
from server.web.desk.value_lines import read_lines

__all__ = ["ROUTES", "part"]

SHOWN = 20
COLOURS = {"completed": "good", "failure": "bad", "timed_out": "bad", "cancelled": "idle"}


async def part(ctx: Context, who: Visitor, obj: Document) -> Mapping[str, Any] | None:
    """What an object's page shows of its analyses (`object_parts`)."""
    rows = await analyses.of_object(ctx, who, obj["_id"], SHOWN)
    may_run = who.has(RUN_ANALYSES)
    choices = [row for row in await services.listed(ctx, who)
               if not row["upload_only"] and row["display_on_resource_dropdown"]] if may_run else []
    if not rows and not choices:
        return None
    return {"rows": rows, "services": choices, "colours": COLOURS, "open_states": OPEN, "most": SHOWN,
            "runs_on": {row["_id"]: services.is_grid(row) for row in choices}}


class Act(DeskPage):
    """What is done to analyses from an object's page."""

    @allow(*READERS)
    async def post(self, name: str) -> None:
        acts = {"run": self._run, "again": self._again, "cancel": self._cancel}
        action = self.field("action")
        if action not in acts:
            raise BadRequest(f"action: {action[:40]!r} is none of {', '.join(acts)}")
        who = await self.allowed(RUN_ANALYSES)
        said = await acts[action](who, name)
        self.done(said, f"/web/desk/objects/{url_escape(name, plus=False)}#analyses")

    async def _run(self, who: Visitor, name: str) -> str:
        parameters = read_lines(self.field("parameters", ""), "parameters")
        wanted = Wanted(self.field_int("service"), name, parameters)
        return f"Analysis {await analyses.start(self.ctx, who, wanted)} is queued."

    async def _again(self, who: Visitor, name: str) -> str:
        row = await analyses.find(self.ctx, who, self.field_int("analysis"))
        return f"Analysis {await analyses.run_again(self.ctx, who, row)} is queued."

    async def _cancel(self, who: Visitor, name: str) -> str:
        row = await analyses.find(self.ctx, who, self.field_int("analysis"))
        await analyses.cancel(self.ctx, who, row)
        return f"Analysis {row['_id']} is cancelled."


class Product(DeskPage):
    """What an analysis found, as a file."""

    @allow(*READERS)
    async def get(self, number: str, kind: str, index: str) -> None:
        if not (number + index).isascii() or not (number + index).isdigit() or len(number + index) > 18:
            raise NotFound("there is no such analysis")
        row = await analyses.find(self.ctx, await self.who(), int(number))
        found = await analyses.findings_of(self.ctx, row)
        file = await asyncio.to_thread(products.product, found, kind, int(index))
        self.set_header("Content-Type", file.media_type)
        self.set_header("Content-Disposition", file.disposition(row["_id"], download=False))
        self.finish(file.content)


ROUTES = [
    Route("/web/desk/objects/{name:any}/analyses", Act, "web"),
    Route("/web/desk/analyses/{number:any}/{kind:any}/{index:any}", Product, "web"),
]
