"""A sky map as the desk keeps it: multi-order HEALPix tiles with a probability density, and its regions.

Tiles are NUNIQ numbers (IVOA MOC 2.0, section 4.3.1) that do not overlap; densities are per steradian and
integrate to 1 over the sky. A credible region is the set of the densest tiles that together hold at least
the asked probability: the tile that crosses the level belongs to it, so no region is empty. The tiles of a
scan are the cells of its calibrated posterior (``scanner.maps.posterior``): its regions are those of its
products.

Regions are *ranges*: int64 arrays of shape ``(n, 2)``, half-open, sorted, disjoint, of NESTED pixels at
order 29, the deepest that a signed 64-bit integer holds. A position is inside when its pixel is.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from config.unpacking import own
from scanner.maps import healpix
from scanner.maps.level_sets import LevelSet, level_set
from scanner.maps.posterior import Posterior
from scanner.maps.skymap import SkyMap

__all__ = ["DELTA", "DISTANCE_COLUMNS", "MOST_TILES", "SkymapError", "Tiles", "inside", "merged"]

MOST_TILES = 3_000_000
DISTANCE_COLUMNS = ("distmu", "distsigma", "distnorm")
DELTA = "delta2llh"
"""The column of 2Δ ln L, in maps of likelihoods."""
_SR_PER_DEG2 = np.radians(1.0) ** 2
_CALIBRATED = "ic160427a"
_ROUNDING = 1e-9  # of a sum of probabilities


class SkymapError(ValueError):
    """A sky map that cannot be one; the text names the column and the reason."""


@dataclass(frozen=True)
class Tiles:
    """Tiles sorted along the sky (NESTED); arrays of shape ``(n,)``.

    Make one with ``Tiles.checked`` unless the arrays come from where they were checked before.
    """

    uniq: np.ndarray  # int64
    density: np.ndarray  # float64, per steradian; the integral over the tiles is 1
    distance: Mapping[str, np.ndarray] = field(default_factory=dict)  # further columns, float64

    @classmethod
    def checked(cls, uniq: ArrayLike, density: ArrayLike,
                distance: Mapping[str, ArrayLike] | None = None) -> Tiles:
        """Tiles of arrays that came from outside, sorted and normalised. Raises SkymapError."""
        numbers, values = _integers("uniq", uniq), _numbers("probdensity", density)
        more = {name: _numbers(name, column, finite=False) for name, column in (distance or {}).items()}
        _check_lengths(numbers, {"probdensity": values, **more})
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise SkymapError("probdensity: must be finite and not negative")
        try:
            start, end = _spans(numbers)
        except healpix.HealpixError as error:
            raise SkymapError(f"uniq: {error}") from None
        along = np.argsort(start, kind="stable")
        if (start[along][1:] < end[along][:-1]).any():
            raise SkymapError("uniq: tiles overlap")
        return cls(numbers[along], _normalised(numbers, values)[along],
                   {name: column[along] for name, column in more.items()})

    @classmethod
    def of_scan(cls, skymap: SkyMap, levels: LevelSet) -> Tiles:
        """The tiles of a scan: the posterior by a level set, with 2Δ ln L for the published thresholds."""
        posterior = Posterior.of(skymap, levels, also=level_set(_CALIBRATED).thresholds.values())
        return cls(posterior.uniq, posterior.density_sr, {DELTA: posterior.cells.delta})

    @property
    def has_distance(self) -> bool:
        """Whether the map tells how far away the source may be."""
        return any(name in self.distance for name in DISTANCE_COLUMNS)

    @property
    def has_delta(self) -> bool:
        """Whether the map tells 2Δ ln L, as those of scans do."""
        return DELTA in self.distance

    def __len__(self) -> int:
        return len(self.uniq)

    @cached_property
    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """First and one past the last order-29 pixel of each tile."""
        return _spans(self.uniq)

    @cached_property
    def area(self) -> np.ndarray:
        """Area of each tile in square degrees."""
        return _areas(self.uniq)

    @cached_property
    def probability(self) -> np.ndarray:
        """Probability of each tile."""
        return self.density * self.area * _SR_PER_DEG2

    @cached_property
    def level(self) -> np.ndarray:
        """The smallest probability of a region that holds each tile; 1 where the density is 0."""
        by_density = np.argsort(-self.density, kind="stable")
        total = np.cumsum(self.probability[by_density])
        found = np.empty(len(self))
        # tiles of equal density come and go together: each counts as the last of them
        ranked = self.density[by_density]
        last = np.searchsorted(-ranked, -ranked, side="right") - 1
        found[by_density] = total[last]
        return np.where(self.density > 0, np.minimum(found, 1.0), 1.0)

    def chosen(self, cumprob: float) -> np.ndarray:
        """Which tiles are in the credible region of a probability; bool, shape ``(n,)``."""
        by_density = np.argsort(-self.density, kind="stable")
        total = np.cumsum(self.probability[by_density])
        crossing = min(int(np.searchsorted(total, cumprob - _ROUNDING, side="left")), len(total) - 1)
        return (self.density >= self.density[by_density[crossing]]) & (self.density > 0)

    def chosen_by_delta(self, threshold: float) -> np.ndarray:
        """Which tiles of a map of likelihoods have 2Δ ln L up to a threshold.

        Maps that were stored before the column was have a density that falls as exp(-Δ).
        """
        if DELTA in self.distance:
            return self.distance[DELTA] <= threshold
        with np.errstate(divide="ignore"):
            delta = -2 * np.log(self.density / self.density.max())
        return delta <= threshold * (1 + 1e-9)  # the way over the density costs the last digits

    def chosen_calibrated(self, cumprob: float) -> np.ndarray:
        """The region by the thresholds that IceCube's public alerts use: 22.2 for 50 %, 64.2 for 90 %."""
        return self.chosen_by_delta(calibrated_threshold(cumprob))

    def ranges(self, chosen: np.ndarray) -> np.ndarray:
        """The ranges of some of the tiles."""
        start, end = self.spans
        return merged(np.column_stack([start[chosen], end[chosen]]))

    def rows_at(self, hpix29: ArrayLike) -> np.ndarray:
        """The tile that holds each order-29 pixel; −1 where the map has none."""
        start, end = self.spans
        deep = np.asarray(hpix29, dtype=np.int64)
        row = np.searchsorted(start, deep, side="right") - 1
        return np.where((row >= 0) & (deep < end[row]), row, -1)

    def level_at(self, hpix29: ArrayLike) -> np.ndarray:
        """The smallest credible region that holds each order-29 pixel; 1 outside of the map."""
        row = self.rows_at(hpix29)
        return np.where(row >= 0, self.level[row], 1.0)

    def density_at(self, hpix29: ArrayLike) -> np.ndarray:
        """Probability per square degree at each order-29 pixel; 0 outside of the map."""
        row = self.rows_at(hpix29)
        return np.where(row >= 0, self.density[row], 0.0) * _SR_PER_DEG2

    @property
    def best(self) -> tuple[float, float]:
        """Right ascension and declination of the densest tile's centre, degrees."""
        order, nested = healpix.from_uniq(self.uniq[int(np.argmax(self.density))])
        nside = healpix.nside_of(int(order))
        ra, dec = healpix.centres(nside, healpix.nest_to_ring(nside, nested))
        return float(ra), float(dec)

    @property
    def order(self) -> int:
        """The finest order there is."""
        return int(healpix.from_uniq(self.uniq)[0].max())

    # -- at rest

    def pack(self) -> bytes:
        """The tiles as bytes."""
        names = sorted(self.distance)
        steps = np.diff(self.uniq, prepend=0)
        head = f"{len(self)} {' '.join(names)}\n".encode()
        columns = [steps.astype("<i8"), self.density.astype("<f8"),
                   *(self.distance[name].astype("<f8") for name in names)]
        return zlib.compress(head + b"".join(column.tobytes() for column in columns), 1)

    @classmethod
    def unpack(cls, data: bytes) -> Tiles:
        """Tiles that were packed."""
        head, _, rest = own(data).partition(b"\n")
        count, *names = head.decode().split()
        size = 8 * int(count)
        parts = [rest[at:at + size] for at in range(0, len(rest), size)]
        uniq = np.cumsum(np.frombuffer(parts[0], "<i8"))
        density, *more = (np.frombuffer(part, "<f8") for part in parts[1:])
        return cls(uniq, density, dict(zip(names, more, strict=True)))


