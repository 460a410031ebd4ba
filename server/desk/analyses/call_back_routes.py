"""Where services and tasks hand in what they found; whoever has an analysis's token may."""

from __future__ import annotations

import base64
import hashlib

from server.common.errors import BadRequest, Forbidden
from server.desk.analyses import analyses, grid_runs, results
from server.desk.analyses.results import Said
from server.desk.common.access import Document
from server.desk.common.bodies import takes
from server.desk.people.handler import DeskHandler
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class CallBack(DeskHandler):
    """The end of an analysis, as its service tells it."""

    @allow("everybody")
    @takes(Said)
    async def post(self, token: str) -> None:
        """End an analysis; the token counts once."""
        row = await analyses.by_token(self.ctx, token)
        said = results.read(self.body())
        status = "completed" if said.status == "success" else "failure"
        await analyses.check_in_time(self.ctx, row)
        if not await analyses.end(self.ctx, row, status, said.message, said.findings):
            raise Forbidden(f"analysis {row['_id']} has ended already")
        self.success()


class TaskFile(DeskHandler):
    """A file of an analysis's task: an input, its program, or what it found."""

    async def _holder(self, analysis_id: str) -> Document:
        kind, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Forbidden("the files of an analysis's task are for that task alone")
        return await grid_runs.holder_of(self.ctx, self.number(analysis_id, "analysis_id"), token.strip())

    @allow("everybody")
    async def get(self, analysis_id: str, name: str) -> None:
        """A file that the task needs."""
        row = await self._holder(analysis_id)
        self._answer(await grid_runs.file_of(self.ctx, row, name))

    @allow("everybody")
    async def head(self, analysis_id: str, name: str) -> None:
        """Whether what the task stored is here."""
        row = await self._holder(analysis_id)
        if name == grid_runs.RESULT:
            self.set_status(204)  # it was read when it came: there is no copy of it to compare with
        else:
            self._answer(await grid_runs.file_of(self.ctx, row, name))

    @allow("everybody")
    async def put(self, analysis_id: str, name: str) -> None:
        """Take what the task found."""
        row = await self._holder(analysis_id)
        if name != grid_runs.RESULT:
            raise BadRequest(f"name: a task stores {grid_runs.RESULT}, not {name[:60]!r}")
        data = self.request.body
        self._check_digest(data)
        await grid_runs.take(self.ctx, row, data)
        self.success()

    def _check_digest(self, data: bytes) -> None:
        wanted = self.request.headers.get("Content-MD5", "")
        found = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        if wanted and wanted != found:
            raise BadRequest("Content-MD5: the body is not what was sent")

    def _answer(self, data: bytes) -> None:
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(data)


ROUTES = [
    Route("/api/webhook/obj_analysis/{token:any}", CallBack, "desk"),
    Route("/api/analysis_files/{analysis_id:any}/{name:any}", TaskFile, "desk"),
]
