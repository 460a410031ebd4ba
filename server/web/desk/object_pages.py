"""The page of an object, and what is done to one object from it and from the page of a map."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tornado.escape import url_escape

from server.common.errors import BadRequest, NotFound
from server.desk.catalogs import crossmatch
from server.desk.catalogs.crossmatch import CrossmatchBody
from server.desk.common.access import Document
from server.desk.common.acls import CLASSIFY, COMMENT, UPLOAD_DATA
from server.desk.judgement import candidates, classifications, votes
from server.desk.judgement.candidates import Passage
from server.desk.judgement.classifications import Judgement
from server.desk.objects import comments, galaxies, listings, objs, sources
from server.desk.outside.calls import ServiceError
from server.rest.routing import Route, allow
from server.web.common.handler import READERS
from server.web.desk import object_parts
from server.web.desk.desk_handler import DeskPage
from server.web.desk.desk_view import FAVORITES, REJECTED
from server.web.desk.light_curve import is_limit
from server.web.desk.object_view import MOST_ROWS, view

__all__ = ["ROUTES"]

_MATCHES = {"gaia": crossmatch.gaia, "irsa": crossmatch.irsa, "vizier": crossmatch.vizier}


class _NothingKept(Exception):
    """An archive answered, and there is nothing to keep; the text says why."""


class Object(DeskPage):
    """One object: all that is known of it, and what a shifter does to it."""

    @allow(*READERS)
    async def get(self, name: str) -> None:
        who, obj = await self.who(), await self._obj(name)
        act = f"/web/desk/objects/{url_escape(name, plus=False)}"
        parts = await object_parts.found(self.ctx, who, obj)
        self.page("desk_object.html", view=await view(self.ctx, who, obj), parts=parts, act=act, back=act,
                  may_comment=who.has(COMMENT), may_classify=who.has(CLASSIFY),
                  may_upload=who.has(UPLOAD_DATA), voter=who.user_id, most=MOST_ROWS,
                  longest=comments.LONGEST, is_limit=is_limit)

    async def _obj(self, name: str) -> Document:
        try:
            return await objs.find(self.ctx, name)
        except BadRequest:
            raise NotFound(f"there is no object {name[:100]!r}") from None

    @allow(*READERS)
    async def post(self, name: str) -> None:
        actions: dict[str, Callable[[str], Awaitable[str]]] = {
            "classify": self._classify, "vote": self._vote, "withdraw": self._withdraw,
            "favorite": self._favorite, "reject": self._reject, "forget": self._forget, "save": self._save,
            "match": self._match, "candidate": self._candidate, "comment": self._comment,
            "take back": self._take_back}
        action = self.field("action")
        if action not in actions:
            raise BadRequest(f"action: {action[:40]!r} is none of {', '.join(actions)}")
        back = self.field("back", "/web/desk")
        try:
            self.done(await actions[action](name), back)
        except _NothingKept as error:
            self.not_done(f"{name}: {error}", back)
        except ServiceError as error:  # somebody else's trouble is no reason to lead the reader away
            self.not_done(f"{name}: {error.reason}. Nothing was changed; try again in a while.", back)

    async def _classify(self, name: str) -> str:
        who = await self.allowed(CLASSIFY)
        taxonomy, _, chosen = self.field("class").partition(":")
        if not (taxonomy.isascii() and taxonomy.isdigit() and len(taxonomy) < 18):
            raise BadRequest("class: choose one of the list")
        await classifications.add(self.ctx, who, [Judgement(name, chosen, int(taxonomy))])
        return f"{name} is classified as {chosen}."

    async def _vote(self, name: str) -> str:
        who = await self.who()
        number, vote = self.field_int("classification"), self.field_int("vote")
        if vote not in (-1, 1):
            raise BadRequest("vote: must be 1 or -1")
        await classifications.find(self.ctx, who, number)
        await votes.cast(self.ctx, who, number, vote)
        return f"Your vote on {name} is counted."

    async def _withdraw(self, name: str) -> str:
        await votes.withdraw(self.ctx, await self.who(), self.field_int("classification"))
        return f"Your vote on {name} is taken back."

    async def _favorite(self, name: str) -> str:
        await self._list(name, FAVORITES)
        return f"{name} is on your list of favorites."

    async def _reject(self, name: str) -> str:
        await self._list(name, REJECTED)
        return f"{name} is rejected: your lists leave it out."

    async def _list(self, name: str, chosen: str) -> None:
        """Put it on a list; once more is no error: keys are pressed twice."""
        who = await self.who()
        if chosen not in await listings.lists_of(self.ctx, who, name):
            await listings.add(self.ctx, who, name, chosen)

    async def _forget(self, name: str) -> str:
        who, chosen = await self.who(), self.field("list")
        for one in await listings.listed(self.ctx, who, chosen):
            if one["obj_id"] == name:
                await listings.remove(self.ctx, who, one["id"])
        return f"{name} is off your list."

    async def _save(self, name: str) -> str:
        who = await self.allowed(UPLOAD_DATA)
        await objs.find(self.ctx, name)
        await sources.save(self.ctx, who, [name], sorted(who.groups))
        return f"{name} is saved for your groups."

    async def _match(self, name: str) -> str:
        match = _MATCHES.get(self.field("service"))
        if match is None:
            raise BadRequest(f"service: must be one of {', '.join(_MATCHES)}")
        try:
            await match(self.ctx, await self.who(), name, CrossmatchBody())
        except ServiceError:
            raise
        except BadRequest as error:
            raise _NothingKept(error.reason) from None
        return f"{name} has a new annotation."

    async def _comment(self, name: str) -> str:
        await comments.add(self.ctx, await self.allowed(COMMENT), name, self.field("text"))
        return f"Your comment on {name} is kept."

    async def _take_back(self, name: str) -> str:
        name = await comments.remove(self.ctx, await self.who(), self.field_int("comment"))
        return f"A comment on {name} is taken back."

    async def _candidate(self, name: str) -> str:
        who = await self.allowed(UPLOAD_DATA)
        galaxy = await galaxies.find_named(self.ctx, name)
        row = await self.ctx.db.desk_localizations.find_one({"_id": self.field_int("map")})
        if row is None:
            raise NotFound("there is no such sky map")
        fields = {"ra": galaxy["ra"], "dec": galaxy["dec"], "host_id": galaxy["_id"]}
        passage = Passage(name, frozenset({self.field_int("filter")}), row["modified"], None, fields)
        await candidates.add(self.ctx, who, passage)
        return f"{name} is a candidate now."


ROUTES = [Route("/web/desk/objects/{name:any}", Object, "web")]
