"""Candidates as the API shows them: the object with all that the visitor may see of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from server.desk.common.access import Document, Visitor
from server.desk.common.positions import galactic_many
from server.desk.judgement import candidates, classifications
from server.desk.objects import measurements, notes, objs, sources
from server.desk.objects.distances import distance
from server.rest.context import Context

__all__ = ["Parts", "shown_candidates"]

MJD_ZERO = datetime(1858, 11, 17)


@dataclass(frozen=True)
class Parts:
    """What is shown beside the object itself."""

    comments: bool = False
    alerts: bool = False
    photometry: bool = False
    spectra: bool = False


async def shown_candidates(ctx: Context, who: Visitor, names: Sequence[str], parts: Parts,
                           filter_ids: Iterable[int] | None = None) -> list[Document]:
    """Those of the objects that are candidates for the visitor (of these filters alone), in this order."""
    passages = await candidates.of_objects(ctx, who, names, filter_ids)
    names = [name for name in names if name in passages]
    rows = await objs.find_many(ctx, names)
    annotations = await notes.of_objects(ctx, who, names)
    saved = await sources.saved_groups(ctx, who, names)
    judged = await classifications.of_objects(ctx, who, list(saved))
    stats = await measurements.statistics(ctx, who, names)
    more = await _asked_for(ctx, who, names, parts)
    found = []
    for name in names:
        if name in rows:
            found.append({
                **objs.shown(rows[name]), **asdict(distance(rows[name]["altdata"], rows[name]["redshift"])),
                "thumbnails": objs.thumbnails(rows[name]), **_photstats(stats.get(name)),
                "annotations": annotations.get(name, []),
                **_saved(saved.get(name, []), judged.get(name, [])), **_passages(passages[name], parts),
                **{part: rows_of.get(name, []) for part, rows_of in more.items()}})
    return _with_galactic(found)


def _saved(groups: list[Document], judged: list[Document]) -> Document:
    if not groups:
        return {"is_source": False}
    return {"is_source": True, "saved_groups": groups, "classifications": judged}


def _passages(rows: list[Document], parts: Parts) -> Document:
    shown: Document = {"passed_at": rows[0]["passed_at"]}
    if parts.alerts:
        shown["filter_ids"] = sorted({row["filter_id"] for row in rows})
        shown["passing_alerts"] = [
            {name: row[name] for name in ("filter_id", "passing_alert_id", "passed_at")} for row in rows]
    return shown


def _photstats(stats: measurements.Statistics | None) -> Document:
    if stats is None:
        return {"photstats": [], "last_detected_at": None}
    last = stats.last_detected_mjd
    return {"photstats": [asdict(stats)],
            "last_detected_at": None if last is None else MJD_ZERO + timedelta(days=last)}


async def _asked_for(ctx: Context, who: Visitor, names: list[str],
                     parts: Parts) -> dict[str, dict[str, list[Document]]]:
    found: dict[str, dict[str, list[Document]]] = {}
    for part, kind, wanted in (("comments", "comment", parts.comments),
                               ("photometry", "photometry", parts.photometry),
                               ("spectra", "spectrum", parts.spectra)):
        if wanted:
            by_name: defaultdict[str, list[Document]] = defaultdict(list)
            for row in await measurements.rows(ctx, who, kind, names):
                by_name[row["obj_id"]].append(row)
            found[part] = dict(by_name)
    return found


def _with_galactic(found: list[Document]) -> list[Document]:
    placed = [row for row in found if row["ra"] is not None]
    for row in found:
        row["gal_lon"] = row["gal_lat"] = None
    lon, lat = galactic_many([row["ra"] for row in placed], [row["dec"] for row in placed])
    for row, longitude, latitude in zip(placed, lon, lat, strict=True):
        row["gal_lon"], row["gal_lat"] = float(longitude), float(latitude)
    return found
