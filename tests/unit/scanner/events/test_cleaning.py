"""The pulse cleaning, against its definition pulse by pulse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from config.detector import dom_positions
from scanner.events import cleaning
from scanner.events.cleaning import clean, cleaned_mask, seeded_neighbours, time_window
from scanner.events.event import Pulses


def make(doms: list[tuple[int, int]], times: list[float], flags: list[int]) -> Pulses:
    n = len(doms)
    return Pulses(
        np.array([dom[0] for dom in doms], dtype=np.int16),
        np.array([dom[1] for dom in doms], dtype=np.int16),
        np.array(times, dtype=np.float64),
        np.ones(n, dtype=np.float32),
        np.ones(n, dtype=np.float32),
        np.array(flags, dtype=np.uint8),
    )


def by_definition(pulses: Pulses, positions: np.ndarray) -> np.ndarray:
    """The neighbour search as one states it."""
    place = positions[pulses.string - 1, pulses.om - 1]
    distance = np.linalg.norm(place[:, None] - place[None], axis=-1)
    near = (distance <= 150) & (np.abs(pulses.time[:, None] - pulses.time[None]) <= 1000)
    hlc = pulses.flags & 1 == 1
    others = near & ~np.eye(len(pulses), dtype=bool)
    keep = hlc & ((others & hlc).sum(axis=1) >= 2)
    for _ in range(3):
        keep = keep | (near & keep).any(axis=1)
    return keep


dom = st.tuples(st.sampled_from([27, 36, 79]), st.integers(20, 40))
pulse = st.tuples(dom, st.integers(0, 60).map(lambda step: 500.0 * step), st.sampled_from([4, 7]))


@given(st.lists(pulse, max_size=60))
def test_neighbours_as_defined(
    positions: np.ndarray, pulses: list[tuple[tuple[int, int], float, int]]
) -> None:
    made = make(*([item[i] for item in pulses] for i in range(3)))
    np.testing.assert_array_equal(seeded_neighbours(made, positions), by_definition(made, positions))


def test_blocks_change_nothing(
    monkeypatch: pytest.MonkeyPatch, positions: np.ndarray, pulses_of: Callable[..., Pulses]
) -> None:
    pulses = pulses_of(800)
    whole = cleaned_mask(pulses, positions)
    monkeypatch.setattr(cleaning, "_BLOCK", 50)
    np.testing.assert_array_equal(cleaned_mask(pulses, positions), whole)
    np.testing.assert_array_equal(seeded_neighbours(pulses, positions), by_definition(pulses, positions))


def test_exactly_one_microsecond_is_near(positions: np.ndarray) -> None:
    one_dom = [(36, 20)] * 3
    assert seeded_neighbours(make(one_dom, [0, 1000, 1000], [7, 7, 7]), positions).all()
    assert seeded_neighbours(make(one_dom, [0, 0, 1000], [7, 7, 7]), positions).all()
    assert not seeded_neighbours(make(one_dom, [0, 0, 1000.5], [7, 7, 7]), positions).any()


def test_late_neighbours_are_reached_in_three_steps(positions: np.ndarray) -> None:
    times = [0.0, 0.0, 0.0, 1000.0, 2000.0, 3000.0, 4000.0]
    kept = seeded_neighbours(make([(36, 20)] * 7, times, [7, 7, 7, 4, 4, 4, 4]), positions)
    assert kept.tolist() == [True] * 6 + [False]


def test_pulses_without_coincidence_are_no_seeds(positions: np.ndarray) -> None:
    assert not seeded_neighbours(make([(36, 20)] * 5, [0.0] * 5, [4] * 5), positions).any()


def window_by_definition(times: list[float]) -> list[bool]:
    ordered = sorted(times)
    start = max(ordered, key=lambda t: sum(t <= other < t + 6000 for other in ordered), default=0.0)
    return [start <= t < start + 6000 for t in times]


@given(st.lists(st.integers(0, 40).map(lambda step: 500.0 * step), max_size=30))
def test_time_window_as_defined(times: list[float]) -> None:
    assert time_window(np.array(times)).tolist() == window_by_definition(times)


def test_only_regular_strings_remain(positions: np.ndarray) -> None:
    pulses = make([(36, 25), (36, 26), (79, 30), (36, 27)], [0.0, 10.0, 20.0, 30.0], [7] * 4)
    kept = clean(pulses, positions)
    assert kept.string.tolist() == [36, 36, 36]
    assert kept.time.tolist() == [0.0, 10.0, 30.0]


def test_nothing_is_kept_of_nothing(positions: np.ndarray) -> None:
    assert len(clean(make([], [], []), positions)) == 0


def test_doms_in_reach_are_those_of_a_tree() -> None:
    every = dom_positions().reshape(-1, 3)
    for count in (0, 1, 70, 700):
        some = every[np.sort(np.random.default_rng(count).choice(len(every), count, replace=False))]
        near, degrees, starts = cleaning._doms_in_reach(some)
        expected = cKDTree(some).query_ball_point(some, 150.0, return_sorted=True) if count else []
        found = [near[start : start + n].tolist() for start, n in zip(starts, degrees, strict=True)]
        assert found == list(expected)
