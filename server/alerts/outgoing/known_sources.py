"""Known sources in the 90 % region of a map, from the desk's spatial catalogues, as a circular tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scanner.maps import healpix
from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanResult
from scanner.maps.skymap import BestFit, SkyMap
from server.alerts.rules.gate import separation_deg
from server.desk.objects import spatial_catalogs
from server.rest.context import Context

__all__ = ["Known", "Looked", "lines", "near"]

MOST_TOLD = 20  # of one catalogue; the circular says how many more there are


@dataclass(frozen=True)
class Known:
    """A source of a catalogue inside the 90 % region of a map."""

    name: str
    about: str  # its class and what it is associated with, in words
    apart_deg: float  # from the best fit
    in_half: bool  # whether the 50 % region holds it, too


@dataclass(frozen=True)
class Looked:
    """What was found in one catalogue, the nearest first; None when this desk has no such catalogue."""

    catalog: str
    found: list[Known] | None


@dataclass(frozen=True)
class _Region:
    """A map's best fit and posterior, and the declinations that its 90 % region reaches."""

    best: BestFit
    posterior: Posterior
    lowest: float
    highest: float


async def near(ctx: Context, result: ScanResult) -> list[Looked]:
    """The configured catalogues, and what of each lies in a map's 90 % region. Raises EmptyMapError."""
    names = ctx.settings.alerts.circular_catalogs
    if not names:
        return []
    region = await asyncio.to_thread(_region, result)
    return [await _looked(ctx, name, region) for name in names]


async def _looked(ctx: Context, catalog: str, region: _Region) -> Looked:
    rows = await spatial_catalogs.between(ctx, catalog, region.lowest, region.highest)
    return Looked(catalog, None if rows is None else await asyncio.to_thread(_inside, rows, region))


def _region(result: ScanResult) -> _Region:
    skymap = SkyMap.from_results(result.pixels)
    posterior = Posterior.of(skymap, default_levels(result.method.reco))
    inside = posterior.inside(0.9)
    lowest, highest = 90.0, -90.0
    for order in np.unique(posterior.cells.order[inside]):
        nside = healpix.nside_of(int(order))
        here = posterior.cells.nested[inside & (posterior.cells.order == order)]
        _, dec = healpix.centres(nside, healpix.nest_to_ring(nside, here))
        size = 2 * healpix.pixel_area(nside) ** 0.5
        lowest, highest = min(lowest, float(dec.min()) - size), max(highest, float(dec.max()) + size)
    return _Region(skymap.best_fit, posterior, lowest, highest)


def _inside(rows: Sequence[Mapping[str, Any]], region: _Region) -> list[Known]:
    ra, dec = (np.array([row["data"][axis] for row in rows]) for axis in ("ra", "dec"))
    if not len(rows):
        return []
    in_half, inside = (region.posterior.holds(level, ra, dec) for level in (0.5, 0.9))
    found = [_known(row, region.best, bool(half))
             for row, half, holds in zip(rows, in_half, inside, strict=True) if holds]
    return sorted(found, key=lambda one: (one.apart_deg, one.name))


def _known(row: Mapping[str, Any], best: BestFit, in_half: bool) -> Known:
    about = row.get("about") or {}
    apart = separation_deg(best.ra_deg, best.dec_deg, row["data"]["ra"], row["data"]["dec"])
    said = "; ".join(about[name] for name in ("class", "association") if name in about)
    return Known(about.get("name", row["entry_name"]), said, apart, in_half)


def lines(looked: Iterable[Looked]) -> list[str]:
    """The passage of a circular; it says plainly where nothing was looked for."""
    told = list(looked)
    if not told:
        return ["Known gamma-ray and radio sources inside the 90 % region: not looked for, since no "
                "catalogue is configured [to be completed by the shifter]"]
    return ["Known sources inside the 90 % region, by their distance from the best fit:",
            *(line for one in told for line in _lines(one))]


def _lines(looked: Looked) -> list[str]:
    if looked.found is None:
        return [f"  {looked.catalog}: not looked for, since this desk has no catalogue of this name "
                "[to be completed by the shifter]"]
    if not looked.found:
        return [f"  {looked.catalog}: none"]
    more = len(looked.found) - MOST_TOLD
    return [f"  {looked.catalog}:", *(_line(one) for one in looked.found[:MOST_TOLD]),
            *([f"    and {more} more, further away"] if more > 0 else [])]


def _line(one: Known) -> str:
    about = f" ({one.about})" if one.about else ""
    where = "inside the 50 % region" if one.in_half else "outside the 50 % region"
    return f"    {one.name}{about}: {one.apart_deg:.2f} deg, {where}"
