"""The OpenAPI document, made from the routes themselves: what is served is what is described."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from server.common.introspection import Used, used
from server.rest.handler import Handler
from server.rest.routing import Route, allow
from server.scans.manifests.manifests import Manifest
from server.scans.results.results import Result

__all__ = ["ROUTES", "document"]

VERSION = "3.1.0"
_STATUS = {"400": "Bad request: the text names the field and the reason.",
           "403": "No valid token, or its roles do not allow this.", "404": "Not found."}
_REFUSALS = {409: "Not possible in the present state.",
             422: "Well formed, but the state of what it names does not allow this."}
_SUCCESS = {201: "Created."}
_FLAG = {"schema": {"type": "boolean", "default": False}, "in": "query"}
_ERROR = {"type": "object", "required": ["error", "reason", "message", "code"], "properties": {
    "error": {"type": "string"}, "reason": {"type": "string"}, "message": {"type": "string"},
    "code": {"type": "integer"}, "trace": {"type": "string"}}}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI description of these routes."""
    paths: dict[str, Any] = {}
    for route in routes:
        if route.tag == "web":  # pages for people
            continue
        methods = {name: _operation(route, name, method) for name, method in route.methods().items()}
        if methods:
            paths.setdefault(route.openapi_path, {}).update(methods)
    schemas = {"Error": _ERROR, "Manifest": _fields(Manifest), "Result": _fields(Result)}
    security = {"bearer": {"type": "http", "scheme": "bearer"}}
    return {"openapi": VERSION, "info": {"title": "IceProd and SkyDriver API", "version": "1"},
            "paths": paths, "components": {"schemas": schemas, "securitySchemes": security}}


def _operation(route: Route, name: str, method: Callable[..., Any]) -> dict[str, Any]:
    public = "everybody" in method.roles  # type: ignore[attr-defined]
    words = re.sub(r"[^a-z0-9]+", "_", route.openapi_path.lower()).strip("_")
    if route.openapi_path.endswith("/") and words:  # the same path without the slash is a route, too
        words += "_slash"
    uses = used(route.handler, name)
    operation: dict[str, Any] = {
        "operationId": f"{name}_{words or 'root'}",
        "summary": _summary(route, method), "tags": [route.tag or "other"],
        "parameters": [*_path_parameters(route), *_query_parameters(name, method, uses)],
        "security": [] if public else [{"bearer": sorted(method.roles)}],  # type: ignore[attr-defined]
        "responses": _responses(route, method, uses)}
    if name != "get" and (schema := _body(method, uses)):
        operation["requestBody"] = {"required": bool(schema.get("required")),
                                    "content": {"application/json": {"schema": schema}}}
    return operation


def _body(method: Callable[..., Any], uses: Used) -> dict[str, Any]:
    described = getattr(method, "body", None)
    if described is not None:
        return dict(described.schema)
    return {"type": "object"} if uses.body else {}


def _summary(route: Route, method: Callable[..., Any]) -> str:
    text = method.__doc__ or route.handler.__doc__ or route.handler.__name__
    return text.strip().splitlines()[0]


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"\{(\w+)", route.path)]


def _query_parameters(name: str, method: Callable[..., Any], uses: Used) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": query, "in": "query", "required": False, "schema": {"type": kind}}
        for query, kind in uses.queries.items()]
    if name == "get" and getattr(method, "redirects", False):
        found.append({"name": "no_redirect", "description": "Show a replaced scan itself.", **_FLAG})
    return found


def _responses(route: Route, method: Callable[..., Any], uses: Used) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    success = {str(code): {"description": _SUCCESS.get(code, "Success.")} for code in sorted(uses.statuses)}
    texts = {code: text for code, text in _STATUS.items() if code != "404" or "{" in route.path}
    texts |= {str(code): _REFUSALS[code] for code in getattr(method, "refusals", ())}
    return {**success, **{code: {"description": text, "content": error} for code, text in texts.items()}}


def _fields(struct: type) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {} for name in struct.__struct_fields__}}  # type: ignore[attr-defined]


class OpenApi(Handler):
    """The OpenAPI document of everything this server answers."""

    @allow("everybody")
    def get(self) -> None:
        self.send(document(self.application.settings["routes"]))


ROUTES = [Route("/openapi.json", OpenApi, "openapi")]
