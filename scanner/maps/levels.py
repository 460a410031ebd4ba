"""The levels of a scan: which pixels come first, which come next, and from where each one starts.

A progression such as ``8:0,64:12,512:24`` scans the whole sky at nside 8, then refines around the best
fit so far: the nside-8 pixels of a disc as large as 12 of them are divided into nside-64 pixels, and
24 nside-64 pixels into nside-512 ones. The best fit moves while results come in; asking again until
nothing new is named closes the scan. The rule is that of the IceCube Skymap Scanner
(github.com/icecube/skymap_scanner), computed from cones alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scanner.maps import healpix
from scanner.maps.result import nan_rows

__all__ = [
    "BestPixel", "Level", "Progression", "ProgressionError", "best_pixel", "estimate_pixels", "first_pixels",
    "next_pixels", "seeds_for",
]

MAX_PIXELS = 20_000_000  # of one scan: more is a slip of the pen, and would fill the memory
_OLD_WHOLE_SKY = 12  # HEALPix base pixels
GROWN_NSIDE = 1 << 12  # the finest to which a progression grows by itself: 50 arcseconds
MAX_NSIDE = 1 << 14  # 13 arcseconds: finer than any reconstruction, and indices stay small


class ProgressionError(ValueError):
    """An nside progression that can never be scanned; the text names the entry and the reason."""


class Level(NamedTuple):
    """One level: its nside and how many pixels' area of the level before is refined into it."""

    nside: int
    extension: int


class BestPixel(NamedTuple):
    """The pixel with the smallest −ln L of all nsides."""

    nside: int
    pixel: int
    llh: float


@dataclass(frozen=True)
class Progression:
    """Levels of a scan, coarse to fine; make one with ``parse``."""

    levels: tuple[Level, ...]
    grows: bool = False  # whether the scan goes on after the last level as its regions need (`growth`)

    @classmethod
    def parse(cls, value: Mapping[Any, Any] | str) -> Progression:
        """Read ``{"8": 0, "64": 12}`` or ``"8:0,64:12"``; ProgressionError says what is wrong and where.

        nsides are powers of two. Text must name them ascending; an object has no order and is sorted.
        The first level covers the sky and has extension 0, each further one an extension above 0. Older
        clients of SkyDriver write 12 for the first, which means the same. Text that ends in ``+`` names
        levels that grow.
        """
        grows = isinstance(value, str) and value.rstrip().endswith("+")
        if isinstance(value, str):
            value = value.rstrip().removesuffix("+")
        if isinstance(value, str):
            levels = [_level(*_split(part)) for part in value.split(",")]
        elif isinstance(value, Mapping):
            levels = sorted(_level(nside, extension) for nside, extension in value.items())
        else:
            raise ProgressionError("nsides: must be an object such as {'8': 0, '64': 12} or text '8:0,64:12'")
        if levels and levels[0].extension == _OLD_WHOLE_SKY:
            levels[0] = levels[0]._replace(extension=0)
        _check(levels)
        progression = cls(tuple(levels), grows)
        _check_size(progression)
        return progression

    @property
    def nsides(self) -> tuple[int, ...]:
        """The nsides, ascending."""
        return tuple(level.nside for level in self.levels)

    @property
    def ladder(self) -> tuple[int, ...]:
        """All nsides that the scan may have, ascending: where it grows, the last one is doubled."""
        if not self.grows:
            return self.nsides
        doubled, nside = [], 2 * self.nsides[-1]
        while nside <= GROWN_NSIDE:
            doubled.append(nside)
            nside *= 2
        return (*self.nsides, *doubled)

    def after(self, nside: int) -> int:
        """The nside that follows in the ladder; the last one if none does."""
        return next((finer for finer in self.ladder if finer > nside), self.ladder[-1])

    def as_dict(self) -> dict[str, int]:
        """The form of a scan request: nside as text → extension."""
        return {str(level.nside): level.extension for level in self.levels}

    def __str__(self) -> str:
        return ",".join(f"{level.nside}:{level.extension}" for level in self.levels) + "+" * self.grows

    def pairs(self) -> Iterable[tuple[Level, Level]]:
        """Each level with the next finer one."""
        return itertools.pairwise(self.levels)


def first_pixels(progression: Progression) -> np.ndarray:
    """The pixels of the first level: the whole sky, sorted."""
    return np.arange(healpix.npix(progression.levels[0].nside), dtype=np.int64)


def best_pixel(results: Mapping[int, np.ndarray]) -> BestPixel | None:
    """The best fit over all nsides; fits without a finite −ln L do not count. None while there is none.

    Of equal pixels the coarsest nside wins, then the smallest index.
    """
    best = None
    for nside in sorted(results):
        table = results[nside][np.isfinite(results[nside]["llh"])]
        if not len(table):
            continue
        low = table["llh"].min()
        if best is None or low < best.llh:
            best = BestPixel(nside, int(table["index"][table["llh"] == low].min()), float(low))
    return best


