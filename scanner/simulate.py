"""Simulated events: the light of a track or shower in IceCube's geometry and ice, with noise and triggers.

Times follow the very density that the track likelihood uses, so a fit should find the truth within its own
errors; amounts of light follow `scanner.light`. The pulses then go through the official cleaning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from config.detector import DOMS_PER_STRING, FIRST_DEEPCORE_STRING, STRINGS, dom_positions
from config.ice import C_VACUUM, COS_CHERENKOV, SIN_CHERENKOV
from scanner.charges import Modules
from scanner.cleaning import clean
from scanner.event import Event, Particle, Pulses
from scanner.ice import local_ice, mean_coefficients
from scanner.light import DOM_AREA, acceptance, track_density, track_yield
from scanner.shower_light import light_at_modules, shower_tables
from scanner.track.fit import frame_of
from scanner.track.likelihood import MIN_DISTANCE2, PATH_FACTOR
from scanner.track.model import delay_shape

__all__ = ["DEFAULT_MJD", "simulate_cascade", "simulate_track"]

DEFAULT_MJD = 60000.0
READOUT = 14000.0
"""Length of a readout, ns."""
NOISE_RATE = 5.6e-7
"""Noise hits per module and ns (IceCube, JINST 12 (2017) P03012)."""
JITTER = 2.0
"""Time resolution of a module, ns (same source)."""
DEEPCORE_EFFICIENCY = 1.35
"""Of a high-efficiency module relative to a standard one (IceCube, Astropart. Phys. 35 (2012) 615)."""
MAX_PHOTONS = 2000
"""Photo-electrons followed per module; brighter modules saturate."""
PULSE_WIDTH = 8.0
"""Photo-electrons in one such interval (ns) make one pulse."""
HLC_SPAN, HLC_WINDOW = 2, 1000.0
"""Local coincidence: another hit within two modules on the string and 1 µs."""
_HLC, _ATWD, _FADC = 1, 2, 4


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
) -> Event:
    """A through-going muon.

    Parameters
    ----------
    rng : numpy.random.Generator
        All randomness comes from it: equal states give equal events.
    zenith, azimuth : float
        Where the muon comes from, rad.
    energy : float
        GeV; sets the light per metre, constant along the track.
    vertex, time : position (m) and time (ns, in a readout of 14 µs)
        A point on the track.
    """
    truth = Particle(zenith, azimuth, *vertex, time, energy, "track")
    return _as_event(rng, _track_light(rng, truth), truth, mjd, run_id, event_id)


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
) -> Event:
    """A point-like shower of `energy` GeV at `vertex`; arguments as of `simulate_track`."""
    truth = Particle(zenith, azimuth, *vertex, time, energy, "cascade")
    return _as_event(rng, _cascade_light(rng, truth), truth, mjd, run_id, event_id)


def _cascade_light(rng: np.random.Generator, shower: Particle) -> _Hits:
    positions = dom_positions().reshape(-1, 3)
    x, y, z = np.ascontiguousarray(positions.T)
    modules = Modules(x, y, z, *local_ice(z), np.arange(len(x) + 1))
    place = (shower.x, shower.y, shower.z, shower.time)
    frame = frame_of(shower.zenith, shower.azimuth)
    per_gev, arrival, shape, rate = light_at_modules(shower_tables(), modules, 0.0, place, frame[:3])
    return _delayed(rng, per_gev * shower.energy * _efficiency(), arrival, shape, rate)


def _track_light(rng: np.random.Generator, track: Particle) -> _Hits:
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
    expected = track_yield(track.energy) * DOM_AREA * track_density(distance, scattering, absorption)
    expected *= acceptance(cosine, distance / SIN_CHERENKOV * scattering) * _efficiency()
    arrival = track.time + (along + PATH_FACTOR * distance) / C_VACUUM
    return _delayed(rng, expected, arrival, *delay_shape(distance, cosine, scattering, absorption))


def _efficiency() -> np.ndarray:
    """Relative efficiency of all modules, shape (5160,)."""
    strings = np.repeat(np.arange(1, STRINGS + 1), DOMS_PER_STRING)
    return np.where(strings >= FIRST_DEEPCORE_STRING, DEEPCORE_EFFICIENCY, 1.0)


def _delayed(rng: np.random.Generator, expected: np.ndarray, arrival: np.ndarray, shape: np.ndarray,
             rate: np.ndarray) -> _Hits:
    """Photo-electrons of every module: a Poisson number of gamma-distributed delays after the arrival."""
    counts = np.minimum(rng.poisson(expected), MAX_PHOTONS)
    module = np.repeat(np.arange(len(counts)), counts)
    delay = rng.gamma(shape[module], 1.0 / rate[module])
    return _Hits(module, arrival[module] + delay + rng.normal(0.0, JITTER, len(module)))


def _noise(rng: np.random.Generator, modules: int) -> _Hits:
    counts = rng.poisson(NOISE_RATE * READOUT, modules)
    module = np.repeat(np.arange(modules), counts)
    return _Hits(module, rng.uniform(0.0, READOUT, len(module)))


def _as_event(rng: np.random.Generator, light: _Hits, truth: Particle, mjd: float, run_id: int,
              event_id: int) -> Event:
    noise = _noise(rng, STRINGS * DOMS_PER_STRING)
    module, time = np.append(light.module, noise.module), np.append(light.time, noise.time)
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
