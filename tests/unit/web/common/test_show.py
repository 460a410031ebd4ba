"""How numbers and times are written for people."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceprod.states import DATASET, JOB, TASK
from server.web.common import axes, charts, show
from server.web.common.handler import local_path


@pytest.mark.parametrize(("value", "text"), [
    (None, "–"), (0.0, "0 s"), (0.034, "0.034 s"), (45.0, "45 s"), (99.6, "99.6 s"), (100, "1.7 min"),
    (5000, "83.3 min"), (7200, "2 h"), (40 * 3600, "40 h"), (3 * 86400, "3 d"), (float("inf"), "–")])
def test_spans_of_time(value: float | None, text: str) -> None:
    assert show.seconds(value).replace("\u00a0", " ") == text


@pytest.mark.parametrize(("part", "whole", "text"), [
    (0, 10, "0 %"), (1, 1000, "0.1 %"), (1, 3, "33 %"), (9999, 10000, "99.9 %"), (199, 200, "99.5 %"),
    (10, 10, "100 %"), (1, 0, "–")])
def test_shares(part: float, whole: float, text: str) -> None:
    assert show.percent(part, whole).replace("\u00a0", " ") == text


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_nothing_is_a_hundred_percent_before_it_is_all(part: int, whole: int) -> None:
    assert show.percent(min(part, whole - 1), whole) != "100\u00a0%"


@given(st.floats(1e-3, 1e9))
def test_spans_are_written_within_two_percent(value: float) -> None:
    number, unit = show.seconds(value).split("\u00a0")
    size = {"s": 1, "min": 60, "h": 3600, "d": 86400}[unit]
    assert float(number) * size == pytest.approx(value, rel=0.05)


@given(st.integers(0, 10**15))
def test_thousands_are_parted(value: int) -> None:
    text = show.count(value)
    assert int(text.replace("\u202f", "")) == value
    assert re.fullmatch(r"\d{1,3}(\u202f\d{3})*", text)


def test_every_state_has_its_colour() -> None:
    states = {*DATASET.states, *JOB.states, *TASK.states}
    assert {state for state in states if show.state_class(state) == "wait"} == {"waiting", "reset"}
    assert show.state_class("IN_PROGRESS__PARTIAL_RESULT_GENERATED") == "busy"
    assert show.state_words("IN_PROGRESS__PARTIAL_RESULT_GENERATED").startswith("in progress: partial")


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low: float, span: float) -> None:
    high = low + span
    found = axes.ticks(low, high)
    assert 1 <= len(found) <= 12
    assert all(low - 1e-6 * span <= value <= high + 1e-6 * span for value in found)
    assert found == sorted(found)


def test_charts_escape_their_names_and_show_small_shares() -> None:
    drawn = charts.bar("<b>&", [("failed", "bad", 1), ("complete", "good", 99_999)], 100_000)
    assert "<b>" not in drawn
    assert float(re.findall(r'class="bad" x="0.00" width="([\d.]+)"', drawn)[0]) >= 0.5


@given(st.text(max_size=60))
def test_one_is_sent_to_our_own_pages_alone(target: str) -> None:
    assert local_path(target).startswith("/web/")
    assert local_path("//" + target) == local_path("https://" + target) == "/web/"
