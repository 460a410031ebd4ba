"""What a finished scan selects by itself: galaxies inside its region become candidates of filters.

A filter on the stream ``scans`` may carry a rule (its `altdata`). When a scan is over, each rule is evaluated
on the scan's map, and every galaxy that it selects passes the filter at the end of the scan.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
import numpy as np

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common import ids
from server.desk.common.access import Visitor
from server.desk.common.acls import SYSTEM_ADMIN
from server.desk.judgement import candidates
from server.desk.judgement.candidates import Passage
from server.desk.maps import localizations
from server.desk.maps.regions import restrict
from server.rest.context import Context

__all__ = ["STREAM", "Alert", "Rule", "read_rule", "run"]

log = logging.getLogger("server.desk")

STREAM = "scans"
MOST_SELECTED = 2000  # by one filter of one scan
_ITSELF = Visitor(0, "scans", frozenset({SYSTEM_ADMIN}))


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """Which galaxies pass: of a catalogue, inside a credible region, near and bright enough."""

    catalog: str | None = None  # None: of all catalogues
    cumprob: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.9
    calibrated: bool = False  # by the calibrated thresholds on 2Δ ln L
    max_distance: float | None = None  # Mpc
    max_magnitude: float | None = None  # B
    max_redshift: float | None = None

    def query(self) -> dict[str, Any]:
        """The condition on a galaxy's own values."""
        limits = {"distmpc": self.max_distance, "magb": self.max_magnitude, "redshift": self.max_redshift}
        catalog = {} if self.catalog is None else {"catalog_name": self.catalog}
        return catalog | {name: {"$lte": limit} for name, limit in limits.items() if limit is not None}


@dataclass(frozen=True)
class Alert:
    """A finished scan: its localization's row, when it was over, and the event's number."""

    row: Mapping[str, Any]
    passed_at: datetime
    number: int


def read_rule(altdata: Any) -> Rule:
    """A filter's rule. Raises BadRequest."""
    try:
        return msgspec.convert(altdata, Rule)
    except msgspec.ValidationError as error:
        raise BadRequest(f"altdata: not a rule for scans: {error}") from None


async def run(ctx: Context, alert: Alert) -> int:
    """Evaluate all rules; how many candidates are new. May be repeated."""
    stream = await _stream(ctx)
    added = 0
    async for row in ctx.db.desk_filters.find({"stream_id": stream, "altdata": {"$ne": None}}):
        try:
            added += await _apply(ctx, alert, row, read_rule(row["altdata"]))
        except BadRequest as error:
            log.warning("a filter's rule cannot be used",
                        extra={"action": "selection", "filter": row["_id"], "reason": error.reason})
    return added


async def _stream(ctx: Context) -> int:
    """The stream of finished scans, made when it is not there."""
    known = await ctx.db.desk_streams.find_one({"name": STREAM})
    if known is None:
        moment = now()
        fresh = {"_id": await ids.next_id(ctx, "streams"), "altdata": None, "owner_id": _ITSELF.user_id,
                 "created_at": moment, "modified": moment}
        await ctx.db.desk_streams.update_one({"name": STREAM}, {"$setOnInsert": fresh}, upsert=True)
        known = await ctx.db.desk_streams.find_one({"name": STREAM})
    assert known is not None
    return int(known["_id"])


async def _apply(ctx: Context, alert: Alert, row: Mapping[str, Any], rule: Rule) -> int:
    tiles = await localizations.tiles_of(ctx, alert.row)
    chosen = tiles.chosen_calibrated(rule.cumprob) if rule.calibrated else tiles.chosen(rule.cumprob)
    added = seen = 0
    async for galaxy in _selected(ctx, rule, tiles.ranges(chosen)):
        seen += 1
        if seen > MOST_SELECTED:
            log.warning("a filter selects too many galaxies; the rest is left out",
                        extra={"action": "selection", "filter": row["_id"], "limit": MOST_SELECTED})
            break
        added += await _pass(ctx, alert, int(row["_id"]), galaxy)
    return added


async def _selected(ctx: Context, rule: Rule, ranges: np.ndarray) -> AsyncIterator[Mapping[str, Any]]:
    region = restrict(ranges)
    async for galaxy in ctx.db.desk_galaxies.find({**rule.query(), **region.query}):
        if region.is_exact or region.keep(galaxy["hpix29"]):
            yield galaxy


async def _pass(ctx: Context, alert: Alert, filter_id: int, galaxy: Mapping[str, Any]) -> bool:
    """Let a galaxy pass a filter; False when it did already."""
    fields = {"ra": galaxy["ra"], "dec": galaxy["dec"], "redshift": galaxy.get("redshift"),
              "host_id": galaxy["_id"], "origin": galaxy["catalog_name"]}
    passage = Passage(_object_name(galaxy["name"]), frozenset({filter_id}), alert.passed_at, alert.number,
                      {name: value for name, value in fields.items() if value is not None})
    try:
        await candidates.add(ctx, _ITSELF, passage)
    except BadRequest:  # it is there already, or the filter is gone
        return False
    return True


def _object_name(name: str) -> str:
    return re.sub(r"[/?#\0]", "_", name.strip())

