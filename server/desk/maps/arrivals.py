"""Events as they arrive, in bodies of requests or in notices, with their sky maps; and keeping them."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from server.common.errors import BadRequest
from server.desk.common.bodies import Body, Name, Text, convert
from server.desk.common.dates import parse_date
from server.desk.maps import events, localizations, notices, polygons, skymaps
from server.desk.maps.localizations import NewLocalization
from server.desk.maps.notices import Notice
from server.desk.maps.regions import CALIBRATED
from server.desk.maps.tiles import SkymapError, Tiles
from server.rest.context import Context

__all__ = ["EventBody", "event_of", "keep", "of_notice"]

_CONE = {"ra", "dec", "error"}
_ELLIPSE = {"ra", "dec", "amaj", "amin", "phi"}


class EventBody(Body):
    """An event, perhaps with a sky map: a cone, an ellipse, a polygon, arrays, or a FITS file in base64."""

    dateobs: Name | None = None
    xml: Text | None = None  # a VOEvent
    json: dict[str, Any] | str | None = None  # a notice of GCN; a body with "$schema" is one itself
    skymap: dict[str, Any] | str | None = None
    localization_name: Name | None = None
    tags: list[Name] = msgspec.field(default_factory=list)
    aliases: list[Name] = msgspec.field(default_factory=list)


async def keep(ctx: Context, body: EventBody) -> dict[str, Any]:
    """Store an event, and its sky map if it has one, or find them; what the API says of them.

    Raises BadRequest.
    """
    dateobs = parse_date(str(body.dateobs), "dateobs")
    made = await asyncio.to_thread(_read_map, body)
    event = await events.put(ctx, dateobs, body.aliases, body.tags)
    answer = {"id": event["_id"], "gcnevent_id": event["_id"], "dateobs": event["dateobs"].isoformat()}
    if made is not None:
        new = NewLocalization(dateobs, made.name, made.tiles, version=0.0, levels=made.levels)
        row = await localizations.put(ctx, new)
        answer |= {"localization_id": row["_id"], "localization_name": made.name}
    return answer


def event_of(sent: dict[str, Any]) -> EventBody:
    """The event of a body, which may be a notice or hold one. Raises BadRequest."""
    if notices.is_gcn(sent):
        return of_notice(notices.of_gcn(sent), None)
    body = convert(sent, EventBody)
    given = [name for name in ("dateobs", "xml", "json") if getattr(body, name) is not None]
    if len(given) != 1:
        raise BadRequest("Invalid/missing parameters: one of dateobs, xml and json is needed, "
                         f"not {' and '.join(given) or 'none'}")
    if body.dateobs is not None:
        return body
    notice = notices.of_gcn(body.json) if body.xml is None else notices.of_voevent(body.xml)
    return of_notice(notice, body)


def of_notice(notice: Notice, more: EventBody | None) -> EventBody:
    """The event of a notice, and what else was said of it."""
    more = more or EventBody()
    name = more.localization_name
    if name is None and isinstance(notice.skymap, str):
        name = notice.aliases[0].replace("/", "_") if notice.aliases else "notice"
    return EventBody(dateobs=notice.dateobs, aliases=[*notice.aliases, *more.aliases],
                     tags=[*notice.tags, *more.tags], skymap=more.skymap or notice.skymap,
                     localization_name=name)


@dataclass(frozen=True)
class _SentMap:
    """A sky map of a body."""

    name: str
    tiles: Tiles
    levels: str = ""  # the level set of a map of likelihoods


def _read_map(body: EventBody) -> _SentMap | None:
    """A body's sky map. Raises BadRequest."""
    try:
        found = _named_map(body)
    except SkymapError as error:
        raise BadRequest(str(error)) from None
    if found and (found.name.endswith(CALIBRATED) or "/" in found.name):
        raise BadRequest(f"localization_name: must not end in {CALIBRATED} nor hold a /")
    return found


def _named_map(body: EventBody) -> _SentMap | None:
    sky = body.skymap
    if sky is None or sky == {} or sky == "":
        return None
    if isinstance(sky, str):
        data = _bytes(sky)
        return _file(_needed_name(body.localization_name), data)
    if set(sky) >= _CONE:
        return _cone(body, sky)
    name = _needed_name(sky.get("localization_name") or body.localization_name)
    if "polygon" in sky:
        return _SentMap(name, polygons.of_polygon(polygons.read_polygon(sky["polygon"])))
    if set(sky) >= _ELLIPSE:
        ra, dec, *axes = (_number(sky, axis) for axis in ("ra", "dec", "amaj", "amin", "phi"))
        return _SentMap(name, skymaps.of_ellipse(ra, dec, (axes[0], axes[1], axes[2]), _contained(sky)))
    return _SentMap(name, skymaps.of_arrays(sky))


def _file(name: str, data: bytes) -> _SentMap:
    tiles = skymaps.of_fits(data)
    return _SentMap(name, tiles, skymaps.level_set_in(data) if tiles.has_delta else "")


def _contained(sky: Mapping[str, Any]) -> float | None:
    """What lies within the error of a cone or an ellipse, if that was said."""
    given = sky.get("containment_probability")
    return None if given is None else _number(sky, "containment_probability")


def _cone(body: EventBody, sky: Mapping[str, Any]) -> _SentMap:
    """A circle or an ellipse: `error` is a radius, or half axes with a position angle."""
    ra, dec = _number(sky, "ra"), _number(sky, "dec")
    error = _axes(sky["error"]) if isinstance(sky["error"], list) else (_number(sky, "error"),)
    contained = _contained(sky)
    usual = skymaps.cone_name(ra, dec, *error, containment=contained)
    name = str(body.localization_name or sky.get("localization_name") or usual)
    major, minor, angle = (*error, *(error[0], 0.0)[len(error) - 1:]) if len(error) < 3 else error
    return _SentMap(name, skymaps.of_ellipse(ra, dec, (major, minor, angle), contained))


def _axes(values: list[Any]) -> tuple[float, ...]:
    if not 1 <= len(values) <= 3:
        raise SkymapError("skymap.error: an ellipse has half axes and a position angle: up to 3 numbers")
    return tuple(_number({"error": value}, "error") for value in values)


def _needed_name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 500:
        raise SkymapError("localization_name: a map that is not a cone needs a name")
    return name


def _number(document: Mapping[str, Any], name: str) -> float:
    value = document[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SkymapError(f"skymap.{name}: must be a number, not {str(value)[:40]!r}")
    return float(value)


def _bytes(text: str) -> bytes:
    """What base64 text says, also in a data URL."""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError):
        raise SkymapError("skymap: a FITS file must be given in base64") from None
