"""Failed logins are counted for a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import TooManyRequests
from server.production.people.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_too_many_tries_have_to_wait() -> None:
    clock = Clock()
    throttle = Throttle(60.0, clock)
    for _ in range(3):
        throttle.count([("ada", 3)])
        clock.now += 10
    with pytest.raises(TooManyRequests) as refused:
        throttle.count([("ada", 3), ("all", 100)])
    assert refused.value.retry_after == 30
    throttle.count([("bob", 3)])
    clock.now = 61
    throttle.count([("ada", 3)])


def test_a_good_try_is_taken_back() -> None:
    throttle = Throttle(60.0, Clock())
    for _ in range(50):
        throttle.count([("ada", 2)])
        throttle.forgive(["ada"])


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60), st.integers(1, 5))
def test_never_more_failures_than_allowed_in_a_window(steps: list[tuple[float, bool]], limit: int) -> None:
    clock = Clock()
    throttle, failed = Throttle(60.0, clock), []
    for pause, good in steps:
        clock.now += pause
        try:
            throttle.count([("ada", limit)])
        except TooManyRequests:
            continue
        if good:
            throttle.forgive(["ada"])
        else:
            failed.append(clock.now)
    for start in failed:  # windows follow one another, so that two of them may touch
        assert sum(start <= moment < start + 60 for moment in failed) <= 2 * limit
