"""Charts fit whatever is drawn, and say it to those who do not see it."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET  # what we made ourselves
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.web.common import axes, charts
from server.web.common.charts import Chart, Line

SVG = "{http://www.w3.org/2000/svg}"
moments = st.floats(1e9, 2e9)
values = st.one_of(st.none(), st.floats(0, 1e12))


def drawn(chart: Chart) -> ET.Element:
    return ET.fromstring(charts.lines(chart))


def y_labels(chart: Chart) -> list[str]:
    return [one.text or "" for one in drawn(chart).iter("text") if one.get("class") == "tick end"]


@pytest.mark.parametrize("points", [[], [(1.7e9, 0)], [(1.7e9, 0), (1.7e9 + 60, 0)], [(1.7e9, None)]])
def test_nothing_and_zeros_have_an_axis(points: list[tuple[float, float | None]]) -> None:
    assert y_labels(Chart("c", "Tasks", [Line("failed", "bad", points)], whole=True)) == ["0", "1"]


@given(st.integers(0, 10**9))
def test_counts_have_whole_ticks(most: int) -> None:
    found = axes.axis(most, whole=True)
    assert all(tick == int(tick) for tick in found)
    assert 2 <= len(found) <= 8
    assert found[0] == 0
    assert found[-1] >= most


@given(st.floats(1e-9, 1e15))
def test_an_axis_reaches_over_what_it_shows(most: float) -> None:
    found = axes.axis(most)
    assert found[-1] >= most * (1 - 1e-6)
    assert 2 <= len(found) <= 8
    assert len({axes.short(tick) for tick in found}) == len(found)


@given(moments, st.floats(1, 5e8))
def test_times_are_round_few_and_inside(low: float, span: float) -> None:
    found, step = axes.time_ticks(low, low + span)
    assert len(found) <= axes.MOST_TIMES + 1
    assert all(low <= moment <= low + span and moment % step == 0 for moment in found)
    if step <= 43200:
        labels = [axes.time_label(moment, step) for moment in found]
        assert len(set(labels)) == len(labels)


def test_times_are_utc_and_midnight_is_a_day() -> None:
    noon = datetime(2026, 3, 4, 12, 0, tzinfo=UTC).timestamp()
    assert axes.time_label(noon, 3600) == "12:00"
    assert axes.time_label(noon + 43200, 3600) == "03-05"
    assert axes.time_label(noon + 5, 5) == "12:00:05"


@given(st.lists(st.lists(st.tuples(moments, values), max_size=12), max_size=3))
def test_all_that_is_drawn_lies_in_the_drawing(found: list[list[tuple[float, float | None]]]) -> None:
    chart = Chart("c", "A & b <x>", [Line("l", "busy", points) for points in found], unit="tasks/s")
    root = drawn(chart)
    for line in root.iter("polyline"):
        for x, y in (pair.split(",") for pair in str(line.get("points")).split()):
            assert -1 <= float(x) <= charts.WIDTH + 1
            assert -1 <= float(y) <= charts.HEIGHT + 1
    shown = sum(len(str(one.get("points")).split()) for one in root.iter("polyline"))
    assert shown + len(list(root.iter("circle"))) == sum(y is not None for points in found for _, y in points)
    assert root.get("role") == "img"
    assert str(root.get("aria-label")).startswith("A & b <x> (tasks/s)")


@given(st.integers(0, 500))
def test_the_table_behind_has_numbers_but_not_all(points: int) -> None:
    chart = Chart("c", "Tasks", [Line("done", "good", [(1.7e9 + 60 * n, n) for n in range(points)])])
    rows = re.findall(r'<tr><th scope="row"', chart.table)
    assert len(rows) == min(points, math.ceil(points / max(1, math.ceil(points / charts.MOST_ROWS))))
    assert ET.fromstring(chart.html) is not None
    if points:
        assert f'<td class="number">{points - 1}</td>' in chart.table  # the latest is always there


def test_gaps_part_a_line() -> None:
    line = Line("busy", "busy", [(1, 1.0), (2, 2.0), (3, None), (4, None), (5, 1.0)])
    assert line.pieces == [[(1, 1.0), (2, 2.0)], [(5, 1.0)]]
    assert Chart("c", "Cores", [line]).label == "Cores: busy 1 at last, at most 2"
    assert Chart("c", "Cores", [Line("busy", "busy", [])]).label == "Cores: nothing yet"
