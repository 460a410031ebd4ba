"""Simulated events: the light of a track or shower in IceCube's geometry and ice, with noise and triggers.

Times follow the very density that the track likelihood uses, so a fit should find the truth within its own
errors; amounts of light follow `scanner.light.light`. The pulses then go through the official cleaning. Two
things can be made harder than the fits assume: a muon that loses its energy in single showers, and ice that
scatters and absorbs more or less than the table says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.detector import DOMS_PER_STRING, STRINGS, dom_positions, relative_efficiency
from config.ice import C_VACUUM, COS_CHERENKOV, ICE_MODELS, SIN_CHERENKOV
from scanner.events.cleaning import clean
from scanner.events.event import Event, Particle, Pulses
from scanner.light.charges import Modules
from scanner.light.ice import levelled, local_ice, mean_coefficients
from scanner.light.light import (
    DOM_AREA,
    METRES_PER_GEV,
    PHOTONS_PER_METRE,
    acceptance,
    track_density,
    track_yield,
)
from scanner.light.shower_light import ShowerTables, light_at_modules, shower_tables
from scanner.recos.track.fit import frame_of
from scanner.recos.track.model import delay_shape
from scanner.recos.track.paths import MIN_DISTANCE2, PATH_FACTOR
from scanner.simulation.muon_losses import MuonLosses, draw_losses

__all__ = ["DEFAULT_MJD", "MUON_LIGHT", "READOUT", "event_of", "simulate_cascade", "simulate_track"]

IceScale = tuple[float, float]
"""Factors on the scattering and absorption coefficients."""
NOMINAL: IceScale = (1.0, 1.0)

DEFAULT_MJD = 60000.0
READOUT = 14000.0
"""Length of a readout, ns."""
NOISE_RATE = 5.6e-7
"""Noise hits per module and ns (IceCube, JINST 12 (2017) P03012)."""
JITTER = 2.0
"""Time resolution of a module, ns (same source)."""
ORIGIN = (0.0, 0.0, 0.0)
MAX_PHOTONS = 2000
"""Photo-electrons followed per module; brighter modules saturate."""
PULSE_WIDTH = 8.0
"""Photo-electrons in one such interval (ns) make one pulse."""
HLC_SPAN, HLC_WINDOW = 2, 1000.0
"""Local coincidence: another hit within two modules on the string and 1 µs."""
_HLC, _ATWD, _FADC = 1, 2, 4
SMALLEST_LOSS, SMALLEST_SHARE = 1.0, 3e-5
"""Smaller losses, in GeV and in shares of the muon's energy, are spread evenly over the way."""
BARE_LIGHT, BARE_RISE = 0.188, 0.0206
"""Light of a muon's knock-on electrons below 0.5 GeV relative to its own, and its rise with ln E
(L. Rädel & C. Wiebusch, Astropart. Phys. 38 (2012) 53)."""
MUON_LIGHT, LOSS_LIGHT = 0.8, 1.35
"""Factors on the light of a muon with single losses, its own and that of its showers: with them charges and
hit modules are those of an outside simulation (the documentation of the kernel has the comparison)."""
LATE_START = 17.0
"""Of a muon with single losses: light of shape ξ comes no earlier than LATE_START ξ² ns, the mean delay kept.
The gamma distribution promises more early photons than that outside simulation shows."""
HALF_TRACK = 900.0
"""A muon is followed this far from the vertex to both sides, m."""


@dataclass(frozen=True)
class _Hits:
    """Single photo-electrons: module number (string-1)·60 + om-1 and time, both of shape (n,)."""

    module: np.ndarray
    time: np.ndarray


def simulate_track(
    rng: np.random.Generator,
    zenith: float,
    azimuth: float,
    *,
    energy: float = 1e5,
    vertex: tuple[float, float, float] = (0.0, 0.0, 0.0),
    time: float = 6000.0,
    mjd: float = DEFAULT_MJD,
    run_id: int = 0,
    event_id: int = 0,
    single_losses: bool = False,
    ice: IceScale = NOMINAL,
) -> Event:
    """A through-going muon.

    Parameters
    ----------
    rng : numpy.random.Generator
        All randomness comes from it: equal states give equal events.
    zenith, azimuth : float
        Where the muon comes from, rad.
    energy : float
        GeV. With even losses it sets the light per metre, constant along the track; with single losses it is
        the energy HALF_TRACK before the vertex, from where on the muon loses it.
    vertex, time : position (m) and time (ns, in a readout of 14 µs)
        A point on the track.
    single_losses : bool
        Whether the radiative losses are showers at random places (`scanner.simulation.muon_losses`), or
        spread evenly over the track.
    ice : factors on scattering and absorption.
    """
    truth = Particle(zenith, azimuth, *vertex, time, energy, "track")
    if not single_losses:
        light = [_track_light(rng, truth, track_yield(energy), ice)]
    else:
        losses = draw_losses(rng, energy, 2 * HALF_TRACK, max(SMALLEST_LOSS, SMALLEST_SHARE * energy))
        bare = 1.0 + BARE_LIGHT + BARE_RISE * float(np.log(energy))
        even = METRES_PER_GEV * losses.even / (2 * HALF_TRACK)
        light = [_track_light(rng, truth, MUON_LIGHT * PHOTONS_PER_METRE * (bare + even), ice, LATE_START)]
        light += [_cascade_light(rng, shower, ice, share=LOSS_LIGHT, start=LATE_START)
                  for shower in _showers(losses, truth)]
    hits = _joined(light)
    return event_of(rng, hits.module, hits.time, truth, mjd, run_id, event_id)


