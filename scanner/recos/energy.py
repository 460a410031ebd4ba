"""The energy of an event, from the row of its best fit: a muon's, a shower's, or of losses along a track."""

from __future__ import annotations

import math

import numpy as np

from scanner.events.directions import icrs_to_detector
from scanner.events.event import Event, Particle
from scanner.maps.energy import EventEnergy, NeutrinoEnergy
from scanner.recos.track.energy import SPECTRUM, muon_energy, neutrino_energy

__all__ = ["event_energy"]

SHOWER_SPREAD = 0.15
"""Relative error of a shower's energy: of those of an outside simulation 81 % lay so near the truth in the
ice that it was simulated in, 65 % in the other one (`docs/kernel.md`)."""


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
    if not (math.isfinite(total) and total > 0):
        return None
    if base == "cascade":
        low, high = total * (1 - SHOWER_SPREAD), total * (1 + SHOWER_SPREAD)
        return EventEnergy("shower", total, low, high)
    return EventEnergy("losses", total)


def _of_muon(event: Event, track: Particle) -> EventEnergy | None:
    muon = muon_energy(event.cleaned, track)
    if muon is None:
        return None
    nu = neutrino_energy(muon.value)
    return EventEnergy("muon", muon.value, muon.low, muon.high,
                       NeutrinoEnergy(nu.value, nu.low, nu.high, SPECTRUM))
