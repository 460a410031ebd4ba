"""Guesses: pixels of the next level that are begun before the last results of a level are in.

While cores would idle, children of the pixels around the best fit so far are reconstructed ahead. A guess is
a batch like any other, with the seeds that it would have anyway, for only children of pixels with a finite
result are guessed. When the round is planned, guesses that lie wholly in it become batches of it; others are
thrown away with the run. So the final map is the same to the bit: a pixel's result depends on event,
direction and seed alone, and which pixels there are is decided from complete levels, as without guesses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from scanner.maps import healpix
from scanner.maps.levels import Progression, best_pixel, next_pixels, seeds_for
from server.scans.pixels.cutting import Cut

__all__ = ["fitting", "guess_id", "guessed", "is_guess", "owner"]

_MARK = "~"  # no scan's id has it


def guess_id(scan_id: str) -> str:
    """What stands for the scan in batches that are guesses."""
    return scan_id + _MARK


def is_guess(scan_id: str) -> bool:
    return scan_id.endswith(_MARK)


def owner(scan_id: str) -> str:
    """The scan itself."""
    return scan_id.removesuffix(_MARK)


def guessed(progression: Progression, results: Mapping[int, np.ndarray], known: Mapping[int, np.ndarray],
            number: int, sizes: Mapping[int, int], first: int) -> list[Cut]:
    """Up to `number` guesses, those nearest to the best fit so far first; `sizes` in pixels, by nside.

    `known` has all pixels that were asked for or guessed; sequence numbers begin with `first`.
    """
    best = best_pixel(results)
    if best is None:
        return []
    centre = healpix.unit_vectors(*map(float, healpix.centres(best.nside, best.pixel)))
    found: list[Cut] = []
    for nside, pixels in sorted(next_pixels(progression, results, known).items()):
        ordered, size = _nearest(progression, nside, pixels, results, centre), max(sizes.get(nside, 1), 1)
        for start in range(0, len(ordered), size)[:number - len(found)]:
            some = ordered[start:start + size]
            seeds = seeds_for(progression, nside, some, results)
            found.append(Cut(first + len(found), nside, some, seeds))
    return found


def _nearest(progression: Progression, nside: int, pixels: np.ndarray, results: Mapping[int, np.ndarray],
             centre: np.ndarray) -> np.ndarray:
    """The pixels whose parents have a result, children of a parent together, the nearest parents first."""
    coarser = max(one for one in progression.nsides if one < nside)
    table = results.get(coarser, np.empty(0, dtype=[("index", np.int64), ("llh", float)]))
    parents = healpix.parents(nside, pixels, coarser)
    has_result = np.isin(parents, table["index"][np.isfinite(table["llh"])])
    pixels, parents = pixels[has_result], parents[has_result]
    if not len(pixels):
        return pixels
    away = 1 - healpix.vectors(coarser, parents) @ centre
    return pixels[np.lexsort((pixels, parents, away))]


def fitting(progression: Progression, guesses: Iterable[Cut], wanted: Mapping[int, np.ndarray],
            results: Mapping[int, np.ndarray]) -> list[Cut]:
    """Those guesses that lie wholly in what a round wants, with its seeds, no pixel twice."""
    left, found = dict(wanted), list[Cut]()
    for guess in guesses:
        if guess.nside not in left or not np.isin(guess.pixels, left[guess.nside]).all():
            continue
        if _same(guess.seeds, seeds_for(progression, guess.nside, guess.pixels, results)):
            left[guess.nside] = np.setdiff1d(left[guess.nside], guess.pixels)
            found.append(guess)
    return found


def _same(one: np.ndarray | None, other: np.ndarray) -> bool:
    return one is not None and one.tobytes() == other.tobytes()
