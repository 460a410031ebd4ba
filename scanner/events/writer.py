"""Write an event as i3live JSON, as the detector's realtime system sends it (generation 2023).

The frames G, C and D are empty; Q holds the pulses uncompressed, so that nothing is rounded, and P the
header, the mask of the split pulses, the stored reconstructions and, for a simulated event, its truth
under a key of its own. `scanner.events.i3live.read_event` gives back the same event.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from scanner.common.errors import EventError
from scanner.events.event import Event, Particle
from scanner.events.frame import Frame, FrameObject, encode_frame
from scanner.events.i3objects import (
    EventHeader,
    write_header,
    write_particle,
    write_pulse_map,
    write_string,
    write_time_window,
    write_time_windows,
)
from scanner.events.i3time import I3Time
from scanner.events.masks import keep_all, write_mask
from scanner.events.packet import ERRATA_KEY, EVENT_TYPES, HEADER_KEY, MESSAGE_KEY, PULSE_KEYS, TRUTH_KEY
from scanner.events.pickles import frame_to_pickle
from scanner.events.pulsemap import MAX_PULSES, PulseMap

__all__ = ["write_event"]

_GENERATION = "2023a"
_PULSES = PULSE_KEYS[0]
_TIME_RANGE = _PULSES + "TimeRange"
_SOURCE_KEY = "InIcePulses"
_SPLITTER = "InIceSplit"
_MJD_EPOCH = datetime(1858, 11, 17)
_TICKS_PER_NS = 10
_MUON, _ELECTRON = 13, 11  # PDG encodings


def write_event(event: Event) -> dict[str, Any]:
    """The JSON document of an event, ready for `json.dumps`.

    Parameters
    ----------
    event : Event
        ``cleaned`` is not stored: whoever reads the event cleans anew.

    Raises
    ------
    EventError
        When the event has no pulses or something that the format cannot hold.
    """
    _check(event)
    header = _header(event)
    empty = [Frame(stop) for stop in "GCD"]
    frames = [*empty, _readout_frame(event, header), _physics_frame(event, header)]
    return {
        "service": "PFOnlineWriter",
        "varname": "realtimeEventData",
        "prio": 2,
        "time": _clock(event.mjd),
        "value": {
            "version": _GENERATION,
            "streams": _streams(event),
            "data": {**_message(event), "frames": [[frame.stop, _encoded(frame)] for frame in frames]},
        },
    }


def _check(event: Event) -> None:
    if not 0 < len(event.pulses) <= MAX_PULSES:
        raise EventError(f"an event has 1 to {MAX_PULSES} pulses, not {len(event.pulses)}")
    if event.event_type not in EVENT_TYPES and event.event_type != "unknown":
        known = ", ".join(EVENT_TYPES)
        raise EventError(f"an event's type is one of {known} or unknown, not {event.event_type!r}")
    numbers = (event.run_id, event.subrun_id, event.event_id)
    if not all(0 <= number < 2**32 for number in numbers):
        raise EventError(f"run, subrun and event are 32-bit numbers, not {numbers}")
    for key in (HEADER_KEY, MESSAGE_KEY, TRUTH_KEY, _PULSES, _TIME_RANGE):
        if key in event.recos:
            raise EventError(f"a reconstruction cannot be called {key}")


def _header(event: Event) -> EventHeader:
    start = I3Time.from_mjd(event.mjd)
    duration = max(0, math.ceil(float(event.pulses.time.max()) * _TICKS_PER_NS))
    return EventHeader(event.run_id, event.subrun_id, event.event_id, start,
                       I3Time(start.year, start.ticks + duration))


def _readout_frame(event: Event, header: EventHeader) -> Frame:
    objects = {
        "Q" + HEADER_KEY: FrameObject("I3EventHeader", write_header(header)),
        _SOURCE_KEY: FrameObject("I3Map<OMKey, vector<I3RecoPulse> >",
                                 write_pulse_map(PulseMap.from_pulses(event.pulses))),
    }
    if event.exclusions:
        objects[ERRATA_KEY] = FrameObject("I3Map<OMKey, I3TimeWindowSeries>",
                                          write_time_windows(event.exclusions))
    return Frame("Q", objects)


def _physics_frame(event: Event, header: EventHeader) -> Frame:
    mask = keep_all(_SOURCE_KEY, PulseMap.from_pulses(event.pulses))
    times = event.pulses.time
    objects = {
        HEADER_KEY: FrameObject("I3EventHeader", write_header(header, _SPLITTER)),
        MESSAGE_KEY: FrameObject("I3PODHolder<__cxx11::string >", write_string(json.dumps(_message(event)))),
        _PULSES: FrameObject("I3RecoPulseSeriesMapMask", write_mask(mask)),
        _TIME_RANGE: FrameObject(
            "I3TimeWindow", write_time_window(float(times.min()), float(times.max()))),
    }
    for key, particle in event.recos.items():
        objects[key] = FrameObject("I3Particle", write_particle(particle))
    if event.truth is not None:
        objects[TRUTH_KEY] = FrameObject("I3Particle", write_particle(event.truth, _pdg(event.truth)))
    return Frame("P", objects)


def _pdg(particle: Particle) -> int:
    return _MUON if particle.shape == "track" else _ELECTRON


def _streams(event: Event) -> list[str]:
    return [event.event_type.lower()] if event.event_type in EVENT_TYPES else []


def _message(event: Event) -> dict[str, Any]:
    """The values that stand beside the frames and, as text, in the physics frame."""
    cleaned = event.cleaned
    message: dict[str, Any] = {stream: {} for stream in _streams(event)}
    doms = np.unique(cleaned.string.astype(np.int64) * 64 + cleaned.om)
    return message | {
        "run_id": event.run_id,
        "event_id": event.event_id,
        "unique_id": f"run{event.run_id:08d}.evt{event.event_id:012d}",
        "eventtime": _clock(event.mjd),
        "nch": len(doms),
        "npulses": len(cleaned),
        "qtot": round(float(cleaned.charge.sum()), 2),
    }


def _clock(mjd: float) -> str:
    """Date and time, UTC, to the microsecond."""
    return (_MJD_EPOCH + timedelta(days=mjd)).isoformat(" ", "microseconds")


def _encoded(frame: Frame) -> str:
    return base64.b64encode(zlib.compress(frame_to_pickle(encode_frame(frame)))).decode("ascii")
