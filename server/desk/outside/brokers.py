"""Alert brokers that know the transients near a position: Fink and Kowalski, for ZTF.

Formats: api.fink-portal.org (conesearch), kowalski.caltech.edu/docs/api (queries). Degrees, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from config.json_text import JsonError, decode
from server.desk.outside.calls import Call, ServiceError, fetch
from server.desk.outside.imports import Transient
from server.rest.context import Context

__all__ = ["BROKERS", "RADIUS", "Window"]

FINK, KOWALSKI = "Fink", "Kowalski"
RADIUS = 1.0  # degrees of one question
_JD0 = 2_400_000.5  # of MJD 0
_MJD0 = datetime(1858, 11, 17)


@dataclass(frozen=True)
class Window:
    """A span of time, UTC."""

    first: datetime
    last: datetime

    @property
    def days(self) -> tuple[float, float]:
        """As Julian dates."""
        first, last = ((moment - _MJD0).total_seconds() / 86400 + _JD0 for moment in (self.first, self.last))
        return first, last


async def fink_near(ctx: Context, ra: float, dec: float, window: Window, secret: Mapping[str, Any]
                    ) -> list[Transient]:
    """What Fink knows within a degree. Raises ServiceError."""
    question = {"ra": ra, "dec": dec, "radius": RADIUS * 3600,
                "startdate": f"{window.first:%Y-%m-%d %H:%M:%S}",
                "stopdate": f"{window.last:%Y-%m-%d %H:%M:%S}", "output-format": "json",
                "columns": "i:objectId,i:ra,i:dec,i:jd"}
    address = f"{ctx.settings.catalogs.fink_url.rstrip('/')}/conesearch"
    answer = _json(FINK, await fetch(ctx, Call(FINK, address, body=msgspec.json.encode(question))))
    first, last = window.days
    rows = [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else []
    return _transients(FINK, ({"name": row.get("i:objectId"), "ra": row.get("i:ra"), "dec": row.get("i:dec")}
                              for row in rows if first <= float(row.get("i:jd") or first) <= last))


async def kowalski_near(ctx: Context, ra: float, dec: float, window: Window, secret: Mapping[str, Any]
                        ) -> list[Transient]:
    """What Kowalski knows within a degree; needs ``access_token``. Raises ServiceError."""
    token = str(secret.get("access_token") or "")
    if not token:
        raise ServiceError(f"{KOWALSKI} needs an access_token among the allocation's _altdata")
    first, last = window.days
    question = {"query_type": "cone_search", "query": {
        "object_coordinates": {"cone_search_radius": RADIUS, "cone_search_unit": "deg",
                               "radec": {"here": [ra, dec]}},
        "catalogs": {"ZTF_alerts": {
            "filter": {"candidate.jd": {"$gte": first, "$lte": last},
                       "candidate.isdiffpos": {"$in": ["1", "t"]}},
            "projection": {"_id": 0, "objectId": 1, "candidate.ra": 1, "candidate.dec": 1}}}}}
    address = f"{ctx.settings.catalogs.kowalski_url.rstrip('/')}/api/queries"
    call = Call(KOWALSKI, address, body=msgspec.json.encode(question),
                headers={"Authorization": f"Bearer {token}"})
    answer = _json(KOWALSKI, await fetch(ctx, call))
    try:
        rows = answer["data"]["ZTF_alerts"]["here"]
        places = [{"name": row["objectId"], "ra": row["candidate"]["ra"], "dec": row["candidate"]["dec"]}
                  for row in rows]
    except (KeyError, TypeError):
        raise ServiceError(f"{KOWALSKI} answers no ZTF_alerts") from None
    return _transients(KOWALSKI, places)


def _json(service: str, data: bytes) -> Any:
    try:
        return decode(data)
    except JsonError:
        raise ServiceError(f"{service} does not answer JSON") from None


def _transients(service: str, places: Iterable[Mapping[str, Any]]) -> list[Transient]:
    """Each object once, at the last of its places."""
    found = {}
    for place in places:
        try:
            ra, dec = float(place["ra"]), float(place["dec"])
        except (TypeError, ValueError):
            raise ServiceError(f"{service} answers a position that is none") from None
        if place["name"] and 0 <= ra < 360 and -90 <= dec <= 90:
            found[str(place["name"])] = Transient(str(place["name"]), ra, dec, service)
    return list(found.values())


BROKERS = {"ZTF-Fink": fink_near, "ZTF-Kowalski": kowalski_near}
