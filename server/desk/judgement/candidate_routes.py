"""Candidates and personal lists."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from server.common.errors import BadRequest, NotFound
from server.desk.common.access import Document, own_groups
from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.bodies import Body, Id, Name, Text, takes
from server.desk.common.dates import parse_date
from server.desk.common.errors import Unauthorized
from server.desk.common.paging import Page, id_list
from server.desk.judgement import candidates, kept_lists
from server.desk.judgement.candidate_query import Search, read_search
from server.desk.judgement.candidate_rows import Parts, shown_candidates
from server.desk.judgement.candidate_search import Scope, find_names, scope_of
from server.desk.judgement.kept_lists import KeptList
from server.desk.maps import localizations
from server.desk.objects import listings, objs, sources
from server.desk.objects.objs import RELATIONS, ObjFields, own_fields
from server.desk.people.groups import check_groups
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class CandidateBody(ObjFields, kw_only=True):
    """An object that passed filters; ra and dec are needed when its name is new."""

    id: Name
    filter_ids: list[Id]
    passed_at: Text
    passing_alert_id: int | None = None


class ListingBody(Body):
    """An object for a personal list."""

    obj_id: Name
    list_name: Name
    user_id: Id | None = None


@dataclass(frozen=True)
class Question:
    """What a list is asked for."""

    search: Search
    parts: Parts
    page: Page
    list_id: str | None

    def digest(self, scope: Scope) -> str:
        """The same for the same conditions on the same filters, whatever page is asked for."""
        return hashlib.sha256(msgspec.json.encode([self.search, scope])).hexdigest()


class Candidates(DeskHandler):
    """The list of candidates."""

    @allow("any")
    async def get(self) -> None:
        """Objects that passed filters, newest passage first."""
        question = self._question()
        autosave = self.query_bool("autosave")
        if autosave and not self.who.has(UPLOAD_DATA):
            raise Unauthorized(f"Insufficient permissions: autosave needs the right {UPLOAD_DATA!r}")
        scope = await scope_of(self.ctx, self.who, question.search)
        kept = await self._kept(question, scope)
        question.page.check(kept.total)
        names = await kept_lists.names_of(self.ctx, kept, question.page)
        if autosave:
            await self._save(names, scope)
        rows = await shown_candidates(self.ctx, self.who, names, question.parts, scope.filter_ids)
        self.success({"candidates": rows, "totalMatches": kept.total, "pageNumber": question.page.number,
                      "numPerPage": question.page.size, "queryID": kept.list_id})

    @needs(UPLOAD_DATA)
    @takes(CandidateBody)
    async def post(self) -> None:
        """Upload a candidate: one row for each filter that the caller reads."""
        body = self.typed(CandidateBody, RELATIONS)
        passage = candidates.Passage(
            body.id, frozenset(body.filter_ids), parse_date(body.passed_at, "passed_at"),
            body.passing_alert_id, own_fields(body))
        self.success({"ids": await candidates.add(self.ctx, self.who, passage)})

    def _question(self) -> Question:
        given = {name: self.query_given(name) for name in (
            "savedStatus", "startDate", "endDate", "groupIDs", "filterIDs", "annotationExcludeOrigin",
            "annotationExcludeOutdatedDate", "sortByAnnotationOrigin", "sortByAnnotationKey",
            "sortByAnnotationOrder", "annotationFilterList", "classifications", "minRedshift", "maxRedshift",
            "listName", "listNameReject", "photometryAnnotationsFilter", "photometryAnnotationsFilterOrigin",
            "photometryAnnotationsFilterBefore", "photometryAnnotationsFilterAfter",
            "photometryAnnotationsFilterMinCount", "localizationDateobs", "localizationName",
            "localizationCumprob", "firstDetectionAfter", "lastDetectionBefore", "numberDetections")}
        hint = self.query_given("totalMatches")
        if hint is not None and not (hint.isascii() and hint.isdigit()):
            raise BadRequest(f"totalMatches: must be an integer, not {hint[:40]!r}")
        parts = Parts(self.query_bool("includeComments"), self.query_bool("includeAlerts"),
                      self.query_bool("includePhotometry"), self.query_bool("includeSpectra"))
        return Question(read_search(given), parts, self.page(default=25, cap=500),
                        self.query_given("queryID"))

    async def _kept(self, question: Question, scope: Scope) -> KeptList:
        """The list of names: a new one for the first page, unless nothing changed; else that of before."""
        digest, version = question.digest(scope), await candidates.version(self.ctx)
        kept = await kept_lists.find(self.ctx, self.who, digest, question.list_id)
        is_later = question.page.number > 1 or question.list_id is not None
        if kept and (is_later or (question.search.is_plain and kept.is_current(version))):
            return kept
        names = await find_names(self.ctx, self.who, question.search, scope)
        return await kept_lists.keep(self.ctx, self.who, digest, names, version)

    async def _save(self, names: list[str], scope: Scope) -> None:
        wanted = id_list(self.query_given("autosaveGroupIds"), "autosaveGroupIds")
        groups = own_groups(self.who, scope.group_ids if wanted is None else wanted)
        await check_groups(self.ctx, self.who, groups)
        await sources.save(self.ctx, self.who, names, groups)


class Candidate(DeskHandler):
    """One candidate."""

    @allow("any")
    async def get(self, obj_id: str) -> None:
        """An object with all that the caller may see of it, and how far inside each sky map it lies."""
        parts = Parts(self.query_bool("includeComments"), self.query_bool("includeAlerts"),
                      self.query_bool("includePhotometry"), self.query_bool("includeSpectra"))
        rows = await shown_candidates(self.ctx, self.who, [obj_id], parts)
        if not rows:
            raise BadRequest(f"Invalid ID: there is no candidate {obj_id[:200]!r} that you can read")
        self.success({**rows[0], "host": await objs.host(self.ctx, rows[0]),
                      "localizations": await self._levels(rows[0])})

    @allow("any")
    async def head(self, obj_id: str) -> None:
        """Whether there is a candidate of that name."""
        if not await candidates.exists(self.ctx, self.who, obj_id):
            raise NotFound("no such candidate")
        self.set_header("Content-Type", "application/json; charset=UTF-8")

    @needs(UPLOAD_DATA)
    async def delete(self, obj_id: str) -> None:
        """Remove a candidate of the filter that the query's `filter_id` names."""
        text = self.query_given("filter_id")
        if text is None:
            raise BadRequest("filter_id is required")
        await candidates.remove(self.ctx, self.who, obj_id, self.number(text, "filter_id"))
        self.success()

    async def _levels(self, row: Document) -> list[Document]:
        if row["healpix"] is None:
            return []
        return await localizations.levels_at(self.ctx, row["healpix"])


