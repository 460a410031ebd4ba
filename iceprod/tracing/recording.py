"""Recording spans, where OpenTelemetry is installed: ``pip install 'iceprod-scanner[telemetry]'``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

__all__ = ["CannotRecord", "record"]

_GLUE = "iceprod.tracing.otel"


class CannotRecord(Exception):
    """Spans shall be recorded and cannot be; the text says what to do."""


def _nobody(outcome: str, number: int) -> None:
    """Tell nobody of spans."""


def record(service: str, count: Callable[[str, int], object] = _nobody) -> Callable[[float], None]:
    """Record this process's spans as a service of that name. Raises CannotRecord.

    `count` hears how many spans were "sent", "failed" to be, or "dropped" since too many waited. What is
    returned ends it, and waits so many seconds at most for what is not sent yet.
    """
    try:
        otel = import_module(_GLUE)  # not among what a pilot carries to worker nodes
    except ImportError as error:
        if error.name == _GLUE:
            raise CannotRecord(
                "the pilot of one file records no traces: start it without --traces, or `iceprod pilot` "
                "where OpenTelemetry is installed (pip install 'iceprod-scanner[telemetry]')") from None
        raise CannotRecord(
            f"traces are to be recorded, but OpenTelemetry is not here (no {error.name}): "
            "pip install 'iceprod-scanner[telemetry]', or set telemetry.traces to false") from None
    try:
        stop: Callable[[float], None] = otel.start(service, count)
    except ValueError as error:  # a variable of OpenTelemetry's
        raise CannotRecord(f"traces are to be recorded, but OpenTelemetry cannot start: {error}") from None
    return stop
