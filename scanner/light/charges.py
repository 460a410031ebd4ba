"""Charges of an event in time bins, module by module: what the energy fits compare with their expectation.

Each hit module has a bin before its first pulse and bins that grow from 25 ns; a quiet module near a hit one
has a single bin, empty. Where the event says that a module was saturated or badly calibrated, its bins do not
count; late light is after-pulses and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from config.detector import DOMS_PER_STRING, dom_positions, relative_efficiency
from config.ice import ENERGY_ICE
from scanner.common.errors import EventError
from scanner.common.loading import LOADING
from scanner.events.event import Event, Pulses
from scanner.light.ice import levelled, local_ice

__all__ = ["COLUMNS", "EDGES", "LANES", "MIN_MODULES", "Charges", "Modules", "Receivers", "bin_charges",
           "packed", "receivers"]

MIN_MODULES = 5
LATE = 1500.0
"""Pulses later than this after the charge-weighted median (ns) are left out."""
MARGIN = 1000.0
"""Window: from the 10 % to the 95 % point of the charge, widened by this (ns)."""
EARLY = 15.0
"""The first bin of a module ends this long before its first pulse, ns."""
WIDTHS = (25.0, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0)
QUIET_RADIUS = 180.0
"""Quiet modules this near a module in local coincidence (m) take part."""
QUIET_STEP = 3
"""One in so many quiet modules, with so much weight."""
UNTRUSTED = 1e-6
"""Weight of a bin whose charge cannot be trusted: as good as none, and finite when divided by."""
NEIGHBOUR_CHARGE = 5.0
"""A quiet module between two with more charge (PE) than this is taken for dead."""
_HLC = 1
NOISE_RATE, NOISE_FLOOR = 1e-6, 1e-5
"""Expected noise of a bin: per ns, and at least."""


LANES, COLUMNS, EDGES = 8, 9, 16
"""Modules of one vector, their columns, and room for the edges of a module's bins."""
_BEYOND = 1e9
"""Metres: no light reaches the modules that fill up the last vector."""


Windows = tuple[tuple[float, float], ...]
"""Beginnings and ends, ns."""


class Modules(NamedTuple):
    """Modules and the slices of their bins; arrays of shape (n_modules,), the last one (n_modules + 1,)."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    scattering: np.ndarray
    scattering_integral: np.ndarray
    absorption: np.ndarray
    absorption_integral: np.ndarray
    level: np.ndarray  # height at which the table of the ice holds, m
    efficiency: np.ndarray  # relative to a standard module
    first_bin: np.ndarray


class Bins(NamedTuple):
    """Time bins of all modules, one after the other; arrays of shape (n_bins,)."""

    start: np.ndarray  # ns after the reference time
    stop: np.ndarray
    charge: np.ndarray  # PE
    noise: np.ndarray  # expected, PE
    weight: np.ndarray


class Receivers(NamedTuple):
    """Modules and bins in the order in which vector instructions take them, LANES modules at a time."""

    packed: np.ndarray  # (blocks, COLUMNS, LANES), flat: the columns of Modules but `first_bin`
    edges: np.ndarray  # (n_modules, EDGES), flat: the times between which a module's bins lie, ns
    first_bin: np.ndarray  # (n_modules + 1,)
    several: int  # so many modules come first that have more than one bin


@dataclass(frozen=True)
class Charges:
    """Binned charges with the event's scales."""

    modules: Modules
    bins: Bins
    receivers: Receivers
    n_hit: int
    centre: np.ndarray  # (3,), charge-weighted, m, detector coordinates
    time: float  # reference time, ns
    first_times: np.ndarray  # of the hit modules, ns after the reference
    hit_charges: np.ndarray  # PE

    @property
    def place(self) -> tuple[float, float, float]:
        """The centre as the kernels take it."""
        x, y, z = self.centre.tolist()
        return x, y, z


def bin_charges(event: Event, ice: str = ENERGY_ICE, brightest: float = np.inf) -> Charges:
    """Bin an event's pulses for an ice model; EventError if fewer than MIN_MODULES are hit.

    Modules with more than `brightest` times the mean charge of the hit ones are left out.
    """
    pulses = event.pulses
    module = (pulses.string.astype(np.int64) - 1) * DOMS_PER_STRING + pulses.om - 1
    keys, place = np.unique(module, return_inverse=True)
    if len(keys) < MIN_MODULES:
        raise EventError(f"an energy fit needs pulses in at least {MIN_MODULES} modules; "
                         f"the event has {len(keys)}")
    total = np.bincount(place, weights=pulses.charge)
    low, median, high = _quantiles(pulses.time, pulses.charge, (0.10, 0.50, 0.95))
    window = low - MARGIN, high + MARGIN
    dim = total <= brightest * total.mean()
    take = (pulses.time >= window[0]) & (pulses.time < min(window[1], median + LATE)) & dim[place]
    chosen = np.unique(place[take])
    hit = _hit_bins(pulses.select(take), np.searchsorted(chosen, place[take]), len(chosen), window)
    quiet = _quiet_modules(keys, total, np.unique(module[(pulses.flags & _HLC) != 0]))
    untrusted = _untrusted(keys[chosen], hit, event.exclusions)
    return _charges(keys[chosen], quiet, hit, untrusted, window, total[chosen], ice)


