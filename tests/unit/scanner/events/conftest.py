"""Fixtures of the event tests: made-up events, and the DOM positions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from config.detector import dom_positions
from scanner.events.event import Event, Particle, Pulses

HLC_FLAGS, SLC_FLAGS = 7, 4


def make_pulses(n: int, seed: int = 1) -> Pulses:
    """Pulses as of a track: random DOMs, whole nanoseconds, sorted by string, OM and time."""
    random = np.random.default_rng(seed)
    dom = random.choice(random.choice(5160, max(1, n // 4)), n)
    time = random.uniform(9_000, 17_000, n).round()
    pulses = Pulses(
        string=(dom // 60 + 1).astype(np.int16),
        om=(dom % 60 + 1).astype(np.int16),
        time=time,
        charge=random.exponential(2.0, n).astype(np.float32),
        width=random.integers(1, 9, n).astype(np.float32),
        flags=random.choice([HLC_FLAGS, SLC_FLAGS], n).astype(np.uint8),
    )
    return pulses.select(np.lexsort((pulses.time, pulses.om, pulses.string)))


@pytest.fixture(scope="session")
def pulses_of() -> Callable[..., Pulses]:
    """A function that makes n pulses from a seed."""
    return make_pulses


@pytest.fixture(scope="session")
def event_of() -> Callable[..., Event]:
    """A function that makes an event of n pulses from a seed; it has two reconstructions and a truth."""

    def make_event(n: int = 60, seed: int = 1) -> Event:
        pulses = make_pulses(n, seed)
        track = Particle(1.2, 4.0, 10.0, -20.0, 300.0, 9_800.0, 1e5, "track", 0)
        cascade = Particle(0.3, 2.0, -1.5, 2.5, -350.0, 9_700.0, 3e4, "cascade", 0)
        return Event(
            run_id=136_000,
            subrun_id=2,
            event_id=4711,
            event_type="neutrino",
            mjd=59_723.25,
            is_real_event=False,
            pulses=pulses,
            cleaned=pulses,
            recos={"l2_online_SplineMPE": track, "l2_online_Vertex": cascade},
            truth=track,
        )

    return make_event


@pytest.fixture(scope="session")
def positions() -> np.ndarray:
    return dom_positions()
