"""The energy of an event, from the row of its best fit: a muon's, a shower's, or of losses along a track."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from scanner.events.directions import icrs_to_detector
from scanner.events.event import Event, Particle
from scanner.recos.track.energy import SPECTRUM, muon_energy, neutrino_energy

__all__ = ["EventEnergy", "event_energy"]

SHOWER_SPREAD = 0.15
"""Relative error of a shower's energy: of those of an outside simulation 81 % lay so near the truth in the
ice that it was simulated in, 65 % in the other one (`docs/kernel.md`)."""


class NeutrinoEnergy(msgspec.Struct, frozen=True):
    """The most probable energy of the neutrino behind a muon, and its central 90 % interval."""

    gev: float
    low_gev: float
    high_gev: float
    spectrum: float  # index of the power law that is assumed


class EventEnergy(msgspec.Struct, frozen=True):
    """What was seen of an event's energy, with its 68 % interval, None where it is not known."""

    kind: str  # "muon": where it enters; "shower": deposited; "losses": the sum along the track
    gev: float
    low_gev: float | None = None
    high_gev: float | None = None
    neutrino: NeutrinoEnergy | None = None
    text: str = ""  # the same for people


def event_energy(event: Event, reco: str, ra_deg: float, dec_deg: float, row: np.void) -> EventEnergy | None:
    """The energy that belongs to a best fit in a direction (ICRS); None where there is none.

    ``row`` is the fit's row of `PIXEL_DTYPE`, ``reco`` the name of the reconstruction that made it.
    """
    base = reco.partition(".")[0]
    if base.startswith("track"):
        zenith, azimuth = icrs_to_detector(np.radians([ra_deg]), np.radians([dec_deg]), event.mjd)
        x, y, z, time = (float(row[name]) for name in "XYZT")
        return _of_muon(event, Particle(float(zenith[0]), float(azimuth[0]), x, y, z, time))
    total = float(row["E_tot"])
    if not math.isfinite(total):
        return None
    if base == "cascade":
        low, high = total * (1 - SHOWER_SPREAD), total * (1 + SHOWER_SPREAD)
        text = f"{_unit(total)} ({_unit(low)} … {_unit(high)}) deposited by a shower"
        return EventEnergy("shower", total, low, high, text=text)
    return EventEnergy("losses", total, text=f"{_unit(total)} lost along the track")


def _of_muon(event: Event, track: Particle) -> EventEnergy | None:
    muon = muon_energy(event.cleaned, track)
    if muon is None:
        return None
    nu = neutrino_energy(muon.value)
    text = (f"muon {_unit(muon.value)} ({_unit(muon.low)} … {_unit(muon.high)}); neutrino most probably "
            f"{_unit(nu.value)} (90 %: {_unit(nu.low)} … {_unit(nu.high)}, for a spectrum E^−{SPECTRUM})")
    return EventEnergy("muon", muon.value, muon.low, muon.high,
                       NeutrinoEnergy(nu.value, nu.low, nu.high, SPECTRUM), text)


def _unit(gev: float) -> str:
    """An energy to two digits, such as ``120 TeV``."""
    name, size = ("PeV", 1e6) if gev >= 1e6 else ("TeV", 1e3) if gev >= 1e3 else ("GeV", 1.0)
    return f"{float(f'{gev / size:.2g}'):g} {name}"
