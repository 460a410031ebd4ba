"""A sky map as bytes for the viewer in the page: a JSON header, then pixels and values, little endian.

    uint32 length of the header · header, padded with spaces to a multiple of four bytes
    for each level, coarse to fine: uint32[count] NESTED pixels · float32[count] 2Δ ln L to the best pixel

The header has the outlines of the credible regions as the contours product has them, so that page and files
draw the same lines.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from scanner.maps.level_sets import LEVEL_SETS, default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.regions import contours
from scanner.maps.result import ScanResult
from scanner.maps.skymap import EmptyMapError, SkyMap
from server.common.errors import NotFound

__all__ = ["packed"]


def packed(result: ScanResult, levels: str | None, is_final: bool) -> bytes:
    """The map as far as it is known, with the outlines by a level set (by default: the reconstruction's).

    Raises NotFound while there is none.
    """
    try:
        skymap = SkyMap.from_results(result.pixels)
    except EmptyMapError as error:
        raise NotFound(str(error)) from None
    chosen = LEVEL_SETS[levels] if levels else default_levels(result.method.reco)
    parts, described = [], []
    for order in np.unique(skymap.order):
        here = skymap.order == order
        described.append({"nside": 1 << int(order), "count": int(here.sum())})
        parts += [skymap.nested[here].astype("<u4").tobytes(), skymap.delta[here].astype("<f4").tobytes()]
    best = skymap.best_fit
    header = msgspec.json.encode({
        "levels": described, "is_final": is_final,
        "regions": _regions(Posterior.of(skymap, chosen)),
        "best_fit": [math.radians(best.ra_deg), math.radians(best.dec_deg)]})
    header += b" " * (-len(header) % 4)
    return b"".join([len(header).to_bytes(4, "little"), header, *parts])


def _regions(posterior: Posterior) -> list[dict[str, Any]]:
    """The outlines of the regions by credible level: closed rings of [ra, dec] in degrees."""
    return [{"level": level, "threshold": threshold,
             "rings": [np.round(ring, 6).tolist() for ring in contours(posterior, level)]}
            for level, threshold in posterior.levels.thresholds.items()]
