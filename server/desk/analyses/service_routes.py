"""Analysis services."""

from __future__ import annotations

from typing import Any

import msgspec

from config.json_text import JsonError, decode
from server.common.errors import BadRequest
from server.desk.analyses import analyses, services
from server.desk.common.access import own_groups
from server.desk.common.acls import MANAGE_ANALYSIS_SERVICES
from server.desk.common.bodies import Body, Finite, Id, Name, Text, changes, takes
from server.desk.people.groups import check_groups
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

RELATIONS = ("groups", "default_analyses", "obj_analyses")


class ServiceBody(Body):
    """A new service; `url` is an address, or ``grid:`` and the name of a template. Time-out in seconds."""

    name: Name
    url: Text = ""
    analysis_type: Name = "meta_analysis"
    input_data_types: list[Name] = msgspec.field(default_factory=list)
    display_name: Text = ""
    description: Text = ""
    version: Text = ""
    contact_name: Text = ""
    contact_email: Text = ""
    optional_analysis_parameters: str | dict[str, Any] = msgspec.field(default_factory=dict)
    authentication_type: Name = "none"
    authinfo: Text | None = msgspec.field(default=None, name="_authinfo")
    timeout: Finite = services.TIMEOUT
    upload_only: bool = False
    is_summary: bool = False
    display_on_resource_dropdown: bool = True
    group_ids: list[Id] | None = None


class ServiceChange(Body):
    """What of a service shall change."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    url: Text | msgspec.UnsetType = msgspec.UNSET
    analysis_type: Name | msgspec.UnsetType = msgspec.UNSET
    input_data_types: list[Name] | msgspec.UnsetType = msgspec.UNSET
    display_name: Text | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType = msgspec.UNSET
    version: Text | msgspec.UnsetType = msgspec.UNSET
    contact_name: Text | msgspec.UnsetType = msgspec.UNSET
    contact_email: Text | msgspec.UnsetType = msgspec.UNSET
    optional_analysis_parameters: str | dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    authentication_type: Name | msgspec.UnsetType = msgspec.UNSET
    authinfo: Text | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="_authinfo")
    timeout: Finite | msgspec.UnsetType = msgspec.UNSET
    upload_only: bool | msgspec.UnsetType = msgspec.UNSET
    is_summary: bool | msgspec.UnsetType = msgspec.UNSET
    display_on_resource_dropdown: bool | msgspec.UnsetType = msgspec.UNSET
    group_ids: list[Id] | msgspec.UnsetType = msgspec.UNSET


def _fields(given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """A service's fields and its credentials, from a body's. Raises BadRequest."""
    secret = given.pop("authinfo", None)
    if "optional_analysis_parameters" in given:
        given["optional_analysis_parameters"] = _parameters(given["optional_analysis_parameters"])
    return given, secret


def _parameters(value: str | dict[str, Any]) -> dict[str, Any]:
    try:
        found = decode(value or "{}") if isinstance(value, str) else value
    except JsonError:
        found = None
    if not isinstance(found, dict):
        raise BadRequest("optional_analysis_parameters: must be a JSON object, or the text of one")
    return found


class Services(DeskHandler):
    """Analysis services."""

    @allow("any")
    async def get(self) -> None:
        """The services that the caller may use."""
        rows = await services.listed(self.ctx, self.who)
        self.success(await services.with_groups(self.ctx, self.who, rows))

    @needs(MANAGE_ANALYSIS_SERVICES)
    @takes(ServiceBody)
    async def post(self) -> None:
        """Register a service."""
        body = self.typed(ServiceBody, RELATIONS)
        fields, secret = _fields(changes(body))
        fields["group_ids"] = own_groups(self.who, body.group_ids)
        await check_groups(self.ctx, self.who, fields["group_ids"])
        self.success({"id": await services.add(self.ctx, fields, secret)})


class Service(DeskHandler):
    """One analysis service."""

    @allow("any")
    async def get(self, analysis_service_id: str) -> None:
        """A service, without its credentials."""
        row = await services.find(self.ctx, self.who, self.number(analysis_service_id, "analysis_service_id"))
        self.success((await services.with_groups(self.ctx, self.who, [row]))[0])

    @needs(MANAGE_ANALYSIS_SERVICES)
    @takes(ServiceChange)
    async def patch(self, analysis_service_id: str) -> None:
        """Change a service."""
        row = await services.find(self.ctx, self.who, self.number(analysis_service_id, "analysis_service_id"))
        fields, secret = _fields(changes(self.typed(ServiceChange, RELATIONS)))
        if "group_ids" in fields:
            fields["group_ids"] = own_groups(self.who, fields["group_ids"])
            await check_groups(self.ctx, self.who, fields["group_ids"])
        await services.change(self.ctx, row, fields, secret)
        self.success()

    @needs(MANAGE_ANALYSIS_SERVICES)
    async def delete(self, analysis_service_id: str) -> None:
        """Remove a service with its analyses and default analyses."""
        row = await services.find(self.ctx, self.who, self.number(analysis_service_id, "analysis_service_id"))
        await analyses.remove_of_service(self.ctx, row["_id"])
        await services.remove(self.ctx, row)
        self.success()


ROUTES = [
    Route("/api/analysis_service", Services, "desk"),
    Route("/api/analysis_service/{analysis_service_id:any}", Service, "desk"),
]
