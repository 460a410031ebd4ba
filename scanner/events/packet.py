"""A packet of frames and what it says about one event.

A realtime packet holds the frames G, C, D, Q and P. The physics frame (P, or p once a scanner has
prepared it) sees the objects of the readout frame Q too. Geometry, calibration and detector status are
differences to files that are not public; they are checked for damage and otherwise left alone.

What a scan needs, header and pulses, must be whole. Everything else is left out when it is damaged or of an
unknown version, and `Packet.notes` says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import numpy as np

from config.json_text import JsonError, decode
from scanner.common.errors import EventError
from scanner.events.archive import ArchiveReader
from scanner.events.event import Particle, Pulses
from scanner.events.frame import Frame, FrameObject
from scanner.events.i3objects import (
    EventHeader,
    TimeWindows,
    read_header,
    read_particle,
    read_string,
    read_time_windows,
)
from scanner.events.pulse_sources import CLASSES, CORRECTED, kind_of, pulse_map
from scanner.events.pulsemap import PulseMap

__all__ = ["ERRATA_KEY", "EVENT_TYPES", "HEADER_KEY", "MESSAGE_KEY", "PULSE_KEYS", "TRUTH_KEY", "Packet"]

HEADER_KEY = "I3EventHeader"
ERRATA_KEY = "CalibrationErrata"
MESSAGE_KEY = "AlertShortFollowupMsg"
TRUTH_KEY = "SimulatedTruth"  # ours alone: the particle that a simulated event was made from

#: Keys of the split in-ice pulses: since 2023, and before.
PULSE_KEYS = ("SplitInIcePulses", "SplitUncleanedInIcePulses")

#: Where those are missing: all in-ice pulses of the readout, in which several events may coincide.
_UNSPLIT_KEYS = ("InIcePulses", "UncleanedInIcePulses", "InIceDSTPulses", "OfflinePulses", "I3SuperDST")

_READOUT_HEADER_KEY = "QI3EventHeader"
_SATURATION_KEY = "SaturationWindows"
_STRINGS, _IN_ICE_OMS = 86, 60
_MAX_MESSAGE = 1 << 20  # characters
_LATEST = 1e9  # ns; no readout lasts a second

#: Which alert a message or an object speaks of, in the order in which the official scanner asks.
_TYPE_BY_MESSAGE = (("hese", "HESE"), ("ehe", "EHE"), ("neutrino", "neutrino"), ("estres", "ESTRES"))
EVENT_TYPES = tuple(name for _, name in _TYPE_BY_MESSAGE)
_TYPE_BY_OBJECT = (("HESE_llhratio", "HESE"), ("Estres_p_miss", "ESTRES"), ("PoleEHEOphelia_ImpLF", "EHE"))

_T = TypeVar("_T")


class Packet:
    """The readout and the physics frame of one event.

    Attributes
    ----------
    notes : list of str
        What was left out of all that was asked for so far, and why.

    Raises
    ------
    EventError
        When there is no physics frame; later, when an asked-for object is missing or damaged.
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        frames = list(frames)
        physics = _physics_frame(frames)
        readout = next((frame for frame in reversed(frames) if frame.stop == "Q"), Frame("Q"))
        self._stop = physics.stop
        self._physics = physics.objects
        self._objects = {**readout.objects, **physics.objects}
        self.notes = [f"frame {frame.stop}: skipped: {frame.damage}" for frame in frames if frame.damage]

    def header(self) -> EventHeader:
        """Run, event and times of the split."""
        if HEADER_KEY in self._objects:
            return self._read(HEADER_KEY, "I3EventHeader", read_header)
        if _READOUT_HEADER_KEY in self._objects:
            self._note(f"there is no {HEADER_KEY!r}; the readout's {_READOUT_HEADER_KEY!r} is taken")
            return self._read(_READOUT_HEADER_KEY, "I3EventHeader", read_header)
        raise EventError(f"the physics frame has no {HEADER_KEY!r}", frame=self._stop)

    def event_type(self) -> str | None:
        """HESE, EHE, neutrino or ESTRES, where the packet says so."""
        message = self._optional(MESSAGE_KEY, self._message) if MESSAGE_KEY in self._physics else None
        if message is not None:
            return next((name for key, name in _TYPE_BY_MESSAGE if key in message), None)
        return next((name for key, name in _TYPE_BY_OBJECT if key in self._physics), None)

    def pulses(self) -> Pulses:
        """All split pulses on the in-ice DOMs of the 86 strings."""
        key = self.pulse_key()
        pulses = self.pulse_map(key).to_pulses()
        usable = _Usable(pulses.select(pulses.om <= _IN_ICE_OMS))
        frame = f"{self._stop}/{key}"
        if not len(usable.pulses):
            raise EventError(usable.why_none(), frame=frame)
        for problem in usable.problems:
            self._note(f"{frame}: skipped: {problem}")
        return usable.pulses

    def pulse_key(self) -> str:
        """The key of the pulses to scan with; raises EventError when there is none."""
        for key in PULSE_KEYS:
            if key in self._objects:
                return key
        others = [key for key in self.pulse_keys() if key not in PULSE_KEYS]
        for key in _UNSPLIT_KEYS:
            if key in others:
                self._note(f"none of {' and '.join(PULSE_KEYS)} is in the packet; {key!r} is taken, which "
                           "may hold pulses of other events of the readout")
                return key
        rest = f"it has pulses under {', '.join(others)} only" if others else "it holds no pulses"
        raise EventError(f"none of {' and '.join(PULSE_KEYS)} is in the packet; {rest}", frame=self._stop)

    def pulse_keys(self) -> list[str]:
        """Every key that holds pulses."""
        return sorted(key for key, item in self._objects.items() if kind_of(item) in CLASSES)

    def pulse_map(self, key: str) -> PulseMap:
        """The pulses under a key; a chain of masks is applied from its root."""
        if key in self._objects and kind_of(self._objects[key]) == CORRECTED:
            self._note(f"{self._stop}/{key}: the charges are not corrected, for lack of the calibration")
        return pulse_map(self._objects, key, self._stop)

    def recos(self) -> dict[str, Particle]:
        """The stored reconstructions of the physics frame by key; those that failed are left out."""
        keys = {key for key, item in self._physics.items() if kind_of(item) == "I3Particle"} - {TRUTH_KEY}
        found = {key: self._particle(key) for key in sorted(keys)}
        return {key: particle for key, particle in found.items() if particle and _has_place(particle)}

    def truth(self) -> Particle | None:
        """What a simulated event was made from."""
        return self._particle(TRUTH_KEY) if TRUTH_KEY in self._physics else None

    def exclusions(self) -> TimeWindows:
        """When which DOMs were saturated or badly calibrated, by string and OM, in ns."""
        windows: dict[tuple[int, int], tuple[tuple[float, float], ...]] = {}
        for key in (ERRATA_KEY, _SATURATION_KEY):
            if key in self._objects:
                for dom, series in (self._optional(key, self._windows, key) or {}).items():
                    windows[dom] = windows.get(dom, ()) + series
        return windows

    def _particle(self, key: str) -> Particle | None:
        return self._optional(key, self._read, key, "I3Particle", read_particle)

    def _windows(self, key: str) -> TimeWindows:
        return self._read(key, "I3TimeWindowSeriesMap", read_time_windows)

    def _message(self) -> Mapping[str, object]:
        text = self._read(MESSAGE_KEY, "I3String", read_string)
        if len(text) > _MAX_MESSAGE:
            raise self._error(MESSAGE_KEY, f"a message of {len(text)} characters is too long")
        try:
            message = decode(text, gaps=True)
        except JsonError:
            raise self._error(MESSAGE_KEY, "the message is not JSON") from None
        if not isinstance(message, dict):
            raise self._error(MESSAGE_KEY, "the message is not a JSON object")
        return message

    def _optional(self, key: str, read: Callable[..., _T], *arguments: object) -> _T | None:
        """What is read, or None and a note when it cannot be."""
        try:
            return read(*arguments)
        except EventError as error:
            place = error.frame or f"{self._stop}/{key}"
            byte = "" if error.offset is None else f", byte {error.offset}"
            self._note(f"{place}{byte}: skipped: {error.reason}")
            return None

    def _read(self, key: str, kind: str, reader: Callable[[ArchiveReader], _T]) -> _T:
        item = self._objects[key]
        if kind_of(item) != kind:
            raise self._error(key, f"{kind} is expected, not {item.type_name[:80]}")
        return reader(ArchiveReader(item.data, item.frame, item.offset))

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _error(self, key: str, reason: str) -> EventError:
        item: FrameObject = self._objects[key]
        return EventError(reason, frame=item.frame, offset=item.offset)


