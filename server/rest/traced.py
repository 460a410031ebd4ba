"""A request as a part of its trace: the one that its headers name, or one that begins here."""

from __future__ import annotations

from typing import Any

from tornado.httputil import HTTPServerRequest

from iceprod.tracing import spans, traces

__all__ = ["Traced"]

_UNRECORDED = frozenset({"/healthz", "/metrics"})  # asked all the time, by machines
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Traced:
    """One request. Whatever its handler does belongs to `trace`, and is logged with that id."""

    __slots__ = ("_span", "trace")

    def __init__(self, request: HTTPServerRequest, route: str) -> None:
        asked = traces.parse(request.headers.get("traceparent"), request.headers.get("tracestate"))
        self.trace = asked or traces.new()
        self._span = None
        if spans.is_recording() and route not in _UNRECORDED:
            self._span = spans.recorded(_name(request, route), spans.SERVER, self.trace,
                                        _attributes(request, route))
        if self._span is not None:
            self.trace = self._span.trace
        traces.current.set(self.trace)

    def end(self, status: int) -> None:
        """The request was answered."""
        if self._span is not None:
            self._span.set("http.response.status_code", status)
            self._span.end(str(status) if status >= 500 else "")


def _name(request: HTTPServerRequest, route: str) -> str:
    method = request.method if request.method in _METHODS else "HTTP"
    return f"{method} {route}" if route else str(method)


def _attributes(request: HTTPServerRequest, route: str) -> dict[str, Any]:
    """What a span tells of a request, in OpenTelemetry's words; nothing of what it asks for or brings."""
    told = {"http.request.method": request.method if request.method in _METHODS else "_OTHER",
            "url.path": request.path, "url.scheme": request.protocol}
    return {**told, "http.route": route} if route else told
