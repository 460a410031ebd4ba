"""The calibrated posterior of a sky map: the one density that all areas, outlines, files and levels are of.

A level set says which share of the truths lies within which 2Δ ln L: c₁ within t₁, c₂ within t₂ … The
density is made so that this holds for the map at hand, whatever its shape: between two thresholds (a shell)
lies the probability cᵢ − cᵢ₋₁, spread as exp(−α w/2), where w is 2Δ ln L on the scale on which the set's
thresholds are Wilks' (`LevelSet.as_wilks`). α is 1, or less where the density would otherwise rise from one
shell to the next. So the density falls with 2Δ ln L everywhere, and its smallest region of probability cᵢ is
that of the threshold tᵢ. Only where the map's shells are so narrow that no falling density could be so (a
region of a few pixels between walls, a map whose edge cuts it off) they share their probability, and the
smaller region has less than its threshold allows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from scanner.maps import healpix
from scanner.maps.level_sets import LevelSet
from scanner.maps.skymap import SkyMap
from scanner.maps.surface import Cells, cells_of

__all__ = ["EDGE", "PIXEL_SIZE", "Posterior"]

PIXEL_SIZE, EDGE = "limited by the pixel size", "cut by the edge of the refined area"
"""What may keep an area from being what it says."""
FEWEST_PIXELS = 10
"""A region of fewer of its finest pixels is limited by their size."""
COARSE_SHARE = 0.02
"""A region with more than this share in pixels that are too coarse for it is cut."""
FINE_PIXELS = 30
"""A pixel is fine enough for a region that is as large as so many of it."""
_SR_PER_DEG2 = np.radians(1.0) ** 2
_ROUNDING = 1e-9  # of a sum of probabilities
_HALVINGS = 50

_KEPT = 4
_latest: dict[tuple[object, ...], Posterior] = {}  # the oldest first
_lock = threading.Lock()


@dataclass(frozen=True)
class Posterior:
    """Cells of a map with a probability density per square degree; it integrates to 1 over them."""

    cells: Cells
    density: np.ndarray  # per square degree, shape (n,), falls with the cells' 2Δ ln L
    levels: LevelSet

    @classmethod
    def of(cls, skymap: SkyMap, levels: LevelSet, also: Iterable[float] = ()) -> Posterior:
        """The posterior of a map by a level set; cells follow the outlines at further thresholds too.

        Everything that is made of a map asks for it, so those of the latest maps are kept.
        """
        further = tuple(also)
        key = (skymap.digest, levels.name, *levels.thresholds.items(), *further)
        with _lock:
            found = _latest.pop(key, None)
        found = found or cls._over(cells_of(skymap, levels.thresholds.values(), further), levels)
        with _lock:
            _latest[key] = found
            while len(_latest) > _KEPT:
                del _latest[next(iter(_latest))]
        return found

    @classmethod
    def of_pixels(cls, order: np.ndarray, nested: np.ndarray, delta: np.ndarray, levels: LevelSet
                  ) -> Posterior:
        """The posterior over pixels as they are, with their 2Δ ln L; sorted along the sky, shape ``(n,)``."""
        return cls._over(Cells(order, nested, delta, np.int64(1) << order), levels)

    @classmethod
    def _over(cls, cells: Cells, levels: LevelSet) -> Posterior:
        limits = np.array(list(levels.thresholds.values()))
        area = _areas(cells)
        number = np.searchsorted(limits, cells.delta, side="left")
        masses = np.diff([0.0, *levels.thresholds, 1.0])
        shells = _shells(number, levels.as_wilks(cells.delta), area, masses)
        density = np.zeros(len(area))
        for shell, alpha in zip(shells, _steepness(shells), strict=True):
            density[shell.rows] = shell.density(alpha)
        return cls(cells, density / float((density * area).sum()), levels)

    def __len__(self) -> int:
        return len(self.density)

    @property
    def uniq(self) -> np.ndarray:
        """NUNIQ numbers of the cells."""
        return healpix.to_uniq(self.cells.order, self.cells.nested)

    @cached_property
    def cell_area(self) -> np.ndarray:
        """Area of each cell in square degrees."""
        return _areas(self.cells)

    @cached_property
    def probability(self) -> np.ndarray:
        """Probability of each cell."""
        return self.density * self.cell_area

    @property
    def density_sr(self) -> np.ndarray:
        """The density per steradian."""
        return self.density / _SR_PER_DEG2

    def inside(self, level: float) -> np.ndarray:
        """Which cells are in the smallest region of a probability; bool, shape ``(n,)``."""
        return self.density >= self._least(level)

    def holds(self, level: float, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Which directions (degrees) the smallest region of a probability holds; bool, one for each."""
        start = self.cells.nested << 2 * (healpix.MAX_ORDER - self.cells.order)
        end = (self.cells.nested + 1) << 2 * (healpix.MAX_ORDER - self.cells.order)
        deep = healpix.nested_at(healpix.MAX_ORDER, ra, dec)
        row = np.searchsorted(start, deep, side="right") - 1
        return (row >= 0) & (deep < end[row]) & self.inside(level)[row]

    def _least(self, level: float) -> float:
        """The density at the edge of a region."""
        ranked, total = self._ranked
        crossing = int(np.searchsorted(total, level - _ROUNDING, side="left"))
        return float(ranked[min(crossing, len(ranked) - 1)])

    @cached_property
    def _ranked(self) -> tuple[np.ndarray, np.ndarray]:
        by_density = np.argsort(-self.density, kind="stable")
        return self.density[by_density], np.cumsum(self.probability[by_density])

    def area(self, level: float) -> float:
        """Area of a region in square degrees; never less than the best fit's pixel."""
        return float(self.cell_area[self.inside(level)].sum())

    def limits(self, level: float) -> tuple[str, ...]:
        """What keeps a region's area from being what it says: PIXEL_SIZE, EDGE, both or nothing."""
        inside = self.inside(level)
        size, nside = float(self.cell_area[inside].sum()), self.cells.nside[inside]
        finest = healpix.FULL_SKY_DEG2 / 12 / float(nside.max()) ** 2
        coarse = healpix.FULL_SKY_DEG2 / 12 / nside.astype(float) ** 2 > size / FINE_PIXELS
        coarse &= nside < nside.max()
        found = [(PIXEL_SIZE, size < FEWEST_PIXELS * finest),
                 (EDGE, self.cell_area[inside][coarse].sum() > COARSE_SHARE * size or self._is_open(inside))]
        return tuple(text for text, holds in found if holds)

    def _is_open(self, inside: np.ndarray) -> bool:
        """Whether the region reaches what nobody scanned."""
        cells = self.cells
        if self.cell_area.sum() > healpix.FULL_SKY_DEG2 * (1 - 1e-9):
            return False
        start = cells.nested << 2 * (healpix.MAX_ORDER - cells.order)
        end = (cells.nested + 1) << 2 * (healpix.MAX_ORDER - cells.order)
        for order in np.unique(cells.order[inside]):
            here = inside & (cells.order == order)
            nside = healpix.nside_of(int(order))
            near = healpix.neighbours(nside, healpix.nest_to_ring(nside, cells.nested[here])).ravel()
            deep = healpix.ring_to_nest(nside, near[near >= 0]) << 2 * (healpix.MAX_ORDER - int(order))
            row = np.searchsorted(start, deep, side="right") - 1
            if ((row < 0) | (deep >= end[row])).any():
                return True
        return False


