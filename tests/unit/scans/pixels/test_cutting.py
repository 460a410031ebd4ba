"""Rounds are cut alike by everybody, and however they are cut, every pixel is done once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import Scans
from scanner.maps import healpix
from scanner.maps.levels import Progression
from scanner.maps.result import nan_rows
from server.scans.pixels.cutting import (
    LEAD,
    Plan,
    batch_size,
    cost_at,
    cut_round,
    first_plan,
    later_plan,
    round_pixels,
)
from server.scans.pixels.tables import joined, spread

PROGRESSION = Progression.parse("2:0,8:6,32:8")
GROWING = Progression.parse("2:0,8:6,32:8+")
RECO = "track_mpe"


def likelihood(nside: int, pixels: np.ndarray) -> np.ndarray:
    """A made-up reconstruction: −ln L falls towards a point of the sky."""
    table = nan_rows(pixels)
    ra, dec = healpix.centres(nside, pixels)
    x, y = np.radians(ra - 200.0), np.radians(dec - 35.0)
    table["llh"] = 100.0 + 50.0 * (1 - np.cos(y) * np.cos(x)) + 0.1 * np.sin(7 * x + 3 * y)
    return table


def scan(plans: list[Plan], progression: Progression = PROGRESSION) -> dict[int, np.ndarray]:
    """A whole scan in memory; each round uses the next plan's sizes, the last one again and again."""
    results: list[tuple[int, np.ndarray]] = []
    for number in range(50):
        known = joined(results)
        plan = plans[min(number, len(plans) - 1)]
        cuts = cut_round(progression, RECO, plan, known, {n: t["index"] for n, t in known.items()})
        if not cuts:
            return known
        assert [cut.seq for cut in cuts] == list(range(plan.first, plan.first + len(cuts)))
        results += [(cut.nside, likelihood(cut.nside, cut.pixels)) for cut in reversed(cuts)]
    raise AssertionError("the scan does not end")


PLANS = st.builds(Plan, first=st.integers(0, 99), size=st.integers(1, 200), lead=st.integers(0, 5),
                  lead_size=st.integers(1, 30),
                  sizes=st.lists(st.tuples(st.sampled_from([2, 8, 32]), st.integers(1, 99)), max_size=3))


@settings(max_examples=10, deadline=None)
@given(st.lists(PLANS, min_size=1, max_size=4))
def test_the_map_does_not_depend_on_the_cutting(plans: list[Plan]) -> None:
    for progression in (PROGRESSION, GROWING):
        whole, cut = scan([Plan(first=0, size=1 << 30)], progression), scan(plans, progression)
        assert cut.keys() == whole.keys()
        assert all(cut[nside].tobytes() == whole[nside].tobytes() for nside in whole)


def test_levels_grow_only_when_asked_and_when_all_is_in() -> None:
    plan = [Plan(first=0, size=1 << 30)]
    exact, grown = scan(plan), scan(plan, GROWING)
    assert list(exact) == [2, 8, 32]
    assert all(set(exact[nside]["index"]) <= set(grown[nside]["index"]) for nside in exact)
    assert sum(map(len, grown.values())) > sum(map(len, exact.values()))
    known = {nside: table["index"] for nside, table in exact.items()}
    assert round_pixels(GROWING, RECO, exact, known, is_settled=True)
    assert not round_pixels(GROWING, RECO, exact, known, is_settled=False)
    assert not round_pixels(PROGRESSION, RECO, exact, known, is_settled=True)


@given(PLANS)
def test_each_pixel_of_the_first_round_is_in_one_batch(plan: Plan) -> None:
    cuts = cut_round(PROGRESSION, RECO, plan, {}, {})
    assert sorted(np.concatenate([cut.pixels for cut in cuts])) == list(range(48))
    assert all(cut.seeds is None for cut in cuts)
    assert [len(cut.pixels) for cut in cuts[:plan.lead]][:-1] == [plan.lead_size] * len(cuts[:plan.lead][:-1])


def test_cutting_again_gives_the_same_batches() -> None:
    first = cut_round(PROGRESSION, RECO, Plan(first=0, size=7), {}, {})
    results = joined((cut.nside, likelihood(cut.nside, cut.pixels)) for cut in first)
    known = {2: results[2]["index"]}
    plan = Plan(first=len(first), size=5)
    once, again = (cut_round(PROGRESSION, RECO, plan, results, known) for _ in range(2))
    assert len(once) > 1
    for one, other in zip(once, again, strict=True):
        assert one.seeds is not None
        assert other.seeds is not None
        assert (one.seq, one.nside) == (other.seq, other.nside)
        assert one.pixels.tolist() == other.pixels.tolist()
        assert one.seeds.tobytes() == other.seeds.tobytes()


def test_pixels_on_their_way_are_not_asked_for_again() -> None:
    results = {2: likelihood(2, np.arange(48))}
    wanted = round_pixels(PROGRESSION, RECO, results, {2: np.arange(48)}, is_settled=True)
    assert wanted
    assert not round_pixels(PROGRESSION, RECO, results, {2: np.arange(48), **wanted}, is_settled=True)


@given(st.integers(0, 500))
def test_spread_is_a_permutation_whose_parts_lie_evenly(n: int) -> None:
    pixels = np.arange(n) * 3
    order = spread(pixels)
    assert sorted(order) == list(pixels)
    half = np.sort(order[:n // 2])
    assert not len(half) or max(np.diff(half, prepend=-6, append=3 * n + 6)) <= 15


@pytest.mark.parametrize(("pixels", "measured", "size"), [
    (768, None, 24),  # nothing was measured: small
    (768, 0.01, 96),  # a share for eight
    (768, 0.001, 250),  # but not less than a quarter of a second's worth
    (100_000, 0.001, 512),  # as large as allowed
    (100_000, 0.01, 100),  # a second's worth
    (100_000, 60.0, 1),  # never less than one
    (10, 0.0, 512),
])
def test_batch_sizes(pixels: int, measured: float | None, size: int) -> None:
    assert batch_size(Scans(), pixels, measured) == size


def test_a_scan_starts_with_small_batches() -> None:
    assert first_plan(Scans(), 100_000, 0.001) == Plan(first=0, size=512, lead=LEAD, lead_size=24)
    assert first_plan(Scans(), 768, None) == Plan(first=0, size=24, lead=0, lead_size=24)
    quick = first_plan(Scans(), 768, 0.0005, cores=2)
    assert quick == Plan(first=0, size=384, lead=1, lead_size=24, cores=2), "all are quick"


@pytest.mark.parametrize(("pixels", "measured", "cores", "size"), [
    (768, 0.0005, 2, 384),  # each core that waits has a part
    (768, 0.0005, 100, 60),  # but none that is not worth its way
    (100_000, 0.01, 3, 100),  # a second's worth is enough
    (768, None, 8, 24),
])
def test_cores_that_wait_share_a_round(pixels: int, measured: float | None, cores: int, size: int) -> None:
    assert batch_size(Scans(), pixels, measured, cores) == size


def test_each_level_is_cut_by_its_own_cost() -> None:
    plan = later_plan(Scans(), 7, {64: 100, 512: 1600}, {8: 0.1, 64: 0.01, 512: 0.0001}, [3], 2)
    assert (plan.first, plan.missing, plan.cores) == (7, [3], 2)
    assert (plan.size_at(64), plan.size_at(512)) == (25, 512)
    assert cost_at({8: 0.1, 64: 0.01}, 512) == 0.01
    assert cost_at({}, 8) is None
