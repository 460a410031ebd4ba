"""Rounds of pixels and how they are cut into batches: pure functions, so that any server cuts alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np

from config.settings import Scans
from scanner.maps.growth import grown_pixels
from scanner.maps.levels import Progression, first_pixels, next_pixels, seeds_for
from server.scans.pixels.tables import spread

__all__ = ["Cut", "Plan", "batch_size", "cost_at", "cut_round", "first_plan", "later_plan", "round_pixels",
           "without"]

LEAD = 4  # small batches at the very start, so that the first result comes soon
MIN_BATCHES = 8  # a round is cut into so many, so that several pilots share it,
WORTHWHILE_SECONDS = 0.25  # unless a batch would take less than this: then sharing costs more than it gains,
LEAST_SECONDS = 0.03  # but for cores that wait just then: these share it while a part is worth its way


class Plan(msgspec.Struct, frozen=True):
    """How one round is cut: everything needed to cut it again, the same way.

    The round's pixels follow from the results of all batches before `first`, but for those in `missing`,
    which were not in when it was planned. Sizes are in pixels; `sizes` are those of single nsides.
    """

    first: int  # sequence number of the round's first batch
    size: int
    lead: int = 0  # so many first batches
    lead_size: int = 0  # are that small
    missing: list[int] = []
    sizes: list[tuple[int, int]] = []
    cores: int = 1  # that seemed to be there for it
    adopted: list[int] = []  # sequence numbers of guesses (`guessing`) that are its first batches

    def size_at(self, nside: int) -> int:
        """Pixels of a batch of an nside."""
        return dict(self.sizes).get(nside, self.size)


@dataclass(frozen=True)
class Cut:
    """One batch of a round: pixels int64 and seeds PIXEL_DTYPE, both of shape (n,)."""

    seq: int
    nside: int
    pixels: np.ndarray
    seeds: np.ndarray | None


def round_pixels(progression: Progression, reco: str, results: Mapping[int, np.ndarray],
                 known: Mapping[int, np.ndarray], *, is_settled: bool) -> dict[int, np.ndarray]:
    """The pixels to do next by nside: the first level, or what the results call for; {}: the scan is over.

    Levels that grow do so when all is in that was asked for (`is_settled`).
    """
    if not known:
        return {progression.levels[0].nside: first_pixels(progression)}
    wanted = next_pixels(progression, results, known)
    if wanted or not (progression.grows and is_settled):
        return wanted
    return grown_pixels(progression, results, known, reco)


def cut_round(progression: Progression, reco: str, plan: Plan, results: Mapping[int, np.ndarray],
              known: Mapping[int, np.ndarray], adopted: Sequence[Cut] = ()) -> list[Cut]:
    """The batches of the planned round, in their order, but for the guesses that it adopts."""
    cuts: list[Cut] = []
    wanted = without(round_pixels(progression, reco, results, known, is_settled=not plan.missing), adopted)
    first = plan.first + len(plan.adopted)
    for nside, pixels in sorted(wanted.items()):
        pixels = spread(pixels)
        seeds = seeds_for(progression, nside, pixels, results) if known else None
        for start, end in _pieces(len(pixels), plan, plan.size_at(nside), len(cuts)):
            part_seeds = None if seeds is None else seeds[start:end]
            cuts.append(Cut(first + len(cuts), nside, pixels[start:end], part_seeds))
    return cuts


def without(wanted: Mapping[int, np.ndarray], cuts: Iterable[Cut]) -> dict[int, np.ndarray]:
    """What is left of wanted pixels when those of some batches are taken out."""
    left = dict(wanted)
    for cut in cuts:
        left[cut.nside] = np.setdiff1d(left[cut.nside], cut.pixels)
    return {nside: pixels for nside, pixels in left.items() if len(pixels)}


def _pieces(n: int, plan: Plan, size: int, before: int) -> list[tuple[int, int]]:
    edges = [0]
    while edges[-1] < n:
        is_lead = before + len(edges) - 1 < plan.lead
        edges.append(min(n, edges[-1] + (plan.lead_size if is_lead else size)))
    return list(pairwise(edges))


def cost_at(costs: Mapping[int, float], nside: int) -> float | None:
    """Seconds per pixel at an nside: as measured there, or at the one that is nearest; None of nothing."""
    nearest = min(costs, key=lambda one: (abs(math.log2(one / nside)), one), default=None)
    return None if nearest is None else costs[nearest]


def batch_size(settings: Scans, pixels: int, seconds_per_pixel: float | None, cores: int = 1) -> int:
    """Pixels per batch so that one takes about `batch_seconds`; the first batches' size while unmeasured.

    `cores` that wait for work get a part each, where that is less.
    """
    if seconds_per_pixel is None:
        return min(settings.first_batch_pixels, settings.max_batch_pixels)
    per_second = min(1 / max(seconds_per_pixel, 1e-9), 1e9)
    share = max(math.ceil(pixels / MIN_BATCHES), int(WORTHWHILE_SECONDS * per_second))
    if cores > 1:
        share = min(share, max(math.ceil(pixels / cores), int(LEAST_SECONDS * per_second)))
    return max(1, min(int(settings.batch_seconds * per_second), share, settings.max_batch_pixels))


def first_plan(settings: Scans, pixels: int, seconds_per_pixel: float | None, cores: int = 1) -> Plan:
    """The plan of the first round: it starts with small batches, with one alone if the others are quick."""
    size = batch_size(settings, pixels, seconds_per_pixel, cores)
    small = min(settings.first_batch_pixels, size)
    is_slow = size * (seconds_per_pixel or 0.0) > WORTHWHILE_SECONDS
    lead = (LEAD if is_slow else 1) if small < size else 0
    return Plan(first=0, size=size, lead=lead, lead_size=small, cores=cores)


def later_plan(settings: Scans, first: int, wanted: Mapping[int, int], costs: Mapping[int, float],
               missing: list[int], cores: int, adopted: list[int] | None = None) -> Plan:
    """The plan of a round after the first: so many pixels are to be cut by nside, which cost so much each."""
    total = sum(wanted.values())
    share = {nside: max(1, round(cores * pixels / max(total, 1))) for nside, pixels in wanted.items()}
    sizes = [(nside, batch_size(settings, pixels, cost_at(costs, nside), share[nside]))
             for nside, pixels in sorted(wanted.items())]
    most = max((size for _, size in sizes), default=1)
    return Plan(first, most, missing=missing, sizes=sizes, cores=cores, adopted=adopted or [])
