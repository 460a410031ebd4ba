"""Sky maps of 2Δ ln L, as IceCube publishes them, turned to a probability.

The FITS files of IceCube's alerts hold the difference of −2 ln L to the best fit in a column ``2DLLH``
(formerly ``2LLH``), and say in the card ``COMMENTS`` at which difference the regions of 50 % and 90 % end
(github.com/icecube/skyreader, ``plotting_tools.format_fits_header``). Their pixels become cells of the same
calibrated posterior as those of our own scans, so regions end where the file says. Pixels without a finite
value are those where the fit did not converge: they are no part of the map.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import MappingProxyType

import numpy as np
from astropy.io import fits

from scanner.maps import healpix
from scanner.maps.level_sets import LEVEL_SETS, LevelSet, default_levels
from scanner.maps.posterior import Posterior
from server.desk.maps.tiles import DELTA, SkymapError, Tiles

__all__ = ["COLUMNS", "levels_of", "posterior_tiles", "seen", "siblings_merged"]

COLUMNS = {"2DLLH": 1.0, "2LLH": 1.0, "LLH": 2.0}
"""Names of the column in capitals, and what makes 2Δ ln L of its values: LLH is −ln L."""
_UNSEEN = 1e30  # HEALPix's mark of a pixel without a value is -1.6375e30
_THRESHOLDS = re.compile(r"2LLH of\s*([0-9.]{1,9})\s*\(\s*([0-9.]{1,9})\s*\)")


def levels_of(header: fits.Header) -> LevelSet:
    """The thresholds that a file names; the widest set there is for one that names none.

    Raises SkymapError.
    """
    text = " ".join(str(header.get(name, "")) for name in ("COMMENTS", "COMMENT"))
    if found := _THRESHOLDS.search(text):
        return _stated(*found.groups())
    return LEVEL_SETS["wilks"] if "wilks" in text.lower() else default_levels("")


def _stated(half: str, most: str) -> LevelSet:
    try:
        thresholds = {0.5: float(half), 0.9: float(most)}
    except ValueError:
        raise SkymapError(f"skymap: COMMENTS: {half!r} and {most!r} are no thresholds on 2LLH") from None
    if not 0 < thresholds[0.5] < thresholds[0.9]:
        raise SkymapError(f"skymap: COMMENTS: thresholds on 2LLH must rise from above 0, not {half}, {most}")
    for known in LEVEL_SETS.values():
        if not known.reco and {level: known.thresholds[level] for level in thresholds} == thresholds:
            return known
    return LevelSet(f"2LLH {half} ({most})", "Thresholds that the file states", MappingProxyType(thresholds))


def seen(values: np.ndarray) -> np.ndarray:
    """Which pixels have a value."""
    return np.isfinite(values) & (np.abs(values) < _UNSEEN)


def posterior_tiles(order: np.ndarray, nested: np.ndarray, values: np.ndarray, levels: LevelSet) -> Tiles:
    """The tiles of pixels that do not overlap, with 2 ln L up to a constant. Raises SkymapError."""
    if not len(values):
        raise SkymapError("skymap: no pixel has a value of 2LLH")
    along = np.argsort(nested << 2 * (healpix.MAX_ORDER - order), kind="stable")
    order, nested, delta = order[along], nested[along], (values - values.min())[along]
    posterior = Posterior.of_pixels(order, nested, delta, levels)
    return Tiles.checked(posterior.uniq, posterior.density_sr, {DELTA: delta})


def siblings_merged(order: int, nested: np.ndarray, values: np.ndarray
                    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orders, numbers and values of pixels, four children of one value joined to their parent.

    Flat maps show each pixel of a coarse part of a scan as many equal ones.
    """
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    along = np.argsort(nested, kind="stable")
    nested, values = nested[along], values[along]
    for depth in range(order, -1, -1):
        whole = _whole(nested, values) if depth else np.zeros(0, dtype=np.int64)
        rest = np.ones(len(nested), dtype=bool)
        rest[(whole[:, None] + np.arange(4)).ravel()] = False
        parts.append((np.full(int(rest.sum()), depth), nested[rest], values[rest]))
        nested, values = nested[whole] >> 2, values[whole]
    return _joined(parts)


def _whole(nested: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where four pixels of one parent and one value begin; the pixels are sorted."""
    if len(nested) < 4:
        return np.zeros(0, dtype=np.int64)
    same = (nested[3:] - nested[:-3] == 3) & (nested[:-3] % 4 == 0)
    same &= (values[1:-2] == values[:-3]) & (values[2:-1] == values[:-3]) & (values[3:] == values[:-3])
    return np.flatnonzero(same)


def _joined(parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    orders, numbers, values = zip(*parts, strict=True)
    return np.concatenate(orders), np.concatenate(numbers), np.concatenate(values)