class _Usable:
    """The pulses that a reconstruction can use, and what is wrong with the others."""

    def __init__(self, pulses: Pulses) -> None:
        self.problems: list[str] = []
        keep = np.ones(len(pulses), dtype=bool)
        on_strings = (pulses.string >= 1) & (pulses.string <= _STRINGS) & (pulses.om >= 1)
        for good, text in (
                (on_strings, f"outside strings 1 to {_STRINGS}, where no position of a module is known"),
                (np.abs(pulses.time) <= _LATEST, "with no time within a second of the readout"),
                (np.isfinite(pulses.charge), "with a charge that is no number"),
                (~(pulses.charge < 0), "with a negative charge"),
                (np.isfinite(pulses.width), "with a width that is no number")):
            bad = int(np.count_nonzero(keep & ~good))
            if bad:
                self.problems.append(f"{bad} of {len(pulses)} pulses {text}")
            keep &= good
        self.pulses = pulses.select(keep) if self.problems else pulses

    def why_none(self) -> str:
        if not self.problems:
            return "there are no in-ice pulses"
        return f"there are no in-ice pulses that can be used: {', '.join(self.problems)}"


def _physics_frame(frames: list[Frame]) -> Frame:
    """The physics frame; of several, the first that has pulses of its own."""
    physics = [frame for frame in frames if frame.stop in ("P", "p")]
    if not physics:
        present = ", ".join(dict.fromkeys(frame.stop for frame in frames))
        raise EventError(f"there is no physics frame, only {present or 'nothing'}")
    return next((frame for frame in physics if any(key in frame.objects for key in PULSE_KEYS)), physics[-1])


def _has_place(particle: Particle) -> bool:
    place = (particle.x, particle.y, particle.z, particle.time, particle.azimuth)
    return all(map(math.isfinite, place)) and 0 <= particle.zenith <= math.pi
