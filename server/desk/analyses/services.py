"""Analysis services: where an analysis runs, what it is given, and which parameters it takes.

The address is that of a service outside (http, https), or ``grid:`` and the name of a template, which runs as
a task. Credentials are sealed and never shown. Services of the templates that ship are for everybody.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from pymongo.errors import DuplicateKeyError

from config.json_text import JsonError, decode
from iceprod.ids import now
from server.common.errors import BadRequest, Forbidden
from server.desk.analyses import templates
from server.desk.common.access import Document, Visitor, visible
from server.desk.common.ids import next_id
from server.desk.common.vocabulary import ENUM_TYPES
from server.desk.outside import calls
from server.desk.people.groups import readable
from server.production.people.sealing import SealError, seal, unseal
from server.rest.context import Context
from server.rules import rules
from server.store.database import Index

__all__ = ["DEFAULT_ANALYSIS", "INDEXES", "add", "change", "ensure_templates", "find", "headers_of",
           "is_grid", "listed", "remove", "shown", "with_groups"]

INDEXES = [Index("desk_analysis_services", "name", [("name", 1)], unique=True),
           Index("desk_analysis_services", "group_ids", [("group_ids", 1)])]

GRID = "grid:"
AUTHENTICATION = ("none", "header_token", "api_key", "HTTPBasicAuth")
TYPES = ENUM_TYPES["ANALYSIS_TYPES"]
TIMEOUT = 3600.0
LONGEST = 30 * 86400.0
DEFAULT_ANALYSIS = "analysis"
"""The action of rules that run a service."""
_SECRET = "secret"


def is_grid(row: Mapping[str, Any]) -> bool:
    """Whether a service's analyses run as tasks."""
    return str(row["url"]).startswith(GRID)


def template_of(row: Mapping[str, Any]) -> str:
    """The name of a service's template."""
    return str(row["url"])[len(GRID):]


async def add(ctx: Context, fields: Mapping[str, Any], secret: str | None) -> int:
    """Register a service; its id. Raises BadRequest."""
    moment = now()
    row = {"_id": await next_id(ctx, "analysis_services"), **fields, _SECRET: _sealed(ctx, secret),
           "created_at": moment, "modified": moment}
    _check(ctx, row)
    try:
        await ctx.db.desk_analysis_services.insert_one(row)
    except DuplicateKeyError:
        raise BadRequest(f"name: there is a service {row['name']!r} already") from None
    return int(row["_id"])


async def change(ctx: Context, row: Mapping[str, Any], fields: Mapping[str, Any], secret: str | None) -> None:
    """Change some of a service's fields. Raises BadRequest."""
    if row.get("shipped"):
        raise BadRequest("the services of shipped templates cannot be changed; register one of your own")
    _check(ctx, {**row, **fields})
    sealed = {} if secret is None else {_SECRET: _sealed(ctx, secret)}
    changes = {"$set": {**fields, **sealed, "modified": now()}}
    try:
        await ctx.db.desk_analysis_services.update_one({"_id": row["_id"]}, changes)
    except DuplicateKeyError:
        raise BadRequest(f"name: there is a service {fields['name']!r} already") from None


async def find(ctx: Context, who: Visitor, service_id: int) -> Document:
    """A service that the visitor sees. Raises Forbidden."""
    row: Document | None = await ctx.db.desk_analysis_services.find_one(
        {"$and": [{"_id": service_id}, visible("analysis_service", who)]})
    if row is None:
        raise Forbidden(f"analysis_service_id: there is no service {service_id} that you can use")
    return row


async def listed(ctx: Context, who: Visitor) -> list[Document]:
    """The services that the visitor sees, by id."""
    rows = await ctx.db.desk_analysis_services.find(
        visible("analysis_service", who), sort=[("_id", 1)]).to_list()
    return [dict(row) for row in rows]


async def remove(ctx: Context, row: Mapping[str, Any]) -> None:
    """Forget a service and its default analyses; its analyses go before (`analyses.remove_of_service`)."""
    for rule in await rules.listed(ctx, {"action": DEFAULT_ANALYSIS,
                                         "settings.analysis_service_id": row["_id"]}):
        await rules.remove(ctx, rule.key)
    await ctx.db.desk_analysis_services.delete_one({"_id": row["_id"]})


