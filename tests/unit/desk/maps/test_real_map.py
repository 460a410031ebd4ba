"""Regions of a real event's sky map, against a computation pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from scanner.maps import healpix
from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanResult
from scanner.maps.skymap import SkyMap
from server.desk.maps.membership import restrict
from server.desk.maps.tiles import Tiles, inside
from tests.support.data import REFERENCE

MAP = REFERENCE / "run00136662-evt000035405932-BRONZE-8_64_512.npz"

pytestmark = pytest.mark.skipif(not MAP.exists(), reason=f"no real sky map: {MAP}")


@pytest.fixture(scope="module")
def skymap() -> SkyMap:
    return SkyMap.from_results(ScanResult.from_npz(MAP).pixels)


@pytest.fixture(scope="module")
def places(skymap: SkyMap) -> tuple[np.ndarray, np.ndarray]:
    """Directions all over the sky, and many within some degrees of the best fit."""
    random = np.random.default_rng(7)
    ra, sine = random.uniform(0, 360, 2000), random.uniform(-1, 1, 2000)
    best = skymap.best_fit
    near = random.normal(0, 2.5, (4000, 2))
    return (np.concatenate([ra, (best.ra_deg + near[:, 0]) % 360]),
            np.concatenate([np.degrees(np.arcsin(sine)), np.clip(best.dec_deg + near[:, 1], -90, 90)]))


def slowly(skymap: SkyMap, cumprob: float) -> set[tuple[int, int]]:
    """Order and NESTED number of the pixels inside, one after the other by falling density."""
    levels = default_levels("")
    posterior = Posterior.of(skymap, levels, also=levels.thresholds.values())
    probability, density = posterior.probability.tolist(), posterior.density.tolist()
    total, chosen = 0.0, set()
    for row in sorted(range(len(posterior)), key=lambda row: -density[row]):
        chosen.add((int(posterior.cells.order[row]), int(posterior.cells.nested[row])))
        total += probability[row]
        if total >= cumprob - 1e-9:  # the pixel that crosses the level belongs to the region
            return chosen
    return chosen


@pytest.mark.parametrize("cumprob", [0.1, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("most", [5, 200])
def test_positions_inside(skymap: SkyMap, places: tuple[np.ndarray, np.ndarray], cumprob: float,
                          most: int) -> None:
    wanted = slowly(skymap, cumprob)
    orders = sorted({order for order, _ in wanted})
    cells = {order: healpix.nested_at(order, *places).tolist() for order in orders}
    expected = [any((order, cells[order][i]) in wanted for order in orders) for i in range(len(places[0]))]
    tiles = Tiles.of_scan(skymap, default_levels(""))
    ranges = tiles.ranges(tiles.chosen(cumprob))
    deep = healpix.nested_at(healpix.MAX_ORDER, *places)
    assert inside(ranges, deep).tolist() == expected
    assert 0 < sum(expected) < len(expected)
    member = restrict(ranges, most=most)
    found = np.zeros(len(deep), dtype=bool)
    for part in member.query["$or"]:
        found |= (deep >= part["hpix29"]["$gte"]) & (deep < part["hpix29"]["$lt"])
    assert (found & member.keep(deep)).tolist() == expected


@pytest.mark.parametrize(("level", "threshold"), [(0.5, 22.2), (0.9, 64.2)])
def test_calibrated_regions(skymap: SkyMap, level: float, threshold: float) -> None:
    tiles = Tiles.of_scan(skymap, default_levels(""))
    order, nested = healpix.from_uniq(tiles.uniq)
    finest = skymap.nside[skymap.rows_at(*_centres(order, nested))] == skymap.nside.max()
    # Outside of the refined area the edge lies between a fine pixel and a coarse one.
    assert tiles.area[tiles.chosen_calibrated(level) & finest].sum() == pytest.approx(
        skymap.area[(skymap.delta <= threshold) & (skymap.nside == skymap.nside.max())].sum(), rel=0.01)


def _centres(order: np.ndarray, nested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ra, dec = np.empty(len(order)), np.empty(len(order))
    for depth in np.unique(order).tolist():
        here, nside = order == depth, 1 << depth
        ra[here], dec[here] = healpix.centres(nside, healpix.nest_to_ring(nside, nested[here]))
    return ra, dec


def test_the_map_survives_its_store(skymap: SkyMap) -> None:
    tiles = Tiles.of_scan(skymap, default_levels(""))
    again = Tiles.unpack(tiles.pack())
    assert np.array_equal(again.uniq, tiles.uniq)
    assert np.array_equal(again.density, tiles.density)
