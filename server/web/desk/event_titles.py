"""What events are called for people: such as "IceCube-231202A · track · 0.9 deg² (90 %, Wilks)"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scanner.maps.level_sets import LEVEL_SETS
from server.alerts.outgoing import names
from server.desk.maps.event_list import Row
from server.rest.context import Context
from server.web.common import show

__all__ = ["Title", "aliases_of", "names_of", "recos_of", "title", "titles"]

_RUN = re.compile(r"run0*(\d+)\.evt0*(\d+)")
_LEVELS = {"wilks": "Wilks", "ic160427a": "IC160427A"}


@dataclass(frozen=True)
class Title:
    """An event's name, what it is, and how large its region: each part may be empty but the name."""

    name: str
    what: str = ""
    area: str = ""
    caution: str = ""  # what whoever reads the area must know

    def __str__(self) -> str:
        return " · ".join(filter(None, (self.name, self.what, self.area)))


async def titles(ctx: Context, rows: Sequence[Row]) -> dict[datetime, Title]:
    """The titles of a page of events, by moment."""
    given, recos = await names_of(ctx, rows), await recos_of(ctx, rows)
    return {row.event["dateobs"]: title(row, given, recos) for row in rows}


async def names_of(ctx: Context, rows: Sequence[Row]) -> dict[str, str]:
    """The names that notices gave events, by run and event."""
    return await names.of_scopes(ctx, [scope for row in rows for scope in _scopes(row.event["aliases"])])


async def recos_of(ctx: Context, rows: Sequence[Row]) -> dict[str, str]:
    """The reconstructions of our own scans, by scan."""
    scans = [one["scan_id"] for row in rows for one in row.maps if one.get("scan_id")]
    cursor = ctx.db.scan_runs.find({"scan_id": {"$in": scans}}, {"_id": 0, "scan_id": 1, "reco": 1})
    return {run["scan_id"]: run.get("reco") or "" async for run in cursor}


def title(row: Row, given: Mapping[str, str], recos: Mapping[str, str]) -> Title:
    """An event's title: `given` are names of alerts by run and event, `recos` reconstructions by scan."""
    scans = {one.get("scan_id") for one in row.maps}
    name = _name(row.event, given, scans)
    best = row.best
    if best is None:
        return Title(name)
    levels = best.get("levels") or ""
    known = LEVEL_SETS.get(levels)
    how = f", {_LEVELS.get(levels, 'calibrated')}" if levels else ""
    area = f"{show.number(best['area_90'], 2, 'deg²')} (90\u00a0%{how})"
    reco = recos.get(best.get("scan_id") or "", "")
    return Title(name, _topology(reco, levels), area, known.caution if known else "")


async def aliases_of(ctx: Context, name: str) -> tuple[str, ...]:
    """How the desk calls the event that notices call so: such as run138632.evt31747601."""
    scopes = await names.scopes_of(ctx, name)
    runs = [scope.rpartition(":")[2].partition("_") for scope in scopes]
    return tuple(f"run{run}.evt{event}" for run, _, event in runs)


def _scopes(aliases: Iterable[str]) -> list[str]:
    found = [_RUN.fullmatch(alias) for alias in aliases]
    return [scope for run in found if run for scope in (f"{run[1]}_{run[2]}", f"test:{run[1]}_{run[2]}")]


def _name(event: Mapping[str, Any], given: Mapping[str, str], scans: set[str | None]) -> str:
    """A notice's name before run and event, these before an identifier, which is better than none."""
    aliases = event["aliases"]
    if told := next((given[scope] for scope in _scopes(aliases) if scope in given), ""):
        return told
    plain = [alias for alias in aliases
             if alias not in scans and not _RUN.fullmatch(alias) and "://" not in alias]
    if plain:
        return str(plain[0])
    if runs := [run for alias in aliases if (run := _RUN.fullmatch(alias))]:
        return f"run {runs[0][1]}, event {runs[0][2]}"
    if identifiers := [alias for alias in aliases if "://" in alias]:
        return str(identifiers[0].rpartition("/")[2])
    return f"event of {show.date(event['dateobs'].isoformat())}"


def _topology(reco: str, levels: str) -> str:
    """Track or cascade, as far as the reconstruction says it; else which reconstruction it was."""
    base = (reco or levels.removeprefix("calibrated_")).partition(".")[0]
    for word in ("track", "cascade"):
        if base.startswith(word):
            return word
    return reco.partition(".")[0]
