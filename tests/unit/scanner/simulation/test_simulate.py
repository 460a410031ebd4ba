"""Simulated events: reproducible, sorted, within the readout, with local coincidences as defined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.events.event import Event
from scanner.light.light import acceptance, track_density
from scanner.simulation.simulate import (
    HLC_SPAN,
    HLC_WINDOW,
    READOUT,
    _coincident,
    simulate_cascade,
    simulate_track,
)


def _same(a: Event, b: Event) -> bool:
    return all(getattr(a.pulses, name).tobytes() == getattr(b.pulses, name).tobytes()
               for name in a.pulses.__dataclass_fields__)


@pytest.mark.parametrize("simulate", [simulate_track, simulate_cascade])
def test_equal_seeds_give_equal_events(simulate) -> None:
    events = [simulate(np.random.default_rng(seed), 1.0, 2.0, energy=2e3) for seed in (1, 1, 2)]
    assert _same(events[0], events[1])
    assert not _same(events[0], events[2])


def test_pulses_are_sorted_and_in_the_readout(dim_track: Event) -> None:
    pulses = dim_track.pulses
    order = np.lexsort((pulses.time, pulses.om, pulses.string))
    assert (order == np.arange(len(pulses))).all()
    assert (pulses.time >= 0).all()
    assert (pulses.time < READOUT).all()
    assert (pulses.charge > 0).all()
    assert 0 < len(dim_track.cleaned) < len(pulses)
    assert (dim_track.cleaned.string < 79).all()


def test_more_energy_gives_more_light() -> None:
    charges = [simulate_track(np.random.default_rng(1), 1.5, 1.0, energy=energy).pulses.charge.sum()
               for energy in (1e3, 1e4, 1e5)]
    assert charges[0] < charges[1] / 3 < charges[2] / 9


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5 * 60 - 1), st.floats(0, READOUT - 1)), min_size=1, max_size=60))
def test_coincidence_is_that_of_a_search_over_all_pairs(hits: list[tuple[int, float]]) -> None:
    hits = sorted(hits)
    module, time = np.array([m for m, _ in hits]), np.array([t for _, t in hits])
    expected = [any(m // 60 == n // 60 and 1 <= abs(m - n) <= HLC_SPAN and abs(t - u) <= HLC_WINDOW
                    for n, u in hits) for m, t in hits]
    assert _coincident(module, time).tolist() == expected


def test_track_light_is_the_cone_near_and_fades_far() -> None:
    near = track_density(np.array([0.5, 1.0]), np.array(0.04), np.array(0.01))
    assert near[0] / near[1] == pytest.approx(2.0, rel=0.1)
    far = track_density(np.array([100.0, 200.0]), np.array(0.04), np.array(0.01))
    assert far[1] < far[0] / 20


def test_a_module_looks_down() -> None:
    assert acceptance(np.array(1.0), np.array(0.0)) > 5 * acceptance(np.array(-0.9), np.array(0.0))
    assert acceptance(np.array(1.0), np.array(50.0)) == pytest.approx(0.5)