def calibrated_threshold(cumprob: float) -> float:
    """The calibrated 2Δ ln L of a probability: that of the table, straight lines between its entries."""
    known = level_set(_CALIBRATED).thresholds
    if cumprob in known:
        return known[cumprob]
    wanted = -2 * np.log1p(-min(cumprob, 1 - 1e-12))  # Wilks (1938), two degrees of freedom
    levels = [(0.0, 0.0), *((-2 * np.log1p(-level), value) for level, value in sorted(known.items()))]
    theirs, ours = np.array(levels).T
    slope = (ours[-1] - ours[-2]) / (theirs[-1] - theirs[-2])
    return float(np.interp(wanted, theirs, ours) + slope * max(wanted - theirs[-1], 0.0))


def merged(ranges: np.ndarray) -> np.ndarray:
    """The same ranges sorted, those that touch or overlap as one."""
    if not len(ranges):
        return np.empty((0, 2), dtype=np.int64)
    ordered = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.concatenate([[True], ordered[1:, 0] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    return np.column_stack([ordered[first, 0], reach[last]])


def inside(ranges: np.ndarray, hpix29: ArrayLike) -> np.ndarray:
    """Which order-29 pixels are in the ranges; bool, the shape of ``hpix29``."""
    deep = np.asarray(hpix29, dtype=np.int64)
    if not len(ranges):
        return np.zeros(deep.shape, dtype=bool)
    row = np.searchsorted(ranges[:, 0], deep, side="right") - 1
    return (row >= 0) & (deep < ranges[row, 1])


def _spans(uniq: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order, nested = healpix.from_uniq(uniq)
    shift = 2 * (healpix.MAX_ORDER - order)
    return nested << shift, (nested + 1) << shift


def _areas(uniq: np.ndarray) -> np.ndarray:
    order, _ = healpix.from_uniq(uniq)
    return healpix.FULL_SKY_DEG2 / (12.0 * 4.0**order)


def _normalised(uniq: np.ndarray, density: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        total = float((density * _areas(uniq)).sum() * _SR_PER_DEG2)
    if not 0 < total < np.inf:
        raise SkymapError("probdensity: the map must hold some probability, and a finite one")
    return density / total


def _integers(name: str, values: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise SkymapError(f"{name}: must be a list of integers: {error}") from None
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array):
        raise SkymapError(f"{name}: must be a list of integers, not empty")
    if len(array) > MOST_TILES:
        raise SkymapError(f"{name}: at most {MOST_TILES} tiles, not {len(array)}")
    if array.min() < 0 or array.max() > np.iinfo(np.int64).max:
        raise SkymapError(f"{name}: no tile has such a number")
    return array.astype(np.int64)


def _numbers(name: str, values: ArrayLike, finite: bool = True) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise SkymapError(f"{name}: must be a list of numbers: {error}") from None
    if array.ndim != 1 or (finite and not np.isfinite(array).all()):
        raise SkymapError(f"{name}: must be a list of finite numbers")
    return array


def _check_lengths(uniq: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    for name, column in columns.items():
        if len(column) != len(uniq):
            raise SkymapError(f"{name}: must have as many values as uniq, {len(uniq)}, not {len(column)}")
