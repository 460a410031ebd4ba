"""The base of the scan handlers: who is the system, which scans were replaced, how bodies are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.common.errors import BadRequest
from server.rest.handler import Handler
from server.scans.manifests import manifests
from server.scans.manifests.schema import Body

__all__ = ["ScanHandler", "flag", "redirects", "takes"]

_WORDS = {"true": True, "false": False}


def redirects(method: Callable[..., Any]) -> Callable[..., Any]:
    """Send users who ask for a replaced scan on to the one that replaced it."""
    method.redirects = True  # type: ignore[attr-defined]
    return method


def takes(body: Body, *refusals: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say what the method's request body is, and the statuses of states of a scan that do not allow it.

    The OpenAPI document shows both.
    """

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        method.body, method.refusals = body, refusals  # type: ignore[attr-defined]
        return method

    return mark


def flag(body: dict[str, Any], name: str) -> bool:
    """A boolean of a body, which old clients send as text. Raises BadRequest."""
    value = body.get(name, False)
    if isinstance(value, str):
        value = _WORDS.get(value.lower(), value)
    if not isinstance(value, bool):
        raise BadRequest(f"{name!r}: must be type 'boolean' (bool)")
    return value


class ScanHandler(Handler):
    """A handler of one scan, whose id is in the path."""

    async def prepare(self) -> None:
        await super().prepare()
        method = getattr(self, (self.request.method or "").lower())
        if getattr(method, "redirects", False):
            await self._redirect_if_replaced(self.path_kwargs["scan_id"])

    @property
    def is_system(self) -> bool:
        return "system" in self.user.roles

    @property
    def origin(self) -> str:
        """How the caller reached us, such as ``https://scans.example``."""
        return f"{self.request.protocol}://{self.request.host}"

    def checked_body(self, body: Body, *, required: bool = True) -> dict[str, Any]:
        """The request's body, checked. Raises BadRequest."""
        return body.check(self.body(required=required, gaps=True))

    async def _redirect_if_replaced(self, scan_id: str) -> None:
        """Redirect, keeping method, rest of the path and query. Raises NotFound for an unknown scan."""
        manifest = await manifests.read(self.ctx, scan_id)
        if self._wants_no_redirect() or self.is_system or not manifest.replaced_by_scan_id:
            return
        rest = self.request.path.split("/")
        rest[rest.index(scan_id)] = manifest.replaced_by_scan_id
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect("/".join(rest) + query, status=302 if self.request.method == "GET" else 307)

    def _wants_no_redirect(self) -> bool:
        if self.request.method == "GET":
            return self.query_bool("no_redirect")
        return flag(self.body(required=False, gaps=True), "no_redirect")
