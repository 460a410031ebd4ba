"""What the page of an event's sky map shows: candidates inside a region with all that is known of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from server.desk.common import positions
from server.desk.common.access import Document, Visitor
from server.desk.judgement import classifications, filters, taxonomies
from server.desk.judgement.candidate_query import read_search
from server.desk.judgement.candidate_rows import Parts, shown_candidates
from server.desk.judgement.candidate_search import find_names, scope_of
from server.desk.maps import event_list, events, localizations
from server.desk.maps.event_list import Row as EventRow
from server.desk.maps.regions import CALIBRATED, find_region
from server.desk.maps.tiles import Tiles
from server.desk.objects import galaxies, listings, measurements
from server.desk.outside.sky_pictures import LARGEST
from server.rest.context import Context
from server.web.desk import event_titles
from server.web.desk.desk_map import Mark, Outlines, draw, frame_of, outlines_of
from server.web.desk.event_titles import Title

__all__ = ["FAVORITES", "REGIONS", "REJECTED", "SORTS", "Asked", "Choice", "Row", "View", "classes_of",
           "view"]

SHOWN = 50  # candidates on a page
GALAXIES = 25
FAVORITES, REJECTED = "favorites", "rejected_candidates"

REGIONS = {"50": (0.5, False), "90": (0.9, False), "95": (0.95, False), "99": (0.99, False),
           "50c": (0.5, True), "90c": (0.9, True)}
"""The regions that a page offers: probability, and whether by the calibrated thresholds."""


SORTS = {"level": "most probable place first", "passed": "last passed first", "name": "by name"}


@dataclass(frozen=True)
class Asked:
    """What of a map's candidates is asked for."""

    region: str = "90"
    filter_id: int | None = None
    with_rejected: bool = False
    page: int = 1
    sort: str = "level"


@dataclass(frozen=True)
class Choice:
    """Something to choose in a form."""

    value: str
    text: str


@dataclass(frozen=True)
class Row:
    """A candidate on the page."""

    number: int
    candidate: Document
    level: float  # the probability of the smallest region that holds it
    density: float  # probability per square degree there
    filters: list[str]
    judgements: list[Document]
    comments: list[Document]
    is_favorite: bool
    is_rejected: bool

    @property
    def name(self) -> str:
        return str(self.candidate["id"])


@dataclass(frozen=True)
class Drawing:
    """The map, how many degrees it shows, and the same over a survey's image, where there is one."""

    picture: str
    across: float
    photograph: str


@dataclass(frozen=True)
class View:
    """The page."""

    localization: Document
    title: Title
    others: list[Document]  # sky maps of the same event
    rows: list[Row]
    total: int
    galaxies: list[tuple[float, Document]]
    galaxies_total: int
    filters: list[Choice]
    classes: list[Choice]
    drawing: Drawing
    area: float


async def view(ctx: Context, who: Visitor, row: Document, asked: Asked, image: str = "") -> View:
    """The page of a localization's row, as the visitor may see it. Raises BadRequest.

    `image` is where a survey's image of so many degrees is, which stand at its end.
    """
    tiles = await localizations.tiles_of(ctx, row)
    cumprob, is_calibrated = REGIONS[asked.region]
    name = row["name"] + (CALIBRATED if is_calibrated else "")
    known = await filters.readable(ctx, who)
    names = await _in_order(ctx, tiles, await _names(ctx, who, row, name, cumprob, asked), asked.sort)
    before = (asked.page - 1) * SHOWN
    rows = await _rows(ctx, who, names[before:before + SHOWN], tiles, before, known)
    region = await find_region(ctx, row["dateobs"].isoformat(), name, cumprob)
    inside, total = await galaxies.best_inside(ctx, region, tiles.level_at, GALAXIES)
    chosen = await asyncio.to_thread(_chosen, tiles, cumprob, is_calibrated)
    title, others = await _event(ctx, row)
    return View(row, title, others, rows, len(names), _by_level(tiles, inside), total,
                [Choice(str(one["_id"]), one["name"]) for one in known], await classes_of(ctx, who),
                await asyncio.to_thread(_drawing, tiles, chosen, asked.region, rows, image),
                float(tiles.area[chosen].sum()))


async def _event(ctx: Context, row: Document) -> tuple[Title, list[Document]]:
    """The title of a map's event with this map, and the event's other maps."""
    moment = row["dateobs"]
    event = EventRow(await events.find(ctx, moment), [row])
    maps = (await event_list.maps_of(ctx, [moment])).get(moment, [])
    others = [one for one in maps if one["_id"] != row["_id"]]
    return (await event_titles.titles(ctx, [event]))[moment], others


