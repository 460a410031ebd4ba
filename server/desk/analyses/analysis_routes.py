"""Analyses of objects, and their products."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from config.json_text import JsonError, decode
from server.common.errors import BadRequest, Forbidden, NotFound
from server.desk.analyses import analyses, results
from server.desk.analyses.analyses import Wanted
from server.desk.analyses.pictures import BINS
from server.desk.analyses.products import product
from server.desk.common.access import Document
from server.desk.common.acls import RUN_ANALYSES
from server.desk.common.bodies import Body, Id, Name, Text, convert, takes
from server.desk.objects import objs
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

RESOURCE = "obj"
MOST_LISTED = 1000


class RunBody(Body):
    """An analysis that shall run; the object is in the path, or here."""

    show_parameters: bool = False
    show_plots: bool = False
    show_corner: bool = False
    analysis_parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    group_ids: list[Id] | None = None
    obj_id: Name | None = None
    resource_id: Name | None = None


class UploadBody(Body):
    """What was found elsewhere: `analysis` as a service calls back with, or bare `results`."""

    analysis: dict[str, Any] | None = None
    results: dict[str, Any] | None = None
    message: Text = ""
    show_parameters: bool = False
    show_plots: bool = False
    show_corner: bool = False
    group_ids: list[Id] | None = None


class ProductBody(Body):
    """How a product is wanted, of clients that say it in a body: it counts where the query says nothing."""

    download: bool = False
    plot_kwargs: dict[str, Any] = msgspec.field(default_factory=dict)


class PlotOptions(Body, forbid_unknown_fields=False):
    """How a corner plot is drawn; what else SkyPortal's `plot_kwargs` may hold is ignored."""

    bins: Annotated[int, msgspec.Meta(ge=1, le=200)] = BINS


class _AnalysisHandler(DeskHandler):
    """What the handlers of analyses share."""

    def check_resource(self, kind: str) -> None:
        """Raise NotFound for what no analysis can be of."""
        if kind != RESOURCE:
            raise NotFound(f"analysis_resource_type: analyses are of {RESOURCE!r}, not {kind[:60]!r}")

    async def found(self, analysis_id: str) -> Document:
        """The analysis of a path's number. Raises BadRequest, Forbidden."""
        return await analyses.find(self.ctx, self.who, self.number(analysis_id, "analysis_id"))

    async def shown(self, row: Document) -> Document:
        """An analysis with what the query asks for beside it."""
        answer = analyses.shown(self.who, row)
        if self.query_bool("includeFilename"):
            answer["filename"] = f"analysis_{row['_id']}.json" if row["blob"] else None
        return answer

    async def one(self, row: Document) -> None:
        """Answer with one analysis."""
        answer = await self.shown(row)
        if self.query_bool("includeAnalysisData"):
            answer["data"] = msgspec.to_builtins(await analyses.findings_of(self.ctx, row)) \
                if row["blob"] else None
        self.success(answer)

    async def many(self, query: dict[str, Any]) -> None:
        """Answer with a list of analyses, the newest first, in pages."""
        page = self.page(default=MOST_LISTED, cap=MOST_LISTED)
        rows = await analyses.listed(self.ctx, self.who, query, page.skip, page.size)
        self.success([await self.shown(row) for row in rows])

    async def begin(self, service_id: str, body: RunBody, obj_id: str) -> None:
        """Start an analysis."""
        number = await analyses.start(self.ctx, self.who, Wanted(
            self.number(service_id, "analysis_service_id"), obj_id, body.analysis_parameters, body.group_ids,
            body.show_parameters, body.show_plots, body.show_corner))
        self.success({"id": number, "analysis_id": number})


class Analyses(_AnalysisHandler):
    """All analyses."""

    @allow("any")
    async def get(self, analysis_resource_type: str) -> None:
        """The analyses that the caller sees; objID is a part of the object's name."""
        self.check_resource(analysis_resource_type)
        query: dict[str, Any] = {}
        if name := self.query_given("objID"):
            query["obj_id"] = {"$in": await self._named(name)}
        if (service := self.query_given("analysisServiceID")) is not None:
            query["analysis_service_id"] = self.number(service, "analysisServiceID")
        if self.query_bool("summaryOnly"):
            query["is_summary"] = True
        await self.many(query)

    async def _named(self, name: str) -> list[str]:
        found = await analyses.objects_like(self.ctx, self.who, name)
        if not found:
            await objs_or_404(self, name)
        return found


async def objs_or_404(handler: DeskHandler, name: str) -> Document:
    """An object. Raises NotFound."""
    try:
        return await objs.find(handler.ctx, name)
    except BadRequest as error:
        raise NotFound(error.reason) from None


class OfObject(_AnalysisHandler):
    """The analyses of one object."""

    @allow("any")
    async def get(self, analysis_resource_type: str, resource_id: str) -> None:
        """An object's analyses, the newest first."""
        self.check_resource(analysis_resource_type)
        await objs_or_404(self, resource_id)
        await self.many({"obj_id": resource_id})


class Run(_AnalysisHandler):
    """An analysis, or by POST a service that shall run on the object in the path."""

    @allow("any")
    async def get(self, analysis_resource_type: str, resource_id: str, analysis_id: str) -> None:
        """An analysis of this object."""
        self.check_resource(analysis_resource_type)
        row = await self.found(analysis_id)
        _check_object(row, resource_id)
        await self.one(row)

    @needs(RUN_ANALYSES)
    @takes(RunBody)
    async def post(self, analysis_resource_type: str, resource_id: str, analysis_id: str) -> None:
        """Run a service on an object."""
        self.check_resource(analysis_resource_type)
        await self.begin(analysis_id, self.typed(RunBody, required=False), resource_id)

    @needs(RUN_ANALYSES)
    async def delete(self, analysis_resource_type: str, resource_id: str, analysis_id: str) -> None:
        """Remove an analysis of this object, and what it found."""
        self.check_resource(analysis_resource_type)
        row = await self.found(analysis_id)
        _check_object(row, resource_id)
        await analyses.remove(self.ctx, self.who, row)
        self.success()


