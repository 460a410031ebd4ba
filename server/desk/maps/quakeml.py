"""QuakeML 1.2, the seismologists' exchange format (quake.ethz.ch/quakeml): what a notice needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from server.common.errors import BadRequest

__all__ = ["Quake", "read_quakeml"]

_METRES = 1000.0  # per km


@dataclass(frozen=True)
class Quake:
    """One earthquake: where and how strong, in degrees and km; None is not told."""

    event_id: str
    date: str
    latitude: float
    longitude: float
    depth: float | None
    magnitude: float | None


def read_quakeml(text: str) -> Quake:
    """The first event of a document. Raises BadRequest.

    Documents that declare a type are refused: entities could blow up.
    """
    if "<!" in text.replace("<!--", ""):
        raise BadRequest("xml: document types and entities are not accepted")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise BadRequest(f"xml: not well formed: {error}") from None
    event = next((item for item in root.iter() if _local(item.tag) == "event"), None)
    if event is None:
        raise BadRequest("xml: no event in it")
    depth = _number(event, "origin", "depth", "value")
    return Quake(_name(event), _needed(event, "origin", "time", "value"), _place(event, "latitude"),
                 _place(event, "longitude"), None if depth is None else depth / _METRES,
                 _number(event, "magnitude", "mag", "value"))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _name(event: ElementTree.Element) -> str:
    """The catalogue's name of the event, or the last part of its public one."""
    names = {_local(name): value for name, value in event.attrib.items()}
    name = names.get("eventid") or names.get("publicID", "").rpartition("/")[2]
    if not name:
        raise BadRequest("xml: the event has neither eventid nor publicID")
    return name


def _find(event: ElementTree.Element, *path: str) -> str | None:
    found: ElementTree.Element | None = event
    for name in path:
        if found is None:
            return None
        found = next((child for child in found if _local(child.tag) == name), None)
    return None if found is None or not found.text else found.text.strip()


def _needed(event: ElementTree.Element, *path: str) -> str:
    text = _find(event, *path)
    if text is None:
        raise BadRequest(f"xml: the event has no {'/'.join(path)}")
    return text


def _number(event: ElementTree.Element, *path: str) -> float | None:
    text = _find(event, *path)
    try:
        return None if text is None else float(text)
    except ValueError:
        raise BadRequest(f"xml: {'/'.join(path)} is no number: {text!r:.40}") from None


def _place(event: ElementTree.Element, name: str) -> float:
    _needed(event, "origin", name, "value")
    return _number(event, "origin", name, "value") or 0.0
