"""An event as the reconstruction sees it: pulses, header and stored reconstructions.

Units everywhere in the scanner: metres, nanoseconds, photo-electrons (PE), GeV, radians.
Times are float64 and relative to the start of the event's readout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Event", "Particle", "Pulses"]


@dataclass(frozen=True)
class Pulses:
    """Pulses of many DOMs as parallel arrays, sorted by (string, om, time).

    All arrays have shape ``(n_pulses,)``.
    """

    string: np.ndarray  # int16, 1 … 86
    om: np.ndarray  # int16, 1 … 60 in the ice (61 … 64 are IceTop)
    time: np.ndarray  # float64, ns
    charge: np.ndarray  # float32, PE
    width: np.ndarray  # float32, ns
    flags: np.ndarray  # uint8: 1 local coincidence (HLC), 2 ATWD, 4 FADC

    def __len__(self) -> int:
        return len(self.time)

    def select(self, keep: np.ndarray) -> Pulses:
        """The pulses that a boolean mask or an index array keeps."""
        return Pulses(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Particle:
    """A reconstructed or simulated particle; it comes *from* (zenith, azimuth), detector coordinates."""

    zenith: float
    azimuth: float
    x: float
    y: float
    z: float
    time: float
    energy: float = float("nan")
    shape: str = "track"  # "track" or "cascade"
    fit_status: int = 0


@dataclass(frozen=True)
class Event:
    """A realtime alert, ready to be reconstructed."""

    run_id: int
    subrun_id: int
    event_id: int
    event_type: str  # "HESE", "EHE", "neutrino" …
    mjd: float  # UTC, of the start of the readout
    is_real_event: bool
    pulses: Pulses  # all split in-ice pulses, uncleaned
    cleaned: Pulses  # what the official cleaning keeps: SRT, 6 µs window, IC strings
    recos: Mapping[str, Particle] = field(default_factory=dict)  # stored reconstructions by frame key
    truth: Particle | None = None  # only of simulated events
    #: By (string, om), windows in ns in which a DOM was saturated or badly calibrated: trust no charge there.
    exclusions: Mapping[tuple[int, int], tuple[tuple[float, float], ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what was left out when it was read, and why
