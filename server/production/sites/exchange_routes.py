"""The one request that a pilot needs: it lives and holds these tasks, these ended, it would take more."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from server.common.errors import BadRequest, NotFound
from server.production.common.documents import Document
from server.production.common.fields import Field, takes
from server.production.leases import waits
from server.production.leases.claim_routes import ClaimHandler, report_many
from server.production.records import tails
from server.production.sites import beats, pilot_tokens
from server.production.sites.pilot_routes import read_held
from server.rest.context import Context
from server.rest.routing import Route, allow, urgent

__all__ = ["ROUTES"]


class Exchange(ClaimHandler):
    """A pilot says what is new, and hears what is."""

    @urgent
    @allow("admin", "client", "system", "pilot")
    @takes(Field("tasks", "list"), Field("resources_available", "dict"), Field("resources_claimed", "dict"),
           Field("reports", "list"), Field("claim", "dict"), Field("renew", "bool"), Field("tails", "dict"),
           closed=True)
    async def post(self, pilot_id: str) -> None:
        """A heartbeat that carries reports of ends, a claim or both, as report_many and queue_many take them.

        Answers what a heartbeat answers, with `results` of the reports and the `tasks` of the claim; `why`
        there are none for this pilot just now. A claim that comes with reports does not wait. What it has
        to stop, and whether to end, a pilot hears again until it did. With renew it gets another token.
        `watch` are tasks that somebody looks at: while they are named, `tails` brings the end of what they
        print, as {task_id: {stdout: {size, text}}}, and the pilot says something every two seconds.
        """
        body = self.body()
        held, reports, claim = read_held(body), body.get("reports"), body.get("claim")
        if claim is not None and not isinstance(claim, dict):
            raise BadRequest("key claim should be of type dict")
        sent, answer = tails.read_tails(body.get("tails") or {}), Document()
        if reports is not None:
            answer["results"] = await report_many(self.ctx, self.user, reports, pilot_id)
            over = {result["task_id"] for result in answer["results"] if result["status"] == 200}
            held = {task_id: instance for task_id, instance in held.items() if task_id not in over}
        beating = await self._beat(pilot_id, held, body)
        if sent:
            await tails.keep(self.ctx, held, sent)
        async with self.lending():
            if claim is not None:
                answer |= await self._claim({**claim, "pilot_id": pilot_id}, may_wait=reports is None)
            is_urgent = bool(answer.get("results") or answer.get("tasks"))
            told = beats.promise(self.ctx, pilot_id) if is_urgent and not beating.done() else await beating
            if watched := await tails.watched(self.ctx, held):
                answer["watch"] = watched
            if body.get("renew") is True:
                answer |= pilot_tokens.another(self.ctx, self.user)
            await self.deliver({**answer, **told})

    async def _beat(self, pilot_id: str, held: dict[str, str], body: Document) -> asyncio.Task[Document]:
        """The heartbeat, on its way. Raises NotFound before anything is given to an unknown pilot."""
        fields: Document = {
            name: body[name] for name in ("resources_available", "resources_claimed") if name in body}
        is_known = beats.is_known(self.ctx, pilot_id)
        beating = asyncio.create_task(beats.beat(self.ctx, pilot_id, held, fields))
        if not is_known:
            await beating
        beating.add_done_callback(partial(_end_waits, self.ctx, pilot_id))
        return beating

    async def _claim(self, claim: dict[str, Any], *, may_wait: bool) -> Document:
        request, wait = await self.lease_of(claim)
        wait = wait if may_wait else 0.0
        try:
            await self.check_place(request, wait)
        except NotFound as error:
            return {"tasks": [], "why": error.reason}
        return {"tasks": await self.lend(request, wait)}


def _end_waits(ctx: Context, pilot_id: str, beating: asyncio.Task[Document]) -> None:
    """What a pilot must hear it hears at once."""
    failed = beating.cancelled() or beating.exception() is not None
    if failed or beating.result()["drain"] or beating.result()["stop"]:
        waits.end_waits(ctx, pilot_id)


ROUTES = [Route("/pilots/{pilot_id}/exchange", Exchange, "pilots")]
