"""Credible regions against a slow second computation, and packing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.maps import healpix
from scanner.maps.level_sets import default_levels, level_set
from scanner.maps.posterior import Posterior
from scanner.maps.skymap import SkyMap
from server.desk.maps.membership import coarsened, restrict
from server.desk.maps.skymaps import cone_name, of_arrays, of_cone
from server.desk.maps.tiles import SkymapError, Tiles, inside, merged
from tests.support.scans import made_up_map

SEEDS = st.integers(0, 2**32 - 1)


def random_tiles(seed: int, splits: int = 40) -> Tiles:
    """A map of the whole sky with tiles of mixed order; some densities are equal, some are 0."""
    generator = np.random.default_rng(seed)
    cells = [(0, pixel) for pixel in range(12)]
    for _ in range(splits):
        order, pixel = cells.pop(int(generator.integers(len(cells))))
        cells += [(order + 1, 4 * pixel + child) for child in range(4)]
    order, nested = np.array(cells).T
    density = generator.integers(0, 9, len(cells)).astype(float) ** 3
    density[0] += 1.0
    return Tiles.checked(healpix.to_uniq(order, nested), density)


def slowly_chosen(tiles: Tiles, cumprob: float) -> set[int]:
    """The numbers of the tiles inside: one after the other, until the level is crossed."""
    ranked = sorted(range(len(tiles)), key=lambda i: -tiles.density[i])
    total, lowest = 0.0, None
    for i in ranked:
        if tiles.density[i] == 0:
            break
        total, lowest = total + tiles.probability[i], tiles.density[i]
        if total >= cumprob:
            break
    return {int(tiles.uniq[i]) for i in ranked if lowest is not None and tiles.density[i] >= lowest}


@given(SEEDS, st.floats(0.01, 0.99))
def test_region_is_that_of_a_slow_computation(seed: int, cumprob: float) -> None:
    tiles = random_tiles(seed)
    chosen = tiles.chosen(cumprob)
    assert set(tiles.uniq[chosen].tolist()) == slowly_chosen(tiles, cumprob)
    assert tiles.probability[chosen].sum() >= cumprob - 1e-12


@given(SEEDS, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_regions_grow_with_the_level(seed: int, one: float, other: float) -> None:
    tiles = random_tiles(seed)
    small, large = (tiles.chosen(level) for level in sorted((one, other)))
    assert small.any()
    assert not (small & ~large).any()


@given(SEEDS, st.floats(0.01, 0.99))
def test_level_at_a_position_says_which_regions_hold_it(seed: int, cumprob: float) -> None:
    tiles = random_tiles(seed)
    generator = np.random.default_rng(seed)
    deep = generator.integers(0, 12 * 4**29, 200)
    level = tiles.level_at(deep)
    within = inside(tiles.ranges(tiles.chosen(cumprob)), deep)
    assert (within[level < cumprob - 1e-9]).all()
    row = tiles.rows_at(deep)
    assert np.array_equal(within, tiles.chosen(cumprob)[row])


def test_the_tile_that_crosses_the_level_is_inside() -> None:
    tiles = Tiles.checked([4, 5, 6], [0.5, 0.3, 0.2])
    assert tiles.chosen(0.4).tolist() == [True, False, False]
    assert tiles.chosen(0.6).tolist() == [True, True, False]
    assert tiles.chosen(0.0).tolist() == [True, False, False]
    assert tiles.chosen(1.0).tolist() == [True, True, True]


@given(SEEDS, st.floats(0.05, 0.95))
def test_positions_at_poles_and_at_the_meridian(seed: int, cumprob: float) -> None:
    """Membership by ranges is membership of the tile that holds the direction itself."""
    tiles = random_tiles(seed)
    ra = np.array([0.0, 1e-9, 359.999999999, 180.0, 45.0, 0.0, 359.9, 0.0, 90.0])
    dec = np.array([0.0, 10.0, 10.0, 90.0, -90.0, 89.9999999, -89.9999999, -90.0, 41.8103149])
    deep = healpix.nested_at(healpix.MAX_ORDER, ra, dec)
    chosen = {(int(order), int(nested)) for order, nested in
              zip(*healpix.from_uniq(tiles.uniq[tiles.chosen(cumprob)]), strict=True)}
    expected = [any((order, int(healpix.nested_at(order, a, d))) in chosen for order in range(12))
                for a, d in zip(ra, dec, strict=True)]
    assert inside(tiles.ranges(tiles.chosen(cumprob)), deep).tolist() == expected


RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 20)), max_size=30)


@given(RANGES)
def test_merged_ranges_hold_the_same_pixels(parts: list[tuple[int, int]]) -> None:
    ranges = np.array([(low, low + size) for low, size in parts], dtype=np.int64).reshape(-1, 2)
    found = merged(ranges)
    whole = {pixel for low, high in ranges.tolist() for pixel in range(low, high)}
    assert {pixel for low, high in found.tolist() for pixel in range(low, high)} == whole
    assert (found[1:, 0] > found[:-1, 1]).all()
    assert inside(found, np.arange(330)).tolist() == [pixel in whole for pixel in range(330)]


@given(RANGES, st.integers(1, 12))
def test_coarsened_ranges_lose_nothing(parts: list[tuple[int, int]], most: int) -> None:
    ranges = merged(np.array([(low, low + size) for low, size in parts], dtype=np.int64).reshape(-1, 2))
    found = coarsened(ranges, most)
    assert len(found) <= max(most, 1)
    pixels = np.arange(330)
    assert not (inside(ranges, pixels) & ~inside(found, pixels)).any()
    membership = restrict(ranges, most=most)
    assert membership.is_exact == (len(found) == len(ranges))
    matched = np.array([any(part["hpix29"].get("$gte", 999) <= pixel < part["hpix29"].get("$lt", 0)
                            for part in membership.query["$or"]) for pixel in pixels])
    assert np.array_equal(matched & membership.keep(pixels), inside(ranges, pixels))


@given(SEEDS)
def test_packed_tiles_come_back(seed: int) -> None:
    tiles = random_tiles(seed)
    more = Tiles(tiles.uniq, tiles.density, {"distmu": np.arange(len(tiles)) * 1.5})
    again = Tiles.unpack(more.pack())
    assert np.array_equal(again.uniq, tiles.uniq)
    assert np.array_equal(again.density, tiles.density)
    assert np.array_equal(again.distance["distmu"], more.distance["distmu"])


@pytest.fixture(scope="module")
def scan() -> SkyMap:
    return SkyMap.from_results(made_up_map("4:0,16:12"))


def test_map_of_a_scan(scan: SkyMap) -> None:
    tiles = Tiles.of_scan(scan, default_levels(""))
    assert tiles.probability.sum() == pytest.approx(1.0)
    posterior = Posterior.of(scan, default_levels(""))
    for level in (0.5, 0.9):
        assert tiles.area[tiles.chosen(level)].sum() == pytest.approx(posterior.area(level), rel=0.005)
    best = tiles.rows_at(healpix.nested_at(healpix.MAX_ORDER, scan.best_fit.ra_deg, scan.best_fit.dec_deg))
    assert tiles.level[best] == tiles.level.min()
    assert not tiles.has_distance


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_calibrated_region_is_the_published_threshold(scan: SkyMap, level: float) -> None:
    threshold = level_set("ic160427a").threshold(level)
    tiles = Tiles.of_scan(scan, default_levels("track_mpe"))
    published = Posterior.of(scan, level_set("ic160427a"))
    size = published.cell_area[published.cells.delta <= threshold].sum()
    assert tiles.area[tiles.chosen_calibrated(level)].sum() == pytest.approx(size, rel=0.01)


def test_maps_stored_before_the_column_was_still_have_published_regions(scan: SkyMap) -> None:
    density = np.exp(-scan.delta / 2)
    old = Tiles.checked(scan.uniq, density)
    assert np.array_equal(old.chosen_calibrated(0.9), scan.delta <= 64.2)


def test_calibrated_regions_grow(scan: SkyMap) -> None:
    tiles = Tiles.of_scan(scan, default_levels(""))
    sizes = [tiles.chosen_calibrated(level).sum() for level in (0.0, 0.1, 0.5, 0.7, 0.9, 0.99, 1.0)]
    assert sizes == sorted(sizes)
    assert sizes[0] >= 1


PLACES = [(150.0, 2.2), (0.0, 0.0), (359.9999, -30.0), (10.0, 90.0), (77.0, -90.0)]


@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("error", [0.01, 0.5])
def test_cone_has_gaussian_radii(ra: float, dec: float, error: float) -> None:
    tiles = of_cone(ra, dec, error)
    axis = healpix.unit_vectors(ra, dec)
    generator = np.random.default_rng(4)
    turn, radius = generator.uniform(0, 2 * np.pi, 4000), np.radians(error) * generator.uniform(0, 3, 4000)
    points = _around(axis, radius, turn)
    deep = healpix.nested_at(healpix.MAX_ORDER, *_angles(points))
    for cumprob in (0.5, 0.9):
        edge = error * np.sqrt(-2 * np.log1p(-cumprob))
        apart = np.degrees(2 * np.arcsin(np.linalg.norm(points - axis, axis=1) / 2))
        within = inside(tiles.ranges(tiles.chosen(cumprob)), deep)
        assert within[apart < edge - 0.03 * error].all()
        assert not within[apart > edge + 0.03 * error].any()


def _around(axis: np.ndarray, radius: np.ndarray, turn: np.ndarray) -> np.ndarray:
    side = np.cross(axis, [1.0, 0.0, 0.0] if abs(axis[0]) < 0.9 else [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    way = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * up
    return np.cos(radius)[:, None] * axis + np.sin(radius)[:, None] * way


def _angles(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y, z = points.T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def test_name_of_a_cone() -> None:
    assert cone_name(150.0, 2.2, 0.5) == "150.00000_2.20000_0.50000"


@pytest.mark.parametrize(("uniq", "density", "reason"), [
    ([], [], "not empty"), ([3], [1.0], "uniq"), ([4, 4], [1.0, 1.0], "overlap"),
    ([4, 16], [1.0, 1.0], "overlap"),
    ([4], [-1.0], "negative"), ([4], [0.0], "some probability"), ([4], [1.0, 2.0], "as many"),
    ([4], [float("nan")], "finite"), ([4.5], [1.0], "integers"), (["4"], [1.0], "integers"),
    ([2**63], [1.0], "number"),
    ([4], ["x"], "numbers"), ([-5], [1.0], "number"), ([[4]], [1.0], "integers"), ([True], [1.0], "integers"),
    ([2**62], [1.0], "order 29"), ([4], [1e308], "finite"),
])  # fmt: skip
def test_arrays_that_are_no_map(uniq: list[object], density: list[object], reason: str) -> None:
    with pytest.raises(SkymapError, match=reason):
        of_arrays({"uniq": uniq, "probdensity": density})


@pytest.mark.parametrize("place", [(360.0, 0.0, 1.0), (0.0, 91.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, np.nan)])
def test_cones_that_are_none(place: tuple[float, float, float]) -> None:
    with pytest.raises(SkymapError, match="skymap"):
        of_cone(*place)
