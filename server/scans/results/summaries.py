"""What is said of a map before anybody reads it: best fit with errors, regions by their level set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from scanner.maps import healpix
from scanner.maps.extents import extent
from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.skymap import BestFit, EmptyMapError, SkyMap
from server.scans.manifests.told import Place, Told

__all__ = ["LEVELS", "apart_deg", "summary_of", "summary_of_map"]

LEVELS = (0.5, 0.9)


def summary_of(tables: Mapping[int, np.ndarray], reco: str, told: Told | None = None) -> dict[str, Any]:
    """The summary of a reconstruction's map; {} while no pixel could be fitted."""
    try:
        skymap = SkyMap.from_results(tables)
    except EmptyMapError:
        return {}
    return summary_of_map(skymap, Posterior.of(skymap, default_levels(reco)), told)


def summary_of_map(skymap: SkyMap, posterior: Posterior, told: Told | None = None) -> dict[str, Any]:
    """Best fit, areas (square degrees), errors (degrees from the best fit to the edges of a region).

    `compared` says how far what the event tells (the online direction, the truth) is from the best fit.
    """
    best = skymap.best_fit
    summary: dict[str, Any] = {
        "best_fit": {"ra_deg": best.ra_deg, "dec_deg": best.dec_deg, "llh": best.llh, "nside": best.nside,
                     "pixel": best.pixel},
        "level_set": posterior.levels.name}
    for level in LEVELS:
        percent = f"{100 * level:g}"
        summary[f"area_{percent}_deg2"] = posterior.area(level)
        summary[f"area_{percent}_limits"] = ", ".join(posterior.limits(level))
        summary[f"errors_{percent}"] = asdict(extent(posterior, level, best))
    places = [("online", told.online), ("truth", told.truth)] if told else []
    summary["compared"] = [_compared(kind, place, posterior, best) for kind, place in places if place]
    return summary


def apart_deg(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The angle between two directions, all in degrees."""
    a, b = healpix.unit_vectors(*one), healpix.unit_vectors(*other)
    return float(np.degrees(2 * np.arcsin(min(float(np.linalg.norm(a - b)) / 2, 1.0))))


def _compared(kind: str, place: Place, posterior: Posterior, best: BestFit) -> dict[str, Any]:
    apart = apart_deg((place.ra_deg, place.dec_deg), (best.ra_deg, best.dec_deg))
    within = next((level for level in LEVELS if _holds(posterior, level, place)), None)
    return {"kind": kind, "name": place.name, "ra_deg": place.ra_deg, "dec_deg": place.dec_deg,
            "distance_deg": apart, "within": within}


def _holds(posterior: Posterior, level: float, place: Place) -> bool:
    """Whether a region has a direction in it."""
    inside, cells = posterior.inside(level), posterior.cells
    deep = int(healpix.nested_at(healpix.MAX_ORDER, place.ra_deg, place.dec_deg))
    shift = 2 * (healpix.MAX_ORDER - cells.order[inside])
    return bool(((deep >> shift) == cells.nested[inside]).any())
