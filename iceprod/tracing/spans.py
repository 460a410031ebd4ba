"""Spans: what took how long, below which trace. Who records them is told of here; without anybody, a span
costs next to nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from iceprod.tracing.traces import Trace, current

__all__ = ["CLIENT", "CONSUMER", "INTERNAL", "SERVER", "Recorder", "Span", "is_recording", "record_with",
           "recorded", "span"]

INTERNAL, SERVER, CLIENT, CONSUMER = "internal", "server", "client", "consumer"
"""Kinds of spans, in OpenTelemetry's words."""

_NOTHING: Mapping[str, Any] = {}


class Span(Protocol):
    """Something that takes time and is recorded; `trace` is what goes on inside of it belongs to."""

    trace: Trace

    def set(self, name: str, value: str | float | bool) -> None:
        """Add an attribute."""

    def end(self, error: str = "", at: float | None = None) -> None:
        """It is over, now or at a time (seconds since 1970); `error` is a short name of what went wrong."""


class Recorder(Protocol):
    """Who records spans."""

    def start(self, name: str, kind: str, parent: Trace | None, attributes: Mapping[str, Any],
              at: float | None = None) -> Span:
        """A span below a parent, which began now or at a time (seconds since 1970)."""


_recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """Have all spans of this process recorded, or none."""
    global _recorder
    _recorder = recorder


def is_recording() -> bool:
    """Whether anybody in this process records."""
    return _recorder is not None


def recorded(name: str, kind: str, parent: Trace | None, attributes: Mapping[str, Any],
             at: float | None = None) -> Span | None:
    """A span that its maker ends; None when nobody records."""
    return None if _recorder is None else _recorder.start(name, kind, parent, attributes, at)


@contextlib.contextmanager
def span(name: str, kind: str = INTERNAL, attributes: Mapping[str, Any] = _NOTHING) -> Iterator[Span | None]:
    """Record what is done inside, as a part of the current trace; None when nobody records."""
    one = recorded(name, kind, current.get(), attributes)
    if one is None:
        yield None
        return
    token, failed = current.set(one.trace), ""
    try:
        yield one
    except BaseException as error:
        failed = type(error).__name__
        raise
    finally:
        current.reset(token)
        one.end(failed)
