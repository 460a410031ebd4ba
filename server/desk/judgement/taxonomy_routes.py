"""Taxonomies."""

from __future__ import annotations

from typing import Any

from server.desk.common.access import own_groups
from server.desk.common.acls import POST_TAXONOMY
from server.desk.common.bodies import Body, Id, Name, Text, takes
from server.desk.judgement import taxonomies
from server.desk.people.groups import check_groups
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class TaxonomyBody(Body):
    """A tree of ``{class, subclasses}`` for some groups: by default all of the caller's."""

    name: Name
    version: Name
    hierarchy: dict[str, Any]
    group_ids: list[Id] | None = None
    provenance: Text | None = None
    isLatest: bool = True


class Taxonomies(DeskHandler):
    """Trees of classes."""

    @allow("any")
    async def get(self) -> None:
        """The taxonomies that the caller may use."""
        rows = await taxonomies.readable(self.ctx, self.who)
        self.success([taxonomies.shown_taxonomy(self.who, row) for row in self.cut(rows)])

    @needs(POST_TAXONOMY)
    @takes(TaxonomyBody)
    async def post(self) -> None:
        """Add a taxonomy."""
        body = self.typed(TaxonomyBody)
        groups = own_groups(self.who, body.group_ids)
        await check_groups(self.ctx, self.who, groups)
        fields = {name: getattr(body, name) for name in (
            "name", "version", "hierarchy", "provenance", "isLatest")}
        number = await taxonomies.add(self.ctx, self.who, fields, groups)
        self.success({"id": number, "taxonomy_id": number})


class Taxonomy(DeskHandler):
    """One taxonomy."""

    @allow("any")
    async def get(self, taxonomy_id: str) -> None:
        """A taxonomy with its classes."""
        row = await taxonomies.find(self.ctx, self.who, self.number(taxonomy_id, "taxonomy_id"))
        self.success(taxonomies.shown_taxonomy(self.who, row))

    @needs(POST_TAXONOMY)
    async def delete(self, taxonomy_id: str) -> None:
        """Remove a taxonomy that is not in use."""
        await taxonomies.remove(self.ctx, self.who, self.number(taxonomy_id, "taxonomy_id"))
        self.success()


ROUTES = [
    Route("/api/taxonomy", Taxonomies, "desk"),
    Route("/api/taxonomy/{taxonomy_id:any}", Taxonomy, "desk"),
]
