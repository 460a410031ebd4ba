"""When an entry runs: tables, and rules that hold for any entry and any steps of the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sensor.schedule.times import Look, Times, look, realigned, until, upcoming


@pytest.mark.parametrize(("times", "steps"), [
    (Times(0, 5, 1, 0), [(2, [0, 1]), (4, [2, 3]), (6, [4]), (99, [])]),
    (Times(1, 5, 2, 1), [(1, []), (8, [1, 3]), (99, [])]),
    (Times(3, None, None, 3), [(3, []), (4, [3]), (99, [])]),
    (Times(3, 3, 1, 3), [(99, [])]),
    (Times(3, 1, None, 3), [(99, [])]),
    (Times(-4, None, 3, -4), [(0, [-4, -1]), (3, [2])]),
])
def test_times_are_taken_once_and_in_order(times: Times, steps: list[tuple[int, list[int]]]) -> None:
    for end, expected in steps:
        taken, times = until(times, end)
        assert taken == expected


def test_missed_times_become_one_run_and_keep_their_phase() -> None:
    times = Times(-2, 14, 4, -2)
    assert look(times, 0) == Look(-2, 0, 2, True)
    assert upcoming(replace(times, next_time=2), 0, 100, 50) == [2, 6, 10]
    assert look(times, 7) == Look(6, 2, 10, True)
    assert look(times, 10**12) == Look(10, 3, 14, False)


def test_without_an_interval_there_is_one_run_and_the_time_stays() -> None:
    once = Times(5, None, None, 5)
    assert look(once, 4) == Look(None, 0, 5, True)
    assert look(once, 5) == look(once, 99) == Look(5, 0, 5, False)


@pytest.mark.parametrize("stop", [5, 4])
def test_a_stop_that_is_not_after_the_start_ends_the_entry_at_the_first_look(stop: int) -> None:
    assert look(Times(5, stop, 1, 5), 0) == Look(None, 0, 5, False)


def test_days_have_one_length_also_around_a_leap_day() -> None:
    start = int(datetime(2028, 2, 27, 12, tzinfo=UTC).timestamp())
    taken, _ = until(Times(start, None, 86400, start), start + 4 * 86400)
    assert [datetime.fromtimestamp(at, UTC).strftime("%m-%d %H") for at in taken] == [
        "02-27 12", "02-28 12", "02-29 12", "03-01 12"]


EPOCHS = st.integers(-10**10, 10**11)
ENTRIES = st.builds(
    lambda start, length, interval, passed: Times(
        start, None if length is None else start + length, interval, start + passed * (interval or 0)),
    EPOCHS, st.none() | st.integers(-10, 10**6), st.none() | st.integers(1, 10**5), st.integers(0, 50))


@given(ENTRIES, st.lists(EPOCHS, max_size=20))
def test_no_time_is_taken_twice_whatever_the_clock_does(times: Times, clock: list[int]) -> None:
    ran: list[int] = []
    for now in clock:
        found = look(times, now)
        if found.run_at is not None:
            assert found.run_at <= now
            assert times.stop is None or found.run_at < times.stop
            assert (found.run_at - times.start) % (times.interval or 1) == 0
            ran.append(found.run_at)
        if not found.is_active:
            break
        times = replace(times, next_time=found.next_time)
    assert ran == sorted(set(ran))


@given(ENTRIES, st.integers(-100, 5000))
def test_a_look_agrees_with_taking_the_times_one_by_one(times: Times, ahead: int) -> None:
    now = times.next_time + ahead * (times.interval or 1) // 10
    taken, rest = until(times, now + 1)
    found = look(times, now)
    assert (found.run_at, found.missed) == ((taken[-1], len(taken) - 1) if taken else (None, 0))
    if times.interval is not None:
        assert found.next_time == rest.next_time
        assert found.is_active == (not rest.is_over)


@given(ENTRIES, EPOCHS)
def test_after_a_step_back_the_next_time_is_near_and_in_phase(times: Times, now: int) -> None:
    next_time = realigned(times, now)
    assert next_time <= times.next_time
    if times.interval is None:
        assert next_time == times.next_time
    elif next_time != times.next_time:
        assert (next_time - times.start) % times.interval == 0
        assert max(times.start, now + 1) <= next_time <= max(times.start, now + 1) + times.interval


@given(ENTRIES, EPOCHS, st.integers(0, 10**6), st.integers(1, 60))
def test_the_queue_shows_what_will_be_taken(times: Times, now: int, ahead: int, most: int) -> None:
    shown = upcoming(times, now, now + ahead, most)
    assert len(shown) <= most
    found = look(times, now)
    if found.run_at is not None and found.run_at < now + ahead:
        assert shown[0] == found.run_at
        shown = shown[1:]
    later, _ = until(replace(times, next_time=found.next_time), min(now + ahead, now + 10**4))
    assert all(at in shown or len(shown) >= most - 1 for at in later if at > now and times.interval)