def _drawing(tiles: Tiles, chosen: np.ndarray, region: str, rows: Sequence[Row], image: str) -> Drawing:
    drawn = _outlines(tiles, chosen, region)
    marks = [Mark(one.number, one.name, one.candidate["ra"], one.candidate["dec"], _style(one))
             for one in rows if one.candidate["ra"] is not None]
    across = frame_of(drawn).across
    photograph = draw(drawn, marks, image=f"{image}{across:.4f}") if image and across <= LARGEST else ""
    return Drawing(draw(drawn, marks), across, photograph)


def _outlines(tiles: Tiles, chosen: np.ndarray, region: str) -> Outlines:
    """The region that is asked for, and always those of 90 % and 50 %."""
    others = [] if region in ("90", "50") else [("asked", chosen)]
    return outlines_of(tiles, [*others, ("r90", tiles.chosen(0.9)), ("r50", tiles.chosen(0.5))])


def _chosen(tiles: Tiles, cumprob: float, is_calibrated: bool) -> np.ndarray:
    return tiles.chosen_calibrated(cumprob) if is_calibrated else tiles.chosen(cumprob)


def _style(row: Row) -> str:
    return "good" if row.judgements else "idle" if row.is_rejected else "wait" if row.is_favorite else "busy"


async def _names(ctx: Context, who: Visitor, row: Mapping[str, Any], name: str, cumprob: float,
                 asked: Asked) -> list[str]:
    given: defaultdict[str, str | None] = defaultdict(lambda: None)
    given |= {"localizationDateobs": row["dateobs"].isoformat(), "localizationName": name,
              "localizationCumprob": str(cumprob)}
    if asked.filter_id is not None:
        given["filterIDs"] = str(asked.filter_id)
    if not asked.with_rejected:
        given["listNameReject"] = REJECTED
    search = read_search(given)
    return await find_names(ctx, who, search, await scope_of(ctx, who, search))


async def _in_order(ctx: Context, tiles: Tiles, names: list[str], sort: str) -> list[str]:
    """Names, which come by their passages, as they are to be shown."""
    if sort != "level":
        return sorted(names) if sort == "name" else names
    cursor = ctx.db.desk_objs.find({"_id": {"$in": names}, "hpix29": {"$ne": None}}, {"hpix29": 1})
    pixels = {row["_id"]: row["hpix29"] for row in await cursor.to_list()}
    placed = list(pixels)
    levels = tiles.level_at(list(pixels.values())).tolist() if placed else []
    rank = dict(zip(placed, levels, strict=True))
    return sorted(names, key=lambda name: (rank.get(name, 1.0), name))


async def _rows(ctx: Context, who: Visitor, names: Sequence[str], tiles: Tiles, before: int,
                known: Sequence[Document]) -> list[Row]:
    shown = await shown_candidates(ctx, who, names, Parts(alerts=True))
    judged = await classifications.of_objects(ctx, who, names)
    said = await _comments(ctx, who, names)
    favorites, rejected = await _on_list(ctx, who, FAVORITES), await _on_list(ctx, who, REJECTED)
    title = {one["_id"]: one["name"] for one in known}
    return [Row(before + number, one, *_at(tiles, one),
                [title.get(each, str(each)) for each in one["filter_ids"]], judged.get(one["id"], []),
                said.get(one["id"], []), one["id"] in favorites, one["id"] in rejected)
            for number, one in enumerate(shown, 1)]


async def _comments(ctx: Context, who: Visitor, names: Sequence[str]) -> dict[str, list[Document]]:
    """What people wrote of some objects, the latest first."""
    found: defaultdict[str, list[Document]] = defaultdict(list)
    for row in await measurements.rows(ctx, who, "comment", names):
        found[row["obj_id"]].append(row)
    return dict(found)


async def _on_list(ctx: Context, who: Visitor, name: str) -> set[str]:
    return {one["obj_id"] for one in await listings.listed(ctx, who, name)}


def _at(tiles: Tiles, candidate: Mapping[str, Any]) -> tuple[float, float]:
    """A candidate's credible level, and the density there."""
    deep = candidate["healpix"]
    return (1.0, 0.0) if deep is None else (float(tiles.level_at(deep)), float(tiles.density_at(deep)))


def _by_level(tiles: Tiles, rows: Sequence[Document]) -> list[tuple[float, Document]]:
    """Galaxies with their credible levels, the most probable places first."""
    if not rows:
        return []
    levels = tiles.level_at(positions.hpix29_many([row["ra"] for row in rows], [row["dec"] for row in rows]))
    return sorted(zip(levels.tolist(), rows, strict=True), key=lambda pair: (pair[0], pair[1]["name"]))


async def classes_of(ctx: Context, who: Visitor) -> list[Choice]:
    """The classes of all taxonomies that the visitor may use."""
    return [Choice(f"{one['_id']}:{name}", f"{name} ({one['name']})")
            for one in await taxonomies.readable(ctx, who) for name in one["classes"]]
