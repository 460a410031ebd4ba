"""Routes: one table per API family, from which the application and the OpenAPI document are made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tornado.web import RequestHandler, URLSpec

__all__ = ["METHODS", "Route", "allow", "urgent"]

METHODS = ("get", "head", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """A path with ``{names}`` and the handler that serves it.

    A name stands for one word (``\\w+``); ``{name:any}`` takes any characters but a slash. With `loose` the
    slash at the end of the path may be there or not.
    """

    path: str
    handler: type[RequestHandler]
    tag: str = ""
    loose: bool = False

    def spec(self) -> URLSpec:
        pattern = re.sub(r"\{(\w+):any\}", r"(?P<\1>[^/?#]+)", self.path)
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>\\w+)", pattern)
        return URLSpec((pattern.rstrip("/") + "/?" if self.loose else pattern) + "$", self.handler,
                       {"route": self.openapi_path})

    @property
    def openapi_path(self) -> str:
        return self.path.replace(":any}", "}")

    def methods(self) -> dict[str, Callable[..., Any]]:
        """The HTTP methods that the handler answers, in lower case, with their functions."""
        return {name: method for name in METHODS
                if hasattr(method := getattr(self.handler, name), "roles")}


def allow(*roles: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say who may call a handler's method: names of roles, "any" (a valid token) or "everybody"."""

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        method.roles = frozenset(roles)  # type: ignore[attr-defined]
        return method

    return mark


def urgent(method: Callable[..., Any]) -> Callable[..., Any]:
    """Say that a handler's method is never shed for ordinary requests: others' work ends without it."""
    method.urgent = True  # type: ignore[attr-defined]
    return method
