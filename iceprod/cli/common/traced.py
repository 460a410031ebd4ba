"""A command as the beginning of a trace, and the trace that an error of it is found by."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from iceprod.tracing import spans, traces

__all__ = ["trace_of", "traced"]

_SETTING = "ICEPROD__TELEMETRY__TRACES"
_PARTING_SECONDS = 0.5


@contextlib.contextmanager
def traced(words: Sequence[str]) -> Iterator[None]:
    """All that is done inside is one trace: that of the environment, if there is one, or a new one."""
    given = traces.parse(os.environ.get("TRACEPARENT"), os.environ.get("TRACESTATE"))
    with traces.within(given or traces.new()), _recorded(words):
        yield


@contextlib.contextmanager
def _recorded(words: Sequence[str]) -> Iterator[None]:
    """Record what is done inside, where the setting of the environment says so."""
    if _SETTING not in os.environ:  # settings take longer to import than most commands
        yield
        return
    from config.settings import load
    from iceprod.tracing.recording import CannotRecord, record

    if not load().telemetry.traces:
        yield
        return
    try:
        stop = record("iceprod-client")
    except CannotRecord as error:  # no reason not to do what was asked for
        print(f"warning: {error}", file=sys.stderr)
        yield
        return
    name = next((word for word in words if not word.startswith("-")), "")
    try:
        with spans.span(f"iceprod {name}".rstrip()):
            yield
    finally:
        stop(_PARTING_SECONDS)


def trace_of(error: BaseException) -> str:
    """The id by which a server's logs have what led to an error; empty when no server refused anything."""
    cause: BaseException | None = error
    while cause is not None:
        if trace_id := getattr(cause, "trace_id", ""):
            return str(trace_id)
        cause = cause.__cause__ or cause.__context__
    return ""
