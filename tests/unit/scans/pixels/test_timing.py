"""The account of a scan's time: its parts add up to the whole, whatever was under way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.scans.pixels.timing import OTHER, STEPS, Span, account, most_at_once

MOMENTS = st.floats(0, 100, allow_nan=False)
SPANS = st.lists(st.builds(Span, st.sampled_from(list(STEPS)), MOMENTS, MOMENTS), max_size=30)


@given(SPANS, MOMENTS, st.floats(0, 50))
def test_the_parts_add_up(spans: list[Span], begin: float, seconds: float) -> None:
    parts = account(spans, begin, begin + seconds)
    assert sum(parts.values()) == pytest.approx(seconds)
    assert set(parts) == {*STEPS, OTHER}
    assert all(part >= 0 for part in parts.values())


@given(SPANS)
def test_no_step_has_more_than_it_was_under_way(spans: list[Span]) -> None:
    parts = account(spans, 0.0, 100.0)
    for step in STEPS:
        assert parts[step] <= sum(max(one.end - one.begin, 0) for one in spans if one.step == step) + 1e-6
    kernel = account([one for one in spans if one.step == "kernel"], 0.0, 100.0)["kernel"]
    assert parts["kernel"] == pytest.approx(kernel), "nothing is further on"


def test_a_moment_counts_for_what_is_furthest_on() -> None:
    spans = [Span("lease", 1, 6), Span("kernel", 2, 3), Span("kernel", 2.5, 4), Span("plan", 5, 7)]
    parts = account(spans, 0.0, 10.0)
    assert {step: part for step, part in parts.items() if part} == {
        "lease": 2.0, "kernel": 2.0, "plan": 2.0, OTHER: 4.0}
    assert most_at_once(spans, "kernel") == 2
    assert most_at_once(spans, "report") == 0
