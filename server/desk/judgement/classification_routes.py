"""Classifications and votes."""

from __future__ import annotations

from typing import Any

import msgspec

from server.common.errors import BadRequest
from server.desk.common.acls import CLASSIFY
from server.desk.common.bodies import Body, Finite, Id, Name, Text, changes, convert, takes
from server.desk.common.dates import query_date
from server.desk.judgement import classifications, votes
from server.desk.judgement.candidate_query import Period
from server.desk.judgement.classifications import Judgement
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

RELATIONS = ("taxonomy", "author", "obj", "groups", "votes")


class JudgementBody(Body):
    """A judgement of an object."""

    obj_id: Name
    classification: Name
    taxonomy_id: Id
    probability: Finite | None = None
    group_ids: list[Id] | None = None
    vote: bool | None = None
    label: bool | None = None
    ml: bool | None = None
    origin: Text | None = None


class JudgementsBody(Body):
    """Several judgements at once."""

    classifications: list[dict[str, Any]]


class JudgementChange(Body):
    """What of a judgement shall change; who made it and of what stays, whatever is sent."""

    classification: Name | msgspec.UnsetType = msgspec.UNSET
    taxonomy_id: Id | msgspec.UnsetType = msgspec.UNSET
    probability: Finite | msgspec.UnsetType | None = msgspec.UNSET
    group_ids: list[Id] | msgspec.UnsetType | None = msgspec.UNSET
    author_id: Id | None = None
    author_name: Text | None = None
    obj_id: Text | None = None


class LabelBody(Body):
    """Whether the object shall be marked as looked at."""

    label: bool | None = None


class VoteBody(Body):
    """A vote: usually +1 or -1."""

    vote: msgspec.UnsetType | int = msgspec.UNSET


class PeriodHandler(DeskHandler):
    """A handler whose query may name a time."""

    def period(self) -> Period:
        """From `startDate` to `endDate`. Raises BadRequest."""
        return Period(query_date(self.query("startDate"), "startDate"),
                      query_date(self.query("endDate"), "endDate"))


class Classifications(PeriodHandler):
    """Judgements of objects."""

    @allow("any")
    async def get(self) -> None:
        """The judgements of a time that the caller sees, oldest first."""
        page, period = self.page(default=100, cap=500), self.period()
        rows, total = await classifications.listed(self.ctx, self.who, period.query(), page.skip, page.size)
        self.success({"classifications": await self.shown(rows), "totalMatches": total,
                      "pageNumber": page.number, "numPerPage": page.size})

    @needs(CLASSIFY)
    @takes(JudgementBody)
    async def post(self) -> None:
        """Judge an object; or several, given as `classifications`."""
        body = self.body()
        if "classifications" in body:
            several = convert(body, JudgementsBody).classifications
            found = await classifications.add(self.ctx, self.who, [_judgement(one) for one in several])
            self.success({"classification_ids": found})
        else:
            found = await classifications.add(self.ctx, self.who, [_judgement(body)])
            self.success({"classification_id": found[0]})

    async def shown(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.query_bool("includeTaxonomy"):
            return await classifications.with_taxonomies(self.ctx, self.who, rows)
        return [classifications.shown(self.who, row) for row in rows]


def _judgement(document: Any) -> Judgement:
    body = convert(document, JudgementBody, RELATIONS)
    return Judgement(body.obj_id, body.classification, body.taxonomy_id, body.probability, body.group_ids,
                     body.vote is not False, body.label is not False)


class Classification(DeskHandler):
    """One judgement."""

    @allow("any")
    async def get(self, classification_id: str) -> None:
        """A judgement, with its taxonomy when that is asked for."""
        row = await classifications.find(self.ctx, self.who, self._number(classification_id))
        if self.query_bool("includeTaxonomy"):
            self.success((await classifications.with_taxonomies(self.ctx, self.who, [row]))[0])
        else:
            self.success(classifications.shown(self.who, row))

    @needs(CLASSIFY)
    @takes(JudgementChange)
    async def put(self, classification_id: str) -> None:
        """Correct a judgement."""
        number = self._number(classification_id)
        sent = changes(self.typed(JudgementChange, (*RELATIONS, "id", "created_at", "modified")))
        fields = {name: value for name, value in sent.items()
                  if name in ("classification", "taxonomy_id", "probability")}
        if sent.get("group_ids") is not None:
            fields["group_ids"] = sorted(set(sent["group_ids"]))
        await classifications.change(self.ctx, self.who, number, fields)
        self.success()

    @needs(CLASSIFY)
    @takes(LabelBody)
    async def delete(self, classification_id: str) -> None:
        """Take a judgement back."""
        number, body = self._number(classification_id), self.typed(LabelBody, required=False)
        await classifications.remove(self.ctx, self.who, number, body.label is not False)
        self.success()

    def _number(self, text: str) -> int:
        return self.number(text, "classification_id")


class Votes(DeskHandler):
    """The caller's vote on a judgement."""

    @allow("any")
    @takes(VoteBody)
    async def post(self, classification_id: str) -> None:
        """Vote, or change one's vote."""
        number, body = self.number(classification_id, "classification_id"), self.typed(VoteBody)
        if isinstance(body.vote, msgspec.UnsetType):
            raise BadRequest("Missing required parameter: vote")
        row = await classifications.find(self.ctx, self.who, number)
        await votes.cast(self.ctx, self.who, number, body.vote)
        await votes.label(self.ctx, self.who, row["obj_id"], row["group_ids"])
        self.success()

    @allow("any")
    async def delete(self, classification_id: str) -> None:
        """Take one's vote back."""
        number = self.number(classification_id, "classification_id")
        await classifications.find(self.ctx, self.who, number)
        await votes.withdraw(self.ctx, self.who, number)
        self.success()


class JudgedSources(PeriodHandler):
    """Which objects were judged."""

    @allow("any")
    async def get(self) -> None:
        """The names of objects with a judgement of a time that the caller sees."""
        created = self.period().query()
        self.success(self.cut(await classifications.names_judged(self.ctx, self.who, created)))


class ObjectClassifications(DeskHandler):
    """All judgements of one object."""

    @allow("any")
    async def get(self, obj_id: str) -> None:
        """Those that the caller sees, with their votes."""
        found = await classifications.of_objects(self.ctx, self.who, [obj_id])
        self.success(self.cut(found.get(obj_id, [])))

    @allow("any")
    @takes(LabelBody)
    async def delete(self, obj_id: str) -> None:
        """Take back all that the caller may."""
        body = self.typed(LabelBody, required=False)
        await classifications.remove_all(self.ctx, self.who, obj_id, body.label is not False)
        self.success()


ROUTES = [
    Route("/api/classification", Classifications, "desk"),
    Route("/api/classification/sources", JudgedSources, "desk"),
    Route("/api/classification/votes/{classification_id:any}", Votes, "desk"),
    Route("/api/classification/{classification_id:any}", Classification, "desk"),
    Route("/api/sources/{obj_id:any}/classifications", ObjectClassifications, "desk"),
]
