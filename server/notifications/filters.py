"""Filters: which of an event's happenings a rule tells, as pure functions of facts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from server.common.errors import BadRequest
from server.rules.conditions import fits

__all__ = ["FACTS", "Filters", "check", "why_not"]

MOST = 50
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Words = Annotated[list[_Word], msgspec.Meta(max_length=MOST)]


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What must hold; what is not given does not matter."""

    own: bool | None = None  # only the owner's; None: the same, where a thing has an owner
    groups: _Words = []  # names with * and ?
    streams: _Words = []  # likewise
    recos: _Words = []
    sites: _Words = []
    entries: _Words = []
    area_below_deg2: float | None = None  # of the 90 % region
    text: Annotated[str, msgspec.Meta(max_length=200)] = ""  # part of the title


FACTS = {"groups": "group", "streams": "stream", "recos": "reco", "sites": "name", "entries": "entry",
         "area_below_deg2": "area_90_deg2"}
"""The fact that each filter asks for."""

_WORDS = ("groups", "streams", "recos", "sites", "entries")


def check(filters: Filters, known: Iterable[str], event: str) -> None:
    """Refuse filters that an event cannot be asked for, or that nothing passes. Raises BadRequest."""
    allowed = {*known, "text"}
    for name in (*FACTS, "own"):
        if getattr(filters, name) not in (None, []) and name not in allowed:
            raise BadRequest(f"filters.{name}: {event} has no such filter, but {', '.join(sorted(allowed))}")
    area = filters.area_below_deg2
    if area is not None and not (math.isfinite(area) and area > 0):
        raise BadRequest("filters.area_below_deg2: must be more than 0 square degrees")
    words = [word for name in _WORDS for word in getattr(filters, name)]
    if any(not word.isprintable() for word in [*words, filters.text]):
        raise BadRequest("filters: printable characters alone")


def why_not(filters: Filters, facts: Mapping[str, Any], title: str, username: str, owner: str) -> str:
    """Why something is not told; empty when it is. `owner` names the fact of whose it is, if there is one."""
    if owner and filters.own is not False and facts.get(owner) != username:
        return "it is not yours"
    for name in _WORDS:
        patterns, value = getattr(filters, name), str(facts.get(FACTS[name]) or "")
        if patterns and not fits(patterns, value):
            return f"{FACTS[name]} is {value[:80]!r}"
    area = facts.get("area_90_deg2")
    if filters.area_below_deg2 is not None and (area is None or not area < filters.area_below_deg2):
        return "its area is not known" if area is None else f"its area is {area:g} deg²"
    if filters.text.casefold() not in title.casefold():
        return f"its title has no {filters.text[:80]!r}"
    return ""