def _areas(cells: Cells) -> np.ndarray:
    return healpix.FULL_SKY_DEG2 / (12.0 * 4.0**cells.order)


@dataclass(frozen=True)
class _Shell:
    """Cells between two thresholds, and the probability that they share."""

    rows: np.ndarray
    wilks: np.ndarray  # 2Δ ln L on Wilks' scale
    area: np.ndarray
    mass: float

    @property
    def mean(self) -> float:
        return self.mass / float(self.area.sum())

    def density(self, alpha: float) -> np.ndarray:
        """The density of each cell."""
        shape = np.exp(-0.5 * alpha * (self.wilks - self.wilks.min()))
        return self.mass * shape / float((shape * self.area).sum())

    def joined(self, other: _Shell) -> _Shell:
        return _Shell(np.concatenate([self.rows, other.rows]), np.concatenate([self.wilks, other.wilks]),
                      np.concatenate([self.area, other.area]), self.mass + other.mass)


def _shells(number: np.ndarray, wilks: np.ndarray, area: np.ndarray, masses: np.ndarray) -> list[_Shell]:
    """Shells from within, their mean densities falling; those for which that cannot be are joined."""
    found: list[_Shell] = []
    for k, mass in enumerate(masses):
        rows = np.flatnonzero(number == k)
        shell = _Shell(rows, wilks[rows], area[rows], float(mass))
        while found and (not len(shell.rows) or shell.mean >= found[-1].mean):
            shell = found.pop().joined(shell)
        found.append(shell)
    return found


def _steepness(shells: list[_Shell]) -> list[float]:
    """α of each shell: the largest up to 1 with which the density does not rise towards the outside."""
    natural = [shell.density(1.0) for shell in shells]
    floors = [_floor(*pair, densities[0]) if densities[0].min() <= densities[1].max() else 0.0
              for pair, densities in zip(pairwise(shells), pairwise(natural), strict=True)]
    lower, upper = [*floors, 0.0], [np.inf, *(floor * (1 - _ROUNDING) or np.inf for floor in floors)]
    return [_largest(shell, low, high) for shell, low, high in zip(shells, lower, upper, strict=True)]


def _floor(inner: _Shell, outer: _Shell, inward: np.ndarray) -> float:
    """The density at a threshold: where the inner shell's ends, if the outer one can stay below that."""
    edge = float(inward.min())
    return edge if edge > outer.mean * (1 + 2 * _ROUNDING) else float(np.sqrt(inner.mean * outer.mean))


def _largest(shell: _Shell, low: float, high: float) -> float:
    """The largest α up to 1 that keeps a shell's density between two bounds; its mean lies between them."""
    def fits(alpha: float) -> bool:
        density = shell.density(alpha)
        return bool(density.min() >= low and density.max() <= high)

    if fits(1.0):
        return 1.0
    good, bad = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good
