"""The objects of a frame that the scanner reads, and those that it writes.

Layouts after the classes' ``serialize`` functions in icecube/icetray-public: I3EventHeader, I3Time,
I3Particle, I3RecoPulse, I3TimeWindow, I3String. A reader takes an `ArchiveReader`, uses every byte and raises
`EventError` otherwise; a writer returns the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scanner.common.errors import EventError
from scanner.events.archive import ArchiveReader, ArchiveWriter
from scanner.events.event import Particle
from scanner.events.i3time import I3Time
from scanner.events.pulsemap import MAX_PULSES, PULSE, PulseMap

__all__ = ["EventHeader", "TimeWindows", "read_combined_source", "read_corrected_source", "read_header",
           "read_particle", "read_pulse_map", "read_sources", "read_string", "read_time_window",
           "read_time_windows", "write_header", "write_particle", "write_pulse_map", "write_string",
           "write_time_window", "write_time_windows"]

#: By DOM (string, OM): windows from start to stop, ns.
TimeWindows = Mapping[tuple[int, int], tuple[tuple[float, float], ...]]

_HEADER_VERSION = 3
_PARTICLE_VERSION = 5
_OMKEY_VERSION = 2
_PULSE_VERSION = 3
_OLD_PULSE = [("time", "<f8"), ("hit_id", "<i4"), ("charge", "<f8"), ("width", "<f8")]
_PULSES_OF_VERSION = {
    0: np.dtype(_OLD_PULSE), 1: np.dtype([*_OLD_PULSE, ("source", "<i4")]),
    2: np.dtype([("time", "<f4"), ("charge", "<f4"), ("width", "<f4"), ("flags", "u1")]), 3: PULSE}
_FLAGS_OF_SOURCE = {0: 3, 1: 5, 10: 5, 5: 4, 50: 4}
"""Pulses of version 1 name their source: ATWD, FADC (once 10), no local coincidence (once 50)."""
_TRACKED = {version: np.dtype([("object_id", "<u4"), ("pulse", dtype)])
            for version, dtype in _PULSES_OF_VERSION.items()}
_SMALLEST_PULSE = min(dtype.itemsize for dtype in _PULSES_OF_VERSION.values())
_HEADER_OK = 20
_SHAPE_CODES = {"track": 40, "cascade": 30}  # InfiniteTrack, Cascade
_CASCADES = {30, 31}  # Cascade, CascadeSegment
_LIGHT_SPEED = 0.299792458  # m/ns
_SMALLEST_DOM = 12  # bytes of a map entry: string, OM, count
_WINDOW_SIZE = 16  # bytes


@dataclass(frozen=True)
class EventHeader:
    """Which event this is and when it was read out."""

    run_id: int
    subrun_id: int
    event_id: int
    start: I3Time
    end: I3Time


def read_header(archive: ArchiveReader) -> EventHeader:
    """Read an ``I3EventHeader``."""
    version = archive.begin("I3EventHeader", range(_HEADER_VERSION + 1))
    run_id, subrun_id, event_id = archive.u32(), archive.u32() if version > 0 else 0, archive.u32()
    if version > 1:
        archive.i32()  # state
    if version > 2:
        archive.u32()  # number of the split
        archive.string()  # name of the splitter
    start, end = _read_time(archive), _read_time(archive)
    archive.finish()
    return EventHeader(run_id, subrun_id, event_id, start, end)


def write_header(header: EventHeader, splitter: str = "") -> bytes:
    """The bytes of an ``I3EventHeader``; physics frames name the splitter."""
    archive = ArchiveWriter()
    archive.begin("I3EventHeader", _HEADER_VERSION)
    for value in (header.run_id, header.subrun_id, header.event_id):
        archive.u32(value)
    archive.i32(_HEADER_OK)
    archive.u32(0)
    archive.string(splitter)
    for time in (header.start, header.end):
        archive.class_info("I3Time", tracked=True)
        archive.base()
        archive.i32(time.year)
        archive.i64(time.ticks)
    return archive.finish()


def read_particle(archive: ArchiveReader) -> Particle:
    """Read an ``I3Particle``; whatever is not a cascade counts as a track."""
    version = archive.begin("I3Particle", range(_PARTICLE_VERSION + 1))
    archive.u32()  # minor id
    if version > 1:
        archive.u64()  # major id
    if version == 0:
        archive.raw(8)  # ids of parent and primary
    archive.i32()  # PDG encoding, before version 5 a code of IceTray's own
    shape, fit_status = archive.i32(), archive.i32()
    archive.class_info("I3Position")
    archive.base()
    x, y, z = archive.f64(), archive.f64(), archive.f64()
    archive.class_info("I3Direction")
    archive.base()
    zenith, azimuth = archive.f64(), archive.f64()
    time, energy = archive.f64(), archive.f64()
    archive.f64()  # length
    archive.f64()  # speed
    if version > 0:
        archive.i32()  # location type
    elif archive.class_info("vector<I3Particle>") == 0 and archive.count(1):
        raise archive.error("a particle that holds further particles is not read")
    if version == 4:
        archive.raw(16)  # Bjorken's x and y
    archive.finish()
    kind = "cascade" if shape in _CASCADES else "track"
    return Particle(zenith, azimuth, x, y, z, time, energy, kind, fit_status)


def write_particle(particle: Particle, pdg: int = 0) -> bytes:
    """The bytes of an ``I3Particle``; ``pdg`` 0 means unknown, as in every reconstruction."""
    if particle.shape not in _SHAPE_CODES:
        raise EventError(f"a particle's shape is one of {', '.join(_SHAPE_CODES)}, not {particle.shape!r}")
    archive = ArchiveWriter()
    archive.begin("I3Particle", _PARTICLE_VERSION)
    archive.u32(0)
    archive.u64(0)
    archive.i32(pdg)
    archive.i32(_SHAPE_CODES[particle.shape])
    archive.i32(particle.fit_status)
    _write_tracked_doubles(archive, "I3Position", (particle.x, particle.y, particle.z))
    _write_tracked_doubles(archive, "I3Direction", (particle.zenith, particle.azimuth))
    for value in (particle.time, particle.energy, math.nan, _LIGHT_SPEED):
        archive.f64(value)
    archive.i32(0)
    return archive.finish()


def read_pulse_map(archive: ArchiveReader) -> PulseMap:
    """Read an uncompressed map from DOM to pulses."""
    archive.begin("I3RecoPulseSeriesMap")
    archive.class_info("map<OMKey, vector<I3RecoPulse>>")
    keys, counts, pulses = [], [], [np.empty(0, dtype=PULSE)]
    for _ in range(archive.count(_SMALLEST_DOM)):
        keys.append(_read_dom(archive))
        archive.class_info("vector<I3RecoPulse>")
        found = _read_pulses(archive)
        counts.append(len(found))
        pulses.append(found)
    archive.finish()
    if any(a >= b for a, b in pairwise(keys)):
        raise archive.error("the DOMs of a pulse map are not in order")
    if sum(counts) > MAX_PULSES:
        raise archive.error(f"{sum(counts)} pulses are more than an event can hold ({MAX_PULSES})")
    return PulseMap(np.array(keys, dtype=np.int64).reshape(-1, 3), np.array(counts, dtype=np.int64),
                    np.concatenate(pulses))


def write_pulse_map(pulse_map: PulseMap) -> bytes:
    """The bytes of an uncompressed pulse map."""
    archive = ArchiveWriter()
    archive.begin("I3RecoPulseSeriesMap")
    archive.class_info("map<OMKey, vector<I3RecoPulse>>")
    archive.u32(len(pulse_map.counts))
    stop = 0
    for (string, om, pmt), count in zip(pulse_map.keys.tolist(), pulse_map.counts.tolist(), strict=True):
        _write_dom(archive, string, om, pmt)
        archive.class_info("vector<I3RecoPulse>")
        archive.u32(count)
        start, stop = stop, stop + count
        for pulse in pulse_map.pulses[start:stop]:
            archive.class_info("I3RecoPulse", tracked=True, version=_PULSE_VERSION)
            archive.raw(pulse.tobytes())
    return archive.finish()


def read_time_window(archive: ArchiveReader) -> tuple[float, float]:
    """Read an ``I3TimeWindow``: start and stop in ns."""
    archive.begin("I3TimeWindow", (0, 1), based=range(1, 2))
    window = archive.f64(), archive.f64()
    archive.finish()
    return window


def write_time_window(start: float, stop: float) -> bytes:
    """The bytes of an ``I3TimeWindow``, ns."""
    archive = ArchiveWriter()
    archive.begin("I3TimeWindow", 1)
    archive.f64(start)
    archive.f64(stop)
    return archive.finish()


def read_time_windows(archive: ArchiveReader) -> TimeWindows:
    """Read a map from DOM to time windows, such as ``CalibrationErrata``."""
    archive.begin("I3TimeWindowSeriesMap")
    archive.class_info("map<OMKey, I3TimeWindowSeries>")
    windows: dict[tuple[int, int], tuple[tuple[float, float], ...]] = {}
    for _ in range(archive.count(_SMALLEST_DOM)):
        string, om, _pmt = _read_dom(archive)
        if archive.class_info("I3TimeWindowSeries", versions=(0, 1)):
            archive.base()
        archive.class_info("vector<I3TimeWindow>")
        windows[string, om] = tuple(_read_window(archive) for _ in range(archive.count(_WINDOW_SIZE)))
    archive.finish()
    return windows


def write_time_windows(windows: TimeWindows) -> bytes:
    """The bytes of a map from DOM to time windows."""
    archive = ArchiveWriter()
    archive.begin("I3TimeWindowSeriesMap")
    archive.class_info("map<OMKey, I3TimeWindowSeries>")
    archive.u32(len(windows))
    for (string, om), series in sorted(windows.items()):
        _write_dom(archive, string, om, 0)
        archive.class_info("I3TimeWindowSeries", tracked=True, version=1)
        archive.base()
        archive.class_info("vector<I3TimeWindow>")
        archive.u32(len(series))
        for window in series:
            _write_tracked_doubles(archive, "I3TimeWindow", window, version=1)
    return archive.finish()


def read_sources(archive: ArchiveReader) -> tuple[str, ...]:
    """Read the keys that an ``I3RecoPulseSeriesMapUnion`` unites."""
    archive.begin("I3RecoPulseSeriesMapUnion")
    archive.class_info("vector<string>")
    keys = tuple(archive.string() for _ in range(archive.count(4)))
    archive.finish()
    return keys


def read_corrected_source(archive: ArchiveReader) -> str:
    """Read which pulses an ``I3RecoPulseSeriesMapApplySPECorrection`` corrects."""
    archive.begin("I3RecoPulseSeriesMapApplySPECorrection")
    key, _calibration = archive.string(), archive.string()
    archive.finish()
    return key


def read_combined_source(archive: ArchiveReader) -> str:
    """Read whose pulses an ``I3RecoPulseSeriesMapCombineByModule`` combines over the PMTs of a module."""
    archive.begin("I3RecoPulseSeriesMapCombineByModule")
    key = archive.string()
    archive.finish()
    return key


def read_string(archive: ArchiveReader) -> str:
    """Read an ``I3String``."""
    archive.begin("I3String")
    value = archive.string()
    archive.finish()
    return value


def write_string(text: str) -> bytes:
    """The bytes of an ``I3String``."""
    archive = ArchiveWriter()
    archive.begin("I3String")
    archive.string(text)
    return archive.finish()


def _read_time(archive: ArchiveReader) -> I3Time:
    archive.class_info("I3Time")
    archive.base()
    year, ticks = archive.i32(), archive.i64()
    try:
        return I3Time(year, ticks)
    except EventError as error:
        raise archive.error(error.reason) from None


def _read_dom(archive: ArchiveReader) -> tuple[int, int, int]:
    """The key of a map entry: string, OM, PMT."""
    archive.class_info("pair<OMKey>")
    version = archive.class_info("OMKey", versions=range(_OMKEY_VERSION + 1))
    if version < 2:
        archive.base()
    return archive.i32(), archive.u32(), archive.u8() if version > 0 else 0


def _read_pulses(archive: ArchiveReader) -> np.ndarray:
    """The pulses of one DOM; tracked pulses carry an object id each, which says nothing."""
    count = archive.count(_SMALLEST_PULSE)
    if not count:
        return np.empty(0, dtype=PULSE)
    tracked, version = archive.class_header("I3RecoPulse", _PULSES_OF_VERSION)
    stored = _PULSES_OF_VERSION[version]
    if tracked:
        return _as_pulses(archive.array(_TRACKED[version], count)["pulse"])
    return _as_pulses(archive.array(stored, count))


def _as_pulses(stored: np.ndarray) -> np.ndarray:
    """Pulses of any version as `PULSE`."""
    if stored.dtype == PULSE:
        return stored
    pulses = np.zeros(len(stored), dtype=PULSE)
    with np.errstate(over="ignore", invalid="ignore"):  # what no float32 holds is found unusable later
        for name in ("time", "charge", "width"):
            pulses[name] = stored[name]
    if "flags" in (stored.dtype.names or ()):
        pulses["flags"] = stored["flags"]
    elif "source" in (stored.dtype.names or ()):
        pulses["flags"] = [_FLAGS_OF_SOURCE.get(source, 0) for source in stored["source"].tolist()]
    return pulses


def _write_dom(archive: ArchiveWriter, string: int, om: int, pmt: int) -> None:
    archive.class_info("pair<OMKey>")
    archive.class_info("OMKey", tracked=True, version=_OMKEY_VERSION)
    archive.i32(string)
    archive.u32(om)
    archive.u8(pmt)


def _read_window(archive: ArchiveReader) -> tuple[float, float]:
    if archive.class_info("I3TimeWindow", versions=(0, 1)):
        archive.base()
    return archive.f64(), archive.f64()


def _write_tracked_doubles(archive: ArchiveWriter, name: str, values: tuple[float, ...],
                           version: int = 0) -> None:
    archive.class_info(name, tracked=True, version=version)
    archive.base()
    for value in values:
        archive.f64(value)
