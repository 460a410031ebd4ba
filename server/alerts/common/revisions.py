"""Revisions: each reconstruction of an alert, its scan, what the gate said of its map, what became of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from config.alerts import AlertStep
from server.rest.context import Context
from server.store.database import Index

__all__ = ["INDEXES", "Check", "Fate", "MapFacts", "Revision", "change", "make", "of_alert", "of_alerts"]

INDEXES = [Index("alert_revisions", "alert", [("alert_id", 1), ("number", 1)], unique=True)]


class Fate(StrEnum):
    """Where a revision stands."""

    WAITING = "waiting"  # for the one before
    SCANNING = "scanning"
    HELD = "held"  # for a person
    CLEARED = "cleared"  # to be published
    PUBLISHED = "published"
    QUIET = "quiet"  # only computed: nobody is told, by the rule or because a later one was told already
    DISMISSED = "dismissed"


class Check(msgspec.Struct, frozen=True):
    """What the gate asked of a map, and the answer in words."""

    name: str
    passed: bool
    text: str


class MapFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate needs to know of a finished map; degrees and square degrees."""

    ra_deg: float
    dec_deg: float
    nside: int  # of the best fit
    finest: int  # nside
    complete: bool
    failed_share: float  # of the pixels of the finest two levels
    area_50_deg2: float
    area_90_deg2: float
    limits_90: str  # what the 90 % region is limited by, in words
    reco: str


class Revision(msgspec.Struct, kw_only=True):
    """One reconstruction of an alert. Times in seconds since 1970."""

    alert_id: str
    number: int  # from 1
    step: AlertStep
    state: Fate = Fate.WAITING
    reason: str = ""
    begun: float = 0.0  # when its scan was about to be made
    scan_id: str = ""
    ended: float = 0.0
    cleared: float = 0.0  # by the gate, of its own accord
    facts: MapFacts | None = None
    checks: list[Check] = []
    released_by: str = ""
    notice_id: str = ""

    @property
    def is_over(self) -> bool:
        """Whether its scan has ended, well or not."""
        return self.state not in (Fate.WAITING, Fate.SCANNING)

    @property
    def is_late(self) -> bool:
        """Whether it took, or takes, longer than its rule allows."""
        return bool(self.ended and self.ended - self.begun > self.step.deadline_seconds)


async def make(ctx: Context, alert_id: str, steps: Sequence[AlertStep]) -> None:
    """The revisions of an alert; those that are there stay."""
    for number, step in enumerate(steps, 1):
        fresh = Revision(alert_id=alert_id, number=number, step=step)
        with contextlib.suppress(DuplicateKeyError):
            await ctx.db.alert_revisions.update_one(
                _key(fresh), {"$setOnInsert": msgspec.to_builtins(fresh)}, upsert=True)


async def of_alert(ctx: Context, alert_id: str) -> list[Revision]:
    """The revisions of an alert in their order."""
    cursor = ctx.db.alert_revisions.find({"alert_id": alert_id}).sort([("number", 1)])
    return [_of(document) async for document in cursor]


async def of_alerts(ctx: Context, alert_ids: Sequence[str]) -> dict[str, list[Revision]]:
    """The revisions of some alerts in their order; only of those that have any."""
    cursor = ctx.db.alert_revisions.find({"alert_id": {"$in": list(alert_ids)}})
    found: dict[str, list[Revision]] = {}
    async for document in cursor.sort([("alert_id", 1), ("number", 1)]):
        found.setdefault(document["alert_id"], []).append(_of(document))
    return found


async def change(ctx: Context, revision: Revision, states: Sequence[Fate], **fields: Any) -> Revision | None:
    """Set fields of a revision that is in one of the states; the revision then, or None."""
    condition = {**_key(revision), "state": {"$in": [state.value for state in states]}}
    document = await ctx.db.alert_revisions.find_one_and_update(
        condition, {"$set": msgspec.to_builtins(fields)}, return_document=ReturnDocument.AFTER)
    return None if document is None else _of(document)


def _key(revision: Revision) -> dict[str, Any]:
    return {"alert_id": revision.alert_id, "number": revision.number}


def _of(document: Mapping[str, Any]) -> Revision:
    return msgspec.convert(document, Revision)
