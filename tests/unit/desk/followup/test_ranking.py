"""Priorities by weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.desk.followup.prioritization import Ranking, priorities
from server.desk.followup.standards import magnitude_range

RANGE = st.tuples(st.integers(1, 5), st.integers(1, 5)).map(sorted)
WEIGHTS = st.lists(st.floats(0, 1e9), min_size=1, max_size=30)


@pytest.mark.parametrize(("weights", "expected"), [
    ([0.9, 0.5, 0.1], [5, 3, 1]), ([1.0], [5]), ([2.0, 2.0], [3, 3]), ([0.0, 1e-300], [1, 5]),
    ([0.0, 0.0, 0.0], [3, 3, 3])])
def test_priorities(weights: list[float], expected: list[int]) -> None:
    assert priorities(weights, 1, 5) == expected


@given(WEIGHTS, RANGE)
def test_priorities_are_in_range_and_in_order(weights: list[float], limits: list[int]) -> None:
    found = priorities(weights, *limits)
    assert all(limits[0] <= each <= limits[1] for each in found)
    ranked = [priority for _, priority in sorted(zip(weights, found, strict=True))]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize("ranking", [
    Ranking("luck"), Ranking("magnitude", "sideways"), Ranking("localization"),
    Ranking("magnitude", lowest=0), Ranking("magnitude", lowest=4, highest=3)])
def test_wrong_rankings(ranking: Ranking) -> None:
    with pytest.raises(BadRequest):
        ranking.check()


@given(st.text())
def test_a_range_of_magnitudes_is_two_numbers_or_refused(text: str) -> None:
    try:
        found = magnitude_range(text)
    except BadRequest:
        return
    assert found is not None
    assert found[0] >= found[1]


def test_ranges_of_magnitudes() -> None:
    assert magnitude_range("(15, 9.5)") == (15.0, 9.5)
    assert magnitude_range(None) is None
