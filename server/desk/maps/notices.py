"""Notices of other observatories: VOEvent 2.0 (IVOA) and the JSON of NASA's General Coordinates Network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from config.json_text import JsonError, decode
from server.common.errors import BadRequest
from server.production.common.fields import check_storable

__all__ = ["Notice", "is_gcn", "of_gcn", "of_voevent"]

_CONTAINMENT = 0.9  # what GCN's core schema takes when a notice says nothing
_SAYS = {"src_error_90": 0.9, "src_error_50": 0.5}  # IceCube's names


@dataclass(frozen=True)
class Notice:
    """What the desk needs of a notice; `skymap` is as in the body of an event."""

    dateobs: str
    aliases: list[str]
    tags: list[str]
    skymap: dict[str, Any] | str | None


def is_gcn(body: Mapping[str, Any]) -> bool:
    """Whether a body is a notice itself."""
    return "$schema" in body


def of_gcn(document: Any) -> Notice:
    """A notice in JSON, or in text that holds it. Raises BadRequest."""
    if isinstance(document, str):
        try:
            document = decode(document)
        except JsonError as error:
            raise BadRequest(f"json: not JSON: {error}") from None
        check_storable(document, names=False)
    if not isinstance(document, dict):
        raise BadRequest(f"json: a notice is an object, not {type(document).__name__}")
    when = document.get("trigger_time")
    if not isinstance(when, str):
        raise BadRequest("trigger_time: a notice needs the time of its event")
    aliases = [*_names(document, "event_name"), *_names(document, "id")]
    tags = [*_names(document, "mission"), *_names(document, "instrument"), *_names(document, "messenger"),
            *(name for name in _names(document, "alert_tense") if name != "current"),
            *(name for name in _names(document, "alert_type") if name == "retraction")]
    return Notice(when, aliases, tags, _gcn_file(document) or _gcn_cone(document))


def _names(document: Mapping[str, Any], field: str) -> list[str]:
    value = document.get(field)
    found = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and 0 < len(name) <= 500 for name in found):
        raise BadRequest(f"{field}: must be a name, or a list of names")
    return found


def _gcn_file(document: Mapping[str, Any]) -> str | None:
    file = document.get("healpix_file")
    if file is not None and not isinstance(file, str):
        raise BadRequest("healpix_file: must be a sky map in base64")
    return file


def _gcn_cone(document: Mapping[str, Any]) -> dict[str, Any] | None:
    place = {"ra": document.get("ra"), "dec": document.get("dec"), "error": document.get("ra_dec_error")}
    if any(value is None for value in place.values()):
        return None
    contained = document.get("containment_probability")
    return {**place, "containment_probability": _CONTAINMENT if contained is None else contained}


def of_voevent(text: str) -> Notice:
    """A VOEvent. Raises BadRequest.

    Documents that declare a type are refused: entities could blow up.
    """
    if "<!" in text.replace("<!--", ""):
        raise BadRequest("xml: document types and entities are not accepted")
    try:
        root = ElementTree.fromstring(text.encode())
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadRequest(f"xml: not well formed: {error}") from None
    if _local(root) != "VOEvent":
        raise BadRequest("xml: not a VOEvent")
    when = _text(root, "ISOTime")
    if when is None:
        raise BadRequest("xml: the VOEvent has no ISOTime in its WhereWhen")
    params = {item.get("name", ""): item.get("value", "") for item in root.iter() if _local(item) == "Param"}
    aliases = [name for name in (root.get("ivorn"), params.get("GraceID"), params.get("AMON_ID")) if name]
    role = root.get("role", "observation")
    tags = [] if role == "observation" else [role]
    if params.get("Retraction", "").lower() in ("true", "1") or params.get("AlertType") == "Retraction":
        tags.append("retraction")
    return Notice(when, [name[:500] for name in aliases], [tag[:500] for tag in tags], _vo_cone(root, params))


def _vo_cone(root: ElementTree.Element, params: Mapping[str, str]) -> dict[str, Any] | None:
    """The cone of a notice; one without a radius has none."""
    tags = (("ra", "C1"), ("dec", "C2"), ("error", "Error2Radius"))
    found = {name: _number(root, tag) for name, tag in tags}
    if any(value is None for value in found.values()) or not found["error"]:
        return None
    return {**found, "containment_probability": _stated(params, found["error"])}


def _stated(params: Mapping[str, str], radius: float) -> float:
    """What a radius contains: the parameter that has the same value says it."""
    for name, containment in _SAYS.items():
        try:
            if math.isclose(float(params.get(name, "nan")), radius, rel_tol=1e-6):
                return containment
        except ValueError:
            continue
    return _CONTAINMENT


def _number(root: ElementTree.Element, tag: str) -> float | None:
    text = _text(root, tag)
    try:
        return None if text is None else float(text)
    except ValueError:
        raise BadRequest(f"xml: {tag} is no number: {text!r:.40}") from None


def _text(root: ElementTree.Element, tag: str) -> str | None:
    """What the first such element says of those that tell where and when."""
    place = next((item for item in root if _local(item) == "WhereWhen"), None)
    found = None if place is None else next((item for item in place.iter() if _local(item) == tag), None)
    return None if found is None or not found.text else found.text.strip()


def _local(item: ElementTree.Element) -> str:
    return item.tag.rpartition("}")[2]