def simulate_cascade(
    rng: np.random.Generator,
    zenith: float,
    azimuth: float,
    *,
    energy: float = 1e5,
    vertex: tuple[float, float, float] = (0.0, 0.0, 0.0),
    time: float = 6000.0,
    mjd: float = DEFAULT_MJD,
    run_id: int = 0,
    event_id: int = 0,
    ice: IceScale = NOMINAL,
    ice_model: str = ICE_MODELS[0],
) -> Event:
    """A point-like shower of `energy` GeV at `vertex` in an ice model; arguments as of `simulate_track`."""
    truth = Particle(zenith, azimuth, *vertex, time, energy, "cascade")
    hits = _cascade_light(rng, truth, ice, ice_model)
    return event_of(rng, hits.module, hits.time, truth, mjd, run_id, event_id)


def _showers(losses: MuonLosses, muon: Particle) -> list[Particle]:
    """The showers of a muon's single losses, on its track."""
    along = losses.distance - HALF_TRACK
    flight = np.array(frame_of(muon.zenith, muon.azimuth)[:3])
    x, y, z = np.array([[muon.x], [muon.y], [muon.z]]) + along * flight[:, None]
    times = muon.time + along / C_VACUUM
    return [Particle(muon.zenith, muon.azimuth, *place, "cascade")
            for place in zip(x, y, z, times, losses.energy, strict=True)]


def _joined(parts: list[_Hits]) -> _Hits:
    return _Hits(np.concatenate([part.module for part in parts]),
                 np.concatenate([part.time for part in parts]))


def _cascade_light(rng: np.random.Generator, shower: Particle, ice: IceScale,
                   model: str = ICE_MODELS[0], share: float = 1.0, start: float = 0.0) -> _Hits:
    """Light of a shower, `share` of it; `start` as of `_delayed`."""
    positions = dom_positions().reshape(-1, 3)
    x, y, z = np.ascontiguousarray(positions.T)
    level = levelled(positions, model)
    scattering, scattering_integral, absorption, absorption_integral = local_ice(level, model)
    modules = Modules(x, y, z, scattering * ice[0], scattering_integral * ice[0], absorption * ice[1],
                      absorption_integral * ice[1], level, _efficiency(), np.arange(len(x) + 1))
    place = (shower.x, shower.y, shower.z, shower.time)
    frame = frame_of(shower.zenith, shower.azimuth)
    tables = _scaled(shower_tables(model), ice)
    per_gev, arrival, shape, rate = light_at_modules(tables, modules, ORIGIN, place, frame[:3])
    return _delayed(rng, per_gev * shower.energy * share, arrival, shape, rate, start)


def _scaled(tables: ShowerTables, ice: IceScale) -> ShowerTables:
    return tables._replace(
        scattering=tables.scattering * ice[0], scattering_integral=tables.scattering_integral * ice[0],
        absorption=tables.absorption * ice[1], absorption_integral=tables.absorption_integral * ice[1])


def _track_light(rng: np.random.Generator, track: Particle, photons: float, ice: IceScale,
                 start: float = 0.0) -> _Hits:
    """Light of a track that gives so many photons per metre; `start` as of `_delayed`."""
    positions = dom_positions().reshape(-1, 3)
    frame = frame_of(track.zenith, track.azimuth)
    relative = positions - np.array([track.x, track.y, track.z])
    across = relative @ np.array([frame.e1x, frame.e1y, frame.e1z])
    level = relative @ np.array([frame.e2x, frame.e2y, 0.0])
    along = relative @ np.array([frame.px, frame.py, frame.pz])
    distance = np.sqrt(across**2 + level**2 + MIN_DISTANCE2)
    cosine = frame.pz * COS_CHERENKOV + across / distance * frame.e1z * SIN_CHERENKOV
    height = positions[:, 2]
    scattering, absorption = mean_coefficients(height - cosine * distance / SIN_CHERENKOV, height)
    scattering, absorption = scattering * ice[0], absorption * ice[1]
    expected = photons * DOM_AREA * track_density(distance, scattering, absorption)
    expected *= acceptance(cosine, distance / SIN_CHERENKOV * scattering) * _efficiency()
    arrival = track.time + (along + PATH_FACTOR * distance) / C_VACUUM
    shape, rate = delay_shape(distance, cosine, scattering, absorption)
    return _delayed(rng, expected, arrival, shape, rate, start)


