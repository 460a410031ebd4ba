"""A packet of frames and what it says about one event.

A realtime packet holds the frames G, C, D, Q and P. The physics frame (P, or p once a scanner has
prepared it) sees the objects of the readout frame Q too. Geometry, calibration and detector status are
differences to files that are not public; they are checked for damage and otherwise left alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from scanner.common.errors import EventError
from scanner.events.archive import ArchiveReader
from scanner.events.event import Particle, Pulses
from scanner.events.frame import Frame, FrameObject
from scanner.events.i3objects import (
    EventHeader,
    TimeWindows,
    read_header,
    read_particle,
    read_pulse_map,
    read_string,
    read_time_windows,
)
from scanner.events.masks import Mask, apply_mask, read_mask
from scanner.events.pulsemap import PulseMap
from scanner.events.superdst import read_superdst

__all__ = ["ERRATA_KEY", "EVENT_TYPES", "HEADER_KEY", "MESSAGE_KEY", "PULSE_KEYS", "TRUTH_KEY", "Packet"]

HEADER_KEY = "I3EventHeader"
ERRATA_KEY = "CalibrationErrata"
MESSAGE_KEY = "AlertShortFollowupMsg"
TRUTH_KEY = "SimulatedTruth"  # ours alone: the particle that a simulated event was made from

#: Keys of the split in-ice pulses: since 2023, and before.
PULSE_KEYS = ("SplitInIcePulses", "SplitUncleanedInIcePulses")

_SATURATION_KEY = "SaturationWindows"
_WINDOWS_TYPE = "I3Map<OMKey, I3TimeWindowSeries>"
_MASK_TYPE = "I3RecoPulseSeriesMapMask"
_PULSE_READERS = {"I3SuperDST": read_superdst, "I3Map<OMKey, vector<I3RecoPulse> >": read_pulse_map}
_STRINGS, _IN_ICE_OMS = 86, 60
_MAX_MASKS = 16
_MAX_MESSAGE = 1 << 20  # characters
_LATEST = 1e9  # ns; no readout lasts a second

#: Which alert a message or an object speaks of, in the order in which the official scanner asks.
_TYPE_BY_MESSAGE = (("hese", "HESE"), ("ehe", "EHE"), ("neutrino", "neutrino"), ("estres", "ESTRES"))
EVENT_TYPES = tuple(name for _, name in _TYPE_BY_MESSAGE)
_TYPE_BY_OBJECT = (("HESE_llhratio", "HESE"), ("Estres_p_miss", "ESTRES"), ("PoleEHEOphelia_ImpLF", "EHE"))

_T = TypeVar("_T")


class Packet:
    """The readout and the physics frame of one event.

    Raises
    ------
    EventError
        When there is no physics frame; later, when an asked-for object is missing or damaged.
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        by_stop = {frame.stop: frame for frame in frames}
        physics = by_stop.get("P") or by_stop.get("p")
        if physics is None:
            raise EventError(f"there is no physics frame, only {', '.join(by_stop) or 'nothing'}")
        readout = by_stop.get("Q", Frame("Q"))
        self._stop = physics.stop
        self._physics = physics.objects
        self._objects = {**readout.objects, **physics.objects}

    def header(self) -> EventHeader:
        """Run, event and times of the split."""
        if HEADER_KEY not in self._physics:
            raise EventError(f"the physics frame has no {HEADER_KEY!r}", frame=self._stop)
        return self._read(HEADER_KEY, "I3EventHeader", read_header)

    def event_type(self) -> str | None:
        """HESE, EHE, neutrino or ESTRES, where the packet says so."""
        if MESSAGE_KEY in self._physics:
            message = self._message()
            return next((name for key, name in _TYPE_BY_MESSAGE if key in message), None)
        return next((name for key, name in _TYPE_BY_OBJECT if key in self._physics), None)

    def pulses(self) -> Pulses:
        """All split pulses on the in-ice DOMs of the 86 strings."""
        key = next((key for key in PULSE_KEYS if key in self._objects), None)
        if key is None:
            raise EventError(f"none of {' and '.join(PULSE_KEYS)} is in the packet", frame=self._stop)
        pulses = self.pulse_map(key).to_pulses()
        pulses = pulses.select(pulses.om <= _IN_ICE_OMS)
        problem = _problem_of(pulses)
        if problem:
            raise EventError(problem, frame=f"{self._stop}/{key}")
        return pulses

    def pulse_map(self, key: str) -> PulseMap:
        """The pulses under a key; a chain of masks is applied from its root."""
        masks: list[tuple[str, Mask]] = []
        while self._object(key).type_name == _MASK_TYPE:
            mask = self._read(key, _MASK_TYPE, read_mask)
            masks.append((key, mask))
            key = mask.source
            if len(masks) > _MAX_MASKS:
                raise self._error(key, f"this chain of masks is longer than {_MAX_MASKS}, or a circle")
        pulse_map = self._root_map(key)
        for name, mask in reversed(masks):
            try:
                pulse_map = apply_mask(mask, pulse_map)
            except ValueError as error:
                raise self._error(name, str(error)) from None
        return pulse_map

    def recos(self) -> dict[str, Particle]:
        """The stored reconstructions of the physics frame by key; those that failed are left out."""
        keys = {key for key, item in self._physics.items() if item.type_name == "I3Particle"} - {TRUTH_KEY}
        found = {key: self._read(key, "I3Particle", read_particle) for key in sorted(keys)}
        return {key: particle for key, particle in found.items() if _has_place(particle)}

    def truth(self) -> Particle | None:
        """What a simulated event was made from."""
        return self._read(TRUTH_KEY, "I3Particle", read_particle) if TRUTH_KEY in self._physics else None

    def exclusions(self) -> TimeWindows:
        """When which DOMs were saturated or badly calibrated, by string and OM, in ns."""
        windows: dict[tuple[int, int], tuple[tuple[float, float], ...]] = {}
        for key in (ERRATA_KEY, _SATURATION_KEY):
            if key in self._objects:
                for dom, series in self._read(key, _WINDOWS_TYPE, read_time_windows).items():
                    windows[dom] = windows.get(dom, ()) + series
        return windows

    def _message(self) -> dict[str, object]:
        text = self._read(MESSAGE_KEY, "I3PODHolder<__cxx11::string >", read_string)
        if len(text) > _MAX_MESSAGE:
            raise self._error(MESSAGE_KEY, f"a message of {len(text)} characters is too long")
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise self._error(MESSAGE_KEY, "the message is not JSON") from None
        if not isinstance(message, dict):
            raise self._error(MESSAGE_KEY, "the message is not a JSON object")
        return message

    def _root_map(self, key: str) -> PulseMap:
        type_name = self._object(key).type_name
        if type_name not in _PULSE_READERS:
            raise self._error(key, f"{type_name[:80]} holds no pulses")
        return self._read(key, type_name, _PULSE_READERS[type_name])

    def _read(self, key: str, type_name: str, reader: Callable[[ArchiveReader], _T]) -> _T:
        item = self._object(key)
        if item.type_name != type_name:
            raise self._error(key, f"{type_name} is expected, not {item.type_name[:80]}")
        return reader(ArchiveReader(item.data, item.frame, item.offset))

    def _object(self, key: str) -> FrameObject:
        if key not in self._objects:
            raise EventError(f"the packet has no {key[:80]!r}", frame=self._stop)
        return self._objects[key]

    def _error(self, key: str, reason: str) -> EventError:
        item = self._objects[key]
        return EventError(reason, frame=item.frame, offset=item.offset)


def _problem_of(pulses: Pulses) -> str | None:
    """Why nobody can reconstruct these pulses."""
    if not len(pulses):
        return "there are no in-ice pulses"
    if not ((pulses.string >= 1) & (pulses.string <= _STRINGS) & (pulses.om >= 1)).all():
        return f"a pulse lies outside strings 1 to {_STRINGS}"
    if not (np.abs(pulses.time) <= _LATEST).all():
        return "a pulse has no time within a second of the readout"
    if not (np.isfinite(pulses.charge) & (pulses.charge >= 0) & np.isfinite(pulses.width)).all():
        return "a pulse has no finite charge and width"
    return None


def _has_place(particle: Particle) -> bool:
    place = (particle.x, particle.y, particle.z, particle.time, particle.azimuth)
    return all(map(math.isfinite, place)) and 0 <= particle.zenith <= math.pi
