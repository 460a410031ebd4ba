"""Sources: objects without candidates, or what of them a group keeps; and their annotations."""

from __future__ import annotations

from typing import Any

import msgspec

from server.common.errors import BadRequest
from server.desk.common.access import Document, own_groups
from server.desk.common.acls import ANNOTATE, UPLOAD_DATA
from server.desk.common.bodies import Body, Id, Name, takes
from server.desk.common.paging import id_list
from server.desk.objects import notes, objs, sources, spatial_catalogs
from server.desk.objects.objs import RELATIONS, ObjFields
from server.desk.people.groups import check_groups
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class SourceBody(ObjFields, kw_only=True):
    """An object that is saved to groups: by default to all of the caller's."""

    id: Name
    group_ids: list[Id] | None = None


class AnnotationBody(Body):
    """An annotation: who says it (origin) and what (data)."""

    origin: Name
    data: dict[str, Any]
    group_ids: list[Id] | None = None


class SourceGroupsBody(Body):
    """Groups that shall keep an object, and groups that shall not any more."""

    objId: Name
    inviteGroupIds: list[Id] = msgspec.field(default_factory=list)
    unsaveGroupIds: list[Id] = msgspec.field(default_factory=list)


class Sources(DeskHandler):
    """Objects that groups keep."""

    @allow("any")
    async def get(self) -> None:
        """Saved objects that the caller sees, newest first; all, or those inside a place with an extent."""
        page = self.page(default=100, cap=500)
        wanted = id_list(self.query_given("group_ids"), "group_ids")
        names, total = await sources.listed(self.ctx, self.who, wanted, await self._among(), page.skip,
                                            page.size)
        rows = await objs.find_many(self.ctx, names)
        groups = await sources.saved_groups(self.ctx, self.who, names)
        found = [{**objs.shown(rows[name]), "groups": groups.get(name, [])} for name in names if name in rows]
        self.success({"sources": found, "totalMatches": total, "pageNumber": page.number,
                      "numPerPage": page.size})

    async def _among(self) -> list[str] | None:
        """The objects inside an entry of a spatial catalogue; None when none was asked for. BadRequest."""
        catalog, entry = self.query_given("spatialCatalogName"), self.query_given("spatialCatalogEntryName")
        if catalog is None and entry is None:
            return None
        if catalog is None or entry is None:
            raise BadRequest("spatialCatalogName, spatialCatalogEntryName: give both")
        return await spatial_catalogs.objects_in(self.ctx, catalog, entry)

    @needs(UPLOAD_DATA)
    @takes(SourceBody)
    async def post(self) -> None:
        """Save an object; it is made when it is new."""
        body = self.typed(SourceBody, RELATIONS)
        groups = own_groups(self.who, body.group_ids)
        await check_groups(self.ctx, self.who, groups)
        await objs.ensure(self.ctx, self.who, body.id, objs.own_fields(body))
        await sources.save(self.ctx, self.who, [body.id], groups)
        self.success({"id": body.id})


class Source(DeskHandler):
    """One object."""

    @allow("any")
    async def get(self, obj_id: str) -> None:
        """An object with the groups, annotations and host that the caller sees."""
        self.success(await self._found(obj_id))

    @needs(UPLOAD_DATA)
    @takes(ObjFields)
    async def patch(self, obj_id: str) -> None:
        """Change an object's fields."""
        body = self.typed(ObjFields, (*RELATIONS, "id", "group_ids"))
        await objs.change(self.ctx, self.who, obj_id, objs.own_fields(body))
        self.success()

    async def _found(self, name: str) -> Document:
        row = await objs.find(self.ctx, name)
        groups = await sources.saved_groups(self.ctx, self.who, [name])
        found = await notes.of_objects(self.ctx, self.who, [name])
        return {**objs.shown(row), "groups": groups.get(name, []), "annotations": found.get(name, []),
                "host": await objs.host(self.ctx, row)}


class SourceGroups(DeskHandler):
    """Which groups keep an object."""

    @needs(UPLOAD_DATA)
    @takes(SourceGroupsBody)
    async def post(self) -> None:
        """Save an object to groups, and take it from others."""
        body = self.typed(SourceGroupsBody)
        both = own_groups(self.who, [*body.inviteGroupIds, *body.unsaveGroupIds])
        await check_groups(self.ctx, self.who, both)
        await objs.find(self.ctx, body.objId)
        await sources.unsave(self.ctx, body.objId, body.unsaveGroupIds)
        await sources.save(self.ctx, self.who, [body.objId], sorted(set(body.inviteGroupIds)))
        self.success()


class Annotations(DeskHandler):
    """Annotations of one object."""

    @allow("any")
    async def get(self, obj_id: str) -> None:
        """The annotations that the caller sees."""
        self.success(self.cut((await notes.of_objects(self.ctx, self.who, [obj_id])).get(obj_id, [])))

    @needs(ANNOTATE)
    @takes(AnnotationBody)
    async def post(self, obj_id: str) -> None:
        """Annotate an object."""
        body = self.typed(AnnotationBody)
        await objs.find(self.ctx, obj_id)
        groups = own_groups(self.who, body.group_ids)
        await check_groups(self.ctx, self.who, groups)
        number = await notes.add(self.ctx, self.who, obj_id, body.origin, body.data, groups)
        self.success({"id": number, "annotation_id": number})


ROUTES = [
    Route("/api/sources", Sources, "desk"),
    Route("/api/sources/{obj_id:any}", Source, "desk"),
    Route("/api/sources/{obj_id:any}/annotations", Annotations, "desk"),
    Route("/api/source_groups", SourceGroups, "desk"),
]
