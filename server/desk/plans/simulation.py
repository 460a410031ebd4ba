"""How many sources of a kind a plan would find: drawn from the sky map, and looked for in its exposures.

Sources lie where the map says, at the map's distances, or all at one distance when it has none. They fade by
simple laws with absolute magnitudes M(t), t in days after the event:

    kilonova   M0 + rate · max(t − 0.5, 0)   M0 = −16, rate = 1 (Villar et al. 2017, ApJL 851, L21)
    afterglow  M0 + 2.5 · rate · log10 t     M0 = −20, rate = 1.2 (Sari et al. 1998, ApJL 497, L17)
    linear     M0 + rate · t                 M0 = −16, rate = 1
    constant   M0                            M0 = −22, as of a flaring blazar

An exposure finds a source that is brighter than its limiting magnitude; extinction is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from scanner.maps import healpix
from server.desk.maps.tiles import Tiles
from server.desk.observing.footprints import Footprint
from server.desk.plans.payloads import EfficiencyPayload
from server.desk.plans.tiling import held

__all__ = ["Exposure", "Found", "limiting_magnitude", "simulate"]

USUAL_LIMIT, USUAL_EXPOSURE = 20.5, 30.0  # 5σ of ZTF in r (Bellm et al. 2019, PASP 131, 018002)
_USUAL_DISTANCE = 100.0  # Mpc
_DRAWS = 64
_KEPT = 200  # sources whose magnitudes are kept
_AT_ONCE = 500  # sources; of all exposures
_USUAL = {"kilonova": (-16.0, 1.0), "afterglow": (-20.0, 1.2), "linear": (-16.0, 1.0),
          "constant": (-22.0, 0.0)}
_LAWS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "kilonova": lambda t, rate: rate * np.maximum(t - 0.5, 0.0),
    "afterglow": lambda t, rate: 2.5 * rate * np.log10(np.maximum(t, 1e-3)),
    "linear": lambda t, rate: rate * t,
    "constant": lambda t, rate: np.zeros_like(t)}


@dataclass(frozen=True)
class Exposure:
    """Where and when it looks (degrees, UTC), and how faint (5σ)."""

    ra: float
    dec: float
    start: datetime
    band: str
    limit: float


@dataclass(frozen=True)
class Found:
    """What came of a simulation, with the standard 68 % interval of the efficiency (Wilson 1927)."""

    simulated: int
    covered: int
    detected: int
    interval: tuple[float, float]
    sources: list[dict[str, Any]]

    @property
    def efficiency(self) -> float:
        return self.detected / self.simulated


def limiting_magnitude(instrument: Mapping[str, Any], band: str, seconds: float) -> float:
    """The 5σ limit of an exposure: the instrument's for the filter, scaled by the root of the time."""
    known = (instrument.get("sensitivity_data") or {}).get(band)
    known = known if isinstance(known, Mapping) else {}
    limit, exposure = known.get("limiting_magnitude"), known.get("exposure_time")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
        limit, exposure = USUAL_LIMIT, USUAL_EXPOSURE
    if isinstance(exposure, bool) or not isinstance(exposure, int | float) or not exposure > 0:
        exposure = seconds
    return float(limit) + 1.25 * math.log10(seconds / exposure)