def _quantiles(time: np.ndarray, charge: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Charge-weighted quantiles of the times."""
    order = np.argsort(time, kind="stable")
    running = np.cumsum(charge[order], dtype=float)
    return [float(time[order][np.searchsorted(running, share * running[-1])]) for share in shares]


@dataclass(frozen=True)
class _HitBins:
    """Bins of the hit modules: (start, stop, charge) per module, and the first times."""

    edges: list[np.ndarray]
    charges: list[np.ndarray]
    first: np.ndarray


def _hit_bins(pulses: Pulses, place: np.ndarray, count: int, window: tuple[float, float]) -> _HitBins:
    order = np.lexsort((pulses.time, place))
    time, charge, place = pulses.time[order], pulses.charge[order].astype(float), place[order]
    bounds = np.searchsorted(place, np.arange(count + 1))
    steps = np.cumsum((0.0, *WIDTHS))
    edges, charges = [], []
    for k in range(count):
        times = time[bounds[k] : bounds[k + 1]]
        begin = max(times[0] - EARLY, window[0] + 1.0)
        later = begin + steps
        edge = np.concatenate([[window[0]], later[later < window[1] - 1.0], [window[1]]])
        edges.append(edge)
        charges.append(np.histogram(times, edge, weights=charge[bounds[k] : bounds[k + 1]])[0])
    return _HitBins(edges, charges, time[bounds[:-1]])


def _untrusted(keys: np.ndarray, hit: _HitBins, exclusions: Mapping[tuple[int, int], Windows]) -> np.ndarray:
    """Which bins of the hit modules overlap a window in which their charge cannot be trusted."""
    marks = []
    for key, edge in zip(keys.tolist(), hit.edges, strict=True):
        bad = np.zeros(len(edge) - 1, dtype=bool)
        for start, stop in exclusions.get((key // DOMS_PER_STRING + 1, key % DOMS_PER_STRING + 1), ()):
            bad |= (edge[:-1] < stop) & (edge[1:] > start)
        marks.append(bad)
    return np.concatenate(marks)


def _quiet_modules(keys: np.ndarray, total: np.ndarray, coincident: np.ndarray) -> np.ndarray:
    """A sample of the modules without pulses near coincident ones; index (string-1)·60 + om-1."""
    with LOADING:
        from scipy.spatial import cKDTree  # slow to import, and track fits do without

    positions = dom_positions().reshape(-1, 3)
    near = positions[coincident if len(coincident) else keys]
    distance, _ = cKDTree(near).query(positions, distance_upper_bound=QUIET_RADIUS)
    charge = np.zeros(len(positions))
    charge[keys] = total
    string = charge.reshape(-1, DOMS_PER_STRING)
    between = np.zeros_like(string, dtype=bool)
    between[:, 1:-1] = (string[:, :-2] > NEIGHBOUR_CHARGE) & (string[:, 2:] > NEIGHBOUR_CHARGE)
    quiet = np.isfinite(distance) & (charge == 0.0) & ~between.ravel()
    return np.flatnonzero(quiet)[::QUIET_STEP]


def _charges(hit: np.ndarray, quiet: np.ndarray, bins: _HitBins, untrusted: np.ndarray,
             window: tuple[float, float], total: np.ndarray, ice: str) -> Charges:
    """Put hit and quiet modules together, relative to the charge's centre and the first pulse."""
    chosen = np.append(hit, quiet)
    positions = dom_positions().reshape(-1, 3)[chosen]
    centre = np.average(positions[: len(hit)], axis=0, weights=total)
    reference = float(bins.first.min())
    start = np.concatenate([*(edge[:-1] for edge in bins.edges), np.full(len(quiet), window[0])]) - reference
    stop = np.concatenate([*(edge[1:] for edge in bins.edges), np.full(len(quiet), window[1])]) - reference
    counts = [len(charge) for charge in bins.charges] + [1] * len(quiet)
    charge = np.concatenate([*bins.charges, np.zeros(len(quiet))])
    weight = np.ones(len(charge))
    weight[: len(untrusted)][untrusted] = UNTRUSTED
    weight[len(charge) - len(quiet) :] = QUIET_STEP
    noise = NOISE_RATE * (stop - start) + NOISE_FLOOR
    x, y, z = np.ascontiguousarray((positions - centre).T)
    level = levelled(positions, ice)
    modules = Modules(x, y, z, *local_ice(level, ice), level, relative_efficiency().ravel()[chosen],
                      np.cumsum([0, *counts]))
    both = Bins(start, stop, charge, noise, weight)
    return Charges(modules, both, receivers(modules, both), len(hit), centre, reference,
                   bins.first - reference, total)


def packed(modules: Modules) -> np.ndarray:
    """The columns of modules in blocks of LANES, flat; the last block is filled up with modules far away."""
    missing = -len(modules.x) % LANES
    columns = [np.pad(column, (0, missing), mode="edge") for column in modules[:COLUMNS]]
    columns[0][len(modules.x):] = _BEYOND
    return np.ascontiguousarray(np.stack(columns).reshape(COLUMNS, -1, LANES).swapaxes(0, 1)).ravel()


def receivers(modules: Modules, bins: Bins) -> Receivers:
    """Modules and bins as the light of a shower is computed for them."""
    counts = np.diff(modules.first_bin)
    edges = np.full((len(counts), EDGES), bins.stop.max())
    edges[:, 0] = bins.start[modules.first_bin[:-1]]
    for module, (first, last) in enumerate(zip(modules.first_bin[:-1], modules.first_bin[1:], strict=True)):
        edges[module, 1 : 1 + last - first] = bins.stop[first:last]
    return Receivers(packed(modules), edges.ravel(), modules.first_bin, int((counts > 1).sum()))
