"""The detector's pulse cleaning: neighbour search, time window, regular strings.

What the online filters do before a track fit, reproduced pulse for pulse. *Neighbours* are pulses on DOMs
within 150 m of each other (a DOM is its own neighbour) at most 1 µs apart. Coincident pulses with at
least two other coincident neighbours are the seeds; three times every neighbour of what is kept is added
("SeededRT", as in the I3SeededRTCleaning module of icecube/icetray-public). Then the 6 µs with the most
pulses are kept, and of these the pulses on regular strings: DeepCore's dense strings from 79 on are left
out.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from scanner.events.event import Pulses

__all__ = ["clean", "cleaned_mask", "seeded_neighbours", "time_window"]

_RADIUS = 150.0  # m
_INTERVAL = 1000.0  # ns
_SEED_NEIGHBOURS = 2
_ROUNDS = 3
_WINDOW = 6000.0  # ns
_FIRST_DENSE_STRING = 79
_HLC = 1
_ROWS = 64  # DOMs whose distances to all others are held at once
_BLOCK = 1 << 20  # pairs of a pulse and a DOM looked at together


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
    search = _NeighbourCount(pulses, positions)
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


class _NeighbourCount:
    """Counts, for every pulse, how many marked pulses are its neighbours (itself included).

    With the pulses ordered by DOM and time, the neighbours of a pulse on one DOM are a range; all ranges are
    found once, and counting is a difference of running sums. Long lists of pulses are worked off in blocks,
    so that memory stays bounded.
    """

    def __init__(self, pulses: Pulses, positions: np.ndarray) -> None:
        number = 60 * (pulses.string.astype(np.int64) - 1) + pulses.om - 1
        doms, dom = np.unique(number, return_inverse=True)
        near, degrees, starts = _doms_in_reach(positions.reshape(-1, 3)[doms])
        by_time = np.argsort(pulses.time, kind="stable")
        rank = np.empty_like(by_time)
        rank[by_time] = np.arange(len(pulses))
        row = len(pulses) + 1
        self._order = np.argsort(dom * row + rank)
        keys = np.sort(dom * row + rank)
        ordered = pulses.time[by_time]
        earliest = np.searchsorted(ordered, pulses.time - _INTERVAL)
        latest = np.searchsorted(ordered, pulses.time + _INTERVAL, side="right")
        self._blocks = []
        for block in _blocks(degrees[dom]):
            degree = degrees[dom[block]]
            first = np.cumsum(degree) - degree
            within = np.arange(degree.sum()) - np.repeat(first, degree)
            base = near[np.repeat(starts[dom[block]], degree) + within] * row
            begin = np.searchsorted(keys, base + np.repeat(earliest[block], degree))
            end = np.searchsorted(keys, base + np.repeat(latest[block], degree))
            self._blocks.append((first, begin.astype(np.int32), end.astype(np.int32)))

    def count(self, marked: np.ndarray) -> np.ndarray:
        """Number of marked neighbours of each pulse; ``marked`` is boolean, shape (n_pulses,)."""
        running = np.concatenate([[0], np.cumsum(marked[self._order])])
        counts = [np.add.reduceat(running[end] - running[begin], first) for first, begin, end in self._blocks]
        return np.concatenate([np.zeros(0, dtype=np.int64), *counts])


def _blocks(weights: np.ndarray) -> list[slice]:
    """Cut a range into slices whose weights add up to about `_BLOCK`."""
    done = np.cumsum(weights)
    total = int(done[-1]) if len(done) else 0
    cuts = np.searchsorted(done, np.arange(_BLOCK, total, _BLOCK), side="right")
    edges = np.unique(np.concatenate([[0], cuts, [len(weights)]])).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _doms_in_reach(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each DOM the DOMs within reach, itself included: their indices, how many, and where they start.

    By all distances: that takes 14 ms for a thousand DOMs; to import a tree (SciPy) takes 200 and more.
    """
    near, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for first in range(0, len(positions), _ROWS):
        apart = positions[first : first + _ROWS, None] - positions[None]
        within = np.einsum("ijk,ijk->ij", apart, apart) <= _RADIUS * _RADIUS
        near.append(np.nonzero(within)[1])
        counts.append(np.count_nonzero(within, axis=1))
    degrees = np.concatenate(counts)
    return np.concatenate(near), degrees, np.cumsum(degrees) - degrees
