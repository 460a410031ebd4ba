"""Who may see and change which row of the desk: the one rule that every query goes through.

`visible` is a part of each query, so a foreign row is neither listed, counted nor found; by its id it
looks like one that does not exist. `may` decides about writing a row that the caller sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.common.errors import BadRequest
from server.desk.common.acls import CLASSIFY, SYSTEM_ADMIN, UPLOAD_DATA

__all__ = ["Document", "Visitor", "in_groups", "may", "own_groups", "seen_groups", "visible"]

Document = dict[str, Any]


@dataclass(frozen=True)
class Visitor:
    """Who asks the desk: a user by token, with rights, groups and the streams that those groups read."""

    user_id: int
    username: str
    acls: frozenset[str] = frozenset()
    groups: frozenset[int] = frozenset()
    admin_of: frozenset[int] = frozenset()
    streams: frozenset[int] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)  # the user's document

    @property
    def system(self) -> bool:
        """Whether every check is passed."""
        return SYSTEM_ADMIN in self.acls

    def has(self, acl: str) -> bool:
        return self.system or acl in self.acls


def _everybody(who: Visitor) -> Document:
    return {}


def _by_group(who: Visitor) -> Document:
    return {"group_id": {"$in": sorted(who.groups)}}


def _by_group_or_open(who: Visitor) -> Document:
    return {"group_id": {"$in": [None, *sorted(who.groups)]}}


def _by_groups(who: Visitor) -> Document:
    return {"group_ids": {"$in": sorted(who.groups)}}


def _by_groups_or_shipped(who: Visitor) -> Document:
    return {"$or": [_by_groups(who), {"shipped": True}]}


def _by_group_and_stream(who: Visitor) -> Document:
    return {**_by_group(who), "stream_id": {"$in": sorted(who.streams)}}


def _own(who: Visitor) -> Document:
    return {"user_id": who.user_id}


_VISIBLE: dict[str, Callable[[Visitor], Document]] = {
    "group": lambda who: {"_id": {"$in": sorted(who.groups)}},
    "stream": lambda who: {"_id": {"$in": sorted(who.streams)}},
    "filter": _by_group_and_stream,
    "candidate": _by_group,
    "source": _by_group,
    "annotation": _by_groups,
    "comment": _by_groups,
    "classification": _by_groups,
    "label": _by_group,
    "taxonomy": _by_groups,
    "photometry": _by_groups,
    "spectrum": _by_groups,
    "catalog_query": _by_groups,
    "analysis_service": _by_groups_or_shipped,
    "analysis": _by_groups,
    "allocation": _by_group,
    "followup_request": _by_group,  # that of its allocation
    "observing_run": _by_group_or_open,
    "assignment": _by_group_or_open,  # that of its run
    "observation_plan": _by_groups,
    "survey_efficiency": _by_groups,
    "rule": _by_groups,
    "listing": _own,
    "token": _own,
    "obj": _everybody,  # position and name are public inside the system
    "telescope": _everybody,
    "instrument": _everybody,
    "galaxy": _everybody,
    "spatial_catalog": _everybody,
    "gcn_event": _everybody,
    "localization": _everybody,
    "user": _everybody,
}

_OWN_EVEN_FOR_ADMINS = frozenset({"listing"})


def visible(kind: str, who: Visitor) -> Document:
    """The condition on a row of this kind that the visitor may read it."""
    if who.system and kind not in _OWN_EVEN_FOR_ADMINS:
        return {}
    return _VISIBLE[kind](who)


_NEEDS = {"filter": UPLOAD_DATA, "candidate": UPLOAD_DATA, "obj": UPLOAD_DATA, "source": UPLOAD_DATA,
          "classification": CLASSIFY, "galaxy": UPLOAD_DATA, "followup_request": UPLOAD_DATA,
          "assignment": UPLOAD_DATA}


def may(kind: str, who: Visitor, row: Mapping[str, Any]) -> bool:
    """Whether the visitor, who sees the row, may change or remove it."""
    if who.system:
        return True
    if kind in _NEEDS and not who.has(_NEEDS[kind]):
        return False
    match kind:
        case "group":
            return row["_id"] in who.admin_of
        case "annotation" | "classification" | "taxonomy" | "comment" | "analysis":
            return row.get("author_id") == who.user_id or bool(who.admin_of & set(row.get("group_ids", ())))
        case "spatial_catalog":
            return bool(row["owner_id"] == who.user_id)
        case "vote":
            return bool(row["voter_id"] == who.user_id)
    return True


def in_groups(who: Visitor, group_ids: Iterable[int]) -> bool:
    """Whether the visitor belongs to all these groups."""
    return who.system or set(group_ids) <= who.groups


def seen_groups(who: Visitor, group_ids: Iterable[int]) -> list[int]:
    """Those of a row's groups that the visitor may know of."""
    return [number for number in group_ids if in_groups(who, [number])]


def own_groups(who: Visitor, group_ids: Iterable[int] | None) -> list[int]:
    """The groups that a new row is for: those asked for, else all of the visitor's.

    Raises BadRequest for a group that is not the visitor's (which looks like one that is not there).
    """
    if group_ids is None:
        return sorted(who.groups)
    wanted = sorted(set(group_ids))
    if foreign := [number for number in wanted if not in_groups(who, [number])]:
        raise BadRequest(f"group_ids: no group {foreign[0]} that you belong to")
    return wanted
