"""What an event tells of itself beside its pulses: online direction and energy, signalness, the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from iceprod.submission import truth_of
from scanner.events.directions import detector_to_icrs
from scanner.events.event import Event

__all__ = ["Place", "Told", "told_by"]

_ONLINE = ("SplineMPE", "BestFit", "SPEFit2")  # endings of the keys of online reconstructions, best first
_EXTRAS = {"signalness": ("p_astro", 1.0), "p_astro": ("p_astro", 1.0), "far": ("far", 1e6)}  # at most
_ENERGIES = ("truncated", "spline_muex", "mpe_muex", "spline_mue")


class Place(msgspec.Struct, frozen=True):
    """A direction in degrees (ICRS), and who says it."""

    ra_deg: float
    dec_deg: float
    name: str = ""


class Told(msgspec.Struct, frozen=True):
    """What an event tells; what it does not tell is absent."""

    online: Place | None = None  # the best track fit that came with it
    truth: Place | None = None  # of a simulated event
    energies: dict[str, float] = {}  # GeV, by the names of the online estimates
    extras: dict[str, float] = {}  # signalness (p_astro) and false alarm rate in Hz (far)


def told_by(document: Mapping[str, Any], event: Event) -> Told:
    """What the document of an event, and the event in it, tell."""
    place = _written(document)
    if place is None and event.truth is not None:
        place = _place(event.truth.zenith, event.truth.azimuth, event.mjd, "truth")
    data = _data(document)
    return Told(_online(event), place, _energies(data), _extras(data))


def _written(document: Mapping[str, Any]) -> Place | None:
    """The truth that stands beside a simulated event."""
    try:
        truth = truth_of(dict(document))
    except OverflowError:  # a whole number that no float holds
        return None
    is_place = truth is not None and math.isfinite(truth[0]) and abs(truth[1]) <= 90
    return Place(truth[0] % 360.0, truth[1], "truth") if truth is not None and is_place else None


def _online(event: Event) -> Place | None:
    for ending in _ONLINE:
        for key, particle in sorted(event.recos.items()):
            if key.endswith(ending) and particle.shape == "track" and particle.fit_status == 0:
                return _place(particle.zenith, particle.azimuth, event.mjd, key)
    return None


def _place(zenith: float, azimuth: float, mjd: float, name: str) -> Place | None:
    try:
        ra, dec = (float(np.degrees(angle)) for angle in detector_to_icrs(zenith, azimuth, mjd))
    except ValueError:  # a time that has no sky
        return None
    return Place(round(ra, 6), round(dec, 6), name) if math.isfinite(ra + dec) else None


def _data(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where i3live keeps what was reconstructed online."""
    value = document.get("value")
    data = value.get("data") if isinstance(value, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _extras(data: Mapping[str, Any]) -> dict[str, float]:
    return {ours: float(data[name]) for name, (ours, most) in _EXTRAS.items()
            if _is_number(data.get(name)) and 0 <= data[name] <= most}


def _energies(data: Mapping[str, Any]) -> dict[str, float]:
    reco = data.get("reco")
    found = reco.get("energy") if isinstance(reco, Mapping) else None
    known = found if isinstance(found, Mapping) else {}
    return {name: float(known[name]) for name in _ENERGIES if _is_number(known.get(name)) and known[name] > 0}


def _is_number(value: Any) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and abs(value) < 1e300)  # also no NaN
