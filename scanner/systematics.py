"""How far a best fit moves when the ice is another: a systematic error of the direction, event by event.

The whole sky is scanned in each ice, and from the best pixel of each the direction is fitted freely (pixels
are as large as what is looked for), by Nelder and Mead's simplex over the two angles.
"""

from __future__ import annotations

import msgspec
import numpy as np
from scipy.optimize import minimize

from scanner.bench import DEFAULT_PROGRESSION, scan_event
from scanner.events.directions import icrs_to_detector
from scanner.events.event import Event
from scanner.maps import healpix
from scanner.maps.level_sets import LevelSet, default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.skymap import SkyMap
from scanner.recos.recos import Reco, find_reco, in_every_ice, method_of

__all__ = ["IceFit", "Systematics", "as_text", "systematics"]

SMALLEST_STEP, LARGEST_STEP = 0.05, 10.0
"""Size of the simplex at its start, degrees: the 50 % region's radius within these bounds."""
ANGLE, GAIN = 1e-3, 1e-3
"""Degrees and units of ln L within which the simplex ends."""
MOST_FITS = 150


class IceFit(msgspec.Struct, frozen=True):
    """The best fit in one ice."""

    ice: str
    reco: str
    ra_deg: float
    dec_deg: float
    llh: float  # −ln L
    energy_gev: float | None  # of a shower or of all losses; None for tracks
    degrees_off: float  # from the best fit in the usual ice
    delta: float  # 2Δ ln L in the usual ice between its best fit and this direction
    region: float | None  # smallest credible level in the usual ice whose region holds this direction


class Systematics(msgspec.Struct, frozen=True):
    """The best fits of an event in every ice, the usual one first."""

    run_id: int
    event_id: int
    reco: str
    fits: list[IceFit]
    level_set: str
    radius_50_deg: float  # of the circle as large as the 50 % region in the usual ice


class _Surface:
    """−ln L of a reconstruction around a direction, by angles across it (degrees)."""

    def __init__(self, reco: Reco, event: Event, ra: float, dec: float, seed: np.ndarray) -> None:
        self._reco, self._mjd, self._seed = reco, event.mjd, seed
        self._prepared = reco.prepare(event)
        self._middle = healpix.unit_vectors(ra, dec)
        north = np.array([-np.sin(np.radians(dec)) * np.cos(np.radians(ra)),
                          -np.sin(np.radians(dec)) * np.sin(np.radians(ra)), np.cos(np.radians(dec))])
        self._axes = np.stack([np.cross(north, self._middle), north])

    def place(self, offset: np.ndarray) -> tuple[float, float]:
        """RA and Dec (degrees) of an offset."""
        vector = self._middle + np.radians(offset) @ self._axes
        ra = np.degrees(np.arctan2(vector[1], vector[0])) % 360.0
        return float(ra), float(np.degrees(np.arctan2(vector[2], np.hypot(vector[0], vector[1]))))

    def row(self, ra: float, dec: float) -> np.void:
        """The fit of a direction."""
        zenith, azimuth = icrs_to_detector(np.radians([ra]), np.radians([dec]), self._mjd)
        return self._reco.reconstruct(self._prepared, zenith, azimuth, self._seed)[0]

    def bottom(self, step: float) -> tuple[float, float]:
        """The direction of the least −ln L near the middle."""
        found = minimize(lambda offset: float(self.row(*self.place(offset))["llh"]), np.zeros(2),
                         method="Nelder-Mead",
                         options={"initial_simplex": step * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
                                  "xatol": ANGLE, "fatol": GAIN, "maxfev": MOST_FITS})
        return self.place(found.x)


def systematics(event: Event, reco: str = "auto") -> Systematics:
    """Scan an event in every ice and compare the best fits; raises UnknownReco or EventError."""
    usual = method_of(reco, event).reco
    names = in_every_ice(usual)
    surfaces, directions = {}, {}
    posterior: Posterior | None = None
    for ice, name in names.items():
        tables = scan_event(event, name, DEFAULT_PROGRESSION)
        skymap = SkyMap.from_results(tables)
        best = skymap.best_fit
        posterior = posterior or Posterior.of(skymap, default_levels(name))
        seed = tables[best.nside][tables[best.nside]["index"] == best.pixel]
        surfaces[ice] = _Surface(find_reco(name), event, best.ra_deg, best.dec_deg, seed)
        directions[ice] = surfaces[ice].bottom(_step(posterior))
    assert posterior is not None, "there is an ice"
    judge = next(iter(surfaces.values()))
    fits = [_fit(ice, names[ice], surfaces[ice], judge, directions, posterior.levels) for ice in names]
    return Systematics(event.run_id, event.event_id, fits[0].reco, fits, posterior.levels.name,
                       _radius(posterior))


def _fit(ice: str, name: str, surface: _Surface, judge: _Surface, directions: dict[str, tuple[float, float]],
         levels: LevelSet) -> IceFit:
    first, here = next(iter(directions.values())), directions[ice]
    row = surface.row(*here)
    energy = float(row["E_tot"])
    cosine = float(healpix.unit_vectors(*first) @ healpix.unit_vectors(*here))
    delta = float(2 * (judge.row(*here)["llh"] - judge.row(*first)["llh"]))
    region = next((level for level, most in levels.thresholds.items() if delta <= most), None)
    return IceFit(ice, name, *here, float(row["llh"]), energy if np.isfinite(energy) else None,
                  float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))), delta, region)


def _radius(posterior: Posterior) -> float:
    return float(np.sqrt(posterior.area(0.5) / np.pi))


def _step(posterior: Posterior) -> float:
    return min(max(_radius(posterior), SMALLEST_STEP), LARGEST_STEP)


def as_text(told: Systematics) -> str:
    """For people: a line per ice, and what it means."""
    lines = [f"run {told.run_id} event {told.event_id}, {told.reco}"]
    for fit in told.fits:
        energy = "" if fit.energy_gev is None else f"   {fit.energy_gev / 1e3:.3g} TeV"
        lines.append(f"{fit.ice:<14} RA {fit.ra_deg:.3f}°  Dec {fit.dec_deg:+.3f}°{energy}")
    regions = f"of {told.level_set} (50 %: {told.radius_50_deg:.2f}° in radius)"
    for fit in told.fits[1:]:
        place = ("outside all regions" if fit.region is None
                 else f"inside the {100 * fit.region:g} % region")
        lines.append(f"{fit.ice} moves the best fit by {fit.degrees_off:.2f}°, 2Δ ln L {fit.delta:.1f}: "
                     f"{place} {regions}")
    return "\n".join(lines)
