"""Priorities of datasets and tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceprod.priorities import Share, dataset_priority, task_priority

ALONE = Share(highest_of_user=0.5, highest_of_group=0.5)


def test_worked_example() -> None:
    assert dataset_priority(0.5, "simprod", 1000, 0.5, ALONE) == pytest.approx(0.5)
    assert dataset_priority(0.5, "users", 1000, 0.5, ALONE) == pytest.approx(0.5**0.5 * 0.8)
    # a tenth as many jobs again: (10000 / 100000) ** 0.05
    assert dataset_priority(0.5, "simprod", 100_000, 0, ALONE) == pytest.approx(0.5 * 0.1**0.05)


def test_half_of_what_the_owner_asks_elsewhere_counts_half() -> None:
    share = Share(highest_of_user=1.0, highest_of_group=0.5)
    assert dataset_priority(0.5, "admin", 1, 0, share) == pytest.approx(0.5)


def test_older_ones_come_sooner_and_much_work_later() -> None:
    ages = [dataset_priority(0.5, "simprod", 1000, days, ALONE) for days in (2, 10, 100)]
    assert ages == sorted(ages)
    busy = Share(0.5, 0.5, unfinished_of_user=10, unfinished=10)
    assert dataset_priority(0.5, "simprod", 1000, 0, busy) == pytest.approx(0.25)


def test_tasks() -> None:
    assert task_priority(0.2, 0, 4, 500, 1000) == pytest.approx(0.1)
    assert task_priority(0.2, 3, 4, 500, 1000) == pytest.approx(0.25)
    assert task_priority(0.2, 0, 4, 50, 1000) == pytest.approx(0.69)
    assert task_priority(0.0, 0, 0, 200, 0) == 0


positive = st.floats(0, 10, allow_nan=False)


@given(
    positive,
    st.sampled_from(["users", "admin", "other"]),
    st.integers(0, 10**7),
    st.floats(0, 10_000),
    positive,
    positive,
    st.floats(0, 1),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_always_between_0_and_1(
    asked: float,
    group: str,
    jobs: int,
    age: float,
    of_user: float,
    of_group: float,
    weight: float,
    mine: int,
    all_of_them: int,
) -> None:
    value = dataset_priority(asked, group, jobs, age, Share(of_user, of_group, weight, mine, all_of_them))
    assert 0 <= value <= 1
    assert 0 <= task_priority(value, 1, 2, jobs // 2, jobs) <= 1
