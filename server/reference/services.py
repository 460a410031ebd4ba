"""Every periodic service, and every part that `/healthz` tells of."""

from __future__ import annotations

from config.settings import Settings
from server.reference import house
from server.reference.markdown import code, first_line, table
from server.rest.context import Context
from server.rest.health import registered

__all__ = ["missing", "text"]

_HEAD = """# Services and health

## Services

What the server does again and again. One server at a time does each, under a lease in the database;
services marked *all* may run on several at once. Each may be stopped at any point and be repeated.
`GET /healthz` tells the seconds since the last success of each, on whatever server as far as the one that
answers has heard, and the metric `iceprod_service_last_success` its time.
"""
_HEALTH = """## Health

`GET /healthz` answers 200 with `status` `ok`; 500 with a `reason` when the database does not answer, and 503
while the server starts. `database_ms` is how long the database took, `seconds_since_success` has the
services, and these parts tell of themselves (with `error` instead when they cannot):
"""


def text() -> str:
    """The page."""
    context = Context(Settings(), None, "")  # type: ignore[arg-type]
    rows = [(code(one.name), f"{one.period(context):g} s", code(one.signal), "all" if one.signal else "one",
             first_line(one.run.__doc__)) for one in house.services()]
    probes = [(code(name), first_line(probe.__doc__)) for name, probe in sorted(registered().items())]
    return "\n\n".join([
        _HEAD, table(("service", "every", "and upon", "by", "does"), rows),
        _HEALTH, table(("part", "tells"), probes)]) + "\n"


def missing() -> list[str]:
    """Services and probes without a docstring."""
    return [one.name for one in house.services() if not one.run.__doc__] + [
        name for name, probe in registered().items() if not probe.__doc__]
