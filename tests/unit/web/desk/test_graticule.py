"""The grid of a map: lines and labels where the places are that they name."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.web.desk.graticule import Frame, Label, lines, project

PLACES = st.tuples(st.floats(0, 359.99), st.floats(-90, 90))


def frame_at(centre: tuple[float, float], radius: float) -> Frame:
    return Frame(centre, 212 / (2 * math.sin(math.radians(radius) / 2)), 640, 480)


def value_of(label: Label) -> float:
    return float(label.texts[0].rstrip("°"))


@settings(max_examples=40, deadline=None)
@given(PLACES, st.floats(0.2, 180.0))
def test_labels_stand_on_the_lines_that_they_name(centre: tuple[float, float], radius: float) -> None:
    frame = frame_at(centre, radius)
    for line in lines(frame):
        if line.label is None or line.label.side == "inside":
            continue
        x, y = line.label.x, line.label.y
        assert -1e-6 <= x <= 640 + 1e-6
        assert -1e-6 <= y <= 480 + 1e-6
        wanted, along = value_of(line.label), np.linspace(-90, 90, 40001)
        if line.label.side == "left":
            way = frame.placed(np.linspace(0, 360, 40001), np.full(40001, wanted))
        else:
            way = frame.placed(np.full(40001, wanted), along)
        assert np.hypot(*(way - [x, y]).T).min() < 6.0


@settings(max_examples=40, deadline=None)
@given(PLACES, st.floats(0.2, 180.0))
def test_every_map_has_lines_of_both_kinds_and_nothing_that_is_no_number(
        centre: tuple[float, float], radius: float) -> None:
    found = lines(frame_at(centre, radius))
    assert 4 <= len(found) <= 60
    assert all(np.isfinite(piece).all() for line in found for piece in line.pieces)


@pytest.mark.parametrize(("centre", "radius", "hours"), [
    ((150.0, 2.2), 0.75, r"10h0\dm|9h5\dm"), ((150.0, 2.2), 0.2, r"\d+h\d\dm\d\ds|\d+h\d\dm"),
    ((0.0, 0.0), 10.0, r"[01]h\d\dm|2[23]h\d\dm"),
])  # fmt: skip
def test_right_ascension_is_in_degrees_and_in_hours(centre: tuple[float, float], radius: float,
                                                    hours: str) -> None:
    named = [line.label for line in lines(frame_at(centre, radius)) if line.label]
    below = [label for label in named if label.side == "bottom"]
    assert len(below) >= 3
    for label in below:
        assert re.fullmatch(hours, label.texts[1])
        clock = re.fullmatch(r"(\d+)h(\d\d)m(?:(\d\d)s)?", label.texts[1])
        assert clock
        seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3] or 0)
        assert seconds / 240 == pytest.approx(value_of(label), abs=0.003)


def test_places_in_a_frame_are_those_of_the_projection() -> None:
    frame = frame_at((83.2, -5.1), 1.0)
    x, y = project(frame.centre, np.array([83.2]), np.array([-5.1]))
    assert frame.placed(np.array([83.2]), np.array([-5.1])).tolist() == [[320.0, 240.0]]
    assert (float(x[0]), float(y[0])) == pytest.approx((0, 0), abs=1e-12)
