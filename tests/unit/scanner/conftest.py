from __future__ import annotations

import numpy as np
import pytest

from scanner.events.event import Event
from scanner.recos.track.hits import TrackHits, first_hits
from scanner.simulation.simulate import simulate_track


@pytest.fixture(scope="session")
def dim_track() -> Event:
    """A muon of 500 GeV through the middle: about forty modules."""
    return simulate_track(np.random.default_rng(7), 1.2, 2.0, energy=500.0, vertex=(20.0, -30.0, -200.0))


@pytest.fixture(scope="session")
def dim_hits(dim_track: Event) -> TrackHits:
    return first_hits(dim_track.cleaned)


@pytest.fixture(scope="session")
def bright_track() -> Event:
    """A muon of 5 TeV: about 150 modules, as in the alerts."""
    return simulate_track(np.random.default_rng(3), 1.6, 4.0, energy=5e3, vertex=(-50.0, 60.0, -100.0))