class Analysis(_AnalysisHandler):
    """One analysis, or by POST a service that shall run on the object in the body."""

    @allow("any")
    async def get(self, analysis_resource_type: str, analysis_id: str) -> None:
        """An analysis; with includeAnalysisData all that it found."""
        self.check_resource(analysis_resource_type)
        row = await self.found(analysis_id)
        if (name := self.query_given("objID")) is not None:
            await objs_or_404(self, name)
            _check_object(row, name)
        await self.one(row)

    @needs(RUN_ANALYSES)
    @takes(RunBody)
    async def post(self, analysis_resource_type: str, analysis_id: str) -> None:
        """Run a service on the object that the body names."""
        self.check_resource(analysis_resource_type)
        body = self.typed(RunBody, required=False)
        obj_id = body.obj_id or body.resource_id
        if obj_id is None:
            raise BadRequest("obj_id: name the object")
        await self.begin(analysis_id, body, obj_id)

    @needs(RUN_ANALYSES)
    async def delete(self, analysis_resource_type: str, analysis_id: str) -> None:
        """Remove an analysis and what it found; its task is given up."""
        self.check_resource(analysis_resource_type)
        await analyses.remove(self.ctx, self.who, await self.found(analysis_id))
        self.success()


def _check_object(row: Document, obj_id: str) -> None:
    if row["obj_id"] != obj_id:
        raise Forbidden(f"analysis {row['_id']} is not of {obj_id[:200]!r}")


class Upload(_AnalysisHandler):
    """Results from elsewhere."""

    @needs(RUN_ANALYSES)
    @takes(UploadBody)
    async def post(self, analysis_resource_type: str, resource_id: str,
                   analysis_service_id: str) -> None:
        """Store what was found elsewhere, for a service that takes uploads."""
        self.check_resource(analysis_resource_type)
        body = self.typed(UploadBody)
        found = results.from_upload(body.analysis, body.results)
        service_id = self.number(analysis_service_id, "analysis_service_id")
        wanted = Wanted(service_id, resource_id, {}, body.group_ids, body.show_parameters,
                        body.show_plots, body.show_corner)
        number = await analyses.upload(self.ctx, self.who, wanted, found, body.message)
        self.success({"id": number, "analysis_id": number, "message": body.message})


class Again(_AnalysisHandler):
    """An analysis once more."""

    @needs(RUN_ANALYSES)
    async def post(self, analysis_resource_type: str, analysis_id: str) -> None:
        """A new analysis like this one, with the inputs as they are now."""
        self.check_resource(analysis_resource_type)
        fresh = await analyses.run_again(self.ctx, self.who, await self.found(analysis_id))
        self.success({"id": fresh, "analysis_id": fresh})


class Cancel(_AnalysisHandler):
    """An analysis that nobody waits for any more."""

    @needs(RUN_ANALYSES)
    async def post(self, analysis_resource_type: str, analysis_id: str) -> None:
        """Cancel an analysis; its task is given up."""
        self.check_resource(analysis_resource_type)
        await analyses.cancel(self.ctx, self.who, await self.found(analysis_id))
        self.success()


class ProductOf(_AnalysisHandler):
    """One thing that an analysis found."""

    @allow("any")
    async def get(self, analysis_resource_type: str, analysis_id: str, product_type: str,
                  plot_number: str) -> None:
        """Results (JSON), a plot, a corner plot, or the posterior samples; `download` names a file."""
        self.check_resource(analysis_resource_type)
        row = await self.found(analysis_id)
        number = self.number(plot_number, "plot_number")
        download, options = self._wanted()
        found = await analyses.findings_of(self.ctx, row)
        if product_type == "results" and found.results is not None and not download:
            self.success(found.results.data)
            return
        file = await asyncio.to_thread(product, found, product_type, number, options.bins)
        self.set_header("Content-Type", file.media_type)
        self.set_header("Content-Disposition", file.disposition(row["_id"], download=download))
        self.finish(file.content)

    def _wanted(self) -> tuple[bool, PlotOptions]:
        """Whether a file is wanted, and how a corner plot is drawn. Raises BadRequest."""
        body, text = self.typed(ProductBody, required=False), self.query_given("plot_kwargs")
        try:
            options = body.plot_kwargs if text is None else decode(text)
        except JsonError:
            options = None
        if not isinstance(options, dict):
            raise BadRequest("plot_kwargs: must be the text of a JSON object")
        return self.query_bool("download", body.download), convert(options, PlotOptions)


_OF = "/api/{analysis_resource_type:any}"
ROUTES = [
    Route(_OF + "/analysis", Analyses, "desk"),
    Route(_OF + "/analysis/{analysis_id:any}", Analysis, "desk"),
    Route(_OF + "/analysis/{analysis_id:any}/again", Again, "desk"),
    Route(_OF + "/analysis/{analysis_id:any}/cancel", Cancel, "desk"),
    Route(_OF + "/analysis/{analysis_id:any}/{product_type:any}/{plot_number:any}", ProductOf, "desk"),
    Route(_OF + "/{resource_id:any}/analysis", OfObject, "desk"),
    Route(_OF + "/{resource_id:any}/analysis_upload/{analysis_service_id:any}", Upload, "desk"),
    Route(_OF + "/{resource_id:any}/analysis/{analysis_id:any}", Run, "desk"),
]