def shown(row: Mapping[str, Any]) -> Document:
    """A service as the API shows it, without its credentials."""
    return {"id": row["_id"], **{name: value for name, value in row.items() if name not in ("_id", _SECRET)}}


async def with_groups(ctx: Context, who: Visitor, rows: list[Document]) -> list[Document]:
    """Services with those of their groups that the visitor sees."""
    groups = {group["id"]: group for group in await readable(ctx, who)}
    return [{**shown(row), "groups": [groups[number] for number in row["group_ids"] if number in groups]}
            for row in rows]


def headers_of(ctx: Context, row: Mapping[str, Any]) -> dict[str, str]:
    """The headers that let us in at a service. Raises BadRequest when they cannot be read."""
    try:
        text = unseal(ctx, row.get(_SECRET) or "")
    except SealError:
        raise BadRequest("the service's credentials were written by another installation: set them anew") \
            from None
    stored = json.loads(text) if text else {}
    return _headers(row["authentication_type"], stored.get(row["authentication_type"]) or {})


def _headers(kind: str, parts: Mapping[str, Any]) -> dict[str, str]:
    if kind == "HTTPBasicAuth":
        pair = f"{parts.get('username', '')}:{parts.get('password', '')}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
    return {str(name): str(value) for name, value in parts.items()} if kind != "none" else {}


# -- checks


def _check(ctx: Context, row: Mapping[str, Any]) -> None:
    """Raise BadRequest for a service that could not be used."""
    for name, known in (("authentication_type", AUTHENTICATION), ("analysis_type", TYPES)):
        if row[name] not in known:
            raise BadRequest(f"{name}: must be one of {', '.join(known)}, not {str(row[name])[:40]!r}")
    if unknown := set(row["input_data_types"]) - set(templates.INPUTS):
        raise BadRequest(f"input_data_types: there is no {min(unknown)[:40]!r}; there are "
                         f"{', '.join(templates.INPUTS)}")
    if not 0 < row["timeout"] <= LONGEST:
        raise BadRequest(f"timeout: must be more than 0 and at most {LONGEST:.0f} seconds")
    _check_url(ctx, row)


def _check_url(ctx: Context, row: Mapping[str, Any]) -> None:
    if is_grid(row):
        if template_of(row) not in (known := templates.known(ctx)):
            raise BadRequest(f"url: there is no template {template_of(row)[:60]!r}; there are "
                             f"{', '.join(sorted(known))}")
    elif not row["upload_only"]:
        calls.check_address(ctx, str(row["url"]), "url")


def _sealed(ctx: Context, secret: str | None) -> str:
    if not secret:
        return ""
    try:
        document = decode(secret)
    except JsonError:
        document = None
    if not isinstance(document, dict) or not all(isinstance(value, dict) for value in document.values()):
        raise BadRequest("_authinfo: must be the text of a JSON object such as "
                         '{"header_token": {"Authorization": "Bearer …"}}')
    return seal(ctx, secret)


# -- what ships


async def ensure_templates(ctx: Context) -> None:
    """Register a service for each template that ships, once."""
    if await ctx.db.desk_analysis_services.count_documents({"shipped": True}) == len(templates.shipped()):
        return
    for name, template in templates.shipped().items():
        if await ctx.db.desk_analysis_services.find_one({"name": name}, {"_id": 1}):
            continue
        moment = now()
        row = {"_id": await next_id(ctx, "analysis_services"), "name": name, "url": GRID + name,
               "display_name": template.title, "description": template.description, "version": "1",
               "contact_name": "", "contact_email": "", "authentication_type": "none", "shipped": True,
               "optional_analysis_parameters": template.parameters, "analysis_type": template.kind,
               "input_data_types": list(template.inputs), "timeout": template.hours * 3600 + 86400.0,
               "upload_only": False, "is_summary": False, "display_on_resource_dropdown": True,
               "group_ids": [], _SECRET: "", "created_at": moment, "modified": moment}
        try:
            await ctx.db.desk_analysis_services.insert_one(row)
        except DuplicateKeyError:  # another server was first, or somebody took the name
            continue
