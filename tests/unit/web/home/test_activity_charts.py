"""Charts of activity: gaps where nobody measured, rates in a unit that can be read."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from server.common.errors import BadRequest
from server.production.activity import slots
from server.production.activity.slots import COMPLETE, EVICTED, Slot
from server.web.home import activity_charts


def some(complete: int, *minutes_ago: int) -> list[Slot]:
    now = time.time()
    ends = {COMPLETE: complete, "memory": 1, EVICTED: 5}
    return [Slot(slots.begin_of(now - 60 * back, 60), Counter(ends), 3,
                 Counter({"offered": 30.0, "busy": 15.0, "waiting": 6, "running": 3}))
            for back in sorted(minutes_ago, reverse=True)]


@pytest.mark.parametrize(("complete", "unit", "value"), [
    (600, "tasks/s", 10.0), (6, "tasks/min", 6.0), (0, "tasks/min", 0.0)])
def test_rates_have_a_unit_in_which_they_can_be_read(complete: int, unit: str, value: float) -> None:
    chart = activity_charts.tasks(some(complete, 3, 2), "1h")
    assert (chart.unit, chart.lines[0].known[0]) == (unit, value)


def test_evictions_are_no_failures() -> None:
    chart = activity_charts.tasks(some(60, 3), "1h")
    assert chart.lines[1].known == pytest.approx([1 / 60])


def test_minutes_without_a_sample_are_a_gap() -> None:
    chart = activity_charts.cores(some(1, 9, 8, 3, 2), "1h")
    assert [len(piece) for piece in chart.lines[0].pieces] == [2, 2]
    assert (chart.lines[0].known[0], chart.lines[1].known[0]) == (10, 5)


def test_nothing_is_an_empty_chart_with_axes() -> None:
    for draw in (activity_charts.tasks, activity_charts.cores, activity_charts.queue):
        chart = draw([], "24h")
        assert chart.is_empty
        assert "<svg" in chart.html


def test_ends_by_reason_lead_with_the_good_ones() -> None:
    found = activity_charts.ends(some(9, 2))
    assert found == [(COMPLETE, 9, "good"), (EVICTED, 5, "idle"), ("memory", 1, "bad")]


def test_spans_are_chosen_among_those_that_are_kept() -> None:
    assert activity_charts.chosen_span(None) == "1h"
    with pytest.raises(BadRequest, match="span: '2h' is none of 1h, 24h, 7d"):
        activity_charts.chosen_span("2h")