def simulate(tiles: Tiles, dateobs: datetime, exposures: Sequence[Exposure], footprint: Footprint,
             wanted: EfficiencyPayload, seed: int) -> Found:
    """Draw sources and look for them; the same for the same seed."""
    rng = np.random.default_rng(seed)
    rows = _drawn_tiles(tiles, wanted, rng)
    ra, dec = _places(tiles, rows, rng)
    distance = _distances(tiles, rows, wanted, rng)
    days = np.array([(one.start - dateobs).total_seconds() / 86400 for one in exposures])
    in_time = (days >= wanted.minimumPhase) & (days <= wanted.maximumPhase)
    absolute = _absolute(wanted, days)
    depth = np.array([one.limit for one in exposures]) - 2.5 * math.log10(wanted.detectionThreshold / 5)
    covered = detected = 0
    kept: list[dict[str, Any]] = []
    for first in range(0, len(ra), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        seen = _seen(ra[part], dec[part], exposures, footprint)
        magnitude = absolute[None, :] + (5 * np.log10(distance[part] * 1e5))[:, None]
        hits = (seen & in_time[None, :] & (magnitude <= depth[None, :])).sum(axis=1)
        found = hits >= wanted.numberDetections
        covered, detected = covered + int(seen.any(axis=1).sum()), detected + int(found.sum())
        kept = kept or _kept(ra[part], dec[part], distance[part], magnitude, seen, found, exposures)
    return Found(len(ra), covered, detected, _wilson(detected, len(ra)), kept)


def _drawn_tiles(tiles: Tiles, wanted: EfficiencyPayload, rng: np.random.Generator) -> np.ndarray:
    chosen = np.nonzero(tiles.chosen(wanted.localizationCumprob))[0]
    weight = tiles.probability[chosen]
    return rng.choice(chosen, wanted.numberInjections, p=weight / weight.sum())


def _places(tiles: Tiles, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A place anywhere in each pixel."""
    order, nested = healpix.from_uniq(tiles.uniq[rows])
    shift = 2 * (healpix.MAX_ORDER - order)
    deep = (nested << shift) + (rng.random(len(rows)) * np.exp2(shift)).astype(np.int64)
    nside = healpix.nside_of(healpix.MAX_ORDER)
    ra, dec = healpix.centres(nside, healpix.nest_to_ring(nside, deep))
    return np.asarray(ra), np.asarray(dec)


def _distances(tiles: Tiles, rows: np.ndarray, wanted: EfficiencyPayload,
               rng: np.random.Generator) -> np.ndarray:
    """Distances in Mpc: r² times a Gaussian along each line of sight (Singer et al. 2016, ApJL 829, L15)."""
    usual = float(wanted.optionalInjectionParameters.get("distance", _USUAL_DISTANCE))
    if "distance" in wanted.optionalInjectionParameters or not {"distmu", "distsigma"} <= set(tiles.distance):
        return np.full(len(rows), usual)
    mean, width = tiles.distance["distmu"][rows], tiles.distance["distsigma"][rows]
    is_known = np.isfinite(mean) & np.isfinite(width) & (width > 0)
    draws = np.where(is_known, mean, usual)[:, None] \
        + np.where(is_known, width, 0.0)[:, None] * rng.standard_normal((len(rows), _DRAWS))
    weight = np.maximum(draws, 0.0) ** 2
    weight = np.where(weight.sum(axis=1, keepdims=True) > 0, weight, 1.0)
    total = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    at = (total < rng.random(len(rows))[:, None]).sum(axis=1)
    return np.maximum(draws[np.arange(len(rows)), np.minimum(at, _DRAWS - 1)], 0.01)


def _absolute(wanted: EfficiencyPayload, days: np.ndarray) -> np.ndarray:
    brightest, rate = _USUAL[wanted.modelName]
    given = wanted.optionalInjectionParameters
    fading = _LAWS[wanted.modelName](days, float(given.get("rate", rate)))
    return float(given.get("mag0", brightest)) + np.where(days > 0, fading, math.inf)


def _seen(ra: np.ndarray, dec: np.ndarray, exposures: Sequence[Exposure],
          footprint: Footprint) -> np.ndarray:
    """Which sources are in which exposures; bool, shape (sources, exposures)."""
    seen = np.zeros((len(ra), len(exposures)), dtype=bool)
    by_place: dict[tuple[float, float], list[int]] = {}
    for number, one in enumerate(exposures):
        by_place.setdefault((one.ra, one.dec), []).append(number)
    for (centre_ra, centre_dec), numbers in by_place.items():
        inside = held(ra, dec, np.full(len(ra), centre_ra), np.full(len(ra), centre_dec), footprint)
        seen[:, numbers] = inside[:, None]
    return seen


def _wilson(found: int, of: int) -> tuple[float, float]:
    share, z2 = found / of, 1.0
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = math.sqrt(share * (1 - share) * z2 / of + z2 * z2 / (4 * of * of)) / (1 + z2 / of)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _kept(ra: np.ndarray, dec: np.ndarray, distance: np.ndarray, magnitude: np.ndarray, seen: np.ndarray,
          found: np.ndarray, exposures: Sequence[Exposure]) -> list[dict[str, Any]]:
    """The first sources with what each exposure that held them saw."""
    rows = []
    for number in range(min(len(ra), _KEPT)):
        points = [{"time": exposures[at].start.isoformat(), "filter": exposures[at].band,
                   "mag": round(float(magnitude[number, at]), 3),
                   "limiting_mag": round(exposures[at].limit, 3)}
                  for at in np.nonzero(seen[number])[0][:50] if math.isfinite(magnitude[number, at])]
        rows.append({"ra": round(float(ra[number]), 6), "dec": round(float(dec[number]), 6),
                     "distance_mpc": round(float(distance[number]), 3), "is_detected": bool(found[number]),
                     "points": points})
    return rows
