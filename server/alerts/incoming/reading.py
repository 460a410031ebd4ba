"""What a message says: an event to be scanned, a notice of others, or a sky map.

    i3live JSON              event     frames, as `scanner.events.i3live` reads them
    GCN's unified JSON       notice    `$schema`, or `trigger_time`
    VOEvent 2.0 (XML)        notice
    FITS, also with gzip     map       multi-order or flat, with DATE-OBS or MJD-OBS
    text around one of these           a Kafka message may be the JSON of GCN with the map in base64
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from config.json_text import JsonError, decode, without_gaps
from iceprod.submission import truth_of
from scanner.common.errors import EventError
from scanner.events.i3live import read_event
from scanner.maps.result import ResultError, ScanMetadata
from server.common.errors import BadRequest
from server.desk.common.fits_files import FitsError, open_fits
from server.desk.maps import arrivals, notices
from server.desk.maps.arrivals import EventBody
from server.production.common.fields import check_storable
from server.scans.manifests.told import Place, told_by

__all__ = ["Content", "read"]

_GZIP = b"\x1f\x8b"
_MJD_ZERO = datetime(1858, 11, 17)
_MOST_NAME, _MOST_URL = 100, 2000


@dataclass(frozen=True)
class Content:
    """What a message says."""

    kind: str  # event, notice or map
    key: str  # a digest of what it says, whatever its bytes
    title: str  # for people
    stream: str  # where nobody said another
    is_test: bool = False
    event: dict[str, Any] | None = None  # the document of an event
    facts: dict[str, Any] = field(default_factory=dict)  # fields of an alert
    body: EventBody | None = None  # what the desk takes
    map_url: str = ""  # of a map that is not in the message


def read(data: bytes) -> Content:
    """What a message says. Raises BadRequest with the reason why it cannot be read."""
    start = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:6] == b"SIMPLE" or start[:2] == _GZIP:
        return _map(data)
    if start[:1] == b"<":
        return _voevent(data)
    if start[:1] != b"{":
        raise BadRequest("message: neither JSON, nor a VOEvent, nor a FITS file")
    try:
        document = decode(data.lstrip(b"\xef\xbb\xbf \t\r\n"), gaps=True)
    except (JsonError, UnicodeError) as error:
        raise BadRequest(f"message: not JSON: {error}") from None
    return _json(without_gaps(document))


def _json(document: dict[str, Any]) -> Content:
    if any(name in document for name in ("value", "GCDQp_packet", "data", "frames")):
        return _event(document)
    if "$schema" in document or "trigger_time" in document:
        return _gcn(document)
    raise BadRequest("message: this JSON is neither an event (value.data with frames) nor a notice of GCN "
                     "($schema, trigger_time)")


# -- events


def _event(document: dict[str, Any]) -> Content:
    is_real = None if truth_of(document) is None else False
    try:
        event = read_event(document, name="message", is_real_event=is_real)
        ScanMetadata(event.run_id, event.event_id, event.event_type, event.mjd, event.is_real_event)
    except EventError as error:
        raise BadRequest(f"message: {error.reason}") from None
    except ResultError as error:
        raise BadRequest(f"message: {error}") from None
    told = told_by(document, event)
    facts = {"event_key": f"{event.run_id}_{event.event_id}", "is_real": event.is_real_event,
             "event_type": event.event_type, "mjd": _finite(event.mjd), "online": _shown(told.online),
             "truth": _shown(told.truth), "extras": told.extras}
    title = f"run {event.run_id} event {event.event_id}"
    return Content("event", _digest("event", _frames(document)), title, _stream_of(document),
                   not event.is_real_event, document, facts)


def _shown(place: Place | None) -> dict[str, Any] | None:
    return None if place is None else msgspec.structs.asdict(place)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _frames(document: Mapping[str, Any]) -> Any:
    """What makes the event: its frames, without the times of sending around them."""
    found: Any = document.get("GCDQp_packet", document.get("value", document))
    if isinstance(found, Mapping):
        found = found.get("data", found)
    return found.get("frames", found) if isinstance(found, Mapping) else found


def _stream_of(document: Mapping[str, Any]) -> str:
    """Such as ``neutrino`` or ``heseEvent16Data``."""
    value = document.get("value")
    streams = value.get("streams") if isinstance(value, Mapping) else None
    if isinstance(streams, list) and streams and isinstance(streams[0], str) and streams[0]:
        return streams[0][:_MOST_NAME]
    name = document.get("varname")
    return name[:_MOST_NAME] if isinstance(name, str) and name else "events"


# -- notices and maps of others


def _gcn(document: dict[str, Any]) -> Content:
    check_storable(document, names=False)
    notice = notices.of_gcn(document)
    mission = document.get("mission") or document.get("instrument")
    stream = mission if isinstance(mission, str) and mission else "gcn"
    return Content("notice", _digest("gcn", document), _title(notice.aliases, notice.dateobs),
                   stream[:_MOST_NAME], "test" in notice.tags, body=arrivals.of_notice(notice, None),
                   map_url=_map_url(document))


def _map_url(document: Mapping[str, Any]) -> str:
    """Where a notice's map is, when it is not inside."""
    url = document.get("healpix_url") or ""
    if not isinstance(url, str) or len(url) > _MOST_URL:
        raise BadRequest(f"healpix_url: must be an address of at most {_MOST_URL} characters")
    return "" if document.get("healpix_file") else url.strip()


def _voevent(data: bytes) -> Content:
    try:
        text = data.decode("utf8")
    except UnicodeDecodeError:
        raise BadRequest("message: a VOEvent must be UTF-8") from None
    notice = notices.of_voevent(text)
    return Content("notice", _digest("voevent", text.strip()), _title(notice.aliases, notice.dateobs),
                   "voevent", "test" in notice.tags, body=arrivals.of_notice(notice, None))


def _title(aliases: list[str], dateobs: str) -> str:
    return (aliases[0] if aliases else dateobs)[:200]


def _map(data: bytes) -> Content:
    try:
        with open_fits(data) as units:
            headers = [dict(unit.header) for unit in units]
    except FitsError as error:
        raise BadRequest(f"message: this FITS file cannot be read: {error}") from None
    found = {name: value for header in headers for name, value in header.items()
             if name in ("DATE-OBS", "MJD-OBS", "OBJECT", "INSTRUME") and value not in ("", None)}
    digest = _digest("map", hashlib.sha256(data).hexdigest())
    name = str(found.get("OBJECT") or f"map_{digest[:12]}")[:200].replace("/", "_")
    body = EventBody(dateobs=_dateobs(found), aliases=[name], localization_name=name,
                     skymap=base64.b64encode(data).decode())
    return Content("map", digest, name, "maps", body=body)


def _dateobs(header: Mapping[str, Any]) -> str:
    """When the event was, by the header. Raises BadRequest."""
    if isinstance(header.get("DATE-OBS"), str):
        return str(header["DATE-OBS"])
    try:
        return (_MJD_ZERO + timedelta(days=float(header["MJD-OBS"]))).isoformat()
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadRequest("message: this FITS file has neither DATE-OBS nor MJD-OBS, so it is of no "
                         "event") from None


def _digest(kind: str, what: Any) -> str:
    return hashlib.sha256(kind.encode() + msgspec.json.encode(what, order="deterministic")).hexdigest()[:32]