class FilteredCandidate(DeskHandler):
    """The passages of an object through one filter."""

    @needs(UPLOAD_DATA)
    async def delete(self, obj_id: str, filter_id: str) -> None:
        """Remove them all."""
        await candidates.remove(self.ctx, self.who, obj_id, self.number(filter_id, "filter_id"))
        self.success()


class Listings(DeskHandler):
    """Personal lists."""

    @allow("any")
    async def get(self) -> None:
        """What is on the caller's lists."""
        self.success(self.cut(await listings.listed(self.ctx, self.who, self.query_given("listName"))))

    @allow("any")
    @takes(ListingBody)
    async def post(self) -> None:
        """Put an object on a list of the caller's."""
        body = self.typed(ListingBody)
        if body.user_id not in (None, self.who.user_id):
            raise Unauthorized("Insufficient permissions: lists are personal")
        number = await listings.add(self.ctx, self.who, body.obj_id, body.list_name)
        self.success({"id": number, "listing_id": number})


class Listing(DeskHandler):
    """One entry of a personal list."""

    @allow("any")
    async def delete(self, listing_id: str) -> None:
        """Take it off the list."""
        await listings.remove(self.ctx, self.who, self.number(listing_id, "listing_id"))
        self.success()


ROUTES = [
    Route("/api/candidates", Candidates, "desk"),
    Route("/api/candidates/", Candidates, "desk"),
    Route("/api/candidates/{obj_id:any}", Candidate, "desk"),
    Route("/api/candidates/{obj_id:any}/{filter_id:any}", FilteredCandidate, "desk"),
    Route("/api/listing", Listings, "desk"),
    Route("/api/listing/{listing_id:any}", Listing, "desk"),
]
