"""Summing slots up: whatever the order and however often, no total is lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from server.production.activity import slots
from server.production.activity.slots import COMPLETE, EVICTED, GAUGES, LEVELS, Slot

START = 1_764_000_000

counts = st.dictionaries(st.sampled_from([COMPLETE, EVICTED, "memory", "storage"]), st.integers(0, 1000))
minutes = st.builds(
    lambda minute, ends, samples, sums: Slot(START + 60 * minute, Counter(ends), samples, Counter(sums)),
    st.integers(0, 400), counts, st.integers(0, 6),
    st.dictionaries(st.sampled_from(GAUGES), st.integers(0, 10_000)))


def totals(found: list[Slot]) -> Slot:
    return slots.together(0, found)


@given(st.lists(minutes, max_size=40))
def test_longer_slots_hold_the_same_totals(found: list[Slot]) -> None:
    for level in LEVELS[1:]:
        longer = slots.coarser(found, level.step)
        assert totals(longer) == totals(found)
        begins = {slot.begins // level.step * level.step for slot in found}
        assert [slot.begins for slot in longer] == sorted(begins)


@given(st.lists(minutes, max_size=40), st.randoms(use_true_random=False))
def test_steps_between_and_order_make_no_difference(found: list[Slot], random: object) -> None:
    direct = slots.coarser(found, 3600)
    random.shuffle(found)  # type: ignore[attr-defined]
    assert slots.coarser(slots.coarser(found, 600), 3600) == direct


@given(st.lists(minutes, max_size=20))
def test_means_and_failures_come_from_sums(found: list[Slot]) -> None:
    whole = totals(found)
    assert whole.bad == sum(slot.ends["memory"] + slot.ends["storage"] for slot in found)
    for gauge in GAUGES:
        mean = whole.mean(gauge)
        assert (mean is None) == (whole.samples == 0)
        assert mean is None or mean * whole.samples == sum(slot.sums[gauge] for slot in found) or abs(
            mean * whole.samples - sum(slot.sums[gauge] for slot in found)) < 1e-6


@given(st.floats(1e9, 2e9))
def test_nothing_is_deleted_before_its_sum_is_final(moment: float) -> None:
    for number, level in enumerate(LEVELS[:-1]):
        coarse = LEVELS[number + 1].step
        assert slots.oldest_kept(number, moment) % coarse == 0
        assert slots.oldest_kept(number, moment) < slots.begin_of(moment, coarse) - coarse
        assert slots.oldest_kept(number, moment) >= moment - level.kept - coarse


def test_what_pages_show_is_kept() -> None:
    kept = {level.step: level.kept for level in LEVELS}
    assert all(kept[step] > seconds for seconds, step in slots.SPANS.values())
