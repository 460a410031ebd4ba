"""The reconstruction `millipede`: energy losses along a track, from the charges in time bins."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from config.ice import ENERGY_ICE
from scanner.events.event import Event
from scanner.light.charges import Charges, bin_charges
from scanner.light.shower_light import shower_tables
from scanner.machine.entry import Entry
from scanner.maps import healpix
from scanner.maps.result import PIXEL_DTYPE, nan_rows
from scanner.recos.cascade import HALF_HEIGHT, MODEL_ERROR, RADIUS, common_vertex, flights, in_ice
from scanner.recos.losses import Counts, Problem, fit_losses
from scanner.recos.track.hits import TrackHits, first_hits
from scanner.recos.track.reco import TrackMPE

__all__ = ["FIT_LOSSES", "Millipede", "MillipedeEvent"]

BRIGHTEST = 10.0
"""Modules with more than this times the mean charge are left out: showers every 15 m are too coarse there."""
PRIOR, TYPICAL = 0.02, 0.1
"""Of the energies: weight of the prior, and typical energy of a shower, GeV per photo-electron."""
ROUGH, FINE = 0.3, 0.01
"""Promised gain in ln L at which a fit stops: of a first level, and with a parent's vertex."""
LEVELS, DIVIDED = (4, 16, 64), 4
"""Where the event's good fit is sought: nsides, and how many of the best pixels are divided."""
_FARTHEST = 1e5  # m and ns: a seed beyond is no seed
FIT_LOSSES = Entry("millipede", fit_losses)


@dataclass(frozen=True)
class MillipedeEvent:
    """Charges, and the first hits from which a track fit makes the first vertices."""

    charges: Charges
    hits: TrackHits
    shower: np.ndarray  # of a shower alone: −ln L, x, y, z, t, relative; the other start of a first level
    good: float = np.inf  # −ln L of a good fit: what is hopeless beside it is given up


class Millipede:
    """Energy losses along a track, unfolded."""

    name = "millipede"
    description = ("energy losses along a starting, stopping or passing track: vertex and energies from "
                   "charges in time bins; slow, gives energies")
    cost = "100"

    def __init__(self, ice: str = ENERGY_ICE) -> None:
        self._ice = ice
        self.name = in_ice(type(self).name, ice)

    def check(self, event: Event) -> None:
        """Raises EventError if too few modules are hit."""
        bin_charges(event, self._ice)
        first_hits(event.cleaned)

    def prepare(self, event: Event) -> MillipedeEvent:
        """Charges and first hits; raises EventError if too few modules are hit."""
        charges = bin_charges(event, self._ice, BRIGHTEST)
        prepared = MillipedeEvent(charges, first_hits(event.cleaned), common_vertex(charges, self._ice)[:5])
        return replace(prepared, good=self._good(prepared))

    def _good(self, prepared: MillipedeEvent) -> float:
        """−ln L of a good fit: the best one of the directions in which a track explains first hits best."""
        tracks = _best_tracks(prepared.hits)
        rows = [self.reconstruct(prepared, zenith, azimuth, seeds) for zenith, azimuth, seeds in tracks]
        return float(min(row["llh"].min() for row in rows))

    def reconstruct(self, prepared: MillipedeEvent, zenith: np.ndarray, azimuth: np.ndarray,
                    seeds: np.ndarray | None = None) -> np.ndarray:
        """Fit n directions (rad) from the parents' vertices; PIXEL_DTYPE of shape (n,)."""
        zenith, azimuth = np.atleast_1d(zenith).astype(float), np.atleast_1d(azimuth).astype(float)
        charges = prepared.charges
        starts, seeded = _starts(prepared, zenith, azimuth, seeds)
        problem = Problem(shower_tables(self._ice), charges.modules, charges.receivers, _counts(charges),
                          charges.n_hit, charges.place)
        rough = ROUGH, float(prepared.shower[0])
        tolerance = np.where(seeded[:, None], (FINE, np.inf), rough)
        fits = np.empty((len(zenith), 7))
        FIT_LOSSES(problem, charges.centre, RADIUS, HALF_HEIGHT, flights(zenith, azimuth), starts, tolerance,
                   prepared.good, fits)
        return _rows(charges, fits)


def _counts(charges: Charges) -> Counts:
    charge, noise, weight = (column.astype(np.float32) for column in charges.bins[2:])
    typical = TYPICAL * float(charges.hit_charges.sum())
    return Counts(charge, noise, weight, 1.0 / MODEL_ERROR**2, PRIOR, 1.0 / typical)


def _starts(prepared: MillipedeEvent, zenith: np.ndarray, azimuth: np.ndarray,
            seeds: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Per direction the vertex of a track fit and that of the parent, or a shower's without; (n, 2, 4).

    And which directions have a parent.
    """
    seeded = np.zeros(len(zenith), dtype=bool)
    starts = np.tile(prepared.shower[1:], (len(zenith), 2, 1))
    tracks = TrackMPE().reconstruct(prepared.hits, zenith, azimuth)
    starts[:, 0] = _relative(prepared.charges, tracks)
    if seeds is not None:
        parents = _relative(prepared.charges, np.asarray(seeds, dtype=PIXEL_DTYPE))
        seeded = (np.abs(parents) < _FARTHEST).all(axis=1)
        starts[seeded, 1] = parents[seeded]
    return starts, seeded


def _best_tracks(hits: TrackHits) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Zenith, azimuth and row of the best track fit of each level; a level divides the best of the last."""
    pixels, seeds, found = np.arange(healpix.npix(LEVELS[0])), None, []
    for nside, finer in itertools.zip_longest(LEVELS, LEVELS[1:]):
        ra, dec = healpix.centres(nside, pixels)
        zenith, azimuth = np.radians(90.0 - dec), np.radians(ra)
        rows = TrackMPE().reconstruct(hits, zenith, azimuth, seeds)
        order = np.argsort(rows["llh"], kind="stable")
        best = order[:1]
        found.append((zenith[best], azimuth[best], rows[best]))
        if finer:
            few = order[:DIVIDED]
            children = healpix.children(nside, pixels[few], finer)
            pixels, seeds = children.ravel(), np.repeat(rows[few], children.shape[1])
    return found


def _relative(charges: Charges, rows: np.ndarray) -> np.ndarray:
    vertices = [rows[name] - charges.centre[column] for column, name in enumerate("XYZ")]
    return np.stack([*vertices, rows["T"] - charges.time], axis=1)


def _rows(charges: Charges, fits: np.ndarray) -> np.ndarray:
    pixels = nan_rows(np.full(len(fits), -1))
    pixels["llh"] = fits[:, 0]
    for column, name in enumerate("XYZ"):
        pixels[name] = fits[:, 1 + column] + charges.centre[column]
    pixels["T"] = fits[:, 4] + charges.time
    pixels["E_in"], pixels["E_tot"] = fits[:, 5], fits[:, 6]
    return pixels
