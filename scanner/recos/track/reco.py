"""The track reconstructions `track` and `track_mpe` as the scanner sees them."""

from __future__ import annotations

from functools import cache

import numpy as np

from config.ice import TRACK_ICE
from scanner.events.event import Event
from scanner.light.ice import ice_table
from scanner.light.pandel import pandel_tables
from scanner.machine.entry import Entry
from scanner.maps.result import PIXEL_DTYPE, nan_rows
from scanner.recos.track.fit import fit_pixels
from scanner.recos.track.hits import TrackHits, first_hits
from scanner.recos.track.minimise import Hits
from scanner.recos.track.misfit import widened
from scanner.recos.track.paths import ice_rows
from scanner.recos.track.search import FIRST_WIDTHS, GRID, MPE_WIDTHS, valleys_for
from scanner.recos.track.values import Tables

__all__ = ["FIT_FIRST", "FIT_MPE", "Track", "TrackMPE", "tables"]

_FARTHEST = 1e6  # m and ns: a seed beyond is no seed
FIT_MPE, FIT_FIRST = Entry("track_mpe", fit_pixels), Entry("track", fit_pixels)


@cache
def tables(ice: str = TRACK_ICE) -> Tables:
    """Tables of an ice and of arrival times, built once per process."""
    pandel = pandel_tables()
    return Tables(ice_rows(ice_table(ice)), pandel.shape, pandel.survival)


class TrackMPE:
    """First photon of every module against a through-going track in layered ice."""

    name = "track_mpe"
    description = ("through-going track: arrival time of the first of N photons in each module (MPE) "
                   "in layered ice; fast, no energies")
    cost = "1"

    def __init__(self, ice: str = TRACK_ICE) -> None:
        self._ice = ice
        self.name = _in_ice(type(self).name, ice)

    def check(self, event: Event) -> None:
        """Raises EventError if too few modules are hit."""
        first_hits(event.cleaned, self._ice)

    def prepare(self, event: Event) -> TrackHits:
        """First hits of the cleaned pulses; raises EventError if there are too few."""
        return first_hits(event.cleaned, self._ice)

    def reconstruct(
        self, prepared: TrackHits, zenith: np.ndarray, azimuth: np.ndarray, seeds: np.ndarray | None = None
    ) -> np.ndarray:
        """Fit the vertex for n directions (rad) from the parents' vertices; PIXEL_DTYPE of shape (n,)."""
        return _fitted(FIT_MPE, prepared, prepared.doms, MPE_WIDTHS, self._ice, zenith, azimuth, seeds)


class Track:
    """The same data, by a density of the first photon that was made from simulated losses."""

    name = "track"
    description = ("through-going track: arrival time of the first photon in each module, by a density made "
                   "from simulated muons with single losses; fast, no energies")
    cost = "1"

    def __init__(self, ice: str = TRACK_ICE) -> None:
        self._ice = ice
        self.name = _in_ice(type(self).name, ice)

    def check(self, event: Event) -> None:
        """As of `TrackMPE`."""
        first_hits(event.cleaned, self._ice)

    def prepare(self, event: Event) -> TrackHits:
        """As of `TrackMPE`."""
        return first_hits(event.cleaned, self._ice)

    def reconstruct(
        self, prepared: TrackHits, zenith: np.ndarray, azimuth: np.ndarray, seeds: np.ndarray | None = None
    ) -> np.ndarray:
        """As of `TrackMPE`; −ln L counts less where a track explains the event badly (`misfit`)."""
        pixels = _fitted(FIT_FIRST, prepared, prepared.firsts, FIRST_WIDTHS, self._ice, zenith, azimuth,
                         seeds)
        pixels["llh"] = widened(pixels["llh"], prepared.n_hit, prepared.usual)
        return pixels


def _in_ice(name: str, ice: str) -> str:
    return name if ice == TRACK_ICE else f"{name}.{ice}"


def _fitted(fit: Entry, hits: TrackHits, doms: Hits, widths: np.ndarray, ice: str, zenith: np.ndarray,
            azimuth: np.ndarray, seeds: np.ndarray | None) -> np.ndarray:
    """The fits of n directions by the likelihood that `doms` belong to; PIXEL_DTYPE of shape (n,)."""
    zenith, azimuth = np.atleast_1d(zenith).astype(float), np.atleast_1d(azimuth).astype(float)
    starts = _starts(hits, len(zenith), seeds)
    fits = np.empty((len(zenith), 6))
    fit(doms, hits.doms, hits.coarse, tables(ice), zenith, azimuth, starts, GRID, valleys_for(hits.n_hit),
        widths, fits)
    pixels = nan_rows(np.full(len(zenith), -1))
    pixels["llh"] = fits[:, 0] - hits.padding_llh
    for column, name in enumerate("XYZ"):
        pixels[name] = fits[:, 1 + column] + hits.centre[column]
    pixels["T"] = fits[:, 4] + hits.time
    return pixels


def _starts(hits: TrackHits, n: int, seeds: np.ndarray | None) -> np.ndarray:
    """Parents' vertices (x, y, z, t) relative to the hits; NaN where there is none; shape (n, 4)."""
    starts = np.full((n, 4), np.nan)
    if seeds is not None:
        rows = np.asarray(seeds, dtype=PIXEL_DTYPE)
        starts[:, :3] = np.stack([rows[name] for name in "XYZ"], axis=1) - hits.centre
        starts[:, 3] = rows["T"] - hits.time
        starts[~(np.abs(starts) < _FARTHEST).all(axis=1)] = np.nan
    return starts
