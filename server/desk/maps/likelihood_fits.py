"""Flat FITS maps of a likelihood, as IceCube's scans write them: 2Δ ln L for each pixel, 0 at the best fit.

The column is called 2DLLH (also 2LLH; LLH is −ln L), and pixels where the fit failed are infinite or NaN
(github.com/icecube/skyreader). Such a map has no probabilities of its own: its density is the one whose
regions of 50 % and 90 % are those within 22.2 and 64.2, the thresholds of IceCube's public alerts.
"""

from __future__ import annotations

import numpy as np

from scanner.maps import healpix
from scanner.maps.level_sets import level_set
from scanner.maps.posterior import calibrated_density
from server.desk.common.fits_streams import TableStream
from server.desk.maps.flat_fits import MOST_PIXELS, FlatTable, is_missing
from server.desk.maps.tiles import SkymapError, Tiles

__all__ = ["LEVELS", "has_likelihood", "of_likelihood"]

LEVELS = "ic160427a"
_SCALES = {"2DLLH": 1.0, "2LLH": 1.0, "LLH": 2.0}  # what makes 2 ln L of a column
_FURTHEST = 525.0  # 2Δ ln L, where the density is 2e-9 of its maximum
_STEPS = 4096


def has_likelihood(table: TableStream) -> bool:
    """Whether a table holds such a map."""
    return any(name in _SCALES for name in table.kind.names or ())


def of_likelihood(table: TableStream) -> Tiles:
    """The map of a table, as far as there is anything to find. Raises SkymapError, FitsError."""
    flat = FlatTable.of(table, _SCALES, _seen)
    scale = _SCALES[flat.value]
    least = min((float(values.min()) for _, values in flat.blocks()), default=np.inf)
    if not np.isfinite(least):
        raise SkymapError(f"skymap: {flat.value}: no pixel has a value")
    limit = _limit(flat, least, scale)
    numbers, deltas = [], []
    for nested, values in flat.blocks():
        delta = scale * (values - least)
        near = delta <= limit
        numbers.append(nested[near])
        deltas.append(delta[near])
    nested, delta = np.concatenate(numbers), np.concatenate(deltas)
    area = np.full(len(delta), healpix.FULL_SKY_DEG2 / 12 / 4.0**flat.order)
    return Tiles.checked(healpix.to_uniq(flat.order, nested),
                         calibrated_density(delta, area, level_set(LEVELS)))


def _seen(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values) & ~is_missing(values)


def _limit(flat: FlatTable, least: float, scale: float) -> float:
    """Up to which 2Δ ln L there is room for pixels; beyond the 90 % region at least. Raises SkymapError."""
    counts = np.zeros(_STEPS, dtype=np.int64)
    for _, values in flat.blocks():
        counts += np.histogram(scale * (values - least), _STEPS, (0.0, _FURTHEST))[0]
    room = int(np.searchsorted(np.cumsum(counts), MOST_PIXELS, side="right"))
    limit = _FURTHEST * room / _STEPS
    if limit < level_set(LEVELS).thresholds[0.9]:
        raise SkymapError(f"skymap: {flat.value}: the 90 % region has more than {MOST_PIXELS} pixels; "
                          "send the map with a smaller nside")
    return limit
