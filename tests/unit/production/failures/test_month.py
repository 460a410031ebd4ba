"""The shipped policy through a month of trouble, beside what it replaced and without each of its parts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.month import NAIVE, SHIPPED, simulate


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_month_without_a_hand_on_it(seed: int) -> None:
    outcome = simulate(SHIPPED, seed)
    assert outcome.finished > 400, "it has to last most of the month"
    assert outcome.lost == 0, "no task is lost to any outage or black hole"
    assert outcome.waste <= 0.05
    assert outcome.hopeless_starts <= 3, "tried, and retried twice"
    assert outcome.hopeless_ended == 600


@pytest.mark.slow
def test_each_part_of_the_policy_earns_its_keep() -> None:
    shipped = simulate(SHIPPED, 3, jobs=150)
    assert shipped.lost == 0
    assert simulate(NAIVE, 3, jobs=150).lost > 1000
    assert simulate(replace(SHIPPED, waits=False), 3, jobs=150).waste > shipped.waste
    assert simulate(replace(SHIPPED, trusts=False), 3, jobs=150).lost > 0
    again = simulate(replace(SHIPPED, keeps=False), 3, jobs=150)
    assert again.by_cause["outside"] > 1.2 * shipped.by_cause["outside"]
    mortal = simulate(replace(SHIPPED, survives=False), 3, jobs=150)
    assert mortal.by_cause["database"] > shipped.by_cause["database"] == 0
