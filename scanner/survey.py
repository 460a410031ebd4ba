"""What is in the file of an event, told without scanning it: for people who want to know before they believe.

Nothing here fails because a part is missing or damaged: that is what the survey is to say. Only a file that
holds no frames at all is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from scanner.common.errors import EventError
from scanner.events.event import Event, Particle
from scanner.events.frame import Frame
from scanner.events.i3live import Source, document_of, event_of, name_of, read_frames
from scanner.events.packet import Packet
from scanner.recos.recos import RECOS, why_not

__all__ = ["PulseCount", "StoredDirection", "Survey", "survey"]

_MJD_EPOCH = datetime(1858, 11, 17)
_COMPLETE = 2011  # the year in which the detector was complete
_LISTS_ONLY = "2016 or 2017 (frames only)"
_PREPARED = "start-up packet of a scanner"
_NEEDED_BY_NAME = {"G": "geometry: the public positions of the modules are taken",
                   "C": "calibration: nothing here needs one", "D": "detector status: nothing here needs one",
                   "Q": "readout"}


@dataclass(frozen=True)
class PulseCount:
    """One pulse map of the packet; ``problem`` says why it cannot be read."""

    key: str
    pulses: int = 0
    modules: int = 0
    charge: float = 0.0  # PE
    problem: str = ""


@dataclass(frozen=True)
class StoredDirection:
    """A stored reconstruction: where it came from (degrees), and its energy (GeV; None: unknown)."""

    key: str
    zenith_deg: float
    azimuth_deg: float
    ra_deg: float
    dec_deg: float
    energy_gev: float | None
    shape: str


@dataclass(frozen=True)
class Survey:
    """What a file holds; empty where it does not say."""

    file: str
    generation: str
    run_id: int | None = None
    subrun_id: int | None = None
    event_id: int | None = None
    stream: str = "unknown"
    time: str = ""  # UTC, ISO 8601
    mjd: float | None = None
    is_real: bool | None = None
    frames: dict[str, int] = field(default_factory=dict)  # how many objects each frame has
    pulse_maps: list[PulseCount] = field(default_factory=list)
    cleaned: int = 0  # pulses that the cleaning keeps
    recos: list[StoredDirection] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # what was left out, and why
    problem: str = ""  # why no reconstruction can use it
    scan_with: list[str] = field(default_factory=list)
    not_with: dict[str, str] = field(default_factory=dict)  # why not, by reconstruction

    @property
    def can_scan(self) -> bool:
        """Whether any reconstruction can use it."""
        return bool(self.scan_with)


def survey(source: Source, *, name: str = "") -> tuple[Survey, Event | None]:
    """Look at an event; the event itself comes too when a scan could read it.

    Raises EventError, which names file, frame and byte, when there are no frames to look at.
    """
    name = name or name_of(source) or "event"
    try:
        document = document_of(source)
        frames = read_frames(document)
        packet = Packet(frames)
    except EventError as error:
        error.source = name
        raise
    told: dict[str, Any] = {"file": name, "generation": _generation(document),
                            "frames": {frame.stop: len(frame.objects) for frame in frames},
                            "missing": _missing_frames(frames)}
    told["pulse_maps"] = [_count(packet, key) for key in packet.pulse_keys()]
    try:
        event = event_of(packet)
    except EventError as error:
        error.source = name
        return Survey(**{**told, **_header(packet), "problem": str(error), "skipped": packet.notes}), None
    return Survey(**{**told, **_of_event(event), "missing": told["missing"] + _missing(event)}), event


def _of_event(event: Event) -> dict[str, Any]:
    reasons = {reco: why_not(reco, event) for reco in RECOS}
    usable = [reco for reco, reason in reasons.items() if reason is None]
    return {
        "run_id": event.run_id, "subrun_id": event.subrun_id, "event_id": event.event_id,
        "stream": event.event_type, "mjd": event.mjd, "time": _clock(event.mjd),
        "is_real": event.is_real_event, "cleaned": len(event.cleaned),
        "skipped": list(event.notes), "scan_with": usable,
        "recos": [_direction(key, particle, event.mjd) for key, particle in event.recos.items()],
        "not_with": {reco: reason for reco, reason in reasons.items() if reason},
        "problem": "" if usable else "; ".join(dict.fromkeys(filter(None, reasons.values())))}


def _header(packet: Packet) -> dict[str, Any]:
    """What the header says of an event that cannot be read as a whole."""
    try:
        header = packet.header()
    except EventError:
        return {}
    return {"run_id": header.run_id, "subrun_id": header.subrun_id, "event_id": header.event_id,
            "stream": packet.event_type() or "unknown", "mjd": header.start.mjd,
            "time": _clock(header.start.mjd)}


def _count(packet: Packet, key: str) -> PulseCount:
    try:
        pulses = packet.pulse_map(key)
    except EventError as error:
        return PulseCount(key, problem=str(error).removeprefix("event, "))
    charge = float(np.nansum(pulses.pulses["charge"], dtype=float))
    return PulseCount(key, len(pulses.pulses), int(np.count_nonzero(pulses.counts)), round(charge, 3))


def _direction(key: str, particle: Particle, mjd: float) -> StoredDirection:
    from scanner.events.directions import detector_to_icrs

    ra, dec = np.degrees(detector_to_icrs(particle.zenith, particle.azimuth, mjd))
    energy = particle.energy if np.isfinite(particle.energy) and particle.energy > 0 else None
    return StoredDirection(key, float(np.degrees(particle.zenith)), float(np.degrees(particle.azimuth)),
                           float(ra), float(dec), energy, particle.shape)


def _generation(document: Mapping[str, Any]) -> str:
    if "GCDQp_packet" in document:
        return _PREPARED
    value = document.get("value")
    if isinstance(value, Mapping) and isinstance(value.get("version"), str):
        return str(value["version"])[:40]
    return _LISTS_ONLY if isinstance(value, Mapping) and isinstance(value.get("data"), list) else "unknown"


def _missing_frames(frames: list[Frame]) -> list[str]:
    present = {frame.stop: frame for frame in frames}
    texts = []
    for stop, what in _NEEDED_BY_NAME.items():
        if stop not in present:
            texts.append(f"there is no frame {stop} ({what})")
        elif not present[stop].objects and not present[stop].damage:
            texts.append(f"frame {stop} is empty ({what})")
    return texts


def _missing(event: Event) -> list[str]:
    """What a whole event would have besides."""
    modules = len(np.unique(event.pulses.string.astype(int) * 64 + event.pulses.om))
    year = (_MJD_EPOCH + timedelta(days=event.mjd)).year
    texts = {
        "stored reconstructions": not event.recos and event.truth is None,
        "the stream: neither a message nor an object names it": event.event_type == "unknown",
        "pulses after the cleaning: no three coincident pulses are neighbours": not len(event.cleaned),
        "light in more than one module": modules == 1,
        f"part of the detector: in {year} it was not complete, and modules that were not there yet count as "
        "dark": year < _COMPLETE}
    return [text for text, is_missing in texts.items() if is_missing]


def _clock(mjd: float) -> str:
    return (_MJD_EPOCH + timedelta(days=mjd)).isoformat(" ", "milliseconds")
