"""The detector's pulse cleaning: neighbour search, time window, regular strings.

What the online filters do before a track fit, reproduced pulse for pulse. *Neighbours* are pulses on DOMs
within 150 m of each other (a DOM is its own neighbour) at most 1 µs apart. Coincident pulses with at
least two other coincident neighbours are the seeds; three times every neighbour of what is kept is added
("SeededRT", as in the I3SeededRTCleaning module of icecube/icetray-public). Then the 6 µs with the most
pulses are kept, and of these the pulses on regular strings: DeepCore's dense strings from 79 on are left
out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from scanner.event import Pulses

__all__ = ["clean", "cleaned_mask", "seeded_neighbours", "time_window"]

_RADIUS = 150.0  # m
_INTERVAL = 1000.0  # ns
_SEED_NEIGHBOURS = 2
_ROUNDS = 3
_WINDOW = 6000.0  # ns
_FIRST_DENSE_STRING = 79
_HLC = 1


def clean(pulses: Pulses, positions: np.ndarray) -> Pulses:
    """The pulses that the cleaning keeps; see `cleaned_mask`."""
    return pulses.select(cleaned_mask(pulses, positions))


def cleaned_mask(pulses: Pulses, positions: np.ndarray) -> np.ndarray:
    """Which pulses the cleaning keeps.

    Parameters
    ----------
    pulses : Pulses
        All split in-ice pulses, in any order.
    positions : ndarray, shape (86, 60, 3)
        Where the DOMs are, in metres, by string - 1 and OM - 1.

    Returns
    -------
    ndarray of bool, shape (n_pulses,)
    """
    keep = seeded_neighbours(pulses, positions)
    keep[keep] = time_window(pulses.time[keep])
    return keep & (pulses.string < _FIRST_DENSE_STRING)


def seeded_neighbours(pulses: Pulses, positions: np.ndarray) -> np.ndarray:
    """Which pulses the neighbour search keeps; arguments and result as of `cleaned_mask`."""
    search = _NeighbourCount.of(pulses, positions)
    hlc = pulses.flags & _HLC != 0
    keep = hlc & (search.count(hlc) > _SEED_NEIGHBOURS)  # a pulse counts itself
    for _ in range(_ROUNDS):
        keep = search.count(keep) > 0
    return keep


def time_window(time: np.ndarray) -> np.ndarray:
    """Which times, in ns, lie in the 6 µs with the most of them (the earliest such window)."""
    if not len(time):
        return np.zeros(0, dtype=bool)
    ordered = np.sort(time)
    counts = np.searchsorted(ordered, ordered + _WINDOW) - np.arange(len(time))
    start = ordered[np.argmax(counts)]
    return (time >= start) & (time < start + _WINDOW)


@dataclass(frozen=True)
class _NeighbourCount:
    """Counts, for every pulse, how many marked pulses are its neighbours (itself included).

    With the pulses ordered by DOM and time, the neighbours of a pulse on one DOM are a range; all ranges are
    found once, and counting is a difference of running sums.
    """

    order: np.ndarray  # pulses by DOM and time
    first: np.ndarray  # for each pulse, where its ranges start in the two arrays below
    begin: np.ndarray  # positions in `order`, for each pulse and DOM near it
    end: np.ndarray

    def count(self, marked: np.ndarray) -> np.ndarray:
        """Number of marked neighbours of each pulse; ``marked`` is boolean, shape (n_pulses,)."""
        if not len(marked):
            return np.zeros(0, dtype=np.int64)
        running = np.concatenate([[0], np.cumsum(marked[self.order])])
        return np.add.reduceat(running[self.end] - running[self.begin], self.first)

    @classmethod
    def of(cls, pulses: Pulses, positions: np.ndarray) -> _NeighbourCount:
        n = len(pulses)
        doms, dom = np.unique(60 * (pulses.string.astype(np.int64) - 1) + pulses.om - 1, return_inverse=True)
        near, n_near, first_near = _doms_in_reach(positions.reshape(-1, 3)[doms])
        by_time = np.argsort(pulses.time, kind="stable")
        rank = np.empty(n, dtype=np.int64)
        rank[by_time] = np.arange(n)
        key = dom * (n + 1) + rank
        order = np.argsort(key)
        ordered_time = pulses.time[by_time]
        earliest = np.searchsorted(ordered_time, pulses.time - _INTERVAL)
        latest = np.searchsorted(ordered_time, pulses.time + _INTERVAL, side="right")
        degree = n_near[dom]
        first = np.cumsum(degree) - degree
        within = np.arange(degree.sum()) - np.repeat(first, degree)
        row = near[np.repeat(first_near[dom], degree) + within] * (n + 1)
        begin = np.searchsorted(key[order], row + np.repeat(earliest, degree))
        end = np.searchsorted(key[order], row + np.repeat(latest, degree))
        return cls(order, first, begin, end)


def _doms_in_reach(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each DOM the DOMs within reach, itself included: their indices, how many, and where they start."""
    n = len(positions)
    pairs = cKDTree(positions).query_pairs(_RADIUS, output_type="ndarray").astype(np.int64)
    itself = np.arange(n)
    of = np.concatenate([pairs[:, 0], pairs[:, 1], itself])
    near = np.concatenate([pairs[:, 1], pairs[:, 0], itself])
    counts = np.bincount(of, minlength=n)
    return near[np.lexsort((near, of))], counts, np.cumsum(counts) - counts