def _efficiency() -> np.ndarray:
    """Relative efficiency of all modules, shape (5160,)."""
    return relative_efficiency().ravel()


def _delayed(rng: np.random.Generator, expected: np.ndarray, arrival: np.ndarray, shape: np.ndarray,
             rate: np.ndarray, start: float = 0.0) -> _Hits:
    """Photo-electrons of every module: a Poisson number of gamma-distributed delays after the arrival.

    None comes earlier than `start` ξ² ns, at most half the mean delay, which is kept.
    """
    counts = np.minimum(rng.poisson(expected), MAX_PHOTONS)
    module = np.repeat(np.arange(len(counts)), counts)
    earliest = np.minimum(start * shape**2, 0.5 * shape / rate)
    kept = 1.0 - earliest * rate / shape
    delay = earliest[module] + rng.gamma(shape[module], kept[module] / rate[module])
    return _Hits(module, arrival[module] + delay)


def _noise(rng: np.random.Generator, modules: int) -> _Hits:
    counts = rng.poisson(NOISE_RATE * READOUT, modules)
    module = np.repeat(np.arange(modules), counts)
    return _Hits(module, rng.uniform(0.0, READOUT, len(module)))


def event_of(rng: np.random.Generator, module: np.ndarray, time: np.ndarray, truth: Particle,
                   mjd: float = DEFAULT_MJD, run_id: int = 0, event_id: int = 0) -> Event:
    """An event of photo-electrons, as the detector would give it.

    Parameters
    ----------
    module, time : ndarray, shape (n,)
        Module number (string-1)·60 + om-1 and time in the readout (ns) of every photo-electron. The modules'
        time resolution, noise, the merging to pulses, local coincidence and the cleaning are added.
    """
    noise = _noise(rng, STRINGS * DOMS_PER_STRING)
    time = time + rng.normal(0.0, JITTER, len(time))
    module, time = np.append(module, noise.module), np.append(time, noise.time)
    inside = (time >= 0.0) & (time < READOUT)
    pulses = _pulses(rng, module[inside], time[inside])
    cleaned = clean(pulses, dom_positions())
    return Event(run_id, 0, event_id, "neutrino", mjd, False, pulses, cleaned, {}, truth)


def _pulses(rng: np.random.Generator, module: np.ndarray, time: np.ndarray) -> Pulses:
    """Photo-electrons merged to pulses with fluctuating charges, sorted; isolated modules keep one pulse."""
    order = np.lexsort((time, module))
    module, time = module[order], time[order]
    starts = np.ones(len(time), dtype=bool)
    interval = np.floor(time / PULSE_WIDTH)
    starts[1:] = (module[1:] != module[:-1]) | (interval[1:] != interval[:-1])
    charge = np.clip(rng.normal(1.0, 0.3, len(time)), 0.1, None)
    first = np.flatnonzero(starts)
    charge = np.add.reduceat(charge, first) if len(first) else charge
    module, time = module[first], time[first]
    coincident = _coincident(module, time)
    keep = coincident | (np.diff(module, prepend=-1) != 0)
    flags = np.where(coincident, _HLC | _ATWD | _FADC, _FADC).astype(np.uint8)
    string, om = np.divmod(module, DOMS_PER_STRING)
    width = np.full(len(time), PULSE_WIDTH, np.float32)
    pulses = Pulses((string + 1).astype(np.int16), (om + 1).astype(np.int16), time, charge.astype(np.float32),
                    width, flags)
    return pulses.select(keep)


def _coincident(module: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Which pulses, sorted by module and time, have another module of the string hit near them."""
    apart = 10 * READOUT  # per module: larger than any difference in time
    key = module * apart + time
    om = module % DOMS_PER_STRING
    found = np.zeros(len(module), dtype=bool)
    for span in range(1, HLC_SPAN + 1):
        for step in (-span, span):
            wanted = key + step * apart
            partner = np.searchsorted(key, wanted - HLC_WINDOW)
            near = partner < len(key)
            near[near] &= key[partner[near]] <= wanted[near] + HLC_WINDOW
            found |= near & (om + step >= 0) & (om + step < DOMS_PER_STRING)
    return found
