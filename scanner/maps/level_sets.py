"""Named thresholds on 2Δ ln L that bound a credible region.

``wilks``
    Two degrees of freedom (Wilks 1938): 1.39, 4.61 and 11.83 for 50 %, 90 % and 3 σ. Regions by it hold the
    truth less often than they say, since the likelihoods leave out much that real events have.
``ic160427a``
    22.2 and 64.2 for 50 % and 90 %, from re-simulations of the alert IC160427A with varied ice; the
    values IceCube's public alerts with millipede scans use (github.com/icecube/skyreader).
``calibrated_track``, ``calibrated_track_mpe``, ``calibrated_cascade``
    2Δ ln L within which 50 % and 90 % of the true directions of simulated events lay: tracks in ice that
    differs from the fits' by 10 %, showers of an outside simulation with anisotropic ice. Each holds for
    maps of one reconstruction alone; the documentation of the kernel tells the runs they come from.
``calibrated_millipede``
    The same from 39 tracks of an outside simulation with other ice. So few tell the threshold for 90 % to
    11.5 … 23.8 only (one standard deviation).

A new set is one entry of the table at the end of this module. It names the reconstructions that it is the
default of, so that replacing a default is a change of that entry too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

__all__ = ["LEVEL_SETS", "LevelSet", "LevelSetError", "default_levels", "level_set"]

THREE_SIGMA = 0.9973


class LevelSetError(ValueError):
    """A level set or a credible level that does not exist; the text lists those that do."""


@dataclass(frozen=True)
class LevelSet:
    """Thresholds on 2Δ ln L by credible level, ascending."""

    name: str
    title: str
    thresholds: Mapping[float, float]
    systematics: bool = False  # whether the thresholds cover that ice and detector are not known exactly
    reco: str = ""  # the reconstruction whose maps they hold for; empty: any
    default_of: tuple[str, ...] = ()  # reconstructions whose regions it bounds unless another is named
    caution: str = ""  # what whoever reads an area by this set must know

    def __str__(self) -> str:
        """Its name, with the caution where there is one."""
        return f"{self.name} ({self.caution})" if self.caution else self.name

    def check_fits(self, reco: str) -> None:
        """Raise LevelSetError unless the set holds for maps of this reconstruction."""
        if not self.fits(reco):
            raise LevelSetError(f"levels: {self.name} holds for maps of {self.reco}, not of "
                                f"{reco or 'an unknown reconstruction'}")

    def fits(self, reco: str) -> bool:
        """Whether the set holds for maps of this reconstruction."""
        return self.reco in ("", reco.partition(".")[0])

    def threshold(self, level: float) -> float:
        """The largest 2Δ ln L inside a credible level such as 0.9."""
        if level not in self.thresholds:
            known = ", ".join(map(str, self.thresholds))
            raise LevelSetError(f"level: {self.name} has the levels {known}, not {level}")
        return self.thresholds[level]

    def as_wilks(self, delta: np.ndarray) -> np.ndarray:
        """2Δ ln L on the scale on which a credible level has its two-degrees-of-freedom threshold.

        Straight lines between the thresholds of this set, the last one prolonged. With it
        ``exp(-as_wilks(delta) / 2)`` is a density whose credible levels are this set's.
        """
        shared = [level for level in self.thresholds if level in _WILKS]
        ours = np.array([0.0] + [self.thresholds[level] for level in shared])
        theirs = np.array([0.0] + [_WILKS[level] for level in shared])
        slope = (theirs[-1] - theirs[-2]) / (ours[-1] - ours[-2])
        return np.interp(delta, ours, theirs) + slope * np.maximum(delta - ours[-1], 0.0)


def level_set(name: str) -> LevelSet:
    """The level set of a name; LevelSetError lists the names there are."""
    if name not in LEVEL_SETS:
        raise LevelSetError(f"levels: must be one of {', '.join(LEVEL_SETS)}, not {name!r}")
    return LEVEL_SETS[name]


def default_levels(reco: str) -> LevelSet:
    """The set that bounds the regions of a reconstruction's maps unless another is asked for.

    A reconstruction that nobody calibrated, or that nobody named, gets the widest set there is.
    """
    return next((one for one in _ALL if reco in one.default_of), LEVEL_SETS[_WIDEST])


_WILKS = {0.5: 1.39, 0.9: 4.61, THREE_SIGMA: 11.83}
_WIDEST = "ic160427a"
_ALL = (
    LevelSet("wilks", "Wilks, holds the truth less often than it says", MappingProxyType(_WILKS),
             caution="under-covers"),
    LevelSet("ic160427a", "IC160427A calibration", MappingProxyType({0.5: 22.2, 0.9: 64.2}), True),
    LevelSet("calibrated_track", "Calibrated on simulated tracks", MappingProxyType({0.5: 1.2, 0.9: 6.7}),
             True, "track", default_of=("track",)),
    LevelSet("calibrated_track_mpe", "Calibrated on simulated tracks", MappingProxyType({0.5: 1.5, 0.9: 6.2}),
             True, "track_mpe", default_of=("track_mpe",)),
    LevelSet("calibrated_cascade", "Calibrated on simulated showers", MappingProxyType({0.5: 9.0, 0.9: 46.0}),
             True, "cascade", default_of=("cascade",)),
    LevelSet("calibrated_millipede", "Calibrated on 39 simulated tracks",
             MappingProxyType({0.5: 3.3, 0.9: 15.9}), True, "millipede", default_of=("millipede",),
             caution="from 39 tracks: 90 % by 12 to 24"),
)
LEVEL_SETS: Mapping[str, LevelSet] = MappingProxyType({one.name: one for one in _ALL})
