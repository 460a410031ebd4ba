"""Every route: who may call it, what it takes, what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from server.common.introspection import used
from server.reference import house
from server.reference.markdown import code, first_line, table
from server.rest.routing import Route

__all__ = ["missing", "text"]

_HEAD = """# REST API

Every route of the server, from the table that serves it. `GET /openapi.json` has the same for programs.

*Who*: the roles of which the token must have one; `any` a valid token; `everybody` none is needed. Rules of
[datasets](../access.md) come on top. Bodies and answers are JSON; fields in **bold** are required. Errors are
told as [Errors](errors.md) says.
"""


def text() -> str:
    """The page."""
    routes = sorted(house.routes(), key=lambda route: (route.tag == "web", route.tag))
    parts = [_HEAD]
    for tag, group in groupby(routes, key=lambda route: route.tag):
        title = "Web pages" if tag == "web" else (tag or "other")
        rows = [_row(route, name, method) for route in group for name, method in route.methods().items()]
        parts.append(f"## {title}\n\n" + table(("", "path", "who", "does", "query", "body"), rows))
    return "\n\n".join(parts) + "\n"


def missing() -> list[str]:
    """Methods that nobody described."""
    return [f"{name.upper()} {route.path}" for route in house.routes()
            for name, method in route.methods().items() if not _summary(route, method)]


def _row(route: Route, name: str, method: Callable[..., Any]) -> tuple[str, ...]:
    queries = used(route.handler, name).queries
    return (name.upper(), code(route.openapi_path), ", ".join(sorted(method.roles)),  # type: ignore[attr-defined]
            _summary(route, method), ", ".join(map(code, queries)), ", ".join(_fields(method)))


def _summary(route: Route, method: Callable[..., Any]) -> str:
    return first_line(method.__doc__ or route.handler.__doc__)


def _fields(method: Callable[..., Any]) -> Iterator[str]:
    schema = getattr(getattr(method, "body", None), "schema", {})
    for name in schema.get("properties", ()):
        yield f"**{code(name)}**" if name in schema.get("required", ()) else code(name)
