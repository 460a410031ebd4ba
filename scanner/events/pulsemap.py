"""Pulses by DOM, in the order in which IceTray keeps and masks them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanner.events.event import Pulses

__all__ = ["MAX_PULSES", "PULSE", "PulseMap"]

#: More pulses than any event of the detector holds; above it bytes are taken for damaged or hostile.
MAX_PULSES = 100_000

#: One pulse, packed as IceTray stores an I3RecoPulse of version 3 (ns, PE, ns).
PULSE = np.dtype([("time", "<f8"), ("charge", "<f4"), ("width", "<f4"), ("flags", "u1")])


@dataclass(frozen=True)
class PulseMap:
    """The pulses of a map from DOM to pulses, flattened in the map's order.

    Attributes
    ----------
    keys : ndarray of int32, shape (n_doms, 3)
        String, OM and PMT, sorted. A DOM may have no pulses.
    counts : ndarray of int64, shape (n_doms,)
        How many pulses each DOM has.
    pulses : ndarray of `PULSE`, shape (counts.sum(),)
        All pulses, DOM by DOM.
    """

    keys: np.ndarray
    counts: np.ndarray
    pulses: np.ndarray

    def select(self, keep: np.ndarray) -> PulseMap:
        """The pulses that a boolean array of shape (n_pulses,) keeps; DOMs left without any are dropped."""
        counts = np.bincount(self._dom_of_pulse()[keep], minlength=len(self.counts))
        left = counts > 0
        return PulseMap(self.keys[left], counts[left], self.pulses[keep])

    def to_pulses(self) -> Pulses:
        """The pulses as parallel arrays, sorted by string, OM and time."""
        dom = self._dom_of_pulse()
        string, om = self.keys[dom, 0], self.keys[dom, 1]
        order = np.lexsort((self.pulses["time"], om, string))
        found = self.pulses[order]
        return Pulses(string[order].astype(np.int16), om[order].astype(np.int16),
                      *(np.ascontiguousarray(found[name]) for name in ("time", "charge", "width", "flags")))

    @classmethod
    def from_pulses(cls, pulses: Pulses) -> PulseMap:
        """The map of pulses in any order; those of one DOM are ordered by time."""
        pulses = pulses.select(np.lexsort((pulses.time, pulses.om, pulses.string)))
        doms = np.stack([pulses.string, pulses.om, np.zeros(len(pulses))], axis=1).astype(np.int32)
        keys, counts = np.unique(doms, axis=0, return_counts=True)
        packed = np.empty(len(pulses), dtype=PULSE)
        for name in PULSE.names or ():
            packed[name] = getattr(pulses, name)
        return cls(keys, counts, packed)

    def _dom_of_pulse(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.counts)), self.counts)