def next_pixels(progression: Progression, results: Mapping[int, np.ndarray],
                known: Mapping[int, np.ndarray] | None = None) -> dict[int, np.ndarray]:
    """The pixels that the results so far call for and that nobody has been asked to fit yet.

    ``results`` maps nside to tables of ``PIXEL_DTYPE``; ``known`` names further pixels that are already
    on their way. For each level with results, its pixels around the best fit of all nsides are divided
    into the next level's. Returns nside → sorted new pixels, empty when the scan is closed.
    """
    best = best_pixel(results)
    if best is None:
        return {}
    ra, dec = healpix.centres(best.nside, best.pixel)
    wanted = {}
    for level, finer in progression.pairs():
        if not len(results.get(level.nside, ())):
            continue
        radius = math.sqrt(finer.extension * healpix.pixel_area(level.nside) / math.pi)
        around = healpix.disc(level.nside, float(ra), float(dec), radius)
        refined = healpix.children(level.nside, around, finer.nside)
        new = np.setdiff1d(refined, _present(finer.nside, results, known))
        if len(new):
            wanted[finer.nside] = new
    return wanted


def seeds_for(progression: Progression, nside: int, pixels: np.ndarray,
              results: Mapping[int, np.ndarray]) -> np.ndarray:
    """A starting point per pixel: the result of its parent on the level before.

    Where that one is missing or failed, the level before it is asked, and so on. Rows of
    ``PIXEL_DTYPE`` in the order of ``pixels``; a row without any seed has index −1 and NaN elsewhere.
    """
    if nside not in progression.ladder:
        raise ProgressionError(f"nsides: {progression} has no level {nside}")
    seeds = nan_rows(np.full(len(pixels), -1))
    for coarser in [n for n in progression.ladder if n < nside]:
        table = results.get(coarser)
        if table is not None and len(pixels):
            _fill_seeds(seeds, healpix.parents(nside, pixels, coarser), table[np.isfinite(table["llh"])])
    return seeds


def estimate_pixels(progression: Progression) -> dict[int, int]:
    """How many pixels each level will have if the best fit does not move; it usually adds some."""
    counts = {progression.levels[0].nside: healpix.npix(progression.levels[0].nside)}
    for level, finer in progression.pairs():
        refined = finer.extension * (finer.nside // level.nside) ** 2
        counts[finer.nside] = min(refined, healpix.npix(finer.nside))
    return counts


def _fill_seeds(seeds: np.ndarray, parents: np.ndarray, table: np.ndarray) -> None:
    table = table[np.argsort(table["index"])]
    if not len(table):
        return
    place = np.minimum(np.searchsorted(table["index"], parents), len(table) - 1)
    found = table["index"][place] == parents
    seeds[found] = table[place[found]]


def _present(nside: int, *groups: Mapping[int, np.ndarray] | None) -> np.ndarray:
    """Pixels of one nside that any group names, as plain indices or as tables."""
    arrays = [np.asarray(group[nside]) for group in groups if group and nside in group]
    plain = [array["index"] if array.dtype.names else array for array in arrays]
    return np.concatenate([np.empty(0, dtype=np.int64), *plain])


def _split(part: str) -> tuple[str, str]:
    nside, colon, extension = part.partition(":")
    if not colon:
        raise ProgressionError(f"nsides: {part.strip()!r} must read nside:extension, such as 64:12")
    return nside.strip(), extension.strip()


def _level(nside: Any, extension: Any) -> Level:
    number = _integer(nside, f"nsides: the nside {nside!r}")
    if number < 1 or number & (number - 1) or number > MAX_NSIDE:
        raise ProgressionError(f"nsides: {number} is not a power of two from 1 to {MAX_NSIDE}")
    return Level(number, _integer(extension, f"nsides: the extension {extension!r} of nside {number}"))


def _integer(value: Any, what: str) -> int:
    """An integer, its decimal text, or a float without a fraction (JSON's 12.0)."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProgressionError(f"{what} must be an integer")
    return value


def _check(levels: list[Level]) -> None:
    if not levels:
        raise ProgressionError("nsides: at least one level is needed, such as {\"8\": 0}")
    for before, level in itertools.pairwise(levels):
        if level.nside <= before.nside:
            raise ProgressionError(f"nsides: must ascend, but {level.nside} follows {before.nside}")
        if level.extension < 1:
            raise ProgressionError(f"nsides: the extension of nside {level.nside} must be above 0")
    if levels[0].extension != 0:
        raise ProgressionError(f"nsides: the extension of the first nside, {levels[0].nside}, must be 0")


def _check_size(progression: Progression) -> None:
    total = sum(estimate_pixels(progression).values())
    if total > MAX_PIXELS:
        raise ProgressionError(f"nsides: {progression} would be {total:,} pixels, more than {MAX_PIXELS:,}")
