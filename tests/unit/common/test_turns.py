"""Who is turned away gets a turn of its own."""

from __future__ import annotations

from collections import Counter

import pytest

from server.common import turns
from server.common.turns import LONGEST, Turns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])
    return now


def test_a_few_come_again_soon(clock: list[float]) -> None:
    some = Turns(per_second=10)
    assert [some.next() for _ in range(9)] == [1] * 9


def test_thousands_come_again_one_after_the_other(clock: list[float]) -> None:
    many = Turns(per_second=10)
    told = Counter(many.next() for _ in range(300))
    assert len(told) == 30
    assert max(told.values()) <= 11


def test_nobody_is_told_to_wait_for_ever(clock: list[float]) -> None:
    many = Turns(per_second=1)
    assert max(many.next() for _ in range(500)) == LONGEST
    clock[0] += 1000
    assert many.next() == 1
